"""Laws of the way from a plan to a trajectory."""

import numpy as np
import pytest
from dialogue_cases import drives
from drive_cases import bundled, sample, straight
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.plan_message import STEP_S, Source, Trajectory, motion_at, trajectory_of
from drivevlm.world.kinematics import unicycle
from drivevlm.world.plan import STILL_MPS, Plan

WHEELBASE_M = 2.588
EGO = sample(1_000_000, 10.0, 20.0, np.radians(90.0))

anywhere = st.builds(
    lambda rows, dt_s: Plan(np.array(rows), dt_s=dt_s),
    st.lists(st.tuples(st.floats(-80, 80), st.floats(-80, 80)), min_size=1, max_size=12),
    st.sampled_from([0.1, 0.2, 0.5, 1.0]),
)


def made(plan: Plan) -> Trajectory:
    return trajectory_of(plan, EGO, wheelbase_m=WHEELBASE_M)


@given(anywhere | drives())
def test_a_trajectory_is_within_a_millimetre_of_the_plan_at_its_waypoints(plan):
    found = made(plan)
    every = round(plan.dt_s / STEP_S)
    np.testing.assert_allclose(found.xy_ego_m[every - 1 :: every], plan.xy_ego_m, atol=1e-3)


@given(anywhere | drives())
def test_points_come_every_tenth_of_a_second_the_first_after_one(plan):
    found = made(plan)
    np.testing.assert_allclose(np.diff(found.time_s), STEP_S)
    assert found.time_s[0] == STEP_S
    assert found.time_s[-1] == pytest.approx(plan.horizon_s)


@given(anywhere | drives())
def test_position_velocity_and_acceleration_are_continuous(plan):
    knots = np.arange(1, len(plan.xy_ego_m)) * plan.dt_s
    before, after = motion_at(plan, knots - 1e-7), motion_at(plan, knots + 1e-7)
    for one, other in zip(before, after, strict=True):
        # The third derivative of 80 m steps in 0.1 s is of the order of 1e6 m/s3.
        np.testing.assert_allclose(one, other, atol=1.0, rtol=1e-3)


@given(anywhere | drives())
def test_all_numbers_of_a_trajectory_are_finite_and_agree_with_each_other(plan):
    found = made(plan)
    np.testing.assert_allclose(
        found.front_wheel_angle_rad, np.arctan(WHEELBASE_M * found.curvature_radpm)
    )
    rolling = np.abs(found.speed_mps) >= STILL_MPS
    np.testing.assert_allclose(
        found.heading_rate_radps[rolling],
        (found.curvature_radpm * found.speed_mps)[rolling],
        atol=1e-9,
    )
    assert np.isfinite(found.acceleration_mps2).all()
    assert np.isfinite(found.xy_odom_m).all()


def test_a_plan_of_constant_speed_or_acceleration_is_kept():
    found = made(straight(8.0))
    np.testing.assert_allclose(found.speed_mps, 8.0)
    np.testing.assert_allclose(found.acceleration_mps2, 0.0, atol=1e-9)
    t = np.arange(1, 7) * 0.5
    braking = made(Plan(np.stack([10 * t - t**2, 0 * t], axis=1)))
    np.testing.assert_allclose(braking.speed_mps, 10 - 2 * braking.time_s, atol=1e-9)
    np.testing.assert_allclose(braking.acceleration_mps2, -2.0, atol=1e-9)


def test_a_circle_is_followed_with_its_curvature_and_heading():
    xy, _, _ = unicycle(
        speed_mps=8.0, acceleration_mps2=np.zeros(6), curvature_radpm=np.full(6, 0.05), dt_s=0.5
    )
    found = made(Plan(xy))
    np.testing.assert_allclose(found.curvature_radpm, 0.05, atol=0.004)
    np.testing.assert_allclose(found.yaw_ego_rad, 0.4 * found.time_s, atol=0.01)
    np.testing.assert_allclose(found.front_wheel_angle_rad, np.arctan(2.588 * 0.05), atol=0.01)
    np.testing.assert_allclose(found.heading_rate_radps, 0.4, atol=0.03)


def test_poses_are_in_the_odometrys_frame_at_decision_time():
    found = made(straight(8.0))
    assert (found.stamp_us, found.frame_id, found.source) == (1_000_000, "odom", Source.PLANNER)
    np.testing.assert_allclose(found.xy_odom_m[0], [10.0, 20.8])
    np.testing.assert_allclose(found.yaw_odom_rad, np.pi / 2)
    assert found.z_odom_m == pytest.approx(0.3)


def test_a_stop_neither_overshoots_nor_rolls_back_and_holds_its_heading():
    xy = np.array([[4.0, 0.4], [6.5, 1.0], [7.5, 1.4], [7.5, 1.4], [7.5, 1.4], [7.5, 1.4]])
    found = made(Plan(xy))
    assert (np.diff(found.xy_ego_m[:, 0]) >= -1e-9).all()
    assert found.xy_ego_m[:, 0].max() <= 7.5 + 1e-9
    stands = found.time_s >= 1.5
    np.testing.assert_allclose(found.speed_mps[stands], 0.0, atol=1e-9)
    assert len(set(found.yaw_ego_rad[stands])) == 1
    assert found.yaw_ego_rad[-1] == pytest.approx(np.arctan2(0.4, 1.0), abs=0.15)
    assert (np.abs(np.diff(found.yaw_ego_rad)) < 0.2).all()


def test_a_plan_that_stands_keeps_the_egos_heading():
    found = made(Plan(np.full((6, 2), 0.004)))
    np.testing.assert_array_equal(found.yaw_ego_rad, 0.0)
    np.testing.assert_array_equal(found.curvature_radpm, 0.0)


def test_reversing_keeps_the_heading_and_has_a_negative_speed():
    x_m = -1.0 * np.arange(1, 7) * 0.5
    found = made(Plan(np.stack([x_m, np.zeros(6)], axis=1)))
    np.testing.assert_allclose(found.speed_mps, -1.0)
    np.testing.assert_allclose(found.yaw_ego_rad, 0.0)


def test_a_path_leaves_along_the_egos_heading():
    _, velocity, _ = motion_at(Plan(np.array([[3.0, 2.0], [6.0, 4.0]])), np.array([0.0]))
    assert velocity[0, 1] == 0.0


def test_recorded_drives_are_followed_as_they_were_driven():
    recording = bundled()
    for scene in recording.scenes():
        for token in scene.tokens:
            plan = recording.truth(token).future_plan()
            if plan is None:
                continue
            found = made(plan)
            assert plan.yaw_ego_rad is not None
            turning = np.abs(found.speed_mps[4::5]) >= 1.0
            off_rad = found.yaw_ego_rad[4::5] - plan.yaw_ego_rad
            assert np.abs(off_rad[turning]).max(initial=0.0) < 0.05


def test_columns_of_other_lengths_are_refused():
    good = made(straight())
    with pytest.raises(ValueError, match="N > 0 points"):
        Trajectory(
            1, "odom", EGO.odom_from_ego, good.time_s[1:], *[good.xy_ego_m] * 1, *[good.time_s] * 6
        )
