"""Our own protocol, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from metrics_cases import judged, road, straight
from reference.worlds import pose, quaternion, world

from drivevlm.metrics.body_point import as_scored
from drivevlm.metrics.exact import EXACT, drivable_area
from drivevlm.metrics.planning import STOP, PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.rule import Axes
from drivevlm.metrics.summary import Value
from drivevlm.metrics.surface import CannotJudgeError
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

PROTOCOL = PlanningProtocol(EXACT)
NOSE_M = 1.486 + 4.084 / 2
"""From the rear axle to the ego's front."""

# ``road``: a straight drive along x past standing 2 x 2 m boxes; the ego's axle is at 0.


def hits(truth: Truth, plan: Plan) -> list[bool]:
    score = judged(PROTOCOL, truth, plan)
    assert score is not None
    return score.hit.tolist()


@pytest.mark.parametrize(("gap_m", "hit"), [(0.001, False), (-0.001, True)])
def test_the_ego_reaches_3_528_m_ahead_of_its_axle_0_556_behind_and_0_925_aside(
    gap_m: float, hit: bool
):
    for x_m, y_m in (
        (3.528 + 1.0 + gap_m, 0.0),
        (-0.556 - 1.0 - gap_m, 0.0),
        (1.5, 0.925 + 1.0 + gap_m),
        (1.5, -0.925 - 1.0 - gap_m),
    ):
        assert hits(road(("vehicle.car", x_m, y_m), speed_mps=0.0), STOP) == [hit] * 6


def test_a_bare_path_points_along_its_tangent_and_a_plan_with_headings_along_those():
    """Sideways at 4 m/s to y = 12: nose first, or gliding, as a plan can say it does."""
    sideways_m = np.stack([np.zeros(6), 2.0 * np.arange(1, 7)], axis=1)
    beyond = road(("vehicle.car", 0.0, 12.0 + NOSE_M + 0.9), speed_mps=0.0)
    assert hits(beyond, Plan(sideways_m)) == [False] * 5 + [True]
    assert hits(beyond, Plan(sideways_m, yaw_ego_rad=np.zeros(6))) == [False] * 6


def test_a_standing_path_keeps_its_heading():
    """After a step to the left it moves right by 4 cm a step: too slow to say where it points."""
    xy_m = np.array([[0.0, 3.0], *([0.04 * k, 3.0] for k in range(1, 6))])
    ahead = road(("vehicle.car", 3.2, 3.0), speed_mps=0.0)
    beside = road(("vehicle.car", 0.0, 3.0 + NOSE_M + 0.9), speed_mps=0.0)
    assert hits(ahead, Plan(xy_m)) == [False] * 6
    assert hits(beside, Plan(xy_m)) == [True] * 6


def test_the_recorded_ego_is_laid_along_its_recorded_headings():
    """It stands across the road, which its path does not say: it hits what is beside it."""
    truth = road(("vehicle.car", 0.0, NOSE_M + 0.9), speed_mps=0.0)
    across = pose(quaternion(np.pi / 2), [0.0, 0.0, 0.0])
    steps = {k: replace(s, global_from_ego=across) if k else s for k, s in truth.steps.items()}
    score = judged(PROTOCOL, replace(truth, steps=steps), STOP)
    assert score is not None
    assert score.gt_hit.all()
    assert not score.hit.any()


@pytest.mark.parametrize(
    ("category", "counts"),
    [
        ("vehicle.car", True),
        ("vehicle.bicycle", True),
        ("vehicle.motorcycle", True),
        ("vehicle.emergency.police", True),
        ("vehicle.construction", True),
        ("human.pedestrian.adult", True),
        ("human.pedestrian.stroller", True),
        ("human.pedestrian.wheelchair", True),
        ("human.pedestrian.personal_mobility", True),
        ("animal", False),
        ("movable_object.barrier", False),
        ("movable_object.trafficcone", False),
        ("movable_object.debris", False),
        ("static_object.bicycle_rack", False),
    ],
)
@pytest.mark.parametrize("points", [0, 9])
def test_vehicles_and_humans_count_with_or_without_points(category: str, counts: bool, points: int):
    truth = road((category, 8.0, 0.0), speed_mps=0.0, points=points)
    assert any(hits(truth, straight(2.0))) is counts


def test_who_appears_later_counts_from_then_on_and_who_leaves_no_longer():
    there, empty = road(("vehicle.car", 4.0, 0.0), speed_mps=0.0), road(speed_mps=0.0)
    some = {k: (there if k in (3, 4) else empty).steps[k] for k in range(7)}
    assert hits(replace(there, steps=some), STOP) == [False, False, True, True, False, False]


