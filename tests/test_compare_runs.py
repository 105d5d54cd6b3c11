"""Two runs over the same clips, from their scores to the page."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from report_cases import clip, truth
from rich.console import Console
from small_world import SmallRecording

from drivevlm.baselines import stop
from drivevlm.data.recording import SceneClips
from drivevlm.evaluate.compare_runs import compare_runs, plan_distance_m
from drivevlm.evaluate.same_data import other_truth
from drivevlm.metrics.lightemma import LIGHTEMMA
from drivevlm.metrics.paired import compared
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.rule import Averaging, l2
from drivevlm.metrics.score import Scores
from drivevlm.record.run_difference import settings_differences, words_difference
from drivevlm.report.compare_page import ChangedClip, write_compare_page
from drivevlm.report.compare_rows import difference_rows, remarks
from drivevlm.report.compare_table import CompareTable
from drivevlm.report.view import ClipView
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
from drivevlm.world.sets import FailureKind, Lateral, Longitudinal, MetaDecision

AT = replace(LIGHTEMMA, figures=(l2(Averaging.AT),))
"""A protocol whose value at k s is the distance at k s, and that touches nothing."""
EVIL = "</title><script>alert('1')</script>\"' onload=x <img src=//evil>"


def scores(*distance_m: float, scenes: list[str] | None = None, failed: tuple[int, ...] = ()):
    """One clip each, as far from the recorded point at every step."""
    n = len(distance_m)
    answered = np.array([k not in failed for k in range(n)])
    steps = np.repeat(np.array(distance_m)[:, None], 6, axis=1)
    names = scenes or [f"s{k}" for k in range(n)]
    return Scores(tuple(f"c{k}" for k in range(n)), tuple(names), answered, steps, {})


def straight(speed_mps: float) -> Decision:
    return Decision(Plan(np.column_stack([speed_mps * 0.5 * np.arange(1, 7), np.zeros(6)])))


def avg(means):
    return means.figures["l2_m"]["avg"]


# From scores to differences


def test_the_difference_is_the_mean_of_b_minus_a():
    told = compared(AT, scores(1.0, 2.0, 6.0), scores(2.0, 2.0, 2.0), n_total=3)
    cell = avg(told.strict)
    assert (cell.a, cell.b, cell.difference) == (3.0, 2.0, -1.0)
    assert (told.strict.better, told.strict.worse, told.strict.same) == (1, 1, 1)


def test_lenient_is_the_clips_that_both_answered():
    a = scores(1.0, 2.0, 6.0, 9.0, failed=(0,))
    b = scores(2.0, 5.0, 7.0, 1.0, failed=(3,))
    told = compared(AT, a, b, n_total=4)
    assert (told.strict.n, told.lenient.n) == (4, 2)
    assert avg(told.lenient).difference == pytest.approx((3.0 + 1.0) / 2)
    assert next(note for note in told.notes if "failed" in note).startswith("1 of 4 plans of a")


def test_fewer_than_20_scenes_have_no_interval_and_the_reason_is_said():
    few = compared(AT, scores(*[2.0] * 19), scores(*[1.0] * 19), n_total=19)
    assert avg(few.strict).ci95 is None
    assert few.strict.no_interval == "no interval: 19 scenes, at least 20 are needed"
    assert few.strict.no_interval in few.notes
    enough = compared(AT, scores(*[2.0] * 20), scores(*[1.0] * 20), n_total=20)
    assert avg(enough.strict).excludes_zero
    assert avg(enough.strict).ci95 is not None


def test_a_difference_that_scenes_disagree_on_is_not_marked():
    a = scores(*[2.0] * 40)
    b = scores(*[2.0 + (1.0 if k % 2 else -1.0) for k in range(40)])
    cell = avg(compared(AT, a, b, n_total=40).strict)
    assert cell.difference == 0.0
    assert not cell.excludes_zero


def test_kinds_of_clips_are_told_apart_and_empty_ones_left_out():
    splits = {"turning": {"c0", "c2"}, "night": {"elsewhere"}}
    a, b = scores(1.0, 2.0, 6.0), scores(2.0, 2.0, 4.0, failed=(2,))
    told = compared(AT, a, b, n_total=3, splits=splits)
    assert list(told.splits) == ["turning"]
    strict, lenient = told.splits["turning"]
    assert (strict.n, avg(strict).difference) == (2, -0.5)
    assert (lenient.n, avg(lenient).difference) == (1, 1.0)


def test_scores_of_other_clips_are_refused():
    with pytest.raises(ValueError, match="other clips"):
        compared(AT, scores(1.0), scores(1.0, 2.0), n_total=2)


# From decisions to changes


def small(a, b, **more):
    recording = SmallRecording(count=1)
    return compare_runs(
        recording,
        a,
        b,
        scenes=recording.scenes(),
        protocols=[PROTOCOLS["vad"]],
        fallback=lambda c: stop(c, 6, 0.5),
        **more,
    )


def test_what_changed_is_told_clip_by_clip():
    """The recorded car drives 4 m/s: a plan of 6 m/s is 1, 2, ... 6 m off, so 3.5 m by 3 s."""
    meta = MetaDecision(Longitudinal.STOP, Lateral.KEEP_LANE)
    go = replace(meta, longitudinal=Longitudinal.TRACK_SPEED)
    lost = Decision.failed(FailureKind.UNREADABLE, "what?")
    a = {"s0-0": straight(4.0), "s0-1": replace(straight(4.0), meta=go), "s0-2": straight(4.0)}
    b = {"s0-0": straight(6.0), "s0-1": replace(straight(4.0), meta=meta), "s0-2": lost}
    told = small(a | {"s0-3": lost}, b, splits={})
    first, second, third = told.changes
    assert told.only == (1, 0)
    assert [change.changed for change in told.changes] == [True, False, True]
    assert first.plan_distance_m == pytest.approx(3.5)
    l2_avg_m = ((1 + 2) / 2 + (1 + 2 + 3 + 4) / 4 + 3.5) / 3
    assert first.difference == pytest.approx(l2_avg_m)
    assert (second.flipped, second.decisions[1]) == (True, "stop / keep_lane")
    assert (third.failures, third.plan_distance_m) == (("", "unreadable"), None)
    assert third.difference == pytest.approx(2 * l2_avg_m)  # the fallback stands still
    assert [change.token for change in told.most_changed(2)] == ["s0-2", "s0-0"]
    json_ = told.to_json()
    assert json_["changed"] == 2
    assert json_["failures"] == {"only_a": 0, "only_b": 1, "both": 0}
    flip = {"a": "track_speed / keep_lane", "b": "stop / keep_lane", "clips": 1}
    assert json_["decisions"] == {"both_decided": 1, "flipped": 1, "flips": [flip]}


def test_runs_without_a_common_clip_do_not_compare():
    with pytest.raises(ValueError, match="no clip in common"):
        small({"s0-0": straight(4.0)}, {"s0-1": straight(4.0)})


def test_plans_are_apart_at_the_times_that_both_tell():
    fine = Plan(np.column_stack([0.25 * np.arange(1, 13), np.zeros(12)]), dt_s=0.25)
    assert plan_distance_m(fine, straight(1.0).plan) == pytest.approx(0.0)
    assert plan_distance_m(fine, Plan(np.ones((2, 2)), dt_s=0.4)) is None
    assert plan_distance_m(fine, None) is None


def test_truths_are_the_same_whatever_a_planner_was_given():
    assert other_truth(truth(), truth()) == ""
    assert other_truth(None, None) == ""
    assert other_truth(truth(), None) == "only one of them has poses"
    moved = replace(truth().now, global_from_ego=Pose3(np.eye(3), np.array([0.0, 1.0, 0.0])))
    assert "poses differ" in other_truth(
        truth(), replace(truth(), steps={**truth().steps, 0: moved})
    )
    boxes = replace(truth().now.boxes, category=("vehicle.truck",))
    other = replace(truth().now, boxes=boxes)
    assert "labels" in other_truth(truth(), replace(truth(), steps={**truth().steps, 0: other}))


def test_every_setting_that_differs_is_told():
    a = {"block": {"cameras": "on", "prior": "on"}, "seed": 0, "prompt": {"digest": "a" * 64}}
    b = {"block": {"cameras": "off", "prior": "on"}, "seed": 0, "prompt": {"digest": "b" * 64}}
    assert settings_differences(a, b) == [
        {"setting": "block.cameras", "a": "on", "b": "off"},
        {"setting": "prompt.digest", "a": "a" * 12, "b": "b" * 12},
    ]
    assert settings_differences(a, a) == []


def test_prompts_are_compared_whatever_their_files_are_called(tmp_path):
    for name, words in (("a", "Drive."), ("b", "Drive well.")):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / f"{name}.jinja").write_text(f"Look.\n{words}\n")
        (tmp_path / name / "parts" / "answer.jinja").write_text("Answer.\n")
    lines = words_difference(tmp_path / "a", tmp_path / "b")
    assert lines[2:] == ["@@ -1,2 +1,2 @@", " Look.", "-Drive.", "+Drive well."]


def test_the_table_marks_what_excludes_0():
    told = compared(AT, scores(*[2.0] * 20), scores(*[1.0] * 20), n_total=20)
    object_ = {"protocols": {"at": told.to_json()}, "intervals": {"told": 4, "exclude_zero": 4}}
    rows = difference_rows(object_)
    assert {row.sign for row in rows} == {"* better"}
    assert (rows[-1].difference, rows[-1].ci95) == ("-1.000", "[-1.000, -1.000]")
    assert any("excludes 0, as 4 of 4 do" in line for line in remarks(object_))


def test_a_comparison_fits_into_80_columns():
    scores_a, scores_b = scores(*[0.2] * 20), scores(*[1.0] * 20, failed=(1,))
    told = compared(AT, scores_a, scores_b, n_total=20, splits={"command_left": {"c1", "c2"}})
    protocol = told.to_json()
    protocol["strict"]["figures"]["off_drivable_at_all"] = protocol["strict"]["figures"]["l2_m"]
    out = io.StringIO()
    console = Console(file=out, width=80, color_system=None)
    console.print(CompareTable({"protocols": {"exact": protocol}}))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    row = next(line for line in lines if line.startswith("off drivable at all (%)"))
    assert row.endswith("* worse")
    assert not any("…" in line for line in lines)
    assert "command left: 2 clips, 2 scenes" in lines


def test_clips_of_scenes_that_were_not_chosen_do_not_count():
    recording = SmallRecording(count=2)
    decided = {token: straight(4.0) for scene in recording.scenes() for token in scene.tokens}
    told = compare_runs(
        recording,
        decided,
        decided,
        scenes=[SceneClips("s0", ("s0-0", "s0-1"))],
        protocols=[],
        fallback=lambda c: stop(c, 6, 0.5),
    )
    assert len(told.changes) == 2
    assert told.protocols == {}


def page_of(tmp_path, **changes) -> str:
    said = replace(straight(8.0), summary=EVIL, reply=EVIL)
    lost = replace(Decision.failed(FailureKind.UNREADABLE, EVIL), reply=EVIL)
    view = ClipView(
        clip(),
        truth(),
        {"a": said, "b": lost},
        scores={"a": {EVIL: 1.0}, "b": {EVIL: 3.0}},
    )
    told = small({"s0-0": straight(4.0)}, {"s0-0": straight(6.0)}).to_json()
    sides = {s: {"run": EVIL, "planner": "vlm", "label": EVIL, "leaks": [EVIL]} for s in "ab"}
    different = [{"setting": EVIL, "a": EVIL, "b": EVIL}]
    whole = {**told, **sides, "different": different, "prompt_difference": [EVIL, f"+{EVIL}"]}
    path = write_compare_page(
        tmp_path / "compare.html",
        compared={**whole, **changes},
        clips=[ChangedClip(view, -2.0, 3.0, EVIL, f"{EVIL}\nand more")],
    )
    return path.read_text()


def test_nothing_a_model_said_becomes_a_tag(tmp_path):
    page = page_of(tmp_path)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 10
    assert page.count("<article") == page.count("</article>") == 1


def test_both_plans_and_the_recorded_path_are_in_both_pictures(tmp_path):
    view = ClipView(clip(), truth(), {"a": straight(8.0), "b": straight(9.0)})
    path = write_compare_page(
        tmp_path / "compare.html", compared={}, clips=[ChangedClip(view, 0.5, 1.0)]
    )
    page = path.read_text()
    rig, eye = page.index('class="rig"'), page.index('class="eye"')
    for picture in (page[rig:eye], page[eye:]):
        for layer in ("plan line", "others line", "truth line"):
            assert f'class="{layer}' in picture
    assert re.findall(r'aria-label="([^"]*)"', page) == ["FRONT", "from above"]


def test_better_is_less_of_the_number_that_sorts(tmp_path):
    page = page_of(tmp_path)
    assert 'b is <b class="better">better</b>' in page
    assert "+2.00" in page  # b minus a of the clip's own number
