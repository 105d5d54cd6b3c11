import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.world.kinematics import (
    SpeedClass,
    TurnClass,
    admits,
    distance_run,
    kinematic_class,
    unicycle,
)
from drivevlm.world.plan import Plan, carried_forward, path_of_point
from drivevlm.world.pose import Pose2
from drivevlm.world.sets import Lateral, Longitudinal, MetaDecision


def ahead(speed_mps: float, steps: int = 6) -> Plan:
    x_m = speed_mps * 0.5 * np.arange(1, steps + 1)
    return Plan(np.stack([x_m, np.zeros(steps)], axis=1))


def test_a_plan_with_nan_or_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="waypoint 1 is"):
        Plan(np.array([[1.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match=r"\(T, 2\)"):
        Plan(np.zeros((6, 3)))


def test_moving_a_point_turns_with_the_body_and_is_no_change_of_axes():
    # A quarter turn to the left: the lidar, 1 m ahead of the axle, ends up 1 m to the left of it.
    plan = Plan(np.array([[5.0, 5.0]]), yaw_ego_rad=np.array([np.pi / 2]))
    path = path_of_point(plan, point_ego_m=np.array([1.0, 0.0]))
    np.testing.assert_allclose(path, [[5.0, 6.0]], atol=1e-12)


def test_a_heading_is_the_tangent_and_is_held_at_standstill():
    xy = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.01], [1.0, 1.01]])
    headings = Plan(xy).headings_ego_rad()
    np.testing.assert_allclose(headings, [0.0, np.pi / 2, np.pi / 2, np.pi / 2], atol=1e-12)


def test_reversing_keeps_the_nose_ahead():
    headings = Plan(np.array([[-1.0, 0.0], [-2.0, 0.0]])).headings_ego_rad()
    np.testing.assert_allclose(headings, [0.0, 0.0], atol=1e-12)


def test_an_old_plan_is_shifted_in_time_and_moved_into_todays_frame():
    # Half a second ago we were 5 m behind; the old plan went straight at 10 m/s.
    moved = carried_forward(ahead(10.0), now_from_then=Pose2(-5.0, 0.0, 0.0), age_s=0.5)
    assert moved is not None
    np.testing.assert_allclose(moved.xy_ego_m[:, 0], [5.0, 10.0, 15.0, 20.0, 25.0])


def test_nothing_is_invented_beyond_the_end_of_an_old_plan():
    still = Pose2(0.0, 0.0, 0.0)
    assert carried_forward(ahead(1.0), now_from_then=still, age_s=2.9) is None
    odd = carried_forward(ahead(1.0), now_from_then=still, age_s=0.7)
    assert odd is not None
    assert len(odd.xy_ego_m) == 4


def test_the_unicycle_drives_a_circle():
    quarter = np.pi / 2 * 10.0  # m, on a radius of 10 m
    xy, yaw, speeds = unicycle(
        speed_mps=quarter / 2,
        acceleration_mps2=np.zeros(4),
        curvature_radpm=np.full(4, 0.1),
        dt_s=0.5,
    )
    np.testing.assert_allclose(xy[-1], [10.0, 10.0], atol=1e-9)
    assert yaw[-1] == pytest.approx(np.pi / 2)
    assert speeds[-1] == pytest.approx(quarter / 2)


def test_braking_ends_at_standstill():
    run_m, after = distance_run(4.0, -8.0, 1.0)
    assert (run_m, after) == (pytest.approx(1.0), 0.0)


@given(st.floats(-5, 30), st.floats(-8, 5))
def test_braking_never_turns_into_reversing(speed, acceleration):
    run_m, after = distance_run(speed, acceleration, 0.5)
    assert after * speed >= 0
    if speed != 0:
        assert run_m * speed >= 0


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (ahead(0.0), (SpeedClass.STOP, TurnClass.STRAIGHT)),
        (ahead(8.0), (SpeedClass.KEEP, TurnClass.STRAIGHT)),
        (
            Plan(np.array([[2.0, 0], [4, 0], [5.5, 0.2], [6.5, 1], [7, 2], [7.2, 3.2]])),
            (SpeedClass.SLOW, TurnClass.LEFT),
        ),
    ],
)
def test_a_plan_has_the_class_that_its_waypoints_show(plan, expected):
    assert kinematic_class(plan) == expected


def test_a_decision_admits_some_classes_and_not_others():
    left = MetaDecision(Longitudinal.STOP, Lateral.TURN_LEFT)
    assert admits(left, (SpeedClass.STOP, TurnClass.STRAIGHT))
    assert admits(left, (SpeedClass.SLOW, TurnClass.LEFT))
    assert not admits(left, (SpeedClass.SLOW, TurnClass.STRAIGHT))
    assert not admits(left, (SpeedClass.KEEP, TurnClass.LEFT))
