import numpy as np
import pytest
from small_world import SmallRecording
from twin_world import VERSION, write_twins

from drivevlm.baselines import Baseline, stop
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.entrants import Filed
from drivevlm.evaluate.expert import Expert
from drivevlm.evaluate.eyes import twins
from drivevlm.evaluate.plan_run import Shard, plan_run
from drivevlm.evaluate.score_run import score_run
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.rule import Axes
from drivevlm.metrics.twins import twin_figures, twin_scores
from drivevlm.record.plan_file import PlanFile
from drivevlm.record.run_folder import RunFolder
from drivevlm.world.plan import Plan
from drivevlm.world.twins import TwinCause, TwinPair

SECONDS = np.arange(1, 7) / 2


def pair(k: int, *, family: str = "signal", town: str = "oak", distance_m: float = 20.0, pixels=50):
    cause = TwinCause("signal", "head", "CAM_FRONT", pixels, distance_m)
    return TwinPair(f"pair-{k}", family, town, (f"a{k}", f"b{k}"), cause, 6.0)


def straight(speed_mps: float):
    """Where one is that drives straight on at this speed."""
    return np.stack([speed_mps * SECONDS, np.zeros(6)], axis=1)


def futures(count: int = 1, *, a_mps: float = 4.0, b_mps: float = 0.0):
    """Side a drives on, side b stands: halfway between them is 2 m/s."""
    return {
        f"{side}{k}": straight(v)
        for k in range(count)
        for side, v in zip("ab", (a_mps, b_mps), strict=True)
    }


def right(a_mps: float | None, b_mps: float | None) -> list[bool]:
    plans = {
        token: None if speed is None else Plan(straight(speed))
        for token, speed in (("a0", a_mps), ("b0", b_mps))
    }
    return twin_scores([pair(0)], plans, futures()).right[0].tolist()


def test_a_plan_is_right_where_it_is_nearer_to_its_own_future():
    assert right(4.0, 0.0) == [True, True]
    assert right(2.1, 1.9) == [True, True]
    assert right(1.9, 0.0) == [False, True]
    assert right(0.0, 4.0) == [False, False]


def test_a_tie_and_a_failure_lose():
    assert right(2.0, 2.0) == [False, False]
    assert right(None, 0.0) == [False, True]
    assert right(None, None) == [False, False]


@pytest.mark.parametrize("speed_mps", [-3.0, 0.0, 1.0, 2.0, 3.0, 9.0])
def test_the_same_plan_on_both_sides_is_never_right_twice(speed_mps):
    assert sum(right(speed_mps, speed_mps)) <= 1


def test_the_mean_over_all_steps_decides_and_not_the_last_one():
    """Fast away and then back to the twin's end: five of six points are nearer to its own."""
    path = straight(4.0)
    path[-1] = straight(0.0)[-1]
    plans = {"a0": Plan(path), "b0": Plan(straight(0.0))}
    assert twin_scores([pair(0)], plans, futures()).right.tolist() == [[True, True]]


def test_a_finer_and_longer_plan_is_read_at_the_same_times():
    fine = Plan(np.stack([0.1 * 4.0 * np.arange(1, 51), np.zeros(50)], axis=1), dt_s=0.1)
    plans = {"a0": fine, "b0": Plan(straight(0.0))}
    assert twin_scores([pair(0)], plans, futures()).right.tolist() == [[True, True]]


def figures(sides, pairs=None, **options):
    """Of plans that are right on these sides, one (a, b) a pair."""
    pairs = pairs or [pair(k) for k in range(len(sides))]
    plans = {}
    for k, (a, b) in enumerate(sides):
        plans[f"a{k}"], plans[f"b{k}"] = (Plan(straight(4.0 if r else 0.0)) for r in (a, not b))
    scores = twin_scores(pairs, plans, futures(len(sides)))
    return twin_figures(scores, n_total=options.pop("n_total", len(sides)), **options)


def test_pair_and_single_accuracy_count_pairs_and_sides():
    told = figures([(True, True), (True, False), (False, True), (False, False)])
    assert (told["n"], told["pair"], told["single"]) == (4, 0.25, 0.5)
    assert told["ci95"] == {"pair": None, "single": None}
    assert any("no interval: 4 pairs" in note for note in told["notes"])


