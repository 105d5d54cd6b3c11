import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_cases import SIZE_PX, T0_US, camera, car, clip, every_kind, results, truth

from drivevlm.metrics.explain import one_line
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.report.page import write_page
from drivevlm.report.view import ClipView
from drivevlm.world.boxes import Detection
from drivevlm.world.camera import CameraSequence, Frame
from drivevlm.world.clip import Summary
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import (
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
    Verdict,
)

EVIL = "</title><script>alert('1')</script>\"' onload=x <img src=//evil>"
VOID = {"meta", "input", "image"}


def straight(speed_mps: float) -> Plan:
    return Plan(np.column_stack([speed_mps * 0.5 * np.arange(1, 7), np.zeros(6)]))


def answer(words: str = "A car waits.", name: str = "p1") -> Decision:
    return Decision(
        straight(8.0),
        detections=(Detection(car(name), Verdict.KEPT), Detection(car("p2"), Verdict.DROPPED)),
        critical=(CriticalObject(name, LaneRelation.LEFT_LANE, 14.1, None),),
        signal=Signal.GREEN,
        summary=words,
        meta=MetaDecision(Longitudinal.TRACK_SPEED, Lateral.KEEP_LANE),
        reply=words,
    )


def view(**changes) -> ClipView:
    given = ClipView(
        clip(),
        truth(),
        {"mine": answer(), "stop": Decision(Plan(np.zeros((6, 2))))},
        sort_value=2.0,
        prompt_text="[user]\nWhere to?",
        scores={"mine": {"vad L2 3 s (m)": 6.0}, "stop": {"vad L2 3 s (m)": None}},
    )
    return replace(given, **changes)


def page(tmp_path: Path, *views: ClipView, **options) -> str:
    path = write_page(
        tmp_path / "report.html",
        **{"title": "a run", "facts": {"commit": "abc (dirty)"}, "results": results()} | options,
        views=views,
    )
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all that were opened are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]


def test_the_page_shows_table_pictures_chain_and_numbers(tmp_path):
    tags = Tags(page(tmp_path, view(), sorted_by="vad L2 3 s (m)"))
    assert tags.open == []
    assert len(tags.of("image")) == 6
    assert all(attrs["href"].startswith("data:image/jpeg;base64,") for attrs in tags.of("image"))
    for words in (
        "1.48",
        "117 / 120",
        "commit",
        "abc (dirty)",
        "A car waits.",
        "track_speed / keep_lane",
        "keep / straight: fits the decision",
        "left_lane, gap 14.1 m, ttc -",
        "Where to?",
        "1 of 120 clips, worst first by vad L2 3 s (m); 119 are left out",
        "LEAK",
    ):
        assert words in tags.words


def test_every_protocol_says_what_it_counts_in_a_tip_and_in_full(tmp_path):
    tags = Tags(page(tmp_path, view(), results=every_kind()))
    assert tags.open == []
    vad = PROTOCOLS["vad"].rule
    tips = [attrs["title"] for attrs in tags.of("td") if attrs.get("class") == "rule"]
    assert one_line(vad) in tips
    for words in (*vad.quirks, vad.source, vad.agents):
        assert tags.words.count(words) >= 1


def test_further_figures_and_kinds_of_clips_are_on_the_page(tmp_path):
    words = Tags(page(tmp_path, view(), results=every_kind())).words
    for told in (
        *("off drivable (%)", "2.33", "[0.00, 5.00]", "ADE (m)", "1.71", "[1.60, 1.90]"),
        *("exact, by kind of clip", "turning", "10 / 120", "further figures by kind of clip"),
    ):
        assert told in words
    plain = Tags(page(tmp_path, view())).words
    assert "by kind of clip" not in plain


def test_a_protocol_that_this_version_does_not_know_is_shown_without_its_rule(tmp_path):
    odd = results()
    odd["planners"]["expert"]["protocols"] = {EVIL: odd["planners"]["expert"]["protocols"]["uniad"]}
    tags = Tags(page(tmp_path, view(), results=odd))
    assert EVIL in tags.words
    assert "script" not in {name for name, _ in tags.seen}


def test_every_score_has_a_head_of_its_own_where_the_tables_are_folded(tmp_path):
    tags = Tags(page(tmp_path, view(), results=every_kind()))
    numbers = [attrs for attrs in tags.of("td") if (attrs.get("class") or "").split()[:1] == ["n"]]
    heads = {attrs["data-head"] for attrs in numbers if "data-head" in attrs}
    assert heads >= {"n / total", "L2 1 s", "col. % 1 s", "2 s", "3 s", "avg"}


