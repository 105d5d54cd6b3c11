"""SparseDrive's protocol, against what its own code computed, and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from metrics_cases import judged, road, straight
from reference.public import expected, public_cases, public_scores, split

from drivevlm.metrics.cases import Part, joined
from drivevlm.metrics.footprints import Footprints
from drivevlm.metrics.planning import STOP, PlanningProtocol
from drivevlm.metrics.sparsedrive import SPARSEDRIVE, central_headings_rad
from drivevlm.metrics.surface import Paths
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import Truth

PROTOCOL = PlanningProtocol(SPARSEDRIVE)
AHEAD = np.pi / 2
TURN_RAD = np.full(6, np.pi / 2)


def test_from_tables_to_flags_and_distances_everything_equals_the_peers():
    scores = public_scores(PROTOCOL)
    agents = scores.touched["agents"]
    flags = expected(scores.tokens, "sparsedrive", "step_obj_box_col")
    gt_flags = expected(scores.tokens, "sparsedrive", "gt_box_col")
    assert agents.hit.size == 192 * 6
    np.testing.assert_array_equal(agents.hit & ~agents.excused, flags.astype(bool))
    np.testing.assert_array_equal(agents.recorded, gt_flags.astype(bool))
    l2 = expected(scores.tokens, "sparsedrive", "step_L2")
    np.testing.assert_allclose(scores.distance_m, l2, atol=1e-4)


def test_the_split_sums_up_to_the_peers_figures():
    wanted = split().aggregate("sparsedrive")
    means = PROTOCOL.summarise(public_scores(PROTOCOL)).strict
    assert means.n == wanted["n_samples"]
    for horizon in ("1s", "2s", "3s", "avg"):
        l2, collision = (means.figures[name][horizon].mean for name in ("l2_m", "collision"))
        assert l2 == pytest.approx(wanted[f"L2_{horizon}"], abs=1e-4)
        assert collision == pytest.approx(wanted[f"obj_box_col_{horizon}"], abs=1e-6)


def test_the_clips_with_a_whole_future_are_counted():
    tokens = set(public_cases(PROTOCOL).tokens)
    wanted = {t for t in split().tokens if split().expected(t, "sparsedrive")["valid"]}
    assert tokens == wanted


def test_cases_without_a_dataset_are_exact():
    cases = split().metric_level_polygon()
    assert len(cases) == 96
    parts = {}
    for i, case in enumerate(cases):
        boxes = np.concatenate(case["boxes"]).astype(np.float64)
        step = np.repeat(np.arange(6), [len(of_step) for of_step in case["boxes"]])
        drawn = {"agents": Footprints(step, boxes[:, :2], boxes[:, 6], boxes[:, 3:5])}
        gt = case["gt"].astype(np.float64)
        parts[str(i)] = Part(str(i), "", gt, np.zeros(6), Pose3.identity(), drawn)
    together = joined(SPARSEDRIVE, parts)
    xy_m = np.array([case["pred"] for case in cases], dtype=np.float64)
    scores = PROTOCOL.judge_paths(together, Paths(xy_m, np.zeros((96, 6))))
    agents = scores.touched["agents"]
    wanted = {name: np.array([c["expected"][name] for c in cases]) for name in cases[0]["expected"]}
    np.testing.assert_array_equal(agents.hit & ~agents.excused, wanted["obj_box_col"] == 1)
    np.testing.assert_array_equal(agents.recorded, wanted["gt_box_col"] == 1)
    # Some of these paths end 270 m away: single precision leaves a few micrometres.
    np.testing.assert_allclose(scores.distance_m, wanted["L2"], atol=1e-4)


def headings(*xy_m: tuple[float, float]) -> list[float]:
    return central_headings_rad(np.array([xy_m], dtype=np.float64))[0].tolist()


def test_a_heading_is_that_of_the_neighbours_and_the_last_one_that_of_the_last_step():
    """Two steps ahead, then one to the right: at the corner the ego points half way between."""
    assert headings((0, 1), (0, 2), (1, 2)) == pytest.approx([AHEAD, np.pi / 4, 0.0])


def test_a_reversing_ego_is_turned_round():
    assert headings((0, -1), (0, -2), (0, -3)) == pytest.approx([-AHEAD] * 3)


def test_a_path_that_ends_within_half_a_metre_of_its_first_waypoint_points_ahead():
    sideways = [(5.0, 0.0), (5.2, 0.0)]
    assert headings(*sideways, (5.4999, 0.0)) == [AHEAD] * 3
    assert headings(*sideways, (5.5, 0.0)) == pytest.approx([0.0] * 3)


def collisions(truth: Truth, plan: Plan) -> list[bool]:
    score = judged(PROTOCOL, truth, plan)
    assert score is not None
    return score.collision.tolist()


def test_the_ego_reaches_2_542_m_ahead_of_its_lidar():
    """The lidar is 0.94 m ahead of the axle; a 2 m box begins 1 m before its centre."""
    nose_m = 0.94 + 0.5 + 4.084 / 2
    for gap_m, hit in ((0.001, False), (-0.001, True)):
        truth = road(("vehicle.car", nose_m + gap_m + 1.0, 0.0), speed_mps=0.0)
        score = judged(PROTOCOL, truth, STOP)
        assert score is not None
        assert score.hit.tolist() == [hit] * 6


def test_the_ego_reaches_0_925_m_aside():
    for gap_m, hit in ((0.001, False), (-0.001, True)):
        truth = road(("vehicle.car", 2.0, 0.925 + gap_m + 1.0), speed_mps=0.0)
        score = judged(PROTOCOL, truth, STOP)
        assert score is not None
        assert score.hit.all() == hit


def test_the_ego_turns_with_its_path_and_its_centre_with_it():
    """Going left at 4 m/s, the ego's nose is 2.542 m left of its lidar, its tail 1.542 m right."""
    left = Plan(np.stack([np.zeros(6), 2.0 * np.arange(1, 7)], axis=1), yaw_ego_rad=np.zeros(6))
    nose_m = 12.0 + 2.542
    for beyond_m, hit in ((-0.001, True), (0.001, False)):
        truth = road(("vehicle.car", 0.94, nose_m + beyond_m + 1.0), speed_mps=0.0)
        assert collisions(truth, left)[5] == hit