def test_groups_hold_their_pairs_in_order():
    pairs = [
        pair(0, family="signal", town="oak", distance_m=14.9, pixels=400),
        pair(1, family="jaywalker", town="oak", distance_m=15.0, pixels=6),
        pair(2, family="signal", town="elm", distance_m=90.0, pixels=99),
    ]
    told = figures([(True, True), (True, True), (False, True)], pairs)["by"]

    def shown(name):
        return {group: (found["n"], found["pair"]) for group, found in told[name].items()}

    assert shown("family") == {"jaywalker": (1, 1.0), "signal": (2, 0.5)}
    assert shown("town") == {"elm": (1, 0.0), "oak": (2, 1.0)}
    assert list(shown("distance").items()) == [
        ("0-15 m", (1, 1.0)),
        ("15-30 m", (1, 1.0)),
        ("45+ m", (1, 0.0)),
    ]
    assert list(shown("pixels")) == ["0-30 px", "30-100 px", "400+ px"]


def test_the_interval_resamples_pairs():
    """40 pairs, half right: a binomial of 40 has a standard deviation of 0.079."""
    told = figures([(k % 2 == 0, True) for k in range(40)])
    low, high = told["ci95"]["pair"]
    assert low < 0.5 - 0.14 < 0.5 + 0.14 < high
    assert 0.29 < low < high < 0.71
    assert told["pair"] == 0.5
    low, high = told["ci95"]["single"]  # a side right by itself halves the spread
    assert 0.75 - 0.11 < low < 0.75 - 0.06


def test_failures_and_what_cannot_be_judged_are_counted():
    pairs = [pair(k) for k in range(4)]
    plans = {
        f"{side}{k}": Plan(straight(v)) for k in range(3) for side, v in (("a", 4.0), ("b", 0.0))
    }
    plans["a1"] = None
    recorded = futures(4)
    recorded["b2"][-1] = np.nan
    scores = twin_scores(pairs, plans, recorded)
    told = twin_figures(scores, n_total=3)
    assert (told["n"], told["n_total"], told["failed"], told["pair"]) == (2, 3, 1, 0.5)


def test_no_pair_at_all_has_no_accuracy():
    told = twin_figures(twin_scores([pair(0)], {}, futures()), n_total=0)
    assert (told["n"], told["pair"], told["by"]["family"]) == (0, None, {})


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> NuScenesRecording:
    root = write_twins(tmp_path_factory.mktemp("twins"), pairs=3)
    return NuScenesRecording(
        NuScenesConfig(root=str(root), version=VERSION, cache=str(root / "cache"))
    )


def earned(recording, planner, folder, **options):
    """What a planner's run over the twins has in results.json."""
    with RunFolder(folder, {"format": 1, "identity": {"shard": "0/1"}}) as run:
        plan_run(recording, [planner], run, **options)
        scores = score_run(
            recording,
            run.records,
            scenes=recording.scenes(),
            planners=[planner.name],
            protocols=[PROTOCOLS["vad"]],
            fallback=lambda clip: stop(clip, 6, 0.5),
        )
    return scores.by_planner[planner.name]["twins"]


@pytest.mark.parametrize("name", ["constant_velocity", "ctrv", "ctra", "stop"])
def test_a_planner_without_eyes_gets_no_pair_right(recording, tmp_path, name):
    told = earned(recording, Baseline(name), tmp_path)
    assert (told["n"], told["pair"]) == (3, 0.0)
    assert told["single"] <= 0.5


def test_the_expert_gets_every_pair_right(recording, tmp_path):
    told = earned(recording, Expert(recording), tmp_path)
    assert (told["n"], told["n_total"], told["pair"], told["single"]) == (3, 3, 1.0, 1.0)
    assert {name: group["n"] for name, group in told["by"]["town"].items()} == {
        "ash": 1,
        "elm": 1,
        "oak": 1,
    }


def test_a_part_of_a_run_has_its_own_pairs(recording, tmp_path):
    told = earned(recording, Expert(recording), tmp_path, shard=Shard(0, 2))
    assert (told["n"], told["n_total"]) == (2, 2)


def test_data_that_are_no_twins_have_no_such_figure(tmp_path):
    assert earned(SmallRecording(), Baseline("stop"), tmp_path) is None


@pytest.mark.parametrize("point", ["rear_axle", "lidar"])
def test_a_plan_file_of_the_lidar_is_moved_to_the_rear_axle(recording, point):
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    mount = np.array([0.94, 0.0])
    paths, axles = {}, {}
    for token in tokens:
        xy_m, yaw_rad = recording.truth(token).future_path()
        ahead = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1) * mount[0]
        paths[token], axles[token] = xy_m + ahead - mount, xy_m
    told_m = axles if point == "rear_axle" else paths
    file = PlanFile(Axes.EGO, point, 0.5, told_m)
    filed = Filed.of(file, tokens)
    for token in tokens:
        plan = filed.axle_plan(token, recording.truth(token))
        assert plan is not None
        np.testing.assert_allclose(plan.xy_ego_m, axles[token], atol=0.02)
    told = twins(recording, filed.decisions, filed.axle_plan)
    assert told is not None
    assert told["pair"] == 1.0
