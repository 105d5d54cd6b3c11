"""Laws of the fault soak: what goes wrong, who judges the plans, and what breaks a bound."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
from collections import Counter
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drive_bus import LocalBus
from drive_cases import SPEED_MPS, straight
from test_drive_replay_faults import START_US, drive

from drivevlm.drive.messages.outgoing import trajectory_message
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.plan_message import trajectory_of
from drivevlm.drive.replay.event import CLOCK
from drivevlm.drive.replay.motion import EgoMotion
from drivevlm.drive.topics import TRAJECTORY
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.track import QuaternionPose

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = ("episodes", "heard", "told", "node")
with pytest.MonkeyPatch.context() as path:
    path.setattr(sys, "path", [*sys.path, str(BENCHMARKS)])
    episodes, heard, told, node = (import_module(f"soaking.{part}") for part in PARTS)
BUS = LocalBus()
POSE = Pose3.from_pose2(Pose2(100.0, 50.0, np.pi / 2), 0.0)
SCENES = [drive(8.0), drive(8.0).shifted(10**9)]


# What goes wrong


def played(count: int, *, seed: int = 0):
    found: list = []
    endless = episodes.troubled(SCENES, found, seed=seed)
    return [next(endless) for _ in range(count)], found


def test_each_round_has_every_fault_once_and_the_seed_decides():
    _, found = played(18)
    kinds = [episode.kind for episode in found if episode.kind != episodes.SEAM]
    assert Counter(kinds[:9]) == Counter(kinds[9:]) == Counter(list(episodes.KINDS))
    assert played(9)[1] == played(9)[1]
    assert played(9)[1] != played(9, seed=1)[1]


def test_the_clock_goes_back_where_a_fault_says_so_and_nowhere_else():
    streams, found = played(9)
    faults = [episode.kind for episode in found if episode.kind != episodes.SEAM]
    before_us = 0
    for stream, kind in zip(streams, faults, strict=True):
        times = [event.stamp_us for event in stream.events if event.line.topic is CLOCK]
        back = [one > other for one, other in pairwise(times)]
        late = {"delay", "reorder", "clock back", "clock ahead"}  # the last one: at its end
        assert any(back) == (kind in late)
        assert stream.events[0].stamp_us > before_us
        before_us = stream.events[-1].stamp_us


def test_a_fault_lies_within_its_scene_and_leaves_time_to_recover():
    streams, found = played(9)
    for number, stream in enumerate(streams):
        seam, fault = found[2 * number : 2 * number + 2]
        assert seam.from_us == stream.events[0].at_us
        assert seam.until_us < fault.from_us < fault.until_us
        assert fault.until_us + 2_000_000 < stream.events[-1].at_us


# The judge


def tick(speed_mps: float = SPEED_MPS):
    motion = EgoMotion(START_US, QuaternionPose.of(POSE), speed_mps, 0.0, 0.0)
    return heard.Tick(motion, "scene-1", "")


def message():
    ego = OdometrySample(START_US, POSE, SPEED_MPS, 0.0, "scene-1")
    trajectory = trajectory_of(straight(), ego, wheelbase_m=2.6)
    return trajectory_message(BUS, trajectory, START_US * 1000)


def test_a_plan_from_where_the_ego_is_is_valid():
    assert heard.faults_of(message(), tick()) == []


def emptied(plan):
    plan.points = []


def without_a_number(plan):
    plan.points[3].acceleration_mps2 = math.nan


def going_back_in_time(plan):
    plan.points[4].time_from_start = plan.points[2].time_from_start


def begun_elsewhere(plan):
    for point in plan.points:
        point.pose.position.x += 3.0


def leaping(plan):
    for point in plan.points[10:]:
        point.pose.position.y += 30.0


def turned_to_nothing(plan):
    plan.points[0].pose.orientation.w = 0.0


def in_another_frame(plan):
    plan.header.frame_id = "scene-2"


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (emptied, "it has no points"),
        (without_a_number, "not finite"),
        (going_back_in_time, "its times do not increase"),
        (begun_elsewhere, r"it begins 3\.\d m from the ego"),
        (leaping, r"it leaps, at 3\d\d m/s"),
        (turned_to_nothing, "a quaternion is none"),
        (in_another_frame, "in the frame scene-2 and not in scene-1"),
    ],
)
def test_the_judge_finds_what_is_wrong_with_a_plan(harm, why):
    plan = message()
    harm(plan)
    soak = heard.Soak(4.0, ticks={START_US: tick()})
    soak.on_trajectory(plan)
    (wrong,) = soak.invalid
    assert re.search(why, wrong)
    assert not soak.ticks[START_US].published


def test_a_plan_of_no_picture_is_invalid():
    soak = heard.Soak(4.0)
    soak.on_trajectory(message())
    assert soak.invalid == [f"{START_US}: its stamp is no picture's"]


# The bounds


def whole():
    """Forty ticks without a fault and an anchor that is lost for 3 s; 4 s of it pass in 1 s."""
    soak = heard.Soak(4.0)
    for k in range(40):
        stamp_us, wall_s = START_US + k * 500_000, k / 8
        soak.ticks[stamp_us] = heard.Tick(tick().ego, "scene-1", "", "passed", published=True)
        soak.sent.append(node.Sent(stamp_us, stamp_us + 300_000, wall_s + 0.075))
    soak.memory += [node.Memory(float(k), 120.0) for k in range(10)]
    lost = episodes.Episode(episodes.LOSS, START_US, START_US + 3_000_000)
    lost.last_picture_s, lost.told_s, lost.over_s = 1.0, 1.25, 1.75
    soak.episodes.append(lost)
    return soak


def broken(soak) -> list[str]:
    told.settle(soak)
    return [bound.what for bound in told.bounds(soak) if not bound.kept]


def test_a_soak_in_which_nothing_happened_keeps_all_bounds():
    soak = whole()
    assert broken(soak) == []
    assert soak.episodes[0].recovery_s == pytest.approx(4 * 0.075)


def unplanned(soak):
    for tick_ in list(soak.ticks.values())[:3]:
        tick_.published = False


def too_old(soak):
    stamp_us = soak.sent[5].stamp_us
    soak.sent[5] = node.Sent(stamp_us, stamp_us + 1_000_001, soak.sent[5].wall_s)


def of_the_future(soak):
    stamp_us = soak.sent[5].stamp_us
    soak.sent[5] = node.Sent(stamp_us, stamp_us - 60_000, soak.sent[5].wall_s)


def of_the_future_as_the_node_saw(soak):
    stamp_us = soak.sent[5].stamp_us
    soak.sent[5] = node.Sent(stamp_us, stamp_us - 12_000_000, 0.7, stamp_us - 12_000_000)


def too_old_as_the_node_saw(soak):
    stamp_us = soak.sent[5].stamp_us
    soak.sent[5] = node.Sent(stamp_us, stamp_us + 1_000_002, 0.7, stamp_us + 1_000_001)


def never_recovered(soak):
    soak.episodes[0].over_s = 100.0


def late_again(soak):
    soak.sent = [sent for sent in soak.sent if not 1.75 <= sent.wall_s < 2.26]


def never_told(soak):
    soak.episodes[0].told_s = math.nan


def told_late(soak):
    soak.episodes[0].told_s = 1.51


def growing(soak):
    soak.memory = [node.Memory(float(k), 120.0 + 1.2 * k) for k in range(10)]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (unplanned, "of 40 ticks without a fault"),
        (lambda soak: soak.invalid.append("it leaps"), "invalid plans"),
        (too_old, "plans older than 1 s, or of the future"),
        (of_the_future, "plans older than 1 s, or of the future"),
        (of_the_future_as_the_node_saw, "plans older than 1 s, or of the future"),
        (too_old_as_the_node_saw, "plans older than 1 s, or of the future"),
        (lambda soak: soak.raised.append("KeyError"), "exceptions"),
        (never_recovered, "a valid plan again"),
        (late_again, "a valid plan again"),
        (never_told, "a silent anchor is told"),
        (told_late, "a silent anchor is told"),
        (growing, "memory grew"),
    ],
)
def test_each_bound_breaks_where_it_is_not_kept_and_no_other_does(harm, what):
    soak = whole()
    harm(soak)
    (found,) = broken(soak)
    assert found.startswith(what)


@pytest.mark.parametrize("by_us", [-12_000_000, 12_000_000])
def test_a_clock_that_jumps_after_the_nodes_last_look_makes_no_plan_untimely(by_us):
    soak = whole()
    sent = soak.sent[5]
    soak.sent[5] = node.Sent(sent.stamp_us, sent.now_us + by_us, sent.wall_s, sent.now_us)
    assert broken(soak) == []


def test_the_node_has_looked_at_the_clock_only_if_it_did_so_after_the_message_was_made():
    pytest.importorskip("cyclonedds")
    notes: list = []

    def set_clock(sec):
        bus._on_clock(SimpleNamespace(clock=SimpleNamespace(sec=sec, nanosec=0)))

    domain = import_module("wire_cases").loopback().domain
    config = DdsConfig(domain, loopback=True, use_sim_time=True)
    with node.SpyBus(config, notes.append) as bus:
        topic = node.NAMES.of(TRAJECTORY)
        send = bus.publisher(topic, TRAJECTORY.type_name, TRAJECTORY.qos)
        set_clock(9)
        for looks in (True, False):
            bus.now_us()  # too early
            plan = bus.make(TRAJECTORY.type_name)
            if looks:
                assert bus.now_us() == 9_000_000
            other = threading.Thread(target=bus.now_us)  # its look is not the sender's
            other.start()
            other.join()
            set_clock(5)
            send(plan)
            set_clock(9)
    assert [(sent.now_us, sent.looked_us) for sent in notes] == [
        (5_000_000, 9_000_000),
        (5_000_000, None),
    ]


def test_ticks_that_a_fault_touched_need_no_plan():
    soak = whole()
    for k, one in enumerate(soak.ticks.values()):
        one.fault, one.published = ("drop", False) if k < 10 else ("", True)
    assert broken(soak) == []


def test_an_error_in_the_diagnostics_is_an_exception_and_other_words_are_not():
    soak = heard.Soak(4.0)
    for text in ("CAM_BACK is silent for 0.50 s", "crashed: KeyError: 'x'"):
        status = BUS.make("diagnostic_msgs/msg/DiagnosticStatus", message=text)
        soak.on_diagnostics(BUS.make("diagnostic_msgs/msg/DiagnosticArray", status=[status]))
    assert soak.raised == ["diagnostics: crashed: KeyError: 'x'"]


# The whole of it


@pytest.mark.slow
def test_a_short_soak_publishes_nothing_invalid_and_raises_nothing(tmp_path):
    """How many plans there are depends on how busy the machine is."""
    out = tmp_path / "soak.json"
    words = [sys.executable, str(BENCHMARKS / "soak.py"), "0.2", "seed=1", f"out={out}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode in (0, 1), done.stderr
    result = json.loads(out.read_text())
    assert (result["invalid"], result["raised"]) == ([], [])
    assert result["plans"]["sent"] == result["plans"]["heard"]
    assert set(result["kinds"]) > {"another place"}
    assert "exceptions" in done.stdout
    assert done.stdout.splitlines()[-1] == str(out)
