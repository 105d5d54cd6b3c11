"""Laws of the runtime as a vehicle meets it: what is decided, published, held back and told."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from dialogue_cases import png
from drive_cases import DELAY_US, RIG, SPEED_MPS, START_US, Puppet, Vehicle, sample, straight
from test_planner import ANSWER, asked, planner

from drivevlm.drive.buffers import Objects
from drivevlm.drive.config import DriveConfig, Fallback, FallbackConfig, GateConfig, SyncConfig
from drivevlm.drive.fallback import fallback_trajectory, stop_trajectory
from drivevlm.drive.health import Level
from drivevlm.drive.plan_message import Source
from drivevlm.drive.runtime import within
from drivevlm.planner import plan_next
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.world.boxes import Box3
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind

GOOD = Decision(plan=straight(), reply="PLAN", request_digest="d" * 64)
BACK = Decision(plan=Plan(-straight().xy_ego_m))
FAILED = Decision.failed(FailureKind.UNREADABLE, "no PLAN\nin the reply")
SYNC = SyncConfig(RIG)


def vehicle(*answers, lockstep: bool = True, **config) -> Vehicle:
    return Vehicle(Puppet(list(answers)), DriveConfig(**({"sync": SYNC} | config)), lockstep)


def falling_back(kind: Fallback, *answers, **config) -> Vehicle:
    return vehicle(*answers, fallback=FallbackConfig(kind), **config)


def test_every_image_of_the_anchor_becomes_a_trajectory_with_its_stamp():
    found = vehicle(GOOD).drive(1.0)
    assert [t.stamp_us for t in found.ears.trajectories] == [
        START_US + k * 100_000 for k in range(11)
    ]
    assert {(t.source, t.frame_id) for t in found.ears.trajectories} == {(Source.PLANNER, "odom")}
    assert found.report.level is Level.OK
    assert found.counts == {"published": 11}
    last = found.ears.trajectories[-1]
    np.testing.assert_allclose(last.xy_odom_m[0], [SPEED_MPS * 1.1, 0.0])


def test_the_reasoning_tells_reply_digest_stamp_and_verdict():
    found = vehicle(GOOD, BACK).drive(0.1)
    told = [json.loads(reasoning.text) for reasoning in found.ears.reasonings]
    assert told[0]["stamp_us"] == START_US
    assert told[0]["clip"] == f"drivevlm-0-{START_US}"
    assert (told[0]["reply"], told[0]["request_digest"]) == ("PLAN", "d" * 64)
    assert told[0]["gate"]["passed"]
    assert {"name": "clearance", "passed": True, "value": None, "limit": 0.0} in told[0]["gate"][
        "checks"
    ]
    assert not told[1]["gate"]["passed"]
    assert len(found.ears.trajectories) == 1


def test_what_the_gate_holds_back_is_not_published_and_the_diagnostic_says_why():
    found = vehicle(GOOD, BACK).drive(0.2)
    assert len(found.ears.trajectories) == 1
    assert found.report.level is Level.WARN
    assert "the gate held the plan back" in found.report.message
    assert "behind" in found.report.message
    assert found.counts["dropped_gate"] == found.counts["gate_behind"] == 2


def test_a_failure_of_the_planner_is_told_in_one_line_and_nothing_is_published():
    found = vehicle(GOOD, FAILED).drive(0.2)
    assert len(found.ears.trajectories) == 1
    assert found.report.message == "unreadable: no PLAN in the reply"
    assert found.counts["failed_unreadable"] == 2
    assert json.loads(found.ears.reasonings[-1].text)["gate"] is None


def test_an_exception_in_the_planner_is_a_counted_failure_and_the_next_image_is_decided_on():
    found = vehicle(ValueError("a bug\nin it"), GOOD).drive(0.1)
    assert found.counts == {"dropped_crashed": 1, "published": 1}
    crashed = vehicle(ValueError("a bug\nin it")).drive(0.1)
    assert crashed.report.message == "crashed: ValueError: a bug in it"


def test_a_late_decision_is_thrown_away():
    found = vehicle(GOOD, max_latency_ms=500)
    found.planner.before = lambda: setattr(found.clock, "now_us", found.clock.now_us + 500_000)
    found.drive(0.0)
    assert found.ears.trajectories == []
    assert found.counts == {"dropped_late": 1}
    assert "0.030 s too late" in found.report.message


def test_what_is_left_of_the_time_is_the_requests_deadline_and_the_memory_stays_one():
    model = planner([ANSWER, ANSWER])
    found = Vehicle(model, DriveConfig(sync=SYNC, max_latency_ms=800)).drive(0.1)
    assert [r.deadline_s for r in model.vlm.requests] == [pytest.approx(0.77)] * 2
    assert found.counts == {"gate_start_speed": 2, "dropped_gate": 2}  # it is asked for 4 m/s
    assert "The road is empty." in asked(model, 1)
    for own_s, least_s in ((0.2, 0.2), (2.0, 0.77)):
        assert within(replace(model, deadline_s=own_s), 0.77).deadline_s == least_s
    puppet = Puppet([GOOD])
    assert within(puppet, 0.1) is puppet


def test_a_reply_that_would_come_too_late_is_given_up():
    model = planner([])
    model.vlm = ScriptedVLM([ANSWER] * 9, delay_s=5.0)
    found = Vehicle(model, DriveConfig(sync=SYNC, max_latency_ms=60)).drive(0.1)
    assert found.counts == {"failed_deadline": 2}
    assert "no reply within the deadline of 0.03 s" in found.report.message


def test_a_silent_anchor_is_an_error_within_half_a_second():
    found = vehicle(GOOD).drive(1.0)
    found.silent = {"CAM_FRONT"}
    found.drive(1.5, from_s=1.05)
    assert found.report.level is Level.ERROR
    assert found.report.message == "CAM_FRONT is silent for 0.50 s"
    assert len(found.ears.reports) == 16  # ten times a second


def test_a_dead_camera_is_a_refusal_unless_it_is_optional():
    needed = vehicle(GOOD)
    needed.silent = {"CAM_BACK"}
    needed.drive(0.5)
    assert needed.planner.clips == []
    assert needed.counts["refused_camera"] == 5  # the newest image still waits for it
    assert needed.counts["missing_CAM_BACK_no_image"] == 5
    optional = vehicle(GOOD, sync=replace(SYNC, optional=("CAM_BACK",)))
    optional.silent = {"CAM_BACK"}
    optional.drive(0.5)
    assert {len(clip.cameras) for clip in optional.planner.clips} == {1}
    assert len(optional.ears.trajectories) == 5


def test_without_odometry_nothing_is_decided_and_the_diagnostic_says_why():
    found = vehicle(GOOD)
    found.silent = {"odometry"}
    found.drive(0.5)
    assert found.planner.clips == []
    assert found.counts["refused_odometry"] >= 4
    assert "no odometry came yet" in found.report.message
    assert found.report.level is Level.ERROR


def test_an_image_waits_for_the_other_cameras_and_the_odometry_but_not_for_long():
    found = vehicle(GOOD).drive(0.5)
    stamp_us, runtime = START_US + 600_000, found.runtime
    found.clock.now_us = stamp_us + DELAY_US
    runtime.on_image("CAM_FRONT", stamp_us, png(1))
    runtime.on_odometry(sample(stamp_us, SPEED_MPS * 0.6))
    assert len(found.planner.clips) == 6
    runtime.on_image("CAM_BACK", stamp_us - 2_000, png(2))
    assert len(found.planner.clips) == 7
    stamp_us += 100_000
    found.clock.now_us = stamp_us + DELAY_US
    runtime.on_image("CAM_FRONT", stamp_us, png(3))
    runtime.on_odometry(sample(stamp_us, SPEED_MPS * 0.7))
    assert len(found.planner.clips) == 7
    found.clock.now_us += 50_000
    runtime.on_tick()
    assert found.counts["refused_camera"] == 1  # the other's newest image lies 102 ms before


def looped(found: Vehicle) -> None:
    """The bag begins anew."""
    found.drive(0.2)


def jumped(found: Vehicle) -> None:
    """The localisation finds itself elsewhere; driving goes on there."""
    found.runtime.on_odometry(sample(START_US + 1_050_000, 500.0))
    found.clock.now_us += 100_000
    stamp_us = START_US + 1_100_000
    found.runtime.on_odometry(sample(stamp_us, 500.0 + SPEED_MPS * 0.05))
    for name in RIG:
        found.runtime.on_image(name, stamp_us, png(1))


def rewound(found: Vehicle) -> None:
    """The clock goes back first, the sensors follow."""
    found.clock.now_us = START_US
    found.runtime.on_tick()
    found.drive(0.2)


@pytest.mark.parametrize("event", [looped, jumped, rewound])
def test_a_clearing_is_told_begins_a_new_memory_and_voids_the_last_plan(event):
    anywhere = GateConfig(start_m=1e3, behind_m=1e3)  # else the gate would hold the last plan back
    found = falling_back(Fallback.PREVIOUS, *[GOOD] * 11, FAILED, gate=anywhere).drive(1.0)
    event(found)
    found.runtime.on_tick()
    assert found.counts["cleared"] == 1
    assert [clip.scene for clip in found.planner.clips[10:12]] == ["drivevlm-0", "drivevlm-1"]
    history = found.planner.clips[11].history
    assert history is not None
    assert len(history.stamp_us) == 1
    assert {t.source for t in found.ears.trajectories} == {Source.PLANNER}


def test_a_clearing_is_in_the_diagnostics_until_a_plan_is_published():
    found = vehicle(GOOD).drive(1.0)
    found.clock.now_us = START_US
    found.runtime.on_tick()
    assert "history was cleared: time went backwards: the clock by 1.030 s" in found.report.message
    found.drive(0.2)
    assert found.report.level is Level.OK


def test_what_was_begun_before_a_clearing_is_not_published():
    found = vehicle(GOOD).drive(0.5)
    jump = sample(START_US + 550_000, 500.0)
    found.planner.before = lambda: found.runtime.on_odometry(jump)
    found.runtime.on_odometry(sample(START_US + 540_000, SPEED_MPS * 0.54))
    for name in RIG:
        found.runtime.on_image(name, START_US + 540_000, png(9))
    assert found.counts["dropped_cleared"] == 1
    assert len(found.ears.trajectories) == 6


def test_objects_are_proposals_for_the_planner_and_obstacles_for_the_gate():
    found = vehicle(GOOD).drive(0.4)
    box = Box3.typical("car", x_ego_m=20.0, y_ego_m=0.0)
    found.runtime.on_objects(Objects(START_US + 400_000, (box,)))
    found.drive(0.5, from_s=0.45)
    proposals = found.planner.clips[-1].proposals
    assert proposals is not None
    assert proposals.boxes[0].center_ego_m[0] == pytest.approx(20.0 - 0.8)
    assert found.counts["gate_clearance"] == 1


def test_the_executor_never_waits_and_the_newest_image_wins():
    begun, go, decided = threading.Event(), threading.Event(), threading.Event()
    found = vehicle(GOOD, lockstep=False)
    found.planner.before = lambda: (begun.set(), go.wait(5.0))
    found.ears.heard = lambda: decided.set() if len(found.ears.reasonings) == 2 else None
    found.drive(0.0)
    assert begun.wait(5.0)
    found.drive(0.5, from_s=0.05)
    go.set()
    assert decided.wait(5.0)
    assert found.runtime.stop()
    assert [clip.t0_us for clip in found.planner.clips][1:] == [START_US + 500_000]
    assert found.counts["dropped_busy"] == 4


def test_without_a_declared_fallback_nothing_is_published_in_place_of_a_plan():
    found = vehicle(GOOD, FAILED).drive(2.0)
    assert len(found.ears.trajectories) == 1
    assert found.report.level is Level.ERROR
    assert "no plan for 2.03 s" in found.report.message


def test_the_previous_plan_keeps_its_stamp_is_marked_and_ends_at_its_greatest_age():
    found = falling_back(Fallback.PREVIOUS, GOOD, FAILED).drive(2.0)
    first, *others = found.ears.trajectories
    assert others
    assert {t.stamp_us for t in others} == {first.stamp_us}
    assert {t.source for t in others} == {Source.PREVIOUS}
    np.testing.assert_array_equal(others[0].xy_odom_m, first.xy_odom_m)
    # Published at 0.1, 0.2, ... 0.9 s, once or twice each, and held back from 1.03 s on.
    assert found.counts["fallback_held_back"] >= 10
    assert "'previous' is published in place of a plan" in found.report.message


def test_the_previous_plan_is_judged_again():
    found = falling_back(Fallback.PREVIOUS, GOOD, FAILED).drive(0.0)
    box = Box3.typical("car", x_ego_m=15.0, y_ego_m=0.0)
    found.runtime.on_objects(Objects(START_US, (box,)))
    found.drive(0.3, from_s=0.05)
    assert len(found.ears.trajectories) == 1
    assert found.counts["fallback_held_back"] == 3


def test_a_stop_begins_where_the_ego_is_now_and_is_marked():
    found = falling_back(Fallback.STOP, GOOD, FAILED).drive(0.1)
    stop = found.ears.trajectories[-1]
    assert (stop.source, stop.stamp_us) == (Source.STOP, START_US + 100_000)
    np.testing.assert_allclose(stop.speed_mps, np.maximum(0, 8 - 3 * stop.time_s), atol=1e-9)
    np.testing.assert_allclose(stop.xy_odom_m[-1, 0], 0.8 + 8**2 / 6, atol=1e-6)
    assert stop.xy_odom_m[0, 0] == pytest.approx(0.8 + 0.785)


def test_a_dead_anchor_makes_the_fallback_due():
    found = falling_back(Fallback.STOP, GOOD).drive(1.0)
    found.silent = {"CAM_FRONT"}
    found.drive(2.0, from_s=1.05)
    made = [t.stamp_us - START_US for t in found.ears.trajectories if t.source is Source.STOP]
    assert made[0] == 1_500_000  # half a second after the last plan
    assert made == list(range(1_500_000, 2_000_001, 100_000))


def test_a_stop_is_published_before_an_obstacle_too_but_not_from_an_old_pose():
    found = falling_back(Fallback.STOP, FAILED).drive(0.0)
    box = Box3.typical("car", x_ego_m=8.0, y_ego_m=0.0)
    found.runtime.on_objects(Objects(START_US, (box,)))
    found.drive(0.1, from_s=0.05)
    assert [t.source for t in found.ears.trajectories] == [Source.STOP] * 2
    blind = falling_back(Fallback.STOP, GOOD).drive(0.0)
    blind.silent = {"odometry"}
    blind.drive(2.0, from_s=0.1)
    stops = [t for t in blind.ears.trajectories if t.source is Source.STOP]
    assert {t.stamp_us for t in stops} == {START_US}
    assert blind.counts["fallback_held_back"] >= 10  # the pose is more than a second old


def test_a_clearing_does_not_take_the_fallback_away():
    found = falling_back(Fallback.STOP, GOOD).drive(1.0)
    found.silent = {"CAM_FRONT"}
    found.runtime.on_odometry(sample(START_US + 1_050_000, 500.0))
    for k in range(1, 8):
        stamp_us = START_US + 1_050_000 + k * 100_000
        found.clock.now_us = stamp_us + DELAY_US
        found.runtime.on_odometry(sample(stamp_us, 500.0 + k * 0.8))
        found.runtime.on_tick()
    stops = [t for t in found.ears.trajectories if t.source is Source.STOP]
    assert stops
    assert stops[-1].xy_odom_m[0, 0] > 500.0


def test_a_stop_turns_as_the_ego_does_and_a_standing_ego_stands():
    config, box = FallbackConfig(Fallback.STOP), DriveConfig().vehicle
    turning = stop_trajectory(config, sample(0, 0.0, yaw_rate_radps=0.8), box)
    np.testing.assert_allclose(turning.curvature_radpm, 0.1)
    assert turning.xy_ego_m[-1, 1] > 4.0
    standing = stop_trajectory(config, sample(0, 0.0, speed_mps=0.0, yaw_rate_radps=0.3), box)
    np.testing.assert_array_equal(standing.xy_ego_m, 0.0)
    reversing = stop_trajectory(config, sample(0, 0.0, speed_mps=-1.0), box)
    assert reversing.speed_mps[-1] == 0.0
    assert reversing.xy_ego_m[-1, 0] == pytest.approx(-1 / 6)


def test_no_fallback_is_made_of_nothing():
    for kind in Fallback:
        made = fallback_trajectory(
            FallbackConfig(kind), last=None, now=None, vehicle=DriveConfig().vehicle
        )
        assert made is None


def test_unknown_cameras_are_counted_and_change_nothing():
    found = vehicle(GOOD)
    found.runtime.on_image("CAM_TOP", START_US, b"jpeg")
    assert found.counts == {"images_of_unknown_cameras": 1}


@pytest.mark.parametrize(
    ("group", "wrong"),
    [
        (SyncConfig, {"cameras": ("A", "A"), "anchor": "A"}),
        (SyncConfig, {"anchor": "CAM_TOP"}),
        (SyncConfig, {"optional": ("CAM_FRONT",)}),
        (SyncConfig, {"tolerance_ms": 101.0}),
        (SyncConfig, {"frames": 0}),
        (GateConfig, {"start_m": 0.0}),
        (GateConfig, {"clearance_m": -1.0}),
        (FallbackConfig, {"brake_mps2": float("nan")}),
        (DriveConfig, {"max_latency_ms": 0.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(group, wrong):
    with pytest.raises(ValueError, match=r"^[^\n]*got[^\n]*$"):
        group(**wrong)


def test_the_decisions_of_the_runtime_are_those_of_plan_next():
    """On the same clip the planner is asked the same, so a bag can be looked at afterwards."""
    model = planner([ANSWER, ANSWER])
    found = Vehicle(model).drive(0.0)
    probe = Puppet([GOOD])
    Vehicle(probe).drive(0.0)
    again = plan_next(planner([ANSWER]), probe.clips[0])
    assert found.ears.reasonings[0].decision.request_digest == again.request_digest


def test_a_callback_that_waits_its_turn_is_no_clock_that_goes_backwards():
    """The clock is read when it is a callback's turn, not when it comes."""
    found = vehicle(GOOD).drive(1.0)
    runtime, before_us = found.runtime, found.clock.now_us
    with runtime._lock:
        late = threading.Thread(target=runtime.on_objects, args=(Objects(before_us, ()),))
        late.start()
        late.join(0.05)  # it waits
        found.clock.now_us = before_us + 300_000
        runtime._watch(found.clock.now_us)  # what another callback does meanwhile
    late.join()
    assert found.counts.get("cleared", 0) == 0
