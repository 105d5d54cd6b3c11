"""OmniDrive's protocol: roads checked by hand, and values of the peer's own code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from metrics_cases import cells_of, first, on_grid, road, straight, summed
from reference import mapped
from reference.public import expected, predictions, split
from reference.worlds import pose, quaternion

from drivevlm.metrics import bevplanner
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.omnidrive import (
    BLOCK,
    DRAWN,
    OMNIDRIVE,
    agents_grid,
    cells_on_road,
    headings_rad,
    recorded,
)
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.road import drivable_grid
from drivevlm.metrics.surface import Paths
from drivevlm.world.truth import Truth

PROTOCOL = PlanningProtocol(OMNIDRIVE)


def on_road(*xy_m: tuple[float, float]) -> list[set[tuple[int, int]]]:
    """Row and column of the cells under the ego at each step, without the margin."""
    row, column = cells_on_road(Paths(np.array([xy_m]), np.zeros((1, len(xy_m)))))
    return [set(zip(r - 1, c - 1, strict=True)) for r, c in zip(row[0], column[0], strict=True)]


def block(rows: range, columns: range) -> set[tuple[int, int]]:
    return {(row, column) for row in rows for column in columns}


def test_on_the_road_a_standing_ego_is_a_filled_box():
    """4.08 x 1.85 m: its corners at -0.554 and 3.526 m are cells 494.5 and 535.3, its sides at
    -0.925 and 0.925 m are cells 490.75 and 509.25."""
    assert on_road((0.0, 0.0)) == [block(range(491, 510), range(494, 536))]


def test_on_the_road_the_ego_is_4_mm_shorter_than_among_road_users():
    """(0.023 + 1.485793 + 2.04 + 50) / 0.1 = 535.49; with half of 4.084 m it were 535.51."""
    (cells,) = on_road((0.023, 0.0))
    assert max(column for _, column in cells) == 535


def test_on_the_road_the_ego_turns_with_every_step_about_its_own_centre():
    """1 mm to the left is a heading of 90 degrees. The centre stays 1.486 m ahead."""
    (cells,) = on_road((0.0, 0.001))
    assert cells == block(range(480, 521), range(506, 525))
    forward, back = on_road((1.0, 0.0), (0.0, 0.0))
    assert len(forward) == len(back)
    assert {column for _, column in forward} == {column + 10 for _, column in back}


def test_on_the_road_what_is_off_the_grid_is_not_drawn():
    """Each step has its own cells, whatever another one of the same call has."""
    cells = on_road((0.0, 0.0), (48.0, 0.0), (60.0, 0.0))
    assert len(cells[0]) == 19 * 42
    assert cells[1] == block(range(491, 510), range(974, 1000))
    assert cells[2] == {(-1, -1)}


def test_among_road_users_the_ego_turns_with_steps_of_a_metre():
    xy_m = np.array([[[0.0, 1.0], [0.0, 1.99], [-1.0, 1.99]]])
    assert headings_rad(xy_m)[0].tolist() == [np.pi / 2, 0.0, np.pi]


def test_the_recorded_path_is_that_of_the_egos_origin():
    """Of a box's floor 0.78 m under it: a roll of 0.1 rad moves it aside."""
    truth = road()
    for roll, aside_m in ((0.0, 0.0), (0.1, 0.78 * np.sin(0.1))):
        later = pose(quaternion(0.0, roll=roll), [3.0, 3.0, 0.0])
        steps = {k: replace(step, global_from_ego=later) for k, step in truth.steps.items() if k}
        xy_m, yaw_rad = recorded(replace(truth, steps={0: truth.now, **steps}))
        np.testing.assert_allclose(xy_m, np.tile([3.0, 3.0 + aside_m], (6, 1)), atol=1e-6)
        np.testing.assert_allclose(yaw_rad, 0.0, atol=1e-9)


def test_a_future_that_was_not_recorded_has_no_path():
    assert np.isfinite(recorded(road(future=2))[0]).all(axis=1).tolist() == [True] * 2 + [False] * 4


def test_the_corners_of_road_users_are_rounded():
    """A box of 2 x 2 m: its rear at 9.06 m is (9.06 + 50) / 0.1 = 590.6, its front 610.6."""
    row, column = np.nonzero(agents_grid(road(("vehicle.car", 10.06, 0.0), speed_mps=0.0))[0])
    assert (row.min(), row.max()) == (490, 510)
    assert (column.min(), column.max()) == (591, 611)


