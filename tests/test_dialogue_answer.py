"""The four faces of an answer format agree: render, grammar, parse, and the words about it."""

from __future__ import annotations

import random
import re
import string

import numpy as np
import pytest
from dialogue_cases import FORMATS, ORDERS, answer_format, bare_clip, decisions
from hypothesis import given, settings
from hypothesis import strategies as st

from drivevlm.dialogue.answer import AnswerFormat
from drivevlm.dialogue.control import ROUND_TRIP_M
from drivevlm.dialogue.sections import SectionName
from drivevlm.dialogue.spelling import (
    LONGEST_TEXT,
    AnswerError,
    amount,
    coordinate,
    free_text,
    read_coordinate,
)
from drivevlm.vlm.matcher import admits, sample_sentences
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.clip import Proposals
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import LaneRelation, Provenance, Signal, Verdict

BASE = ORDERS[0]


def assert_restricted(back: Decision, whole: Decision, form: AnswerFormat) -> None:
    """``back`` is ``whole`` in the sections of the format, empty in the others."""
    has = {name: name in form.sections for name in SectionName}
    assert back.failure is None
    assert back.plan is not None
    assert whole.plan is not None
    off_m = np.abs(back.plan.xy_ego_m - whole.plan.xy_ego_m).max()
    assert off_m <= (0.005 + 1e-9 if form.codec.name == "text" else ROUND_TRIP_M)
    assert back.meta == (whole.meta if has[SectionName.DECIDE] else None)
    signal = (whole.signal or Signal.UNKNOWN) if has[SectionName.SCENE] else None
    assert back.signal is signal
    said = free_text(whole.summary)
    assert back.summary == (said if has[SectionName.SCENE] and said != "none" else None)
    detections = whole.detections if has[SectionName.DETECT] else ()
    assert [(d.box.id, d.box.category, d.verdict) for d in back.detections] == [
        (d.box.id, d.box.category, d.verdict) for d in detections
    ]
    for one, other in zip(back.detections, detections, strict=True):
        assert np.abs(one.box.center_ego_m - other.box.center_ego_m)[:2].max() <= 0.005 + 1e-9
    order = form.sections
    told = (
        has[SectionName.DETECT] and SectionName.DETECT in order[: order.index("SPATIAL")]
        if (has[SectionName.SPATIAL])
        else False
    )
    critical = [c for c in whole.critical if has[SectionName.SPATIAL]]
    critical = [c for c in critical if told or not c.id.startswith("a")]
    assert [(c.id, c.lane, c.ttc_s is None) for c in back.critical] == [
        (c.id, c.lane, c.ttc_s is None) for c in critical
    ]
    for read, said_of in zip(back.critical, critical, strict=True):
        assert abs(read.gap_m - said_of.gap_m) <= 0.05 + 1e-9
        assert abs((read.ttc_s or 0) - (said_of.ttc_s or 0)) <= 0.05 + 1e-9


