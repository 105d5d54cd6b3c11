"""Laws of a live replay: what is answered and published, and when on the recording's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from drive_cases import Puppet, bundled, straight
from replay_cases import LoopBus, cut

from drivevlm.drive.messages.outgoing import path_message, trajectory_message
from drivevlm.drive.node import Node
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.plan_message import trajectory_of
from drivevlm.drive.replay.answers import NEVER_SENT
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.contents import Tick
from drivevlm.drive.replay.event import CLOCK, Event, Line, SceneStream
from drivevlm.drive.replay.faults import Fault, FaultKind, Faults, FaultsConfig
from drivevlm.drive.replay.feed import Feed, play
from drivevlm.drive.replay.heard import Plans, PlayClock, points_of
from drivevlm.drive.replay.listener import Listener
from drivevlm.drive.replay.live import live
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import PATH, TRAJECTORY, Names
from drivevlm.world.decision import Decision
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import FailureKind

CONFIG, NAMES = ReplayConfig(), Names()
PLANNED = Decision(plan=straight(), reply="PLAN: ...", request_digest="d" * 64)
FAILED = Decision.failed(FailureKind.UNREADABLE, "no PLAN")
SCENE_US = 50_000_000


@cache
def stream_of(name: str, clips: int) -> SceneStream:
    (scene,) = cut(bundled(), **{name: clips})
    return scene_stream(bundled(), scene, CONFIG)


@dataclass
class Wall:
    """A wall clock that goes on while somebody sleeps."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Live:
    """The first clips of a bundled scene, played to a node that answers at once or not at all."""

    answers: list[Decision | Exception]
    clips: int = 4
    values: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bus, self.wall = LoopBus(), Wall()
        self.listener, self.clock = Listener(self.bus, NAMES), PlayClock(2.0, wall_s=self.wall)
        self.plans = Plans(self.bus, NAMES, self.clock)
        self.feed = Feed(self.bus, NAMES, lines_of(bundled().cameras, CONFIG))
        self.stream = stream_of("scene_2001", self.clips)
        self.node = Node(self.bus, lambda config: Puppet(self.answers), lockstep=True)
        cameras = list(bundled().cameras)
        open_gate = {"gate.start_speed_mps": 100.0, "gate.speed_up_mps2": 100.0}
        open_gate |= {"gate.brake_mps2": 100.0, "gate.lateral_mps2": 100.0}
        assert self.node.configure({"sync.cameras": cameras, **open_gate, **self.values})
        assert self.node.activate()

    def play(self, *streams: SceneStream):
        scenes = streams or (self.stream,)
        ends = (self.listener, self.plans, self.clock)
        return list(live(scenes, self.feed, *ends, sleep=self.wall.sleep))


def test_every_clip_has_its_answer_and_every_plan_its_time():
    found = Live([PLANNED])
    (played,) = found.play()
    assert [one.clip for one in played.answered] == list(found.stream.clips)
    assert all(one.answer is not None for one in played.answered)
    due_us = [event.stamp_us for event in found.stream.events if event.clip]
    assert [plan.stamp_us for plan in played.published] == due_us
    assert [plan.heard_us for plan in played.published] == due_us  # no time passed in the node
    assert {plan.scene for plan in played.published} == {"scene-2001"}
    assert not any(plan.fallback for plan in played.published)


def test_a_published_plan_lies_where_the_decision_says_seen_from_the_recorded_pose():
    found = Live([PLANNED])
    (played,) = found.play()
    for one, plan in zip(played.answered, played.published, strict=True):
        truth = bundled().truth(one.clip)
        global_from_ego = truth.now.global_from_ego.planar()
        at_half_seconds = np.isclose(plan.time_s % 0.5, 0.0) | np.isclose(plan.time_s % 0.5, 0.5)
        np.testing.assert_allclose(
            plan.xy_global_m[at_half_seconds], global_from_ego.apply(straight().xy_ego_m), atol=1e-6
        )


def test_a_clip_that_is_not_answered_is_a_failure_that_stays_in_the_total():
    found = Live([PLANNED, RuntimeError("out of memory"), FAILED, PLANNED])
    (played,) = found.play()
    failures = [one.decision.failure and one.decision.failure.kind for one in played.answered]
    assert failures == [None, FailureKind.DEADLINE, FailureKind.UNREADABLE, None]
    assert len(played.published) == 2


def test_a_clip_whose_picture_was_lost_on_the_way_says_so():
    found = Live([PLANNED], clips=8)
    drop = Fault(FaultKind.DROP, 0.4, what="CAM_FRONT/image/*")
    faults = Faults(FaultsConfig((drop,), seed=1))
    (played,) = found.play(faults.done_to(found.stream))
    lost = [one.failure for one in played.answered if one.failure is not None]
    assert len(lost) == sum(faults.injected.values()) > 0
    assert {(failure.kind, failure.detail) for failure in lost} == {(FailureKind.IMAGE, NEVER_SENT)}


def test_a_scene_is_told_of_when_the_next_was_played_and_the_last_one_at_the_end():
    found = Live([PLANNED])
    played = found.play(found.stream, stream_of("scene_2004", 3))
    assert [{plan.scene for plan in one.published} for one in played] == [
        {"scene-2001"},
        {"scene-2004"},
    ]
    assert [len(one.answered) for one in played] == [4, 3]
    assert all(one.answer is not None for scene in played for one in scene.answered)


