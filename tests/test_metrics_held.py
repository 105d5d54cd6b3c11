"""What a vehicle has at some time: a straight drive along x, with plans as late as you like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.metrics.held import Held, Keyframe, rest_of
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose2
from drivevlm.world.published import Published

START = Pose2(100.0, -50.0, np.pi / 2)
"""Where the drives begin, pointing along the global y axis."""


def at(time_s: float, *, x_m: float = 0.0, scene: str = "s") -> Keyframe:
    """A keyframe at which the ego has come ``x_m`` along its straight way."""
    pose = START @ Pose2(x_m, 0.0, 0.0)
    return Keyframe(f"{scene}-{time_s:g}", scene, round(time_s * 1e6), pose)


def plan(speed_mps: float, *, dt_s: float = 0.5, curvature_radpm: float = 0.0) -> Plan:
    run_m = speed_mps * dt_s * np.arange(1, round(3.0 / dt_s) + 1)
    turn = run_m * curvature_radpm
    if not curvature_radpm:
        return Plan(np.stack([run_m, 0 * run_m], axis=1), dt_s=dt_s)
    xy = np.stack([np.sin(turn), 1 - np.cos(turn)], axis=1) / curvature_radpm
    return Plan(xy, dt_s=dt_s, yaw_ego_rad=turn)


def published(
    one: Plan, stamp_s: float, *, after_s: float = 0.0, x_m: float = 0.0, scene: str = "s"
) -> Published:
    there = at(stamp_s, x_m=x_m, scene=scene)
    return Published.of(
        one,
        scene=scene,
        stamp_us=there.stamp_us,
        global_from_ego=there.global_from_ego,
        latency_us=round(after_s * 1e6),
    )


def test_a_plan_of_10_mps_that_is_one_second_old_still_leads_10_mps_on_from_here():
    rest, reach = rest_of(published(plan(10.0), 0.0), at(1.0, x_m=10.0))
    np.testing.assert_allclose(rest.xy_ego_m[:, 0], [5, 10, 15, 20, 25, 30], atol=1e-9)
    np.testing.assert_allclose(rest.xy_ego_m[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(rest.headings_ego_rad(), 0, atol=1e-12)
    assert reach == 4  # 1.5 s, 2 s, 2.5 s and 3 s of the plan are the next 2 s


def test_a_plan_too_slow_is_behind_by_what_the_ego_drove_meanwhile():
    rest, _ = rest_of(published(plan(8.0), 0.0), at(1.0, x_m=10.0))
    np.testing.assert_allclose(rest.xy_ego_m[:2, 0], [8 * 1.5 - 10, 8 * 2.0 - 10], atol=1e-9)


@pytest.mark.parametrize(("age_s", "reach"), [(0, 6), (0.5, 5), (1.4, 3), (2.9, 0), (9, 0)])
def test_a_plan_reaches_as_many_steps_as_are_left_of_it(age_s, reach):
    assert rest_of(published(plan(4.0), 0.0), at(age_s, x_m=4 * age_s))[1] == reach


def test_a_keyframe_that_comes_a_moment_late_takes_no_step_away():
    assert rest_of(published(plan(4.0), 0.0), at(0.502, x_m=2.0))[1] == 5


def test_a_bend_goes_on_along_its_circle():
    whole = plan(5.0, curvature_radpm=0.1)
    end = Pose2(*whole.xy_ego_m[-1].tolist(), float(whole.yaw_ego_rad[-1]))
    keyframe = Keyframe("s-3", "s", 3_000_000, START @ end)
    rest, reach = rest_of(published(whole, 0.0), keyframe)
    assert reach == 0
    np.testing.assert_allclose(rest.xy_ego_m, whole.xy_ego_m, atol=1e-9)
    np.testing.assert_allclose(rest.headings_ego_rad(), whole.yaw_ego_rad, atol=1e-9)


def test_a_plan_that_reverses_goes_on_reversing():
    rest, _ = rest_of(published(plan(-2.0), 0.0), at(3.0, x_m=-6.0))
    np.testing.assert_allclose(rest.xy_ego_m[:, 0], [-1, -2, -3, -4, -5, -6], atol=1e-9)


def test_a_plan_that_has_stopped_stays_where_it_stopped():
    x_m = np.array([2.0, 3.0, 3.5, 3.5, 3.5, 3.5])
    stopping = Plan(np.stack([x_m, 0 * x_m], axis=1))
    rest, _ = rest_of(published(stopping, 0.0), at(2.5, x_m=3.0))
    np.testing.assert_allclose(rest.xy_ego_m[:, 0], 0.5, atol=1e-9)


def test_fine_and_coarse_plans_of_one_drive_leave_the_same():
    coarse, fine = (
        rest_of(published(plan(6.0, dt_s=dt_s), 0.0), at(0.7, x_m=4.0))[0] for dt_s in (0.5, 0.1)
    )
    np.testing.assert_allclose(fine.xy_ego_m, coarse.xy_ego_m, atol=1e-9)


@pytest.mark.parametrize("time_s", [[0.5], [0.7, 1.2]])
def test_a_plan_that_cannot_be_read_at_these_times_is_refused(time_s):
    n = len(time_s)
    short = Published("s", 0, 0, False, np.array(time_s), np.zeros((n, 2)), np.zeros(n))
    with pytest.raises(ValueError, match="it takes two or more"):
        rest_of(short, at(0.0))


METRES = st.floats(-500, 500, allow_subnormal=False)
ANGLES = st.floats(-3.1, 3.1, allow_subnormal=False)
POSES = st.builds(Pose2, METRES, METRES, ANGLES)


@given(POSES, st.lists(st.tuples(METRES, METRES), min_size=6, max_size=6), ANGLES)
def test_a_plan_moved_to_the_fixed_frame_and_back_is_itself(global_from_ego, xy, yaw_rad):
    yaw = np.full(6, yaw_rad)
    before = Plan(np.array(xy), yaw_ego_rad=yaw)
    moved = Published.of(before, scene="s", stamp_us=7, global_from_ego=global_from_ego)
    after, reach = rest_of(moved, Keyframe("k", "s", 7, global_from_ego))
    assert reach == 6
    np.testing.assert_allclose(after.xy_ego_m, before.xy_ego_m, atol=1e-9)
    turned = np.exp(1j * after.headings_ego_rad()) / np.exp(1j * yaw)
    np.testing.assert_allclose(turned, 1, atol=1e-9)


def speeds(held: Held) -> list[float | None]:
    """By which plan is which told: its first step's speed."""
    return [None if one is None else round(one.speeds_mps()[-1], 6) for one in held.plans]


