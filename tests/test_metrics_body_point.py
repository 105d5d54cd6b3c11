"""Paths in other axes and of other body points, on roads where the answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.metrics.body_point import (
    Mounts,
    as_scored,
    axle_paths,
    in_axes,
    lidar_paths,
    tangent_headings_rad,
)
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanStack
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.rule import Axes
from drivevlm.metrics.surface import Paths
from drivevlm.record.plan_file import read_plan_file, write_plan_file
from drivevlm.world import plan as world_plan
from drivevlm.world.plan import Plan, path_of_point
from drivevlm.world.pose import Pose3

T_S = 0.5 * np.arange(1, 7)
LIDAR = (0.0, 0.0, 0.0)
TILTED = Pose3.from_quaternion(
    wxyz=np.array([0.7077955119163518, -0.006492242056, 0.010646214714, -0.7063073142877817]),
    translation_m=np.array([0.943713, 0.02, 1.84023]),
)
LEVEL = Pose3(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), np.array([0.94, 0.0, 1.84]))
AHEAD_M = np.array([[0.94, 0.0]])


def arcs(speed_mps: float, *radii_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Axle paths (N, T, 2) on circles, left for a positive radius, and headings (N, T)."""
    radius = np.array(radii_m)[:, None]
    yaw = speed_mps * T_S / radius
    return np.stack([radius * np.sin(yaw), radius * (1 - np.cos(yaw))], axis=-1), yaw


def pulled(axle_m: np.ndarray, yaw: np.ndarray, ahead_m: float = 0.94) -> np.ndarray:
    """The displacement of the lidar of a body with these headings."""
    return axle_m + ahead_m * np.stack([np.cos(yaw) - 1, np.sin(yaw)], axis=-1)


def off_m(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(a - b, -1, 0))


def test_axes_change_exactly_and_back():
    ahead_and_right_lidar_m = np.array([[2.5, 10.0]])
    as_ego_m = in_axes(ahead_and_right_lidar_m, given=Axes.LIDAR, wanted=Axes.EGO)
    np.testing.assert_array_equal(as_ego_m, [[10.0, -2.5]])
    back_m = in_axes(as_ego_m, given=Axes.EGO, wanted=Axes.LIDAR)
    np.testing.assert_array_equal(back_m, ahead_and_right_lidar_m)


def test_the_reference_plans_change_axes_to_the_bit():
    cases = json.loads((reference("planning_metrics") / "public/predictions.json").read_text())
    paths = {
        axes: np.array([case[f"traj_{axes.name.lower()}"] for case in cases.values()])
        for axes in Axes
    }
    for given_axes in Axes:
        for wanted in Axes:
            scored = as_scored(
                paths[given_axes],
                axes=given_axes,
                point=None,
                wanted_axes=wanted,
                wanted_point=LIDAR,
                mounts=None,
            )
            np.testing.assert_array_equal(scored.xy_m, paths[wanted])


STEP_M = st.sampled_from([0.0, 0.04, -0.04, 0.05]) | st.floats(-8, 8)
STEPS_M = st.lists(st.tuples(STEP_M, STEP_M), min_size=6, max_size=6)


@given(st.lists(STEPS_M, min_size=1, max_size=5))
def test_many_paths_have_the_tangents_of_each_to_the_bit(steps_m):
    xy_m = np.cumsum(np.array(steps_m), axis=1)
    each = [world_plan.tangent_headings_rad(xy, dt_s=0.5) for xy in xy_m]
    np.testing.assert_array_equal(tangent_headings_rad(xy_m), each)


def test_the_lidar_is_moved_as_a_plan_of_ours_in_space():
    rng = np.random.default_rng(0)
    xy_m = np.cumsum(rng.normal([4, 0], [3, 1], (40, 6, 2)), axis=1)
    mounts = Mounts.of([TILTED, LEVEL] * 20)
    point = (0.0, 0.0, -0.78)
    paths = lidar_paths(
        xy_m, tangent_headings_rad(xy_m), mounts=mounts, point_lidar_m=point, axes=Axes.LIDAR
    )
    for i, mount in enumerate([TILTED, LEVEL] * 20):
        point_ego_m = mount.apply(np.array(point))
        moved_m = path_of_point(Plan(xy_m[i]), point_ego_m=point_ego_m[:2])
        in_space_m = mount.inverse().apply(np.c_[moved_m, np.full(6, point_ego_m[2])])
        np.testing.assert_array_equal(paths.xy_m[i], np.round(in_space_m[:, :2], 6))