def figures(truth: Truth, plan: Plan) -> dict[str, list[float | None]]:
    scores = PROTOCOL.judge(PROTOCOL.prepare([truth]), [plan])
    rows = PROTOCOL.summarise(scores).strict.figures
    return {name: [value.mean for value in row.values()] for name, row in rows.items()}


def test_any_stays_and_at_passes():
    """At 8 m/s the ego runs over a box from 8.5 to 10.5 m: at 0.5 s it reaches from 3.4 to 7.5 m,
    at 1 s from 7.4 to 11.5 m, at 1.5 s from 11.4 m on."""
    got = figures(road(("human.pedestrian.adult", 9.5, 0.0), speed_mps=0.0), straight(8.0))
    assert got["collision"] == [1.0, 1.0, 1.0, 1.0]
    assert got["collision_at"] == pytest.approx([1.0, 0.0, 0.0, 1 / 3])


def test_l2_is_given_as_a_mean_up_to_k_s_and_at_k_s():
    """The ego drives 4 m/s, the plan 5 m/s: it is ahead by half a metre more each step."""
    got = figures(road(), straight(5.0))
    assert got["l2_m"] == pytest.approx([0.75, 1.25, 1.75, 1.25])
    assert got["l2_at_m"] == pytest.approx([1.0, 2.0, 3.0, 2.0])


def test_where_the_recorded_ego_collides_too_only_the_unexcused_figures_count_it():
    """They drive through a box from 9 to 11 m: its front is there from 5.5 m on, its rear at 11.6
    m, so between 1.5 and 2.5 s."""
    got = figures(road(("vehicle.car", 10.0, 0.0), speed_mps=4.0), straight(4.0))
    assert got["collision"] == [0.0] * 4
    assert got["collision_at"] == [0.0] * 4
    assert got["collision_all"] == pytest.approx([0.0, 1.0, 1.0, 2 / 3])
    assert got["collision_at_all"] == pytest.approx([0.0, 1.0, 0.0, 1 / 3])


def on_area(*polygons: shapely.Polygon, speed_mps: float = 0.0) -> Truth:
    drivable = {"drivable_area": polygons, "road_segment": (), "lane": ()}
    return replace(road(speed_mps=speed_mps), map_polygons=drivable)


def off(truth: Truth, plan: Plan) -> list[bool]:
    scores = PROTOCOL.judge(PROTOCOL.prepare([truth]), [plan])
    assert scores.touched["drivable_area"].judged.all()
    return scores.touched["drivable_area"].hit[0].tolist()


def shifted(y_m: float) -> Plan:
    return Plan(np.tile([0.0, y_m], (6, 1)), yaw_ego_rad=np.zeros(6))


def test_the_ego_is_off_as_soon_as_a_corner_is():
    lane = on_area(shapely.box(-5, -1, 50, 1))
    assert off(lane, shifted(0.0)) == [False] * 6
    assert off(lane, shifted(0.074)) == [False] * 6
    assert off(lane, shifted(0.076)) == [True] * 6


def test_the_road_may_end():
    """At 3 s the axle is at 6 m and the nose at 9.528 m."""
    assert off(on_area(shapely.box(-5, -3, 9.53, 3)), straight(2.0)) == [False] * 6
    assert off(on_area(shapely.box(-5, -3, 9.52, 3)), straight(2.0)) == [False] * 5 + [True]


@pytest.mark.parametrize(("gap_m", "left"), [(0.0, False), (0.009, False), (0.011, True)])
def test_a_seam_between_polygons_is_no_edge_and_a_gap_is(gap_m: float, left: bool):
    seamed = on_area(shapely.box(-5, -3, 2, 3), shapely.box(2 + gap_m, -3, 50, 3))
    assert off(seamed, STOP) == [left] * 6


def test_overlapping_polygons_are_one_area():
    assert off(on_area(shapely.box(-5, -3, 2.5, 3), shapely.box(1, -3, 50, 3)), STOP) == [False] * 6


def test_lanes_and_road_segments_do_not_make_an_area():
    whole = (shapely.box(-50, -50, 50, 50),)
    truth = on_area()
    truth = replace(truth, map_polygons={"drivable_area": (), "lane": whole, "road_segment": whole})
    assert off(truth, STOP) == [True] * 6


def test_where_the_recorded_ego_is_off_too_only_the_unexcused_figures_count_it():
    got = figures(on_area(shapely.box(-5, -3, 10, 3), speed_mps=4.0), straight(4.0))
    assert got["off_drivable"] == [0.0] * 4
    assert got["off_drivable_at"] == [0.0] * 4
    assert got["off_drivable_all"] == pytest.approx([0.0, 1.0, 1.0, 2 / 3])
    assert got["off_drivable_at_all"] == pytest.approx([0.0, 1.0, 1.0, 2 / 3])