def test_nothing_is_had_before_it_was_heard():
    plans = [published(plan(3.0), 0.0, after_s=0.7), published(plan(4.0), 0.5, after_s=0.5)]
    held = Held.at([at(0.0), at(0.5), at(1.0), at(1.5)], plans)
    assert speeds(held) == [None, None, 4.0, 4.0]
    assert held.there.tolist() == [False, False, True, True]
    np.testing.assert_allclose(held.age_s, [np.nan, np.nan, 0.5, 1.0])
    assert held.reach.tolist() == [0, 0, 5, 4]


def test_an_artificial_latency_counts_from_the_stamp_whatever_was_heard():
    plans = [published(plan(3.0 + k), 0.5 * k, after_s=2.0) for k in range(3)]
    keyframes = [at(0.5 * k) for k in range(3)]
    assert speeds(Held.at(keyframes, plans, latency_s=0.0)) == [3.0, 4.0, 5.0]
    assert speeds(Held.at(keyframes, plans, latency_s=0.1)) == [None, 3.0, 4.0]
    assert speeds(Held.at(keyframes, plans, latency_s=0.5)) == [None, 3.0, 4.0]
    assert speeds(Held.at(keyframes, plans, latency_s=0.6)) == [None, None, 3.0]


def test_a_controller_follows_the_last_message_also_a_fallback_with_a_younger_stamp():
    stop = Published(
        *("s", 800_000, 800_000, True),
        *(np.array([0.1, 0.2]), np.tile([100.0, -50.0], (2, 1)), np.full(2, np.pi / 2)),
    )
    late = published(plan(4.0), 0.5, after_s=0.9)
    held = Held.at([at(1.0), at(1.5)], [late, stop])
    assert speeds(held) == [0.0, 4.0]
    assert held.fallback.tolist() == [True, False]


def test_plans_of_one_scene_are_not_had_in_another():
    held = Held.at([at(1.0, scene="b")], [published(plan(4.0), 0.0, scene="a")])
    assert speeds(held) == [None]
