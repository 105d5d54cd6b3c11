"""Laws of lockstep beside its decisions: who is waited for, what is recorded, when it gives up."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np
import pytest
from drive_cases import Puppet, bundled, straight
from replay_cases import LoopBus, cut

from drivevlm.drive.gate import Check, CheckName, GateVerdict
from drivevlm.drive.node import Node
from drivevlm.drive.publish import Reasoning
from drivevlm.drive.replay.answers import Answer, Answered, AnswerError, answer_of, records
from drivevlm.drive.replay.config import LockstepConfig, ReplayConfig
from drivevlm.drive.replay.event import CLOCK, Line
from drivevlm.drive.replay.faults import Fault, FaultKind, Faults, FaultsConfig
from drivevlm.drive.replay.feed import Feed, play
from drivevlm.drive.replay.listener import Listener
from drivevlm.drive.replay.lockstep import lockstep
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import KINEMATIC_STATE, REASONING_PLAIN, Names
from drivevlm.record.decision_json import decision_to_json
from drivevlm.record.manifest import manifest
from drivevlm.record.run_folder import Record, RunFolder, read_records
from drivevlm.world.camera import Frame
from drivevlm.world.decision import Decision, Failure
from drivevlm.world.sets import FailureKind

CONFIG, NAMES = ReplayConfig(), Names()
QUICK = LockstepConfig(node_s=0.05, answer_s=0.05)
WITH_OBJECTS = {"objects.type": "predicted_objects"}
VERDICT = GateVerdict((Check(CheckName.AGE, False, 2.0, 1.0),))
PLANNED = Decision(plan=straight(), reply="PLAN: ...", request_digest="d" * 64)


class Rig:
    """A replay of the first clips of a bundled scene, and a node that may answer."""

    def __init__(self, *answers, clips: int = 4, bus: LoopBus | None = None, **values) -> None:
        self.bus = bus or LoopBus()
        self.listener = Listener(self.bus, NAMES)
        self.feed = Feed(self.bus, NAMES, lines_of(bundled().cameras, CONFIG))
        (self.scene,) = cut(bundled(), scene_2001=clips)
        self.stream = scene_stream(bundled(), self.scene, CONFIG)
        self.puppet = Puppet(list(answers) or [PLANNED])
        self.node = Node(self.bus, lambda config: self.puppet, lockstep=True)
        assert self.node.configure({"sync.cameras": list(bundled().cameras), **values})

    def run(self, *, config: LockstepConfig = QUICK, stream=None) -> list[Answered]:
        steps = lockstep(
            [stream or self.stream], self.feed, self.listener, config, sleep=self.bus.sleep
        )
        return list(steps)


def test_every_decision_becomes_a_record_as_an_evaluation_writes_them(tmp_path):
    failed = Decision.failed(FailureKind.UNREADABLE, "no PLAN")
    rig = Rig(PLANNED, failed)
    assert rig.node.activate()
    answered = rig.run()
    head = manifest(identity={}, now=datetime(2024, 1, 1, tzinfo=timezone.utc), command=[])
    with RunFolder(tmp_path / "run", head) as run:
        for record in records(answered, planner="vlm"):
            run.append(record)
    read = read_records(tmp_path / "run")
    assert [record.key for record in read] == [("vlm", token) for token in rig.scene.tokens]
    expected = [Record("vlm", "scene-2001", rig.scene.tokens[0], PLANNED)]
    assert decision_to_json(read[0].decision) == decision_to_json(expected[0].decision)
    assert read[1].decision.failure == failed.failure
    assert read[0].scene == "scene-2001"


def test_an_answer_reads_back_what_the_node_said_also_where_the_gate_held_it_back():
    for verdict, passed in ((None, None), (VERDICT, False), (GateVerdict(()), True)):
        answer = answer_of(Reasoning(77, "drive-0-77", PLANNED, verdict).text)
        assert isinstance(answer, Answer)
        assert (answer.stamp_us, answer.passed) == (77, passed)
        assert decision_to_json(answer.decision) == decision_to_json(PLANNED)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"decision": {}}'])
def test_a_text_that_is_no_reasoning_is_told_in_one_line(text):
    with pytest.raises(AnswerError, match=r"^expected a node's reasoning as JSON, got [^\n]*$"):
        answer_of(text)


def test_an_answer_is_there_or_says_why_it_is_not():
    with pytest.raises(ValueError, match="either an answer or a failure"):
        Answered("s", "c", None)
    failure = Failure(FailureKind.DEADLINE, "late")
    assert Answered("s", "c", None, failure).decision.failure == failure


def test_without_a_node_the_replay_ends_in_one_line():
    rig = Rig()
    rig.node.shutdown()
    rig.listener = Listener(rig.bus, NAMES)
    with pytest.raises(ReplayError, match=r"^no active node /drivevlm was heard within 0.05 s"):
        rig.run()


def test_a_node_that_is_not_active_is_waited_for_and_named():
    rig = Rig()
    with pytest.raises(ReplayError, match=r"it says: .*the node is inactive"):
        rig.run()
    assert rig.node.activate()
    assert len(rig.run()) == 4


def test_a_clip_without_an_answer_is_a_failure_and_the_next_one_goes_on():
    rig = Rig(PLANNED, RuntimeError("out of memory"), PLANNED)
    assert rig.node.activate()
    answered = rig.run()
    kinds = [one.failure and one.failure.kind for one in answered]
    assert kinds == [None, FailureKind.DEADLINE, None, None]
    assert "no answer within 0.05 s (it says: " in answered[1].failure.detail
    assert "out of memory" in answered[1].failure.detail


def test_too_many_clips_without_an_answer_end_it_with_what_the_node_says():
    rig = Rig(RuntimeError("out of memory"))
    assert rig.node.activate()
    with pytest.raises(ReplayError, match=r"^3 clips in a row, the last \w+ of scene-2001, got no"):
        rig.run()
    assert len(rig.puppet.clips) == 3


def test_a_picture_that_cannot_be_read_is_an_image_failure_at_once(tmp_path):
    rig = Rig()
    assert rig.node.activate()
    tokens, events = rig.scene.tokens, list(rig.stream.events)
    for k, event in enumerate(events):
        if event.line.name == "CAM_BACK/image/compressed" and event.at_us == _due(
            events, tokens[2]
        ):
            frame = Frame(event.stamp_us, (4, 4), tmp_path / "gone.jpg")
            events[k] = replace(event, content=replace(event.content, frame=frame))
    answered = rig.run(
        stream=replace(rig.stream, events=tuple(events)),
        config=LockstepConfig(answer_s=60.0),
    )
    failures = [one.failure for one in answered]
    assert [failure and failure.kind for failure in failures] == [
        None,
        None,
        FailureKind.IMAGE,
        None,
    ]
    assert "gone.jpg: cannot read the image" in failures[2].detail


def _due(events, token: str) -> int:
    (found,) = [event.at_us for event in events if event.clip == token]
    return found


def test_the_clock_never_runs_back_and_never_far_ahead_of_a_picture():
    rig = Rig(PLANNED, RuntimeError("no answer"), PLANNED)
    assert rig.node.activate()
    rig.run()
    told = [m.clock.sec * 10**6 + m.clock.nanosec // 1000 for m in rig.bus.published["/clock"]]
    assert (np.diff(told) >= 0).all()
    silent_us = _due(rig.stream.events, rig.scene.tokens[1])
    crept = [us for us in told if silent_us < us <= silent_us + 140_000]
    assert crept


def test_lockstep_needs_a_clock():
    rig = Rig()
    rig.feed = Feed(rig.bus, NAMES, [Line(KINEMATIC_STATE)])
    with pytest.raises(ValueError, match=r"lockstep needs /clock"):
        rig.run()


def test_after_each_clip_the_node_has_what_it_needs_also_with_faults_in_other_topics():
    rig = Rig(clips=8)
    assert rig.node.activate()
    done = Faults(FaultsConfig((Fault(FaultKind.DROP, 0.5, what="acceleration"),)))
    assert all(one.failure is None for one in rig.run(stream=done.done_to(rig.stream)))
    assert sum(done.injected.values()) > 10


def test_a_clip_whose_picture_was_lost_on_the_way_stays_in_the_total():
    rig = Rig(clips=8)
    assert rig.node.activate()
    done = Faults(FaultsConfig((Fault(FaultKind.DROP, 0.3, what="CAM_FRONT/image/*"),), seed=1))
    answered = rig.run(stream=done.done_to(rig.stream))
    assert {one.clip for one in answered} == set(rig.scene.tokens)
    lost = [one.failure for one in answered if one.failure is not None]
    assert len(lost) == done.injected[FaultKind.DROP, "CAM_FRONT/image/compressed"] > 0
    assert {failure.detail for failure in lost} == {"its picture of the anchor was never sent"}


ALL_AT_ONCE = (
    Fault(FaultKind.DROP, 0.05),
    Fault(FaultKind.DELAY, 0.1, by_s=0.2),
    Fault(FaultKind.DUPLICATE, 0.05),
    Fault(FaultKind.REORDER, 0.05),
    Fault(FaultKind.CORRUPT, 0.1),
    Fault(FaultKind.LOSS, what="CAM_FRONT/*", from_s=1.0, for_s=1.0),
    Fault(FaultKind.JUMP, from_s=3.0, by_s=-2.0),
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_node_lives_through_all_faults_at_once_and_decides_again(seed):
    rig, now = Rig(clips=16, **{"sync.wait_ms": 100.0}), [0.0]
    assert rig.node.activate()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    done = Faults(FaultsConfig(ALL_AT_ONCE, seed))
    stream = done.done_to(rig.stream)
    play([stream, rig.stream.shifted(10**9)], rig.feed, wall_s=lambda: now[0], sleep=sleep)
    assert {kind for kind, _ in done.injected} == set(FaultKind)
    decided = [clip.t0_us for clip in rig.puppet.clips]
    assert [us for us in decided if us > 10**9 + rig.stream.events[0].at_us]
    assert len(decided) == len(set(decided))
    afterwards = {event.stamp_us for event in rig.stream.shifted(10**9).events if event.clip}
    assert afterwards <= set(decided)


def test_a_feed_waits_until_it_is_heard_or_names_what_nobody_hears():
    rig, looks = Rig(), []

    def peers(name: str) -> int:
        looks.append(name)
        return int(len(looks) > 3)

    rig.feed.wait_heard([Line(CLOCK)], peers, timeout_s=5.0, sleep=rig.bus.sleep)
    assert looks == ["/clock"] * 4
    with pytest.raises(ReplayError, match=r"^nobody hears /drivevlm/input/kinematic_state within"):
        rig.feed.wait_heard([Line(KINEMATIC_STATE)], lambda name: 0, timeout_s=0.01)


def test_a_listener_reads_plain_strings_too_and_tells_of_what_is_no_reasoning():
    bus = LoopBus()
    listener = Listener(bus, NAMES, reasoning=REASONING_PLAIN)
    send = bus.publisher("/drivevlm/output/reasoning", "std_msgs/msg/String", REASONING_PLAIN.qos)
    send(bus.make("std_msgs/msg/String", data=Reasoning(5, "c", PLANNED, None).text))
    answer = listener.answer(5, timeout_s=0.0)
    assert json.loads(Reasoning(5, "c", answer.decision, None).text)["reply"] == "PLAN: ..."
    assert listener.answer(5, timeout_s=0.0) is None
    send(bus.make("std_msgs/msg/String", data="hello"))
    assert "its reasoning cannot be read" in listener.said
    listener.close()
    send(bus.make("std_msgs/msg/String", data=Reasoning(6, "c", PLANNED, None).text))
    assert listener.answer(6, timeout_s=0.0) is None


@dataclass
class LaggingBus(LoopBus):
    """One topic comes so many beats late, or never."""

    lags: str = ""
    beats: int | None = None

    def send(self, topic, message, *, latched=False):
        if topic == self.lags:
            self.held.append([self.beats, message])
        else:
            super().send(topic, message, latched=latched)

    def sleep(self, seconds: float) -> None:
        for entry in [entry for entry in self.held if entry[0] is not None]:
            entry[0] -= 1
            if entry[0] < 0:
                self.held.remove(entry)
                super().send(self.lags, entry[1])
        super().sleep(seconds)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: list[list] = []


@pytest.mark.parametrize("topic", ["objects", "CAM_BACK/image/compressed", "navigation_command"])
def test_an_anchors_picture_waits_for_all_that_belongs_to_it_however_late_it_comes(topic):
    rig = Rig(bus=LaggingBus(lags=f"/drivevlm/input/{topic}", beats=7), **WITH_OBJECTS)
    assert rig.node.activate()
    assert all(one.failure is None for one in rig.run(config=LockstepConfig()))
    for clip, token in zip(rig.puppet.clips, rig.scene.tokens, strict=True):
        recorded = bundled().clip(token)
        assert len(clip.proposals.boxes) == len(recorded.proposals.boxes) > 0
        assert [s.frames[-1].stamp_us for s in clip.cameras] == [
            s.frames[-1].stamp_us for s in recorded.cameras
        ]
        assert clip.command == recorded.command


def test_what_is_lost_on_the_wire_is_waited_for_a_while_and_then_missed():
    rig = Rig(bus=LaggingBus(lags="/drivevlm/input/objects", beats=None), **WITH_OBJECTS)
    assert rig.node.activate()
    assert all(one.failure is None for one in rig.run(config=LockstepConfig()))
    assert len(rig.bus.held) == len(rig.scene.tokens)
    assert all(clip.proposals is None for clip in rig.puppet.clips)
