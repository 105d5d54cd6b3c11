"""A replay whose clock stands until the node has answered: every clip gets its decision."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from drivevlm.drive.replay.answers import NEVER_SENT, Answer, Answered
from drivevlm.drive.replay.config import LockstepConfig
from drivevlm.drive.replay.contents import Tick
from drivevlm.drive.replay.event import CLOCK, Event, Line, SceneStream
from drivevlm.drive.replay.feed import Feed, Sleep
from drivevlm.drive.replay.listener import Listener
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import COMPRESSED, INPUTS, KINEMATIC_STATE
from drivevlm.world.clip import RIG_SPREAD_US
from drivevlm.world.decision import Failure
from drivevlm.world.sets import FailureKind

AT_ONCE_S, SOON_S = 0.02, 0.1
"""So long an answer is awaited before the clock goes on a step, the first time and later."""
CREEP_US = 60_000
"""A step: a node waits up to 50 ms for other cameras, as its ``sync.wait_ms`` is by default."""
CREPT_US = 140_000
"""So far it goes on at most, lest the pictures become too old for the node."""


def lockstep(
    scenes: Iterable[SceneStream],
    feed: Feed,
    listener: Listener,
    config: LockstepConfig,
    *,
    sleep: Sleep = time.sleep,
) -> Iterator[Answered]:
    """Send all up to each picture of the anchor, and wait for what the node makes of it.

    The anchor's picture itself is sent when the node has taken up all that belongs to it, and no
    topic gets more at once than its queue holds, however slow the node is.

    The feed must hold ``/clock``, and the node must take its time from there, with a
    ``max_latency_ms`` beyond what its planner needs. A clip without an answer is a failure.

    Raises:
        ReplayError: No node is active, or too many clips in a row got no answer.
    """
    if not feed.holds(Line(CLOCK)):
        raise ValueError("lockstep needs /clock: the replay's clock_hz must not be 0")
    listener.wait_active(config.node_s, sleep=sleep)
    silent, uptake = 0, _Uptake(feed, listener, config.answer_s, sleep)
    for scene in scenes:
        for answered in _Stepper(scene, uptake, listener, config).steps():
            yield answered
            failure = answered.failure
            silent = silent + 1 if failure and failure.kind is FailureKind.DEADLINE else 0
            if silent >= config.silent:
                raise ReplayError(
                    f"{silent} clips in a row, the last {answered.clip} of {answered.scene}, got "
                    f"no answer within {config.answer_s:g} s ({listener.said}): does the node use "
                    "/clock (use_sim_time), and are these its cameras?"
                )


class _Uptake:
    """Sends, and knows what the node has not taken up yet of what it was sent."""

    def __init__(self, feed: Feed, listener: Listener, patience_s: float, sleep: Sleep) -> None:
        self._feed = feed
        self._listener = listener
        self._patience_s = patience_s
        self._sleep = sleep
        self._wanted = Counter(listener.taken)
        self._unsettled: Counter[Line] = Counter()

    def send(self, event: Event) -> str | None:
        """Send it when its queue has room. Returns why its picture cannot be read, in one line."""
        line = event.line
        if line.topic in INPUTS and self._unsettled[line] >= max(1, line.topic.qos.depth // 2):
            self.settle()
        broken = self._feed.send(event)
        if broken is None and line.topic in INPUTS:
            self._unsettled[line] += 1
            self._wanted[line.name] += 1
        return broken

    def settle(self) -> None:
        """Wait until the node has taken up all of it, or it is lost."""
        taken = self._listener.wait_taken(self._wanted, self._patience_s, sleep=self._sleep)
        self._wanted = Counter(taken)
        self._unsettled.clear()


class _Stepper:
    """One scene."""

    def __init__(
        self,
        scene: SceneStream,
        uptake: _Uptake,
        listener: Listener,
        config: LockstepConfig,
    ) -> None:
        self._scene = scene
        self._uptake = uptake
        self._listener = listener
        self._config = config
        self._clock_us: int | None = None
        self._broken: str | None = None

    def steps(self) -> Iterator[Answered]:
        opened, due = False, dict.fromkeys(self._scene.clips)
        for event in anchor_after_its_rig(self._scene.events):
            if event.line.topic is CLOCK:
                self._tick(event)
                continue
            if event.clip:
                due.pop(event.clip, None)
                yield self._decided(event)
                continue
            self._send(event)
            if event.line.topic is KINEMATIC_STATE and not opened:
                self._uptake.settle()  # another fixed frame clears a node's memory
                opened = True
        for clip in due:
            yield self._failed(clip, FailureKind.IMAGE, NEVER_SENT)

    def _decided(self, event: Event) -> Answered:
        self._uptake.settle()
        self._send(event)
        broken, self._broken = self._broken, None
        if broken is not None:
            return self._failed(event.clip, FailureKind.IMAGE, broken)
        answer = self._awaited(event)
        if answer is not None:
            return Answered(self._scene.scene, event.clip, answer)
        why = f"no answer within {self._config.answer_s:g} s ({self._listener.said})"
        return self._failed(event.clip, FailureKind.DEADLINE, why)

    def _failed(self, clip: str, kind: FailureKind, why: str) -> Answered:
        return Answered(self._scene.scene, clip, None, Failure(kind, why))

    def _awaited(self, event: Event) -> Answer | None:
        end_s = time.monotonic() + self._config.answer_s
        answer = self._listener.answer(event.stamp_us, timeout_s=AT_ONCE_S)
        if answer is None:
            self._uptake.settle()  # the node has the picture, and may wait for others of its rig
        while answer is None and time.monotonic() < end_s:
            self._creep(event)
            answer = self._listener.answer(event.stamp_us, timeout_s=SOON_S)
        return answer

    def _creep(self, event: Event) -> None:
        """The clock goes on, and all else stands."""
        now_us = event.stamp_us if self._clock_us is None else self._clock_us
        self._clock_us = max(now_us, min(now_us + CREEP_US, event.stamp_us + CREPT_US))
        tick = Event(event.at_us, self._clock_us, Line(CLOCK), Tick())
        self._uptake.send(tick)

    def _tick(self, event: Event) -> None:
        """The clock of the recording, unless ours has crept past it."""
        if self._clock_us is not None and 0 <= self._clock_us - event.stamp_us <= CREPT_US:
            return
        self._clock_us = event.stamp_us
        self._uptake.send(event)

    def _send(self, event: Event) -> None:
        self._broken = self._uptake.send(event) or self._broken


def anchor_after_its_rig(events: Sequence[Event]) -> Iterator[Event]:
    """The same events; each picture of the anchor comes after those of its rig that are younger.

    So a node has all of them when the anchor's makes a decision due.
    """
    held: list[Event] = []
    for event in events:
        if held and (event.clip or event.at_us > held[0].at_us + RIG_SPREAD_US):
            yield from _anchor_late(held)
            held = []
        if held or event.clip:
            held.append(event)
        else:
            yield event
    if held:
        yield from _anchor_late(held)


def _anchor_late(held: Sequence[Event]) -> Iterator[Event]:
    """The first one after the last picture."""
    pictures = [k for k, event in enumerate(held) if event.line.topic is COMPRESSED]
    yield from held[1 : pictures[-1] + 1]
    yield held[0]
    yield from held[pictures[-1] + 1 :]