def test_off_at_one_step_stays_off_for_any_and_not_for_at():
    xy_m = np.array([[0.0, 0.0], [0.0, 3.0], *([0.0, 0.0],) * 4])
    swerve = Plan(xy_m, yaw_ego_rad=np.zeros(6))
    got = figures(on_area(shapely.box(-5, -3, 50, 3)), swerve)
    for name in ("off_drivable", "off_drivable_all"):
        assert got[name] == [1.0, 1.0, 1.0, 1.0]
    for name in ("off_drivable_at", "off_drivable_at_all"):
        assert got[name] == pytest.approx([1.0, 0.0, 0.0, 1 / 3])


def test_without_a_map_collisions_are_judged_and_the_area_is_not():
    truth = road(("vehicle.car", 10.0, 0.0), speed_mps=0.0)
    with pytest.raises(CannotJudgeError, match="no map"):
        drivable_area(truth)
    scores = PROTOCOL.judge(PROTOCOL.prepare([truth]), [straight(4.0)])
    assert not scores.touched["drivable_area"].judged.any()
    rows = PROTOCOL.summarise(scores).strict.figures
    assert set(rows["off_drivable"].values()) == {Value(None, None)}
    assert rows["collision"]["3s"].mean == 1.0


def test_what_cannot_be_drawn_without_a_map_says_that_it_needs_one():
    """Under every protocol; else nobody would read the map for it."""
    needing, truth = set(), road()
    truth = replace(truth, steps={-2: truth.now, -1: truth.now, **truth.steps})
    for name, protocol in PROTOCOLS.items():
        for touch in protocol.rule.touches:
            try:
                touch.surface.prepare(truth)
            except CannotJudgeError:
                needing.add((name, touch.name))
    flagged = {(n, t.name) for n, p in PROTOCOLS.items() for t in p.rule.touches if t.map}
    assert ("exact", "drivable_area") in needing
    assert needing == flagged


def test_under_a_tilted_ego_the_flat_map_and_the_recorded_path_agree():
    """Corners of the area are where the rear axle was recorded, on flat ground."""
    now = pose(quaternion(0.7, 0.05, -0.03), [1234.5, 987.6, 0.3])
    corners_m = [(0, 0), (20, 0), (20, 15), (0, 15), (-5, 5), (-9, 1)]
    there = [pose(quaternion(0.0), [1234.5 + x, 987.6 + y, 0.3]) for x, y in corners_m]
    truth = road()
    poses = dict(enumerate([now, *there]))
    truth = replace(
        truth, steps={k: replace(s, global_from_ego=poses[k]) for k, s in truth.steps.items()}
    )
    area = shapely.Polygon([(1234.5 + x, 987.6 + y) for x, y in corners_m])
    seen = drivable_area(replace(truth, map_polygons={"drivable_area": (area,)}))
    path_m = truth.future_path()[0]
    for point_m in path_m:
        distance_m = min(np.hypot(*(point_m - corner)) for corner in seen.exterior.coords)
        assert distance_m < 1e-4


def test_the_area_is_kept_100_m_around():
    seen = drivable_area(on_area(shapely.box(-1000, -1000, 1000, 1000)))
    assert seen.bounds == pytest.approx((-100.0, -100.0, 100.0, 100.0))


def test_a_recorded_plan_is_without_error():
    for seed in range(20):
        truth = world(seed)
        cases = PROTOCOL.prepare([truth])
        assert PROTOCOL.judge(cases, [truth.future_plan()]).distance_m.max() <= 1e-6


def test_a_path_in_the_lidars_axes_is_turned_into_the_egos():
    """12 m ahead and 3 m to the left."""
    given = np.array([[[-3.0, 12.0]] * 6])
    paths = as_scored(
        given,
        axes=Axes.LIDAR,
        point=None,
        wanted_axes=PROTOCOL.rule.axes,
        wanted_point=PROTOCOL.rule.point,
        mounts=None,
    )
    truth = road(speed_mps=0.0)
    scores = PROTOCOL.judge_paths(PROTOCOL.prepare([truth]), paths)
    assert scores.distance_m[0] == pytest.approx(np.full(6, np.hypot(12.0, 3.0)))
    assert paths.xy_m[0].tolist() == [[12.0, 3.0]] * 6


def test_without_a_lidar_it_scores_all_the_same():
    assert any(hits(road(("vehicle.car", 10.0, 0.0), lidar=False), straight(4.0)))


def test_a_clip_whose_future_ends_is_not_judged():
    assert len(PROTOCOL.prepare([road(future=5)])) == 0
