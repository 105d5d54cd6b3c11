"""Laws of what may be published."""

from dataclasses import fields, replace

import numpy as np
import pytest
from drive_cases import SPEED_MPS, bundled, sample, straight
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.config import GateConfig, VehicleConfig
from drivevlm.drive.gate import CheckName, clearance_m, judge
from drivevlm.drive.plan_message import Trajectory, trajectory_of
from drivevlm.world.boxes import Box3
from drivevlm.world.kinematics import unicycle
from drivevlm.world.labels import boxes_now
from drivevlm.world.plan import Plan

EGO = sample(1_000_000, 100.0, 50.0, 0.7)
VEHICLE = VehicleConfig()


def made(plan: Plan, ego=EGO) -> Trajectory:
    return trajectory_of(plan, ego, wheelbase_m=VEHICLE.wheelbase_m)


def verdict(trajectory: Trajectory, **more):
    options = {
        "now_us": trajectory.stamp_us + 300_000,
        "then_mps": SPEED_MPS,
        "now": EGO,
        "objects": (),
        "limits": GateConfig(),
        "vehicle": VEHICLE,
    } | more
    return judge(trajectory, **options)


def failed(trajectory: Trajectory, **more) -> set[str]:
    return {check.name.value for check in verdict(trajectory, **more).failed}


def driven(acceleration_mps2: float = 0.0, bend: float = 0.0, speed_mps: float = SPEED_MPS) -> Plan:
    xy, _, _ = unicycle(
        speed_mps=speed_mps,
        acceleration_mps2=np.full(6, acceleration_mps2),
        curvature_radpm=np.full(6, bend),
        dt_s=0.5,
    )
    return Plan(xy)


def car(x_m: float, y_m: float = 0.0, velocity=None, yaw_rad: float = 0.0) -> Box3:
    box = Box3.typical("car", x_ego_m=x_m, y_ego_m=y_m)
    speed = None if velocity is None else np.array(velocity)
    return replace(box, velocity_ego_mps=speed, yaw_ego_rad=yaw_rad)


def test_a_plain_drive_passes_and_every_check_was_made():
    found = verdict(made(straight()))
    assert found.passed
    assert str(found) == "passed"
    assert [check.name for check in found.checks] == list(CheckName)


def test_recorded_futures_pass_with_the_limits_of_the_defaults():
    recording, count = bundled(), 0
    for scene in recording.scenes():
        for token in scene.tokens:
            truth, status = recording.truth(token), recording.clip(token).status
            plan = truth.future_plan()
            if plan is None or status is None:
                continue  # without a past neither the ego's speed nor those of others are known
            ego = replace(sample(truth.now.stamp_us, 0.0), odom_from_ego=truth.now.global_from_ego)
            found = verdict(
                made(plan, ego), then_mps=status.speed_mps, now=ego, objects=boxes_now(truth)
            )
            assert found.passed, f"{token}: {found}"
            count += 1
    assert count == 54


@given(st.floats(7.5, 30.0))
def test_harder_than_the_limit_forwards_is_held_back(acceleration_mps2):
    assert "speed_up" in failed(made(driven(acceleration_mps2)))


@given(st.floats(9.5, 15.0))
def test_harder_braking_than_the_limit_is_held_back(brake_mps2):
    assert "brake" in failed(made(driven(-brake_mps2, speed_mps=30.0)), then_mps=30.0)


@given(st.floats(0.36, 0.6), st.sampled_from([-1, 1]))
def test_a_tighter_bend_than_the_limit_is_held_back(bend, side):
    found = failed(made(driven(bend=side * bend, speed_mps=2.0)), then_mps=2.0)
    assert "curvature" in found


@given(st.floats(11.5, 25.0), st.sampled_from([-1, 1]))
def test_a_faster_turn_than_the_limit_is_held_back(speed_mps, side):
    found = failed(made(driven(bend=side * 0.06, speed_mps=speed_mps)), then_mps=speed_mps)
    assert "lateral" in found


@given(st.floats(1.1, 60.0), st.floats(-np.pi, np.pi))
def test_a_path_that_begins_elsewhere_than_the_ego_is_held_back(away_m, way_rad):
    here = EGO.odom_from_ego.planar()
    side_m = here.apply(np.array([-away_m * abs(np.cos(way_rad)), away_m * np.sin(way_rad)]))
    moved = sample(1_300_000, float(side_m[0]), float(side_m[1]), here.yaw_rad)
    assert "start" in failed(made(straight()), now=moved)


def test_a_path_the_ego_has_driven_on_is_one_that_starts_where_it_is():
    ahead = EGO.odom_from_ego.planar().apply(np.array([2.4, 0.1]))
    moved = sample(1_300_000, float(ahead[0]), float(ahead[1]), 0.7)
    assert verdict(made(straight()), now=moved).passed