@pytest.mark.parametrize(
    "category",
    [
        "vehicle.car",
        "vehicle.emergency.police",
        "human.pedestrian.stroller",
        "movable_object.barrier",
        "movable_object.trafficcone",
        "movable_object.debris",
        "static_object.bicycle_rack",
        "animal",
    ],
)
def test_everything_annotated_can_be_hit(category: str):
    assert any(collisions(road((category, 12.0, 0.0), speed_mps=0.0), straight(4.0)))


@pytest.mark.parametrize(("points", "hit"), [(0, False), (1, True)])
def test_one_lidar_point_makes_it_hittable(points: int, hit: bool):
    truth = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0, points=points)
    assert any(collisions(truth, straight(4.0))) is hit


def test_points_of_the_radar_do_not_count():
    truth = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0, points=0)
    radar = {
        k: replace(step, boxes=replace(step.boxes, radar_points=np.array([9])))
        for k, step in truth.steps.items()
    }
    assert not any(collisions(replace(truth, steps=radar), straight(4.0)))


def test_points_count_at_the_future_keyframe_itself():
    seen, unseen = (
        road(("vehicle.car", 12.0, 0.0), speed_mps=0.0, points=points) for points in (9, 0)
    )
    later = replace(unseen, steps={**unseen.steps, 6: seen.steps[6]})
    assert collisions(later, straight(4.0)) == [False] * 5 + [True]


def test_where_the_recorded_ego_touches_something_no_collision_is_counted():
    score = judged(PROTOCOL, road(("vehicle.car", 10.0, 0.0), speed_mps=4.0), straight(4.0))
    assert score is not None
    assert score.hit.any()
    assert not score.collision.any()


def test_a_figure_at_k_s_is_the_mean_of_the_steps_up_to_it():
    """The ego drives 4 m/s, the plan 5 m/s: it is ahead by half a metre more each step."""
    cases = PROTOCOL.prepare([road()])
    means = PROTOCOL.summarise(PROTOCOL.judge(cases, [straight(5.0)])).strict
    l2_m = [value.mean for value in means.figures["l2_m"].values()]
    assert l2_m == pytest.approx([0.75, 1.25, 1.75, 1.25], abs=1e-5)


def test_the_lidar_is_scored():
    """The recorded plan is right; turning on the spot moves a lidar 0.94 m ahead of the axle."""
    truth = road()
    recorded = judged(PROTOCOL, truth, truth.future_plan())
    turned = judged(PROTOCOL, road(speed_mps=0.0), Plan(np.zeros((6, 2)), yaw_ego_rad=TURN_RAD))
    assert recorded is not None
    assert turned is not None
    assert recorded.distance_m == pytest.approx(np.zeros(6), abs=1e-5)
    assert turned.distance_m == pytest.approx(np.full(6, 0.94 * np.sqrt(2)), abs=1e-5)


def test_a_clip_whose_future_ends_is_not_judged():
    assert len(PROTOCOL.prepare([road(future=5)])) == 0
