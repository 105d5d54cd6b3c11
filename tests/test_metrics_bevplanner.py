"""BEV-Planner's protocol: roads checked by hand, and values of the peer's own code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from metrics_cases import cells_of, first, on_grid, road, straight, summed
from reference import mapped
from reference.public import expected, predictions, split
from reference.worlds import pose, quaternion

from drivevlm.metrics.bevplanner import BEVPLANNER, BLOCK, agents_grid, headings_rad, recorded
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.road import boundary_grid, boundary_polylines_m, polylines_grid
from drivevlm.metrics.surface import Paths
from drivevlm.world.truth import Truth

PROTOCOL = PlanningProtocol(BEVPLANNER)


def cells(x_m: float, y_m: float, yaw_rad: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    row, column = BLOCK.cells(Paths(np.array([[[x_m, y_m]]]), np.array([[yaw_rad]])))
    return row[0, 0], column[0, 0]


def block(rows: range, columns: range) -> set[tuple[int, int]]:
    return {(row, column) for row in rows for column in columns}


def test_a_standing_ego_covers_41_by_18_cells():
    """4.084 x 1.85 m, its centre 1.486 m ahead: -0.556 to 3.528 m, and 0.925 m to each side."""
    row, column = cells(0.0, 0.0)
    assert len(row) == 41 * 18
    assert set(zip(row, column, strict=True)) == block(range(491, 509), range(494, 535))


def test_an_ego_turned_left_reaches_to_the_left():
    row, column = cells(0.0, 0.0, np.pi / 2)
    assert set(zip(row, column, strict=True)) == block(range(494, 535), range(491, 509))


def test_a_turned_ego_is_rounded_cell_by_cell_and_has_gaps():
    """The front left cell is 34.5 cells ahead and 8.5 to the left of the origin, at 499.5; turned,
    18.38 ahead and 30.41 to the left: 517.88 and 529.91."""
    row, column = cells(0.0, 0.0, np.pi / 4)
    assert (row[-1], column[-1]) == (530, 518)
    assert len(set(zip(row, column, strict=True))) < 41 * 18
    assert (row.max() - 499.5) * 0.1 == pytest.approx((3.5 + 0.85) * np.sqrt(0.5), abs=0.06)


def test_a_path_is_cut_to_whole_cells_and_glued_to_the_border():
    assert cells(0.19, 0.0)[1].min() == 495
    assert cells(-0.01, 0.0)[1].min() == 493
    assert set(cells(60.0, 0.0)[1]) == {999}
    assert set(cells(0.0, -60.0)[0]) == {0}


def test_the_ego_turns_with_steps_of_a_metre_and_not_with_shorter_ones():
    xy_m = np.array([[[0.0, 1.0], [0.0, 1.99], [-1.0, 1.99], [-1.0, 1.99], [0, 2.99], [0, 0]]])
    assert headings_rad(xy_m)[0].tolist() == pytest.approx(
        [np.pi / 2, 0.0, np.pi, 0.0, np.pi / 4, -np.pi / 2]
    )


def test_the_recorded_path_is_the_lidars_displacement_along_the_egos_axes():
    """The ego turns left on a quarter circle of 3 m; its lidar is 0.94 m ahead."""
    truth = road()
    turned = pose(quaternion(np.pi / 2), [3.0, 3.0, 0.0])
    steps = {k: replace(step, global_from_ego=turned) for k, step in truth.steps.items() if k}
    xy_m, yaw_rad = recorded(replace(truth, steps={0: truth.now, **steps}))
    np.testing.assert_allclose(xy_m, np.tile([3.0 - 0.94, 3.94], (6, 1)), atol=1e-6)
    np.testing.assert_allclose(yaw_rad, np.pi / 2)


def test_a_future_that_was_not_recorded_has_no_path():
    xy_m, yaw_rad = recorded(road(future=2))
    assert np.isfinite(xy_m).all(axis=1).tolist() == [True, True, False, False, False, False]
    assert np.isnan(yaw_rad[2:]).all()


def test_the_corners_of_road_users_are_cut_towards_zero():
    """A box of 2 x 2 m: its rear at 9.06 m is (9.06 + 49.95) / 0.1 = 590.1, its front 610.1."""
    drawn = agents_grid(road(("vehicle.car", 10.06, 0.0), speed_mps=0.0))
    row, column = np.nonzero(drawn[0])
    assert (row.min(), row.max()) == (489, 509)
    assert (column.min(), column.max()) == (590, 610)


def test_a_corner_just_off_the_grid_is_cut_onto_it():
    """A front at -50.0 m is (-50 + 49.95) / 0.1 = -0.5, cut to 0."""
    for x_m, drawn in ((-51.0, True), (-51.2, False)):
        truth = road(("vehicle.car", x_m, 0.0), speed_mps=0.0)
        assert agents_grid(truth)[0, :, 0].any() == drawn


@pytest.mark.parametrize(
    ("category", "drawn"),
    [
        ("vehicle.car", True),
        ("vehicle.truck", True),
        ("vehicle.construction", True),
        ("vehicle.bus.rigid", True),
        ("vehicle.trailer", True),
        ("vehicle.motorcycle", True),
        ("vehicle.bicycle", True),
        ("vehicle.emergency.police", False),
        ("human.pedestrian.adult", False),
        ("movable_object.barrier", False),
        ("movable_object.trafficcone", False),
    ],
)
def test_vehicles_are_drawn(category: str, drawn: bool):
    assert agents_grid(road((category, 10.0, 0.0))).any() == drawn


def with_points(truth: Truth, *, lidar: int, radar: int, at: int = 1) -> Truth:
    step = truth.steps[at]
    n = len(step.boxes)
    boxes = replace(step.boxes, lidar_points=np.full(n, lidar), radar_points=np.full(n, radar))
    return replace(truth, steps={**truth.steps, at: replace(step, boxes=boxes)})


def test_a_vehicle_is_drawn_at_a_keyframe_where_lidar_or_radar_saw_it():
    truth = road(("vehicle.car", 10.0, 0.0))
    for lidar, radar, seen in ((1, 0, True), (0, 1, True), (0, 0, False)):
        drawn = agents_grid(with_points(truth, lidar=lidar, radar=radar)).any(axis=(1, 2))
        assert drawn.tolist() == [seen, True, True, True, True, True]


ROADS = {"road_segment": mapped.strip(3.1, -3.1)}


def test_the_boundary_of_a_road_is_a_line_on_each_side():
    """(-3.1 + 49.95) / 0.1 = 468.5 and (3.1 + 49.95) / 0.1 = 530.5."""
    drawn = boundary_grid(mapped.on_map(road(), **ROADS))
    assert np.argwhere(drawn[0].any(axis=1)).ravel().tolist() == [468, 530]
    assert drawn[0][[468, 530]].all()


def test_what_two_pieces_of_road_share_is_no_boundary():
    truth = mapped.on_map(road(), road_segment=mapped.strip(3.1, 0.0), lane=mapped.strip(0.0, -3.1))
    assert (boundary_grid(truth) == boundary_grid(mapped.on_map(road(), **ROADS))).all()


def test_the_drivable_area_is_no_road_here():
    truth = mapped.on_map(road(), drivable_area=mapped.strip(3.1, -3.1))
    assert not boundary_grid(truth).any()


def test_the_boundary_counts_up_to_25_m_aside_and_51_m_ahead():
    for aside_m, there in ((24.7, True), (24.9, False)):
        truth = mapped.on_map(road(), road_segment=mapped.strip(aside_m, -aside_m))
        assert boundary_grid(truth).any() == there
    for ahead_m, lines in ((50.9, 1), (51.1, 2)):  # with its end the road has one boundary
        truth = mapped.on_map(road(), road_segment=mapped.strip(3.1, -3.1, ahead_m=ahead_m))
        assert len(boundary_polylines_m(truth)) == lines


def test_a_boundary_is_followed_in_19_pieces_of_equal_length():
    island = shapely.Point(10.0, 0.0).buffer(5.0, quad_segs=64)
    ground = shapely.box(-300.0, -300.0, 300.0, 300.0).difference(island)
    polylines = boundary_polylines_m(mapped.on_map(road(), road_segment=ground))
    assert polylines.shape == (1, 20, 2)
    pieces_m = np.linalg.norm(np.diff(polylines[0], axis=0), axis=-1)
    np.testing.assert_allclose(pieces_m, 2 * 5.0 * np.sin(np.pi / 19), rtol=1e-3)


def test_the_boundary_turns_with_the_ego():
    truth = road()
    there = pose(quaternion(np.pi / 2), [0.0, 10.0, 0.0])
    turned = replace(truth, steps={0: replace(truth.now, global_from_ego=there)})
    polylines = boundary_polylines_m(mapped.on_map(turned, **ROADS))
    np.testing.assert_allclose(polylines[:, :, 0].min(axis=1), [-13.1, -6.9], atol=1e-3)
    np.testing.assert_allclose(polylines[:, :, 0].max(axis=1), [-13.1, -6.9], atol=1e-3)


def test_where_no_road_is_near_nothing_can_be_touched():
    far = mapped.on_map(road(), road_segment=shapely.box(500.0, 500.0, 510.0, 510.0))
    for truth in (far, mapped.on_map(road())):
        assert not boundary_grid(truth).any()
        values = summed(PROTOCOL, truth, straight())["ccr"]
        assert [values[k].mean for k in ("1s", "2s", "3s")] == [0.0, 0.0, 0.0]


def test_the_recorded_drive_is_no_distance_from_itself():
    """A turn to the left within the first step, driven by the rear axle."""
    truth = road()
    turned = pose(quaternion(np.pi / 2), [3.0, 3.0, 0.0])
    steps = {k: replace(step, global_from_ego=turned) for k, step in truth.steps.items() if k}
    truth = replace(truth, steps={0: truth.now, **steps})
    values = summed(PROTOCOL, truth, truth.future_plan())["l2_m"]
    assert [values[k].mean for k in ("1s", "2s", "3s")] == pytest.approx([0.0] * 3, abs=1e-5)


def test_distances_are_averaged_up_to_each_horizon():
    """The recorded ego stands: 2, 4, ... 12 m."""
    values = summed(PROTOCOL, road(speed_mps=0.0), straight(4.0))["l2_m"]
    assert [values[k].mean for k in ("1s", "2s", "3s")] == [3.0, 5.0, 7.0]


def test_a_clip_counts_with_a_whole_future():
    assert PROTOCOL.prepare([road(future=5)]).left_out == {
        "clip": "the recorded future ends before 3 s"
    }


def test_one_touch_counts_at_all_later_horizons():
    """The plan drives through a car at 1.5 s and past it; the recorded ego stands."""
    values = summed(PROTOCOL, road(("vehicle.car", 12.0, 0.0), speed_mps=0.0), straight(7.0))[
        "collision"
    ]
    assert [values[k].mean for k in ("1s", "2s", "3s")] == [0.0, 1.0, 1.0]
    assert values["avg"].mean == pytest.approx(2 / 3)


def test_an_ego_that_goes_aside_is_turned_among_road_users_and_on_boundaries():
    """2 m to the left a step: its front is 3.5 m ahead of it, at 9.5 m after the third. The car
    begins at 9 m, the road ends at 9.3 m."""
    truth = road(("vehicle.car", 0.0, 10.0), speed_mps=0.0)
    truth = mapped.on_map(truth, road_segment=mapped.strip(9.3, -20.0))
    aside = Paths(np.array([[[0.0, 2.0 * k] for k in range(1, 7)]]), np.zeros((1, 6)))
    scores = PROTOCOL.judge_paths(PROTOCOL.prepare([truth]), aside)
    for touch in ("agents", "boundary"):
        assert scores.touched[touch].hit[0, :3].tolist() == [False, False, True]


@pytest.mark.parametrize(("edge_m", "there"), [(24.75, True), (24.85, False)])
def test_an_edge_of_the_road_counts_up_to_20_cm_inside_the_patch(edge_m: float, there: bool):
    """The patch is 50 m wide: it ends 25 m to the left, and lines are kept up to 24.8 m."""
    truth = mapped.on_map(road(speed_mps=0.0), road_segment=mapped.strip(edge_m, -3.1))
    assert (boundary_polylines_m(truth)[..., 1].max() > 24.0) == there


def test_crossing_the_boundary_counts_unless_the_recorded_ego_is_on_it_too():
    ahead = mapped.on_map(road(speed_mps=0.0), road_segment=mapped.strip(3.1, -3.1, ahead_m=9.0))
    assert summed(PROTOCOL, ahead, straight(4.0))["ccr"]["2s"].mean == 1.0
    along = mapped.on_map(road(speed_mps=0.0), road_segment=mapped.strip(0.5, -3.1))
    assert summed(PROTOCOL, along)["ccr"]["3s"].mean == 0.0


def test_without_a_map_collisions_are_judged_and_the_boundary_is_not():
    truth = road(("vehicle.car", 12.0, 0.0), speed_mps=0.0)
    cases = PROTOCOL.prepare([truth])
    assert cases.touchable["boundary"].reason == "the recording has no map"
    score = PROTOCOL.summarise(PROTOCOL.judge(cases, [straight(7.0)]))
    assert score.strict.n == 1
    assert score.strict.figures["collision"]["3s"].mean == 1.0
    assert all(value.mean is None for value in score.strict.figures["ccr"].values())
    assert "CCR: judged in 0 of 1 clips" in score.notes


def test_a_clip_without_a_map_does_not_thin_out_the_others():
    """Of two clips that cross the boundary one has no map: the rate is 1 of 1, not 1 of 2."""
    ahead = mapped.on_map(road(speed_mps=0.0), road_segment=mapped.strip(3.1, -3.1, ahead_m=9.0))
    cases = PROTOCOL.prepare([ahead, replace(road(speed_mps=0.0), token="no map")])
    score = PROTOCOL.summarise(PROTOCOL.judge(cases, [straight(4.0)] * 2))
    assert score.strict.figures["ccr"]["3s"].mean == 1.0
    assert "CCR: judged in 1 of 2 clips" in score.notes


def test_a_map_without_roads_in_it_is_no_map():
    truth = replace(road(), map_polygons={"drivable_area": (mapped.strip(3.1, -3.1),)})
    reason = PROTOCOL.prepare([truth]).touchable["boundary"].reason
    assert reason == "the recording's map has no layer road_segment"


# From here on: the public reference cases.


def counted() -> Cases:
    return mapped.public_cases(PROTOCOL)


def wanted(field: str) -> np.ndarray:
    return expected(counted().tokens, "bevplanner", field)


def test_the_same_clips_are_counted():
    assert len(counted()) == split().aggregate("bevplanner")["n_samples"] == 192
    assert wanted("fut_valid_flag").all()


def test_every_cell_of_road_users_is_the_peers():
    drawn = [
        [mapped.checksum(layer) for layer in cells_of(counted(), i)] for i in range(len(counted()))
    ]
    np.testing.assert_array_equal(drawn, wanted("occ_crc32"))
    for i, token in enumerate(counted().tokens):
        stored = split().occ("bevplanner_0p1m", token)
        if stored is not None:
            np.testing.assert_array_equal(cells_of(counted(), i), stored)


def test_every_cell_of_the_boundary_is_the_peers():
    drawn = [mapped.checksum(cells_of(counted(), i, "boundary")) for i in range(len(counted()))]
    np.testing.assert_array_equal(drawn, wanted("boundary_crc32"))


def test_the_boundarys_points_are_the_peers_to_the_stored_digits():
    for token in counted().tokens[::5]:
        stored = np.array(split().expected(token, "bevplanner")["boundary_polylines_20pt"])
        ours = boundary_polylines_m(mapped.public()[token])
        assert len(ours) == len(stored)
        for line in stored:
            either = np.abs(np.stack([ours, ours[:, ::-1]]) - line).max(axis=(2, 3))
            assert either.min() <= 1e-4


def test_flags_from_stored_grids_are_exact():
    judged = 0
    for token in counted().tokens:
        grid = split().occ("bevplanner_0p1m", token)
        if grid is not None:
            judged += 1
            path = np.array(split().expected(token)["gt_ego_bevplanner"])
            one = first(PROTOCOL.judge_paths(on_grid(PROTOCOL, grid, path), ego_path(token)))
            told = split().expected(token, "bevplanner")
            assert one.collision.tolist() == [bool(v) for v in told["step_obj_box_col"]]
            assert one.gt_hit.tolist() == [bool(v) for v in told["gt_box_col"]]
    assert judged >= 10


def ego_path(token: str) -> Paths:
    return predictions((token,), ego=True)


def test_flags_from_stored_boundaries_are_exact():
    for token in counted().tokens:
        told = split().expected(token, "bevplanner")
        grid = polylines_grid(np.array(told["boundary_polylines_20pt"]))
        path = np.array(split().expected(token)["gt_ego_bevplanner"])
        cases = on_grid(PROTOCOL, grid, path, touch="boundary")
        boundary = PROTOCOL.judge_paths(cases, ego_path(token)).touched["boundary"]
        crossed = (boundary.hit & ~boundary.excused)[0]
        assert crossed.tolist() == [bool(v) for v in told["step_boundary_box"]]
        assert boundary.excused[0].tolist() == [bool(v) for v in told["gt_boundary"]]


def test_from_tables_to_flags_and_distances():
    """No step differs."""
    cases = counted()
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    for touch, crossed, excused in (
        ("agents", "step_obj_box_col", "gt_box_col"),
        ("boundary", "step_boundary_box", "gt_boundary"),
    ):
        touched = scores.touched[touch]
        np.testing.assert_array_equal(touched.hit & ~touched.excused, wanted(crossed) == 1)
        np.testing.assert_array_equal(touched.excused, wanted(excused) == 1)
    for k in (1, 2, 3):
        means_m = scores.distance_m[:, : 2 * k].mean(axis=1)
        np.testing.assert_allclose(means_m, wanted(f"plan_L2_{k}s"), atol=1e-4)


def test_the_recorded_path_is_the_peers():
    path = np.array([split().expected(token)["gt_ego_bevplanner"] for token in counted().tokens])
    np.testing.assert_allclose(counted().recorded.xy_m, path, atol=1e-5)


def test_the_split_sums_up_to_the_peers_figures():
    cases = counted()
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    figures, told = PROTOCOL.summarise(scores).strict.figures, split().aggregate("bevplanner")
    for k in ("1s", "2s", "3s"):
        assert figures["l2_m"][k].mean == pytest.approx(told[f"plan_L2_{k}"], abs=1e-4)
        assert figures["collision"][k].mean == pytest.approx(told[f"plan_obj_box_col_{k}"])
        assert figures["ccr"][k].mean == pytest.approx(told[f"plan_obj_box_col_plus_{k}"])


def test_cases_without_a_dataset_are_exact():
    cases = list(split().metric_level_0p1m())
    assert len(cases) == 36
    for case in cases:
        xy_m = case["pred"].astype(np.float64)[None]
        prepared = on_grid(PROTOCOL, case["occ"], case["gt"])
        one = first(PROTOCOL.judge_paths(prepared, Paths(xy_m, np.zeros((1, 6)))))
        assert one.collision.tolist() == [v == 1 for v in case["expected"]["obj_box_col"]]
        assert one.gt_hit.tolist() == [v == 1 for v in case["expected"]["gt_box_col"]]


def test_the_expert_of_real_keyframes_collides_with_nobody():
    """Nor is a crossing counted. The recorded ego itself touches a boundary in 136 of 612 steps:
    these maps have lanes but no road segments, so junctions are full of lanes' ends."""
    cases = PROTOCOL.prepare(mapped.mini().values())
    plans = [mapped.mini()[token].future_plan() for token in cases.tokens]
    scores = PROTOCOL.judge(cases, plans)
    figures = PROTOCOL.summarise(scores).strict.figures
    assert len(cases) == 102
    assert all(value.mean <= 0.04 for value in figures["l2_m"].values())
    assert {value.mean for value in figures["collision"].values()} == {0.0}
    assert {value.mean for value in figures["ccr"].values()} == {0.0}
    assert int(scores.touched["agents"].excused.sum()) == 0
    assert int(scores.touched["boundary"].excused.sum()) == 136
