"""The planning protocols on clips of our own, against a slow implementation that shares nothing."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from metrics_cases import cells_of, first, judged, judged_path, on_grid, road, straight
from reference import slow_planning as slow
from reference.worlds import pose, quaternion, world

from drivevlm.metrics import uniad, vad
from drivevlm.metrics.footprints import heading_rad, recorded_path, swing_rad
from drivevlm.metrics.planning import STOP, PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.summary import Means
from drivevlm.metrics.vad import ASSUMED_CATEGORIES, DRAWN
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

UNIAD, VAD = PROTOCOLS["uniad"], PROTOCOLS["vad"]
STEPS = np.arange(1, 7)


def collisions(protocol: PlanningProtocol, truth: Truth, plan: Plan) -> list[bool]:
    score = judged(protocol, truth, plan)
    assert score is not None
    return score.collision.tolist()


def paths(seed: int) -> list[np.ndarray]:
    """Paths in the lidar's axes: anything near, and some that leave the grid."""
    rng = np.random.default_rng(seed)
    ends = rng.normal(0, [6, 14], (4, 2))
    ends[0] *= 6
    return [end * STEPS[:, None] / 6 + rng.normal(0, 0.3, (6, 2)) for end in ends]


@pytest.mark.parametrize("seed", range(6))
def test_uniad_equals_the_slow_implementation(seed: int):
    truth = world(seed, future=6 if seed % 3 else 4)
    cases = UNIAD.prepare([truth])
    grids = [slow.uniad_grid(truth, k) for k in STEPS if k in truth.steps]
    np.testing.assert_array_equal(cells_of(cases)[: len(grids)], grids)
    gt = [slow.recorded(truth, k + 1, -0.78) for k in range(len(grids))]
    for xy in paths(seed):
        score = judged_path(UNIAD, cases, xy)
        assert score is not None
        for k, grid in enumerate(grids):
            assert score.distance_m[k] == pytest.approx(np.hypot(*(xy[k] - gt[k])), abs=1e-4)
            assert score.hit[k] == slow.touches(grid, *xy[k], ahead_first=False)
            assert score.gt_hit[k] == slow.touches(grid, *gt[k], ahead_first=False)
        assert np.isnan(score.distance_m[len(grids) :]).all()


@pytest.mark.parametrize("seed", range(6))
def test_vad_equals_the_slow_implementation(seed: int):
    truth = world(seed)
    cases = VAD.prepare([truth])
    grids = slow.vad_grids(truth)
    np.testing.assert_array_equal(cells_of(cases), grids)
    gt = [slow.recorded(truth, k, 0.0) for k in STEPS]
    for xy in paths(seed):
        score = judged_path(VAD, cases, xy)
        assert score is not None
        for k, grid in enumerate(grids):
            assert score.distance_m[k] == pytest.approx(np.hypot(*(xy[k] - gt[k])), abs=1e-6)
            assert score.hit[k] == slow.touches(grid, *xy[k], ahead_first=True)
            assert score.gt_hit[k] == slow.touches(grid, *gt[k], ahead_first=True)


def test_our_worlds_contain_hits_of_every_kind():
    """Else the comparison above would compare nothing."""
    for protocol in (UNIAD, VAD):
        scores = [
            judged_path(protocol, protocol.prepare([world(seed)]), xy)
            for seed in range(6)
            for xy in paths(seed)
        ]
        for flags in ([s.collision for s in scores if s], [s.gt_hit for s in scores if s]):
            assert 0.03 < np.mean(flags) < 0.7


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("protocol", [UNIAD, VAD])
def test_the_recorded_plan_is_right_up_to_pitch_and_roll(protocol: PlanningProtocol, seed: int):
    truth = world(seed)
    plan = truth.future_plan()
    score = judged(protocol, truth, plan)
    assert score is not None
    assert score.distance_m.max() < 0.04


@pytest.mark.parametrize("protocol", [UNIAD, VAD])
def test_on_flat_ground_the_recorded_plan_is_exact(protocol: PlanningProtocol):
    truth = road()
    score = judged(protocol, truth, truth.future_plan())
    assert score is not None
    assert score.distance_m.max() < 1e-5


def test_uniad_takes_the_step_at_k_s_and_vad_the_mean_up_to_it():
    """The ego drives 4 m/s, the plan 5 m/s: it is ahead by half a metre more each step."""
    truth, plan = road(), straight(5.0)
    assert l2_m(UNIAD, truth, plan) == pytest.approx([1.0, 2.0, 3.0, 2.0], abs=1e-5)
    means = [0.75, 1.25, 1.75, 1.25]
    assert l2_m(VAD, truth, plan) == pytest.approx(means, abs=1e-5)
    assert l2_m(PROTOCOLS["uniad_stp3"], truth, plan) == pytest.approx(means, abs=1e-5)


