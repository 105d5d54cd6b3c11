"""Bad prompts and budgets end in one clear line; digests follow every word and setting."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from dialogue_cases import PROMPTS, bare_clip, dialogue, full_clip

from drivevlm.dialogue.blocks import BlockConfig, Switch
from drivevlm.dialogue.config import PromptConfig
from drivevlm.dialogue.dialogue import AnswerBudgetError, Dialogue
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.dialogue.words import PromptError
from drivevlm.vlm.scripted import ScriptedVLM

HEAD = "---\nsummary: Mine.\nsections: [PLAN]\n---\n"
BODY = (
    "{{ answer_format }}\n[[user]]\n{{ cameras }}\n[[pictures]]\n"
    "{% for block in blocks %}{{ block }}{% endfor %}\n"
)


def own(folder: Path, text: str) -> Dialogue:
    path = folder / "mine.jinja"
    path.write_text(text)
    return Dialogue.of(PromptConfig(str(path)), BlockConfig(), PROMPTS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            BODY + "{{ speed_limit }}",
            "'speed_limit' is undefined; there are answer_format, cameras, blocks",
        ),
        (BODY.replace("{{ cameras }}", "hello"), "'cameras' is given and never used"),
        (BODY + "{{ cameras.__class__.__mro__ }}", "'__class__' of 'str' object is unsafe"),
        (BODY + "{{ blocks.append(1) }}", "'append' of 'list' object is unsafe"),
        (BODY + "{{ blocks[99] }}", "has no element 99"),
        (BODY + "{{ 1 / 0 }}", "division by zero"),
        (BODY + "{{ cameras + 1 }}", "can only concatenate"),
        (BODY + "{% if %}", "line "),
        (BODY + "{% include 'parts/none.jinja' %}", "there is no parts/none.jinja"),
        (BODY + "{% include '/etc/hostname' %}", "there is no /etc/hostname"),
        (BODY + "{% include cameras %}", "must name its file in plain words"),
        (BODY.replace("[[user]]", ""), r"needs a line \[\[user\]\]"),
        (BODY.replace("[[pictures]]", ""), r"a line \[\[pictures\]\]"),
    ],
)
def test_a_template_with_a_fault_ends_in_one_clear_line(tmp_path, body, said):
    with pytest.raises(PromptError, match=said) as caught:
        own(tmp_path, HEAD + body).ask(full_clip())
    assert "mine" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "must begin with front matter"),
        ("---\nsections: [\n---\n", "the front matter is not YAML"),
        ("---\n- PLAN\n---\n", "must be a mapping"),
        ("---\nsectoins: [PLAN]\n---\n", "'sectoins' is no key"),
        ("---\nsummary: Mine.\n---\n", "must list sections out of"),
        ("---\nsections: [PLAN, DANCE]\n---\n", "must list sections out of"),
        ("---\nsections: [SCENE]\n---\n", "sections must hold PLAN"),
        ("---\nsections: [PLAN, PLAN]\n---\n", "nothing twice"),
        ("---\nsections: [PLAN]\ncodec: words\n---\n", "codec 'words' is none of"),
        ("---\nsections: [PLAN]\nexamples: few\n---\n", "examples must be a number"),
    ],
)
def test_front_matter_with_a_fault_ends_in_one_clear_line(tmp_path, head, said):
    with pytest.raises(PromptError, match=said) as caught:
        own(tmp_path, head + BODY)
    assert "\n" not in str(caught.value)


def test_a_prompt_that_is_not_there_names_those_that_are():
    with pytest.raises(PromptError, match="one of base, few_shot, plan_first, plan_only"):
        dialogue(PromptConfig("bsae"))
    with pytest.raises(PromptError, match=r"there is no file /nowhere/mine\.jinja"):
        dialogue(PromptConfig("/nowhere/mine.jinja"))


def test_a_prompt_of_ones_own_may_bring_its_own_partials(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "command.jinja").write_text("Go {{ known.word }}!")
    asked = own(tmp_path, HEAD + BODY).ask(full_clip())
    assert "Go left!" in asked.messages[1].parts[-1].text


def test_the_digest_follows_every_word_setting_and_switch_but_not_the_place(tmp_path):
    base = dialogue()
    digest = base.digest
    base.ask(full_clip())
    assert base.digest == digest  # whether asked or not
    folder = tmp_path / "prompts"
    shutil.copytree(PROMPTS, folder)
    assert Dialogue.of(PromptConfig(), BlockConfig(), folder).digest == digest
    moved = Dialogue.of(PromptConfig(str(folder / "base.jinja")), BlockConfig(), PROMPTS)
    assert moved.digest == digest
    others = [
        dialogue(PromptConfig("plan_first")),
        dialogue(PromptConfig(codec="control")),
        dialogue(PromptConfig(steps=8)),
        dialogue(PromptConfig(images=ImageConfig(width_px=224))),
        dialogue(None, BlockConfig(prior=Switch.OFF)),
    ]
    part = folder / "parts" / "prior.jinja"
    part.write_text(part.read_text().replace("Your plan", "The plan"))
    others.append(Dialogue.of(PromptConfig(), BlockConfig(), folder))
    assert len({digest, *(other.digest for other in others)}) == 1 + len(others)


def test_a_budget_that_the_longest_reply_does_not_fit_is_refused_at_the_start():
    vlm = ScriptedVLM([])
    tight = dialogue(PromptConfig(max_tokens=300))
    with pytest.raises(
        AnswerBudgetError, match=r"prompt\.max_tokens=300 is too small: with 5"
    ) as e:
        tight.fitted(vlm, 5)
    assert "\n" not in str(e.value)
    unbound = dialogue(PromptConfig(max_tokens=300, grammar=False))
    assert unbound.fitted(vlm, 5).max_tokens == 300


def test_a_budget_that_is_not_given_is_what_the_longest_reply_takes():
    vlm, base = ScriptedVLM([]), dialogue()
    assert base.fitted(vlm, 5).max_tokens == base.longest_bytes(5) + 1
    verdicts = 4 * len("p6=dropped ") + 11 * len("p10=dropped ")
    assert base.longest_bytes(20) - base.longest_bytes(5) == verdicts + 3  # SPATIAL: 3 x p20
    hidden = dialogue(None, BlockConfig(proposals=Switch.OFF))
    assert hidden.longest_bytes(20) == base.longest_bytes(0)
    fitted = base.fitted(vlm, 2)
    assert fitted.ask(bare_clip(2)).max_tokens == fitted.max_tokens
    with pytest.raises(ValueError, match="has 3 proposals, the token budget was fitted to 2"):
        fitted.ask(bare_clip(3))


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"codec": "words"}, {"steps": 0}, {"dt_s": 0.0}, {"max_tokens": -1}):
        with pytest.raises(ValueError, match=r"codec|positive"):
            replace(PromptConfig(), **wrong)
    with pytest.raises(ValueError, match="width_px is at least 16"):
        ImageConfig(width_px=8)