@pytest.mark.parametrize(("order", "codec"), FORMATS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_what_is_rendered_parses_back_and_the_grammar_admits_it(order, codec, data):
    form, clip = answer_format(order, codec), bare_clip(data.draw(st.integers(0, 3)))
    decision = data.draw(decisions(clip))
    text = form.render(decision, clip)
    back = form.parse(text, clip)
    assert_restricted(back, decision, form)
    again = form.render(_completed(back, decision), clip)
    assert again == text
    assert admits(form.grammar(clip), text)
    assert len(text.encode()) <= form.longest_bytes([f"p{k + 1}" for k in range(3)])


def _completed(back: Decision, whole: Decision) -> Decision:
    """``back`` with what its format did not hold, so that it can be rendered once more."""
    return Decision(
        back.plan,
        back.detections or whole.detections,
        back.critical,
        back.signal,
        back.summary,
        back.meta or whole.meta,
    )


@pytest.mark.parametrize(("order", "codec"), FORMATS)
def test_every_sampled_sentence_of_the_grammar_parses(order, codec):
    form = answer_format(order, codec)
    for count in (0, 1, 12):
        clip = bare_clip(count)
        bound = form.longest_bytes([f"p{k + 1}" for k in range(count)])
        for text in sample_sentences(form.grammar(clip), 4, seed=count):
            decision = form.parse(text, clip)
            assert decision.plan is not None
            assert len(decision.plan.xy_ego_m) == 6
            assert len(text.encode()) <= bound
            whole = _completed(decision, form_filler(clip))
            said = form.render(whole, clip)
            assert form.render(_completed(form.parse(said, clip), whole), clip) == said


def form_filler(clip) -> Decision:
    """What a format without some section needs to be rendered."""
    boxes = clip.proposals.boxes if clip.proposals else ()
    form = answer_format(BASE, "text")
    verdicts = " ".join(f"{box.id}=kept" for box in boxes) or "none"
    plan = " ".join(["0.00,0.00"] * 6)
    text = f"DETECT: {verdicts} | none\nSCENE: none | none\nSPATIAL: none\nDECIDE: stop / abort\n"
    return form.parse(text + f"PLAN: {plan}", clip)


def test_the_longest_admitted_reply_is_as_long_as_it_is_said_to_be():
    form, clip = answer_format(BASE, "text"), bare_clip(2)
    boxes = "; ".join(["construction_vehicle -999.99 -999.99"] * 4)
    objects = "; ".join(["p1 right_lane 999.9 999.9"] * 3)
    text = (
        f"DETECT: p1=dropped p2=dropped | {boxes}\nSCENE: unknown | {'x' * LONGEST_TEXT}\n"
        f"SPATIAL: {objects}\nDECIDE: adapt_to_road / change_right\n"
        "PLAN: " + " ".join(["-999.99,-999.99"] * 6)
    )
    assert admits(form.grammar(clip), text)
    bound = form.longest_bytes(["p1", "p2"])
    assert len(text) <= bound <= len(text) + 10


@pytest.mark.parametrize("codec", ["text", "control"])
def test_every_example_in_the_description_is_a_sentence_of_the_format(codec):
    form = answer_format(BASE, codec)
    examples = dict(
        re.findall(r"^([A-Z]+): .*Example[^:]*: (.*)$", form.describe(), flags=re.MULTILINE)
    )
    assert list(examples) == [name.value for name in BASE]
    text = "\n".join(f"{name}: {content}" for name, content in examples.items())
    clip = bare_clip(3)
    text = text.replace("p2=dropped", "p2=dropped p3=kept")
    decision = form.parse(text, clip)
    assert admits(form.grammar(clip), text)
    np.testing.assert_allclose(decision.plan.xy_ego_m[:, 0], np.arange(1, 7) * 3.0, atol=1e-9)


def test_the_description_names_every_word_of_the_closed_sets():
    described = answer_format(BASE, "text").describe()
    rules = answer_format(BASE, "text").grammar(bare_clip())
    closed = {
        word
        for line in rules.splitlines()
        if line.startswith(("verdict:", "category:", "signal:", "lane:", "longit", "lateral:"))
        for word in re.findall(r'"([a-z_]+)"', line)
    }
    assert len(closed) == 2 + 10 + 5 + 6 + 7 + 11
    assert [word for word in closed if not re.search(rf"\b{word}\b", described)] == []


def test_additions_are_named_by_their_order_and_keep_their_place_in_spatial():
    form, clip = answer_format(BASE, "text"), bare_clip()
    lead = Box3.typical("car", x_ego_m=20.0, y_ego_m=0.0, id="f00d")
    decision = Decision(
        Plan(np.zeros((6, 2))),
        (Detection(lead, Verdict.ADDED),),
        (CriticalObject("f00d", LaneRelation.EGO_LANE, 16.5, None),),
        meta=form_filler(clip).meta,
    )
    back = form.parse(form.render(decision, clip), clip)
    assert [d.box.id for d in back.detections] == ["a1"]
    assert [c.id for c in back.critical] == ["a1"]


def test_what_the_format_cannot_say_is_refused_and_not_bent():
    form, clip = answer_format(BASE, "text"), bare_clip(1)
    whole = form_filler(clip)
    far = Plan(np.full((6, 2), 1200.0))
    stranger = (CriticalObject("p9", LaneRelation.EGO_LANE, 1.0, None),)
    for wrong, said in (
        (Decision(far, whole.detections, meta=whole.meta), "does not fit"),
        (Decision(whole.plan, (), meta=whole.meta), "verdicts on"),
        (Decision(whole.plan, whole.detections), "no meta-decision"),
        (Decision(whole.plan, whole.detections, stranger, meta=whole.meta), "is none of"),
        (Decision(Plan(np.zeros((5, 2))), whole.detections, meta=whole.meta), "ends at 2.5 s"),
        (Decision(Plan(np.zeros((6, 2)), 0.2), whole.detections, meta=whole.meta), "every 0.2 s"),
    ):
        with pytest.raises(ValueError, match=said):
            form.render(wrong, clip)


@pytest.mark.parametrize("name", ["a1", "none", "p 1", 'p"1', "p1=kept", "x" * 33])
def test_a_proposal_with_a_name_that_the_format_cannot_hold_is_refused(name):
    box = Box3.typical("car", x_ego_m=5.0, y_ego_m=0.0, id=name)
    clip = bare_clip()
    clip = type(clip)("t", "s", 0, (), proposals=Proposals((box,), Provenance.FILE))
    with pytest.raises(ValueError, match="named by letters and digits"):
        answer_format(BASE, "text").grammar(clip)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PLAN: 1.00,0.00",
        "PLAN: " + " ".join(["1.00,0.00"] * 5),
        "PLAN: " + " ".join(["1.00,0.00"] * 7),
        "PLAN: " + " ".join(["nan,0.00"] * 6),
        "PLAN: " + " ".join(["1e3,0.00"] * 6),
        "PLAN: " + " ".join(["1000.00,0.00"] * 6),
        "PLAN: " + " ".join(["1.0,0.00"] * 6),
        "plan: " + " ".join(["1.00,0.00"] * 6),
        "Sure! PLAN: " + " ".join(["1.00,0.00"] * 6),
        "PLAN: " + " ".join(["1.00,0.00"] * 6) + "\nDone.",
        "PLAN: " + " ".join(["١.00,0.00"] * 6),
    ],
)
def test_a_reply_beside_the_format_is_refused(text):
    with pytest.raises(AnswerError):
        answer_format((SectionName.PLAN,), "text").parse(text, bare_clip())