def test_the_grid_is_in_single_precision():
    """Corners exactly between two cells: 591.5 falls short of the middle, 100.5 lies beyond it."""
    for center_m, rear in ((10.15, 591), (-38.95, 101)):
        truth = road(("vehicle.car", center_m, 0.0), speed_mps=0.0)
        assert np.nonzero(agents_grid(truth)[0])[1].min() == rear


def test_among_road_users_a_path_is_in_double_precision():
    """Half a metre is 4.99999993 cells, cut to 4; BEV-Planner's single precision makes it 5."""
    half_m = Paths(np.array([[[0.5, 0.0]]]), np.zeros((1, 1)))
    assert BLOCK.cells(half_m)[1].min() == 494 + 4
    assert bevplanner.BLOCK.cells(half_m)[1].min() == 494 + 5
    xy_m = np.array([[[0.0, 1.3], [0.0, 2.3]]])  # in double precision they are less than 1 m apart
    assert headings_rad(xy_m)[0, 1] == 0.0
    assert bevplanner.headings_rad(xy_m)[0, 1] == pytest.approx(np.pi / 2)


def test_vehicles_of_the_23_category_table_are_drawn_by_name():
    assert len(DRAWN) == 10
    assert all(name.startswith("vehicle.") for name in DRAWN)
    for category in ("vehicle.emergency.police", "vehicle.bicycle", "vehicle.car"):
        assert agents_grid(road((category, 10.0, 0.0))).any()
    for category in ("human.pedestrian.adult", "movable_object.barrier", "animal"):
        assert not agents_grid(road((category, 10.0, 0.0))).any()


def test_nobody_need_be_seen():
    drawn = agents_grid(road(("vehicle.car", 10.0, 0.0), points=0))
    assert drawn.any(axis=(1, 2)).all()


def without_boxes(truth: Truth, *steps: int) -> Truth:
    empty = road().now.boxes
    changed = {k: replace(truth.steps[k], boxes=empty) for k in steps}
    return replace(truth, steps={**truth.steps, **changed})


def test_who_is_there_now_is_followed_and_who_appears_later_is_not_drawn():
    truth = road(("vehicle.car", 10.0, 0.0))
    assert agents_grid(truth).any(axis=(1, 2)).all()
    assert not agents_grid(without_boxes(truth, 0)).any()
    assert agents_grid(without_boxes(truth, 2)).any(axis=(1, 2)).tolist() == [True] + [False] * 5


def test_a_road_user_keeps_the_size_it_has_now():
    truth = road(("vehicle.car", 10.0, 0.0))
    step = truth.steps[1]
    longer = replace(step.boxes, size_lwh_m=np.array([[9.0, 2.0, 2.0]]))
    grown = replace(truth, steps={**truth.steps, 1: replace(step, boxes=longer)})
    np.testing.assert_array_equal(agents_grid(grown), agents_grid(truth))


def area(truth: Truth, polygon: shapely.Polygon) -> Truth:
    return mapped.on_map(truth, drivable_area=polygon)


def test_the_drivable_area_is_filled_on_rounded_corners_with_holes():
    """(-4.96 + 50) / 0.1 = 450.4 and (5.06 + 50) / 0.1 = 550.6; a hole's outline is cut out too."""
    hole = shapely.box(10.0, -1.0, 12.0, 1.0)
    ground = mapped.strip(5.06, -4.96).difference(hole)
    drawn = drivable_grid(area(road(), ground))
    assert drawn.shape == (1, 1002, 1002)
    inner = drawn[0, 1:-1, 1:-1]
    assert np.argwhere(inner[:, 0]).ravel().tolist() == list(range(450, 552))
    assert not inner[490:511, 600:621].any()
    assert inner[489, 600:621].all()
    assert inner[490:511, 599].all()


def test_beyond_the_grid_everything_counts_as_drivable():
    drawn = drivable_grid(area(road(), mapped.strip(5.0, -5.0)))[0]
    assert drawn[[0, -1]].all()
    assert drawn[:, [0, -1]].all()