def test_a_lidar_a_metre_ahead_swings_out_where_the_body_turns():
    """The axle ends 10 m ahead and turned left by 90 degrees: the lidar is beside it, not ahead."""
    xy_m, yaw = np.full((1, 6, 2), [10.0, 0.0]), np.full((1, 6), np.pi / 2)
    mounts = Mounts.of([LEVEL])
    ego = lidar_paths(xy_m, yaw, mounts=mounts, axes=Axes.EGO)
    np.testing.assert_allclose(ego.xy_m[0, -1], [10.0 - 0.94, 0.94], atol=1e-9)
    lidar = lidar_paths(xy_m, yaw, mounts=mounts, axes=Axes.LIDAR)
    np.testing.assert_allclose(lidar.xy_m[0, -1], [-0.94, 10.0 - 0.94], atol=1e-9)
    np.testing.assert_allclose(lidar.yaw_rad[0, -1], np.pi)


def test_a_point_that_is_the_protocols_own_does_not_move():
    xy_m = np.random.default_rng(1).normal(0, 9, (5, 6, 2))
    for point, wanted_point in ((None, LIDAR), ("lidar", (0.0, 0.0, -0.78)), (None, "rear_axle")):
        scored = scored_by(xy_m, point=point, wanted_axes=Axes.LIDAR, wanted_point=wanted_point)
        np.testing.assert_array_equal(scored, np.stack([-xy_m[..., 1], xy_m[..., 0]], axis=-1))


def test_a_point_is_not_moved_without_a_mount():
    with pytest.raises(ValueError, match="path of the rear_axle cannot be moved to the lidar"):
        scored_by(np.zeros((1, 6, 2)), point="rear_axle", wanted_point=LIDAR)


def scored_by(xy_m: np.ndarray, **kwargs: Any) -> np.ndarray:
    settings: dict[str, Any] = {"axes": Axes.EGO, "wanted_axes": Axes.EGO, "mounts": None}
    return as_scored(xy_m, **(settings | kwargs)).xy_m


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_plan_is_the_same_path_from_a_run_and_from_a_file(tmp_path, name):
    protocol, rng = PROTOCOLS[name], np.random.default_rng(2)
    plan = Plan(np.cumsum(rng.normal([3, 0], [1, 0.5], (6, 2)), axis=0))
    mounts = Mounts.of([TILTED])
    write_plan_file(tmp_path / "plans.json", {"clip": plan})
    file = read_plan_file(tmp_path / "plans.json")
    read = as_scored(
        np.array([file.xy_m["clip"]]),
        axes=file.frame,
        point=file.point,
        wanted_axes=protocol.rule.axes,
        wanted_point=protocol.rule.point,
        mounts=mounts,
    )
    nowhere = Paths(np.zeros((1, 6, 2)), np.zeros((1, 6)))
    clip = Cases(("clip",), ("",), nowhere, mounts, {}, {})
    run = protocol.paths(clip, PlanStack.of([plan]))
    np.testing.assert_array_equal(read.xy_m, run.xy_m)
    np.testing.assert_allclose(read.yaw_rad, run.yaw_rad, atol=1e-12)


def test_on_a_straight_road_and_at_a_stop_the_axle_goes_as_the_lidar():
    xy_m = np.array([[[v * t, 0.0] for t in T_S] for v in (0.0, 0.05, 4.0, 30.0, -2.0)])
    axle = axle_paths(xy_m, lidar_ego_m=np.repeat(AHEAD_M, 5, axis=0))
    np.testing.assert_allclose(axle.xy_m, xy_m, atol=1e-12)
    np.testing.assert_allclose(axle.yaw_rad, 0.0, atol=1e-12)


def test_a_body_pulled_sideways_turns_as_a_tractrix():
    """The lidar goes straight left by s: the angle left to its way is 2 atan(exp(-s / a))."""
    s_m = np.arange(1, 7) * 0.5
    xy_m = np.stack([0 * s_m, s_m], axis=1)[None]
    axle = axle_paths(xy_m, lidar_ego_m=AHEAD_M)
    yaw = np.pi / 2 - 2 * np.arctan(np.exp(-s_m / 0.94))
    np.testing.assert_allclose(axle.yaw_rad[0], yaw, atol=1e-12)
    lidar_m, axle_m = xy_m[0] + AHEAD_M, axle.xy_m[0]
    np.testing.assert_allclose(off_m(lidar_m, axle_m), 0.94, atol=1e-6)


@pytest.mark.parametrize(("speed_mps", "radius_m"), [(3, 6), (5, 12), (8, 25), (15, 150)])
def test_on_an_arc_the_axle_is_found(speed_mps, radius_m):
    """From the first step on the body turns at full rate, to the left and to the right."""
    axle_m, yaw = arcs(speed_mps, radius_m, -radius_m)
    lidar_m = pulled(axle_m, yaw)
    found = axle_paths(lidar_m, lidar_ego_m=np.repeat(AHEAD_M, 2, axis=0))
    assert off_m(found.xy_m, axle_m).max() < 0.01
    assert off_m(lidar_m, axle_m).max() > 0.25
    np.testing.assert_allclose(found.xy_m[0] * [1, -1], found.xy_m[1], atol=2e-6)


