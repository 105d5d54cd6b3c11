"""How plans enter the planning protocols, and what becomes of those that failed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from metrics_cases import cells_of, first, judged_path, on_grid, road, straight

from drivevlm.metrics.cases import loaded
from drivevlm.metrics.planning import plan_at_steps
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.world.plan import Plan

UNIAD, VAD = PROTOCOLS["uniad"], PROTOCOLS["vad"]


def test_a_failed_plan_is_the_fallback_when_strict_and_absent_when_lenient():
    cases = UNIAD.prepare([road(), replace(road(), token="failed")])
    score = UNIAD.summarise(UNIAD.judge(cases, [straight(5.0), None]))
    assert (score.strict.n, score.lenient.n, score.n_total) == (2, 1, 2)
    assert score.strict.figures["l2_m"]["1s"].mean == pytest.approx((1.0 + 4.0) / 2, abs=1e-5)
    assert score.lenient.figures["l2_m"]["1s"].mean == pytest.approx(1.0, abs=1e-5)
    assert "1 of 2 plans failed: the fallback is scored in their place" in score.notes
    assert "1 of 2 plans failed and are left out" in score.lenient_notes


def test_the_caller_declares_the_fallback():
    score = first(UNIAD.judge(UNIAD.prepare([road()]), [None], fallback=straight(4.0)))
    assert score is not None
    assert not score.answered
    assert score.distance_m.max() < 1e-5


def test_nothing_answered_is_none_and_not_zero():
    lenient = UNIAD.summarise(UNIAD.judge(UNIAD.prepare([road()]), [None])).lenient
    assert lenient.n == 0
    assert {value.mean for value in lenient.figures["l2_m"].values()} == {None}


def test_the_json_has_one_form_and_no_nan():
    clips = [replace(road(future=4), token=f"clip-{i}", scene=f"s-{i}") for i in range(25)]
    scores = UNIAD.judge(UNIAD.prepare(clips), [None] * 25)
    told = json.loads(json.dumps(UNIAD.summarise(scores).to_json(), allow_nan=False))
    assert list(told) == ["n", "n_total", "l2_m", "collision", "ci95", "notes", "lenient"]
    assert list(told["l2_m"]) == list(told["collision"]) == ["1s", "2s", "3s", "avg"]
    assert told["ci95"]["l2_m"]["1s"] == pytest.approx([4.0, 4.0], abs=1e-5)
    assert told["lenient"]["ci95"]["l2_m"]["1s"] is None
    assert set(told["lenient"]) == set(told) - {"lenient"}
    sample = json.loads(json.dumps(next(scores.lines("uniad")), allow_nan=False))
    assert (sample["token"], sample["protocol"], sample["answered"]) == ("clip-0", "uniad", False)
    assert sample["agents"]["hit"][3:] == [False, None, None]
    assert sample["d_m"][4:] == [None, None]
    assert sample["valid"] == [True] * 4 + [False] * 2


def test_fewer_than_20_scenes_have_no_interval_and_the_reason_is_said():
    score = UNIAD.summarise(UNIAD.judge(UNIAD.prepare([road()]), [straight()]))
    assert {value.ci95 for value in score.strict.figures["l2_m"].values()} == {None}
    assert "no interval: 1 scenes, at least 20 are needed" in score.notes


def test_a_plan_that_ends_early_is_refused():
    with pytest.raises(ValueError, match=r"plan ends at 2.5 s, scoring needs 3 s"):
        UNIAD.judge(UNIAD.prepare([road()]), [straight(until_s=2.5)])


def test_a_longer_plan_is_cut():
    longer = plan_at_steps(straight(until_s=5.0))
    np.testing.assert_array_equal(longer.xy_ego_m, straight().xy_ego_m)


def test_a_finer_plan_is_thinned_and_keeps_its_own_headings():
    x_m = np.arange(1, 31) * 0.4
    fine = Plan(np.stack([x_m, 0.01 * x_m**2], axis=1), dt_s=0.1)
    thinned = plan_at_steps(fine)
    np.testing.assert_array_equal(thinned.xy_ego_m, fine.xy_ego_m[4::5])
    np.testing.assert_array_equal(thinned.yaw_ego_rad, fine.headings_ego_rad()[4::5])


@pytest.mark.parametrize("dt_s", [0.2, 0.3, 1.0])
def test_a_step_that_does_not_divide_half_a_second_is_refused(dt_s: float):
    with pytest.raises(ValueError, match="or a step that divides it"):
        plan_at_steps(straight(dt_s=dt_s, until_s=6.0))


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.full((6, 2), np.nan)])
def test_a_path_must_be_whole_and_finite(bad: np.ndarray):
    with pytest.raises(ValueError, match="paths must be finite"):
        judged_path(UNIAD, UNIAD.prepare([road()]), bad)


def test_cells_are_given_back_as_they_were_drawn():
    drawn = np.random.default_rng(0).random((6, 200, 200)) < 0.1
    cases = on_grid(UNIAD, drawn, np.zeros((6, 2)))
    np.testing.assert_array_equal(cells_of(cases), drawn)


def test_cases_survive_a_file_and_a_choice_of_clips():
    """What is kept for later runs judges like what was just prepared."""
    clips = [replace(road(("vehicle.car", 9.0 + i, 0.0)), token=f"{i}") for i in range(5)]
    cases = VAD.prepare([*clips, replace(road(future=2), token="short")])
    again = loaded(VAD.rule, cases.arrays())
    plans = [straight(5.0)] * 5
    wanted, got = VAD.judge(cases, plans), VAD.judge(again, plans)
    np.testing.assert_array_equal(got.touched["agents"].hit, wanted.touched["agents"].hit)
    np.testing.assert_array_equal(got.distance_m, wanted.distance_m)
    assert again.left_out == cases.left_out == {"short": "the recorded future ends before 3 s"}
    some = cases.only([False, True, False, True, True])
    assert some.tokens == ("1", "3", "4")
    hit = VAD.judge(some, plans[:3]).touched["agents"].hit
    np.testing.assert_array_equal(hit, wanted.touched["agents"].hit[[1, 3, 4]])