def l2_m(protocol: PlanningProtocol, truth: Truth, plan: Plan) -> list[float | None]:
    scores = protocol.judge(protocol.prepare([truth]), [plan])
    return row(protocol.summarise(scores).strict, "l2_m")


def row(means: Means, figure: str) -> list[float | None]:
    return [value.mean for value in means.figures[figure].values()]


def test_uniad_counts_a_clip_whose_future_ends_and_its_missing_steps_are_zero():
    short, whole = road(future=3), road()
    # Where no clip at all was recorded that far, a zero would read like a measurement.
    alone = l2_m(UNIAD, short, straight(5.0))
    assert alone[0] == pytest.approx(1.0, abs=1e-5)
    assert alone[1:] == [None, None, None]
    cases = UNIAD.prepare([replace(short, token="short"), whole])
    score = UNIAD.summarise(UNIAD.judge(cases, [straight(5.0)] * 2))
    assert (score.strict.n, score.n_total) == (2, 2)
    assert score.strict.figures["l2_m"]["3s"].mean == pytest.approx(1.5, abs=1e-5)
    assert "1 of 2 counted clips lack some of the 3 s: those steps are 0" in score.notes


def test_vad_does_not_judge_a_clip_whose_future_ends():
    cases = VAD.prepare([road(future=5)])
    assert cases.left_out == {"clip": "the recorded future ends before 3 s"}
    score = VAD.summarise(VAD.judge(cases, []), n_total=1)
    assert (score.strict.n, score.n_total) == (0, 1)
    assert row(score.strict, "l2_m") == [None] * 4
    assert row(score.strict, "collision") == [None] * 4


@pytest.mark.parametrize("protocol", [UNIAD, VAD])
def test_without_a_lidar_nothing_is_judged(protocol: PlanningProtocol):
    cases = protocol.prepare([road(lidar=False)])
    assert not len(cases)
    assert "lidar" in cases.left_out["clip"]


def test_a_collision_is_where_the_boxes_touch():
    """The ego's block ends 2.5 m ahead of its lidar, 3.44 m ahead of its axle; the box begins at
    x = 9."""
    truth, plan = road(("vehicle.car", 10.0, 0.0), speed_mps=0.0), straight(2.0)
    assert collisions(UNIAD, truth, plan) == [False] * 4 + [False, True]
    assert collisions(VAD, truth, plan) == [False] * 4 + [False, True]
    assert collisions(UNIAD, truth, STOP) == [False] * 6


@pytest.mark.parametrize("protocol", [UNIAD, VAD])
def test_where_the_recorded_ego_touches_something_no_collision_is_counted(
    protocol: PlanningProtocol,
):
    truth = road(("vehicle.car", 10.0, 0.0), speed_mps=4.0)
    score = judged(protocol, truth, straight(4.0))
    assert score is not None
    assert score.hit.any()
    assert not score.collision.any()
    scores = protocol.judge(protocol.prepare([truth]), [straight(4.0)])
    notes = protocol.summarise(scores).notes
    assert any(note.startswith("no collision is counted at a step") for note in notes)


@pytest.mark.parametrize(
    ("category", "in_uniad", "in_vad"),
    [
        ("vehicle.car", True, True),
        ("vehicle.bicycle", True, True),
        ("human.pedestrian.adult", False, True),
        ("vehicle.emergency.police", False, False),
        ("human.pedestrian.stroller", False, False),
        ("movable_object.barrier", False, False),
        ("animal", False, False),
    ],
)
def test_each_protocol_draws_its_own_classes(category: str, in_uniad: bool, in_vad: bool):
    truth = road((category, 12.0, 0.0), speed_mps=0.0)
    assert any(collisions(UNIAD, truth, straight(4.0))) is in_uniad
    assert any(collisions(VAD, truth, straight(4.0))) is in_vad


def test_vad_draws_the_rows_it_assumed_by_name():
    assert len(ASSUMED_CATEGORIES) == 32
    assert ASSUMED_CATEGORIES[17] == "vehicle.car"
    vehicles = {"car", "truck", "bus", "trailer", "construction_vehicle", "motorcycle", "bicycle"}
    assert vehicles | {"pedestrian"} == DRAWN


def test_vad_needs_a_lidar_point_at_decision_time_and_uniad_does_not():
    truth = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0, points=0)
    assert any(collisions(UNIAD, truth, straight(4.0)))
    assert not any(collisions(VAD, truth, straight(4.0)))
    one = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0, points=1)
    assert any(collisions(VAD, one, straight(4.0)))


def test_vad_sees_30_m_ahead_and_15_m_aside():
    ahead = road(("vehicle.car", 30.8, 0.0), ("vehicle.car", 32.0, 0.0), speed_mps=0.0)
    assert agents_of(vad, ahead) == 6
    aside = road(("vehicle.car", 0.0, 14.9), ("vehicle.car", 0.0, 15.1), speed_mps=0.0)
    assert agents_of(vad, aside) == 6
    assert agents_of(uniad, aside) == 12


