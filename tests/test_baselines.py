from dataclasses import replace

import numpy as np
import pytest
from small_world import SmallRecording

from drivevlm.baselines import MOTIONS, Baseline
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.pose import Pose2
from drivevlm.world.sets import FailureKind, Provenance


def clip(**changes):
    return replace(SmallRecording().clip("s0-5"), **changes)


def status(speed, acceleration=0.0, yaw_rate=0.0):
    return EgoStatus(speed, acceleration, yaw_rate, Provenance.PAST_POSES)


def plan_of(name, of):
    plan = Baseline(name).decide(of).plan
    assert plan is not None
    return plan.xy_ego_m


@pytest.mark.parametrize("name", ["constant_velocity", "ctrv", "ctra", "ego_extrapolate"])
def test_a_straight_drive_is_continued_by_every_motion_model(name):
    x_m = plan_of(name, clip())[:, 0]
    np.testing.assert_allclose(x_m, [2, 4, 6, 8, 10, 12], atol=1e-9)


def test_stop_stays():
    assert (plan_of("stop", clip()) == 0).all()


def test_ctrv_drives_a_circle():
    xy = plan_of("ctrv", clip(status=status(10 * np.pi / 6, yaw_rate=np.pi / 6)))
    np.testing.assert_allclose(xy[-1], [10.0, 10.0], atol=1e-9)  # a quarter of a 10 m circle


def test_ctra_brakes_to_standstill_and_no_further():
    xy = plan_of("ctra", clip(status=status(4.0, acceleration=-4.0)))
    np.testing.assert_allclose(xy[:, 0], [1.5, 2, 2, 2, 2, 2])


def test_ctra_brakes_to_standstill_in_reverse_too():
    xy = plan_of("ctra", clip(status=status(-2.0, acceleration=2.0)))
    np.testing.assert_allclose(xy[:, 0], [-0.75, -1, -1, -1, -1, -1])


def test_ctra_keeps_its_turn_rate_while_it_speeds_up():
    plan = Baseline("ctra").decide(clip(status=status(4.0, 2.0, yaw_rate=0.2))).plan
    assert plan is not None
    assert plan.yaw_ego_rad is not None
    np.testing.assert_allclose(plan.yaw_ego_rad, 0.2 * 0.5 * np.arange(1, 7))
    middle_s = (np.arange(300_000) + 0.5) * 1e-5
    speed, yaw = 4.0 + 2.0 * middle_s, 0.2 * middle_s
    slow = [(speed * turned).sum() * 1e-5 for turned in (np.cos(yaw), np.sin(yaw))]
    np.testing.assert_allclose(plan.xy_ego_m[-1], slow, atol=1e-8)


def test_extrapolation_follows_a_parabola():
    past = [Pose2(0.5 * 4.0 * (0.5 * k) ** 2, 0.0, 0.0) for k in range(4)]
    history = EgoHistory.from_poses(past, stamp_us=[500_000 * k for k in range(4)])
    x_m = plan_of("ego_extrapolate", clip(history=history))[:, 0]
    expected = [0.5 * 4.0 * (0.5 * k) ** 2 - 4.5 for k in range(4, 10)]
    np.testing.assert_allclose(x_m, expected, atol=1e-9)


@pytest.mark.parametrize("name", sorted(set(MOTIONS) - {"stop"}))
def test_a_missing_past_is_a_counted_failure_and_never_a_guess(name):
    decision = Baseline(name).decide(SmallRecording().clip("s0-0"))
    assert decision.failure is not None
    assert decision.failure.kind is FailureKind.NO_PAST