def test_the_drivable_area_turns_with_the_ego():
    truth = road()
    there = pose(quaternion(np.pi / 2), [0.0, 10.0, 0.0])
    turned = replace(truth, steps={0: replace(truth.now, global_from_ego=there)})
    inner = drivable_grid(area(turned, mapped.strip(5.0, -5.0)))[0, 1:-1, 1:-1]
    assert np.argwhere(inner.any(axis=0)).ravel().tolist() == list(range(350, 451))


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


def test_an_ego_that_goes_aside_is_turned():
    """As in BEV-Planner's protocol. On the road it turns about its centre, 1.49 m ahead of the
    origin: it reaches 2.04 m to the left, and out of the road after the second step."""
    truth = area(road(("vehicle.car", 0.0, 10.0), speed_mps=0.0), mapped.strip(5.5, -20.0))
    aside = Paths(np.array([[[0.0, 2.0 * k] for k in range(1, 7)]]), np.zeros((1, 6)))
    touched = PROTOCOL.judge_paths(PROTOCOL.prepare([truth]), aside).touched
    assert touched["agents"].hit[0, :3].tolist() == [False, False, True]
    assert touched["off_drivable"].hit[0, :3].tolist() == [False, True, True]


def test_a_step_of_under_a_metre_turns_the_ego_on_the_road_only():
    """0.9 m to the left: turned on the road it reaches 2.9 m aside, among road users 1.8 m."""
    truth = area(road(("vehicle.car", 0.0, 4.0), speed_mps=0.0), mapped.strip(2.5, -20.0))
    aside = Paths(np.array([[[0.0, 0.9]] * 6]), np.zeros((1, 6)))
    touched = PROTOCOL.judge_paths(PROTOCOL.prepare([truth]), aside).touched
    assert not touched["agents"].hit.any()
    assert touched["off_drivable"].hit[0].tolist() == [True, False, False, False, False, False]


def test_leaving_the_drivable_area_counts_from_then_on():
    """The area ends 9 m ahead; the ego's front, 3.5 m ahead of it, is there after 1.4 s."""
    ends = area(road(speed_mps=0.0), mapped.strip(5.0, -5.0, ahead_m=9.0))
    values = summed(PROTOCOL, ends, straight(4.0))["off_drivable"]
    assert [values[k].mean for k in ("1s", "2s", "3s")] == [0.0, 1.0, 1.0]
    assert summed(PROTOCOL, ends)["off_drivable"]["3s"].mean == 0.0


def test_a_clip_that_begins_off_the_drivable_area_never_counts_and_stays_in_the_total():
    begins = area(road(speed_mps=0.0), mapped.strip(5.0, -0.5))
    cases = PROTOCOL.prepare([begins])
    scores = PROTOCOL.judge(cases, [straight(4.0)])
    off = scores.touched["off_drivable"]
    assert off.hit.all()
    assert off.excused.all()
    score = PROTOCOL.summarise(scores)
    assert score.strict.n == 1
    assert score.strict.figures["off_drivable"]["3s"].mean == 0.0


def test_the_recorded_ego_excuses_nobody_on_the_road():
    """Both leave the drivable area."""
    ends = area(road(speed_mps=4.0), mapped.strip(5.0, -5.0, ahead_m=9.0))
    assert summed(PROTOCOL, ends, straight(4.0))["off_drivable"]["3s"].mean == 1.0


def test_without_a_map_collisions_are_judged_and_the_drivable_area_is_not():
    cases = PROTOCOL.prepare([road(("vehicle.car", 12.0, 0.0), speed_mps=0.0)])
    assert cases.touchable["off_drivable"].reason == "the recording has no map"
    score = PROTOCOL.summarise(PROTOCOL.judge(cases, [straight(7.0)]))
    assert score.strict.figures["collision"]["3s"].mean == 1.0
    assert all(value.mean is None for value in score.strict.figures["off_drivable"].values())


# From here on: the public reference cases.


def counted() -> Cases:
    return mapped.public_cases(PROTOCOL)


def wanted(field: str) -> np.ndarray:
    return expected(counted().tokens, "omnidrive", field)


def test_the_same_clips_are_counted():
    assert len(counted()) == split().aggregate("omnidrive")["n_samples"] == 192
    assert (wanted("samples") == 1).all()