def test_a_lidar_off_the_middle_is_followed_too():
    axle_m, yaw = arcs(5.0, 12.0)
    place_m = np.array([[1.2, 0.6]])
    cos, sin = np.cos(yaw) - 1, np.sin(yaw)
    swung_m = np.stack([cos * 1.2 - sin * 0.6, sin * 1.2 + cos * 0.6], axis=-1)
    found = axle_paths(axle_m + swung_m, lidar_ego_m=place_m)
    assert off_m(found.xy_m, axle_m).max() < 0.01


def test_a_lidar_over_the_axle_leaves_the_path_as_it_is():
    axle_m, _ = arcs(5.0, 12.0)
    found = axle_paths(axle_m, lidar_ego_m=np.zeros((1, 2)))
    np.testing.assert_allclose(found.xy_m, axle_m, atol=1e-6)


def test_a_reversing_body_does_not_swing_round_for_some_noise():
    axle_m = np.array([[[-1.5 * t, 0.0] for t in T_S]] * 50)
    noise_m = np.random.default_rng(3).normal(0, 0.05, axle_m.shape)
    found = axle_paths(axle_m + noise_m, lidar_ego_m=np.repeat(AHEAD_M, 50, axis=0))
    assert off_m(found.xy_m, axle_m).max() < 0.45
    assert np.abs(found.yaw_rad).max() < np.radians(35)


def test_from_the_axle_to_the_lidar_and_back_only_the_tangents_are_lost():
    """The tangent of a step of 2.5 m lags half a step behind: 6 degrees on an arc of 12 m."""
    axle_m, yaw = arcs(5.0, 12.0, -12.0)
    mounts = Mounts.of([LEVEL] * 2)
    for known, worst_m in ((yaw, 0.01), (tangent_headings_rad(axle_m), 0.12)):
        lidar = lidar_paths(axle_m, known, mounts=mounts, axes=Axes.LIDAR)
        back_m = scored_by(
            lidar.xy_m, axes=Axes.LIDAR, point="lidar", wanted_point="rear_axle", mounts=mounts
        )
        assert off_m(back_m, axle_m).max() < worst_m


def test_the_recorded_axle_is_found_from_the_recorded_lidar():
    """The figures are those of the docstring of ``axle_paths``."""
    folder = reference("planning_metrics") / "public"
    samples = json.loads((folder / "expected_per_sample.json").read_text())["per_sample"]
    places_m = lidar_places_m(folder / "nuscenes_synth" / "v1.0-mini")
    whole = [token for token, sample in samples.items() if all(sample["gt_mask_vad"])]
    lidar_m = np.array([samples[token]["gt_ego_bevplanner"] for token in whole])
    axle_m = np.array([samples[token]["gt_ego_omnidrive"] for token in whole])[..., :2]
    place_m = np.array([places_m[token] for token in whole])
    assert len(whole) == 192
    error_m = off_m(axle_paths(lidar_m, lidar_ego_m=place_m).xy_m, axle_m)
    assert error_m.mean() == pytest.approx(0.004, abs=5e-4)
    assert error_m.max() == pytest.approx(0.064, abs=5e-4)
    naive_m = off_m(lidar_m, axle_m)
    assert (naive_m.mean(), naive_m.max()) == pytest.approx((0.28, 1.70), abs=5e-3)


def lidar_places_m(tables: Path) -> dict[str, list[float]]:
    """By sample, where its lidar sits in the ego frame."""
    mounts = {row["token"]: row for row in rows(tables, "calibrated_sensor")}
    lidars = {row["token"] for row in rows(tables, "sensor") if row["channel"] == "LIDAR_TOP"}
    return {
        data["sample_token"]: mount["translation"][:2]
        for data in rows(tables, "sample_data")
        if (mount := mounts[data["calibrated_sensor_token"]])["sensor_token"] in lidars
    }


def rows(tables: Path, name: str) -> list[dict[str, Any]]:
    return list(json.loads((tables / f"{name}.json").read_text()))


def test_no_clip_is_no_path():
    assert axle_paths(np.zeros((0, 6, 2)), lidar_ego_m=np.zeros((0, 2))).xy_m.shape == (0, 6, 2)
    assert len(Mounts.of([]).yaw_rad) == 0


def test_a_reversing_body_stands_off_its_way_no_further_than_in_a_turn_of_5_m():
    """Back and a little aside: the angle between body and way grows to arcsin(1 m / 5 m)."""
    way = np.array([[[-1.0 * k, 0.1 * k] for k in range(1, 7)]])
    headings = axle_paths(way, lidar_ego_m=np.array([[1.0, 0.0]])).yaw_rad[0]
    off_rad = headings - np.arctan2(-0.1, 1.0)
    assert off_rad[-1] == pytest.approx(np.arcsin(0.2))
    assert (np.diff(off_rad) >= -1e-9).all()
