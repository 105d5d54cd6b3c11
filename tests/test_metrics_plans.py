"""How plans enter the planning protocols, and what becomes of those that failed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from metrics_cases import road, straight

from drivevlm.metrics.obstacles import GridObstacles
from drivevlm.metrics.planning import STOP, Case, Prepared, plan_at_steps
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.world.plan import Plan

UNIAD, VAD = PROTOCOLS["uniad"], PROTOCOLS["vad"]


def test_a_failed_plan_is_the_fallback_when_strict_and_absent_when_lenient():
    prepared = UNIAD.prepare(road())
    scores = {
        "answered": UNIAD.judge(prepared, straight(5.0)),
        "failed": UNIAD.judge(prepared, None),
    }
    score = UNIAD.summarise(scores)
    assert (score.strict.n, score.lenient.n, score.n_total) == (2, 1, 2)
    assert score.strict.l2_m["1s"] == pytest.approx((1.0 + 4.0) / 2, abs=1e-5)
    assert score.lenient.l2_m["1s"] == pytest.approx(1.0, abs=1e-5)
    assert "1 of 2 plans failed: the fallback is scored in their place" in score.notes
    assert "1 of 2 plans failed and are left out" in score.lenient_notes


def test_the_caller_declares_the_fallback():
    prepared = UNIAD.prepare(road())
    score = UNIAD.judge(prepared, None, fallback=straight(4.0))
    assert score is not None
    assert not score.answered
    assert score.distance_m.max() < 1e-5


def test_nothing_answered_is_none_and_not_zero():
    scores = {"clip": UNIAD.judge(UNIAD.prepare(road()), None)}
    lenient = UNIAD.summarise(scores).lenient
    assert lenient.n == 0
    assert set(lenient.l2_m.values()) == {None}


def test_the_json_has_one_form_and_no_nan():
    scores = {
        f"clip-{i}": replace(UNIAD.judge(UNIAD.prepare(road(future=4)), None), scene=f"s-{i}")
        for i in range(25)
    }
    told = json.loads(json.dumps(UNIAD.summarise(scores).to_json(), allow_nan=False))
    assert list(told) == ["n", "n_total", "l2_m", "collision", "ci95", "notes", "lenient"]
    assert list(told["l2_m"]) == list(told["collision"]) == ["1s", "2s", "3s", "avg"]
    assert told["ci95"]["l2_m"]["1s"] == pytest.approx([4.0, 4.0], abs=1e-5)
    assert told["lenient"]["ci95"]["l2_m"]["1s"] is None
    assert set(told["lenient"]) == set(told) - {"lenient"}
    sample = json.loads(json.dumps(scores["clip-0"].to_json(), allow_nan=False))
    assert sample["d_m"][4:] == [None, None]
    assert sample["valid"] == [True] * 4 + [False] * 2


def test_fewer_than_20_scenes_have_no_interval_and_the_reason_is_said():
    scores = {"clip": UNIAD.judge(UNIAD.prepare(road()), straight())}
    score = UNIAD.summarise(scores)
    assert set(score.strict.l2_ci95_m.values()) == {None}
    assert "no interval: 1 scenes, at least 20 are needed" in score.notes


def test_a_plan_that_ends_early_is_refused():
    with pytest.raises(ValueError, match=r"plan ends at 2.5 s, scoring needs 3 s"):
        UNIAD.judge(UNIAD.prepare(road()), straight(until_s=2.5))


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
    with pytest.raises(ValueError, match="a path must be finite"):
        UNIAD.judge_path(UNIAD.prepare(road()), bad)


def test_cells_are_given_back_as_they_were_drawn():
    drawn = np.random.default_rng(0).random((6, 200, 200)) < 0.1
    obstacles = GridObstacles.from_grid(drawn, UNIAD.rule.outlines)
    np.testing.assert_array_equal(obstacles.grid(), drawn)
    prepared = Prepared("t", "s", Case.of(np.zeros((6, 2)), obstacles))
    with pytest.raises(ValueError, match="no lidar"):
        UNIAD.judge(prepared, STOP)