def test_nothing_a_model_said_becomes_a_tag(tmp_path):
    said = answer(EVIL, name=EVIL)
    evil_clip = replace(clip(token=EVIL), summary=Summary(EVIL, 0.5, Provenance.MEMORY), scene=EVIL)
    odd = results()
    odd["planners"]["drivevlm"]["label"] = EVIL
    odd["leaks"], odd["data"]["provenance"] = [EVIL], {EVIL: EVIL}
    failed = replace(Decision.failed(FailureKind.UNREADABLE, EVIL), reply=EVIL)
    calm = Tags(page(tmp_path, view(), view(decisions={"mine": answer(), "b": failed})))
    tags = Tags(
        page(
            tmp_path,
            view(clip=evil_clip, truth=truth(EVIL), decisions={EVIL: said}, prompt_text=EVIL),
            view(decisions={"mine": failed, EVIL: answer(EVIL)}, scores={EVIL: {EVIL: 1.0}}),
            title=EVIL,
            facts={EVIL: EVIL},
            results=odd,
            sorted_by=EVIL,
        )
    )
    names = {name for name, _ in tags.seen}
    assert names <= {name for name, _ in calm.seen}
    assert not names & {"script", "img", "iframe", "object", "link"}
    attributes = {attribute for _, attrs in tags.seen for attribute in attrs}
    assert not [attribute for attribute in attributes if attribute.startswith("on")]
    assert tags.words.count("<script>alert('1')</script>") >= 12


def test_the_page_asks_nothing_of_a_network(tmp_path):
    html = page(tmp_path, view())
    assert "default-src 'none'" in html
    assert not re.findall(r"https?://|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", html))


def test_a_missing_image_is_said_and_the_page_goes_on(tmp_path):
    gone = Frame(T0_US, SIZE_PX, tmp_path / "gone.jpg")
    torn = Frame(T0_US, SIZE_PX, b"\xff\xd8\xff torn")
    whole = clip()
    cameras = (
        CameraSequence(camera("FRONT_LEFT"), (gone,)),
        CameraSequence(camera("FRONT"), (torn,)),
        *whole.cameras[2:],
    )
    tags = Tags(page(tmp_path, view(clip=replace(whole, cameras=cameras))))
    assert len(tags.of("image")) == 4
    assert tags.words.count("no image") == 2
    assert "gone.jpg: cannot read the image" in tags.words


def test_an_uncalibrated_rig_has_images_and_no_drawings(tmp_path):
    bare = ClipView(clip(calibrated=False), None, {"mine": answer()})
    html = page(tmp_path, bare)
    rig = html[html.index('class="rig"') : html.index('class="eye"')]
    assert len(Tags(html).of("image")) == 6
    assert "<path" not in rig
    assert "not judged" in html


def test_nothing_but_a_clip_is_no_crash(tmp_path):
    html = page(tmp_path, ClipView(clip(names=("FRONT",)), None, {}), results={}, facts={})
    assert len(Tags(html).of("image")) == 1


def test_worst_first_and_the_rest_is_counted(tmp_path):
    values = [1.0, None, 5.0, 3.0, 2.0]
    views = [
        view(clip=clip(token=f"t{k}"), truth=truth(f"t{k}"), sort_value=value)
        for k, value in enumerate(values)
    ]
    html = page(tmp_path, *views, limit=3, results={**results(), "data": None})
    assert re.findall(r"<code>(t\d)</code>", html) == ["t2", "t3", "t4"]
    assert "3 of 5 clips, worst first; 2 are left out" in html
    assert re.findall(r"<code>(t\d)</code>", page(tmp_path, *views))[-1] == "t1"


def test_a_failure_is_shown_with_its_kind_and_reply(tmp_path):
    failed = replace(Decision.failed(FailureKind.TRUNCATED, "ends in DECIDE"), reply="DETECT")
    words = Tags(page(tmp_path, view(decisions={"mine": failed}))).words
    assert "truncated: ends in DECIDE" in words
    assert "raw reply" in words


def test_half_a_surrogate_pair_in_a_reply_is_written(tmp_path):
    assert "&#55357;" in page(tmp_path, view(decisions={"mine": answer("\ud83d")}))


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    before = page(tmp_path, view())

    def broken():
        yield view()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_page(tmp_path / "report.html", title="", facts={}, results={}, views=broken())
    assert (tmp_path / "report.html").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_same_run_gives_the_same_page(tmp_path):
    assert page(tmp_path, view()) == page(tmp_path, view())


def test_a_view_refuses_the_truth_of_another_clip():
    with pytest.raises(ValueError, match="was given the truth of other"):
        view(truth=truth("other"))