def test_a_plan_that_lies_behind_the_ego_is_held_back():
    back = Plan(np.stack([-4.0 * np.arange(1, 7), np.zeros(6)], axis=1))
    assert {"behind", "start_speed"} <= failed(made(back))
    over = EGO.odom_from_ego.planar().apply(np.array([24.9, 0.0]))  # the plan ends at 24 m
    assert "behind" in failed(made(straight()), now=sample(4_000_000, *over.tolist(), 0.7))


def test_a_plan_older_than_the_limit_is_held_back():
    assert failed(made(straight()), now_us=2_000_000) == set()
    assert failed(made(straight()), now_us=2_000_001) == {"age"}


def test_a_plan_of_the_future_is_held_back_but_not_for_some_milliseconds():
    assert failed(made(straight()), now_us=950_000) == set()
    found = verdict(made(straight()), now_us=949_999)
    assert {check.name for check in found.failed} == {"age"}
    assert str(verdict(made(straight()), now_us=-11_000_000)) == "age -12, limit -0.05"


def test_a_first_point_at_another_speed_than_the_egos_is_held_back():
    assert failed(made(straight()), then_mps=SPEED_MPS - 2.9) == set()
    assert failed(made(straight()), then_mps=SPEED_MPS - 3.1) == {"start_speed"}


def test_times_that_do_not_increase_are_held_back():
    good = made(straight())
    for row, time_s in ((0, 0.0), (3, good.time_s[2]), (5, 0.1)):
        times = good.time_s.copy()
        times[row] = time_s
        assert "monotone" in failed(replace(good, time_s=times))


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_is_no_number_of_a_road_is_held_back(wild):
    good = made(straight())
    for part in fields(good):
        column = getattr(good, part.name)
        if isinstance(column, np.ndarray):
            spoilt = column.copy()
            spoilt.flat[-1] = wild
            assert failed(replace(good, **{part.name: spoilt})) == {"finite"}


def test_where_the_ego_is_unknown_nothing_is_published():
    assert failed(made(straight()), now=None) == {"start", "behind"}
    assert failed(made(straight()), now=replace(EGO, frame_id="map")) == {"start", "behind"}
    assert failed(made(straight()), objects=None) == {"clearance"}


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        (car(20.0), True),  # it stands in the way
        (car(20.0, velocity=(8.0, 0.0)), False),  # it drives on before us
        (car(20.0, velocity=(2.0, 0.0)), True),
        (car(20.0, 3.0), False),  # it stands beside
        (car(16.0, -12.0, velocity=(0.0, 6.0), yaw_rad=np.pi / 2), True),  # both at 2 s
        (car(16.0, -30.0, velocity=(0.0, 6.0), yaw_rad=np.pi / 2), False),
        (car(-8.0, velocity=(20.0, 0.0)), False),  # it comes from behind and minds itself
        (car(40.0, velocity=(-8.0, 0.0)), True),  # it comes towards us
        (car(60.0), False),  # beyond the horizon
    ],
)
def test_a_plan_that_meets_an_object_it_was_told_of_is_held_back(box, hit):
    assert failed(made(straight()), objects=(car(10.0, 20.0), box)) == (
        {"clearance"} if hit else set()
    )


def test_the_way_to_an_object_is_measured_from_the_egos_box():
    # The front bumper ends at 24 + 1.486 + 2.042 m, the car's tail begins at 40 - 2.31 m.
    found = clearance_m(made(straight()), (car(40.0),), vehicle=VEHICLE, until_s=3.0)
    assert found == pytest.approx(40 - 2.31 - (24 + 1.486 + 2.042))


def test_boxes_turn_with_the_path():
    turn = made(driven(bend=0.05))
    end, yaw = turn.xy_ego_m[-1], turn.yaw_ego_rad[-1]
    front = end + 3.0 * np.array([np.cos(yaw), np.sin(yaw)])
    cone = Box3.typical("traffic_cone", x_ego_m=float(front[0]), y_ego_m=float(front[1]))
    assert failed(turn, objects=(cone,)) == {"clearance"}


number = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-50, 50)


@given(st.lists(number, min_size=10, max_size=10), st.lists(number, min_size=10, max_size=10))
def test_the_gate_never_raises_and_every_check_states_number_and_limit(one, other):
    column = np.array(one[:5])
    wild = Trajectory(
        1_000_000,
        "odom",
        EGO.odom_from_ego,
        np.array(other[5:]),
        np.array([one[:5], one[5:]]).T,
        *[column] * 6,
    )
    sizes = np.abs(np.nan_to_num(np.array(other[:3]), nan=1.0, posinf=1e308)) + 1e-3
    box = replace(car(5.0, velocity=np.nan_to_num(other[3:5])), size_lwh_m=np.minimum(sizes, 1e308))
    found = verdict(wild, objects=(box,))
    assert found.checks
    assert str(found)
    assert found.passed == (not found.failed)