@pytest.mark.parametrize(
    "tokens", ["", "<v10>", "<v211>" + "<a1><k1>" * 6, "<v1>" + "<a61><k1>" * 6,
               "<v01>" + "<a1><k1>" * 6, "<v1>" + "<a1><k63>" * 6, "<v1> " + "<a1><k1>" * 6,
               "<v" + "1" * 5000 + ">" + "<a1><k1>" * 6, "<v1>" + "<k1><a1>" * 6]
)  # fmt: skip
def test_tokens_that_do_not_exist_are_refused(tokens):
    with pytest.raises(AnswerError):
        answer_format((SectionName.PLAN,), "control").parse("PLAN: " + tokens, bare_clip())


def test_blanks_around_a_reply_and_minus_zero_do_not_matter():
    form = answer_format((SectionName.PLAN,), "text")
    plan = " ".join(["-0.00,0.00"] * 6)
    decision = form.parse(f"\n  PLAN: {plan} \r\n\n", bare_clip())
    assert not np.signbit(decision.plan.xy_ego_m).any()
    assert form.render(decision, bare_clip()) == "PLAN: " + " ".join(["0.00,0.00"] * 6)


def mutated(text: str, rng: random.Random) -> str:
    """A reply with a few characters, words or lines lost, doubled, exchanged or invented."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        match rng.randrange(8):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1:
                text = text[:at] + rng.choice(string.printable) + text[at:]
            case 2:
                text = text[:at] + rng.choice(string.printable) + text[at + 1 :]
            case 3:
                text = text[:at]
            case 4:
                text = text[:at] + text[at:to] + text[at:]
            case 5:
                text = (
                    text[:at] + rng.choice(["nan", "inf", "1e9", "\x00", "٣", "<v7>"]) + text[to:]
                )
            case 6:
                lines = text.split("\n")
                rng.shuffle(lines)
                text = "\n".join(lines)
            case _:
                text = text.replace(rng.choice("0123456789.,-<>|;=/: \n"), rng.choice("09 -\n"), 3)
        if not text:
            break
    return text


def test_no_mutated_reply_makes_parse_raise_or_gives_an_invalid_plan():
    rng, read, refused, lines = random.Random(0), 0, 0, 0
    for order, codec in FORMATS:
        form, clip = answer_format(order, codec), bare_clip(2)
        seeds = list(sample_sentences(form.grammar(clip), 8, seed=1))
        for _ in range(1_700):
            text = mutated(rng.choice(seeds), rng)
            try:
                decision = form.parse(text, clip)
            except AnswerError as error:
                lines += str(error).count("\n")
                refused += 1
                continue
            read += 1
            plan = decision.plan
            assert plan is not None
            assert plan.xy_ego_m.shape == (6, 2)
            assert np.abs(plan.xy_ego_m).max() < 1000
            assert decision.failure is None
    assert read + refused >= 20_000
    assert lines == 0
    assert min(read, refused) > 500  # the mutator must reach both sides


@pytest.mark.parametrize("value", [999.0, 999.99, -999.99])
def test_every_number_that_the_grammar_admits_can_be_written_again(value):
    assert read_coordinate(coordinate(value), "x") == value
    with pytest.raises(ValueError, match="does not fit"):
        coordinate(999.996)
    assert amount(999.9) == "999.9"