@pytest.mark.parametrize("kind", ["previous", "stop"])
def test_a_fallback_is_marked_as_one(kind):
    found = Live([PLANNED, FAILED, FAILED, PLANNED], values={"fallback.kind": kind})
    (played,) = found.play()
    due_us = [event.stamp_us for event in found.stream.events if event.clip]
    fresh = [plan.stamp_us for plan in played.published if not plan.fallback]
    assert fresh == [due_us[0], due_us[3]]
    assert any(plan.fallback for plan in played.published)


def test_a_node_that_publishes_paths_alone_is_heard_by_them():
    both, paths = Live([PLANNED]), Live([PLANNED], values={"output.trajectory": False})
    expected, found = both.play()[0].published, paths.play()[0].published
    assert len(found) == 4
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.time_s, other.time_s, atol=1e-9)
        np.testing.assert_array_equal(one.xy_global_m, other.xy_global_m)


def ego() -> OdometrySample:
    pose = Pose3.from_pose2(Pose2(100.0, 50.0, np.pi / 2), 0.0)
    return OdometrySample(SCENE_US, pose, 8.0, 0.0, "scene-1")


@pytest.mark.parametrize("message_of", [trajectory_message, path_message])
def test_points_are_read_in_the_frame_of_the_odometry(message_of):
    bus, trajectory = LoopBus(), trajectory_of(straight(), ego(), wheelbase_m=2.6)
    time_s, xy_m, yaw_rad = points_of(message_of(bus, trajectory, SCENE_US * 1000))
    np.testing.assert_allclose(time_s, np.arange(1, 31) / 10, atol=1e-9)
    np.testing.assert_allclose(xy_m[[9, 19, 29]], [[100, 58], [100, 66], [100, 74]], atol=1e-9)
    np.testing.assert_allclose(yaw_rad, np.pi / 2, atol=1e-9)


def event(at_us: int, stamp_us: int | None = None, topic=CLOCK) -> Event:
    return Event(at_us, at_us if stamp_us is None else stamp_us, Line(topic), Tick())


def test_between_events_the_clock_goes_with_the_wall_at_the_rate():
    wall = Wall(7.0)
    clock, scene = PlayClock(4.0, wall_s=wall), SceneStream("scene-1", ())
    assert clock.now_us("scene-1") is None
    clock.reached(scene, event(SCENE_US))
    wall.sleep(0.25)
    assert clock.now_us("scene-1") == SCENE_US + 1_000_000
    clock.reached(scene, event(SCENE_US + 3_000_000, topic=PATH))
    assert clock.now_us("scene-1") == SCENE_US + 3_000_000


def test_a_scene_that_is_over_keeps_its_time_for_late_plans():
    wall = Wall()
    clock = PlayClock(2.0, wall_s=wall)
    clock.reached(SceneStream("scene-1", ()), event(SCENE_US))
    wall.sleep(1.0)
    clock.reached(SceneStream("scene-2", ()), event(0))
    assert clock.now_us("scene-1") == SCENE_US + 2_000_000
    assert clock.now_us("scene-2") == 0


def test_where_the_vehicles_clock_jumps_plans_are_timed_by_what_it_told():
    clock, scene = PlayClock(1.0, wall_s=Wall()), SceneStream("scene-1", ())
    clock.reached(scene, event(SCENE_US, SCENE_US + 5_000_000))
    clock.reached(scene, event(SCENE_US + 10_000, topic=PATH))
    assert clock.now_us("scene-1") == SCENE_US + 5_010_000
    clock.reached(SceneStream("scene-2", ()), event(SCENE_US, topic=PATH))
    assert clock.now_us("scene-2") == SCENE_US


def test_a_plan_that_cannot_be_used_is_counted_and_takes_no_other_with_it():
    bus, wall = LoopBus(), Wall()
    clock = PlayClock(1.0, wall_s=wall)
    plans = Plans(bus, NAMES, clock)
    clock.reached(SceneStream("scene-1", ()), event(SCENE_US))
    send = bus.publisher(NAMES.of(TRAJECTORY), TRAJECTORY.type_name, TRAJECTORY.qos)
    good = trajectory_of(straight(), ego(), wheelbase_m=2.6)
    early = trajectory_message(bus, good, (SCENE_US + 1) * 1000)  # before its own stamp
    nowhere, empty = (trajectory_message(bus, good, SCENE_US * 1000) for _ in range(2))
    nowhere.header.frame_id, empty.points = "odom", []
    for message in (early, nowhere, empty, trajectory_message(bus, good, SCENE_US * 1000)):
        send(message)
    assert [plan.stamp_us for plan in plans.of("scene-1", lambda us: True)] == [SCENE_US]
    assert plans.unusable == 3
    assert list(plans.of("scene-1", lambda us: True)) == []
    plans.close()
    send(trajectory_message(bus, good, SCENE_US * 1000))
    assert list(plans.of("scene-1", lambda us: True)) == []


def test_a_listener_knows_who_decides_without_being_told():
    found = Live([PLANNED])
    found.play()
    assert found.listener.told["planner"] == "puppet"


def test_a_replay_says_how_late_it_was_itself():
    wall, bus = Wall(), LoopBus()
    feed = Feed(bus, NAMES, [Line(CLOCK)])
    stream = SceneStream("scene-1", tuple(event(SCENE_US + k * 100_000) for k in range(3)))

    def overslept(seconds: float) -> None:
        wall.sleep(seconds + 0.5)

    assert play([stream], feed, wall_s=wall, sleep=overslept) == pytest.approx(0.5)
    assert play([stream], feed, wall_s=wall, sleep=wall.sleep) == 0.0