def test_every_cell_of_road_users_and_of_the_drivable_area_is_the_peers():
    cases = counted()
    users = [[mapped.checksum(layer) for layer in cells_of(cases, i)] for i in range(len(cases))]
    np.testing.assert_array_equal(users, wanted("occ_crc32")[:, 1:])
    for i, token in enumerate(cases.tokens):
        drivable = cells_of(cases, i, "off_drivable")[:, 1:-1, 1:-1]
        assert mapped.checksum(drivable) == wanted("drivable_crc32")[i]
        stored = split().occ("omnidrive_0p1m_6occ_1drivable", token)
        if stored is not None:
            both = np.concatenate([cells_of(cases, i), drivable])
            np.testing.assert_array_equal(both, stored)


def test_flags_from_stored_grids_are_exact():
    judged = 0
    for token in counted().tokens:
        grids = split().occ("omnidrive_0p1m_6occ_1drivable", token)
        if grids is not None:
            judged += 1
            told = split().expected(token, "omnidrive")
            path = np.array(split().expected(token)["gt_ego_omnidrive"])[:, :2]
            drawn = predictions((token,), ego=True)
            one = first(PROTOCOL.judge_paths(on_grid(PROTOCOL, grids[:6], path), drawn))
            for k in (1, 2, 3):
                assert one.collision[: 2 * k].any() == told[f"plan_obj_box_col_{k}s"]
            margin = np.pad(grids[6:], ((0, 0), (1, 1), (1, 1)), constant_values=1)
            cases = on_grid(PROTOCOL, margin, path, touch="off_drivable")
            off = PROTOCOL.judge_paths(cases, drawn).touched["off_drivable"]
            assert off.hit[0].tolist() == [v == 1 for v in told["step_out_of_drivable"][1:]]
    assert judged >= 10


def test_from_tables_to_flags_and_distances():
    """No step differs."""
    cases = counted()
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    off, users = scores.touched["off_drivable"], scores.touched["agents"]
    np.testing.assert_array_equal(off.hit, wanted("step_out_of_drivable")[:, 1:] == 1)
    np.testing.assert_array_equal(off.excused[:, 0], wanted("step_out_of_drivable")[:, 0] == 1)
    collision = users.hit & ~users.excused
    for k in (1, 2, 3):
        any_m = collision[:, : 2 * k].any(axis=1)
        np.testing.assert_array_equal(any_m, wanted(f"plan_obj_box_col_{k}s") == 1)
        left = (off.hit & ~off.excused)[:, : 2 * k].any(axis=1)
        np.testing.assert_array_equal(left, wanted(f"plan_boundary_{k}s") == 1)
        means_m = scores.distance_m[:, : 2 * k].mean(axis=1)
        np.testing.assert_allclose(means_m, wanted(f"l2_{k}s"), atol=1e-4)


def test_the_recorded_path_is_the_peers():
    path = [split().expected(token)["gt_ego_omnidrive"] for token in counted().tokens]
    np.testing.assert_allclose(counted().recorded.xy_m, np.array(path)[:, :, :2], atol=1e-5)


def test_the_split_sums_up_to_the_peers_figures():
    cases = counted()
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    figures, told = PROTOCOL.summarise(scores).strict.figures, split().aggregate("omnidrive")
    for k in ("1s", "2s", "3s"):
        assert figures["l2_m"][k].mean == pytest.approx(told[f"l2_{k}"], abs=1e-4)
        assert figures["collision"][k].mean == pytest.approx(told[f"plan_obj_box_col_{k}"])
        assert figures["off_drivable"][k].mean == pytest.approx(told[f"plan_boundary_{k}"])


def test_the_expert_of_real_keyframes_stays_on_the_road_and_collides_with_nobody():
    cases = PROTOCOL.prepare(mapped.mini().values())
    plans = [mapped.mini()[token].future_plan() for token in cases.tokens]
    scores = PROTOCOL.judge(cases, plans)
    figures = PROTOCOL.summarise(scores).strict.figures
    assert len(cases) == 102
    assert all(value.mean <= 0.02 for value in figures["l2_m"].values())
    for name in ("collision", "off_drivable"):
        assert {value.mean for value in figures[name].values()} == {0.0}
    assert not any(touched.hit.any() for touched in scores.touched.values())