def agents_of(protocol: ModuleType, truth: Truth) -> int:
    """Footprints of all steps together."""
    return len(protocol._agents(truth).step)


def test_an_agent_that_appears_later_can_be_hit_under_uniad_only():
    truth = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0)
    empty = road(speed_mps=0.0)
    later = replace(truth, steps={**truth.steps, 0: empty.steps[0]})
    assert any(collisions(UNIAD, later, straight(4.0)))
    assert not any(collisions(VAD, later, straight(4.0)))


def test_at_a_stop_vads_box_sits_one_cell_further_back():
    """Something touching 1.75 m behind the lidar, and something 2.25 m behind it."""
    grid = np.zeros((6, 200, 200), dtype=bool)
    just_behind, further_behind = 96, 95  # cells whose centres lie 1.75 m and 2.25 m behind
    for ahead, hit_uniad, hit_vad in ((just_behind, False, True), (further_behind, False, False)):
        for protocol, row, expected in ((UNIAD, ahead, hit_uniad), (VAD, 199 - ahead, hit_vad)):
            grid[:] = False
            grid[:, row, 99] = True
            assert hits(protocol, grid, np.zeros((6, 2))).all() == expected


def hits(protocol: PlanningProtocol, grid: np.ndarray, xy_m: np.ndarray) -> np.ndarray:
    """(6,) of a path over cells that are given."""
    score = judged_path(protocol, on_grid(protocol, grid, np.zeros((6, 2))), xy_m)
    assert score is not None
    return score.hit


def test_a_stop_is_exactly_zero_in_the_lidars_axes_however_it_is_mounted():
    """The cells are those that VAD's box covers at exactly 0 and not a hair ahead of it."""
    grid = np.zeros((6, 200, 200), dtype=bool)
    grid[:, 103, 98:102] = True
    assert hits(VAD, grid, np.zeros((6, 2))).all()
    assert not hits(VAD, grid, np.full((6, 2), [0.0, 1e-12])).any()
    rng = np.random.default_rng(0)
    for _ in range(20):
        mount = pose(quaternion(*rng.normal(0, [1.5, 0.02, 0.02])), [0.94, 0.02, 1.84])
        score = first(VAD.judge(on_grid(VAD, grid, np.zeros((6, 2)), mount=mount), [STOP]))
        assert score is not None
        assert score.hit.all()
        assert (score.distance_m == 0).all()


def test_a_recorded_stop_is_exactly_zero_wherever_on_the_map():
    there = pose(quaternion(0.7, 0.01, 0.02), [1234.5, 987.6, 0.3])
    truth = road(speed_mps=0.0)
    steps = {k: replace(step, global_from_ego=there) for k, step in truth.steps.items()}
    mount = pose(quaternion(-1.56, 0.01, 0.01), [0.94, 0.02, 1.84])
    steps = {k: replace(step, ego_from_lidar=mount) for k, step in steps.items()}
    cases = VAD.prepare([replace(truth, steps=steps)])
    assert (cases.recorded.xy_m == 0).all()


def test_yaws_are_read_off_tilted_rotations_as_pyquaternion_does():
    rng = np.random.default_rng(0)
    turns = [quaternion(*rng.normal(0, [2.0, 0.1, 0.1])) for _ in range(50)]
    rotations = np.stack([turn.rotation_matrix for turn in turns])
    wanted = [turn.yaw_pitch_roll[0] for turn in turns]
    np.testing.assert_allclose(swing_rad(rotations), wanted, atol=1e-12)
    assert np.abs(heading_rad(rotations) - wanted).max() > 1e-3


def test_uniads_recorded_path_has_the_noise_of_single_precision():
    """At 1.6 km from the map's origin: some 10 micrometres, more than rounding in double."""
    truth = world(0)
    double, _ = recorded_path(truth, point_lidar_m=(0.0, 0.0, -0.78), precision=np.float64)
    single = UNIAD.prepare([truth]).recorded.xy_m[0]
    assert 2e-6 < np.abs(single - double).max() < 1e-3


def test_a_path_that_leaves_the_grid_is_glued_to_its_border():
    grid = np.zeros((6, 200, 200), dtype=bool)
    grid[:, 199, 98] = True
    far = np.tile([0.0, 500.0], (6, 1))
    assert hits(UNIAD, grid, far).all()
    assert not hits(UNIAD, grid, far + np.array([5.0, 0.0])).any()


def test_moving_the_point_is_not_changing_the_axes():
    """Turning on the spot moves the lidar, which sits 0.94 m ahead of the axle."""
    turn = Plan(np.zeros((6, 2)), yaw_ego_rad=np.full(6, np.pi / 2))
    score = judged(VAD, road(speed_mps=0.0), turn)
    assert score is not None
    assert score.distance_m == pytest.approx(np.full(6, 0.94 * np.sqrt(2)), abs=1e-5)
