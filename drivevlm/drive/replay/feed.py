"""Sends a replay to a bus, at the recording's pace or another one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from drivevlm.drive.bus import Bus, Send
from drivevlm.drive.replay.event import Event, Line, SceneStream
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import Names
from drivevlm.world.camera import FrameError

Sleep = Callable[[float], None]
LOOK_S = 0.02
"""Between two looks at what is waited for."""


class Feed:
    """Publishes events below a node's name, on topics that are open from the start.

    Attributes:
        sent: Messages by name of their line.
        unreadable: Pictures that could not be read, and so were not sent, likewise.
        missed: By clip, why its picture of the anchor was not sent.
    """

    def __init__(self, bus: Bus, names: Names, lines: Iterable[Line]) -> None:
        """Raises TopicError where a camera's name makes no topic."""
        self._bus = bus
        self._names = names
        self._sends: dict[Line, Send] = {
            line: bus.publisher(self._name(line), line.topic.type_name, line.topic.qos)
            for line in lines
        }
        self.sent: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.missed: dict[str, str] = {}

    def wait_heard(
        self,
        lines: Iterable[Line],
        peers: Callable[[str], int],
        *,
        timeout_s: float,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Return as soon as somebody hears these lines: what is sent before is lost.

        Args:
            lines: Of this feed.
            peers: How many hear a topic, by its full name.
            timeout_s: Until ReplayError is raised, which names a topic that nobody hears.
            sleep: Waits.
        """
        end_s = time.monotonic() + timeout_s
        for name in [self._name(line) for line in lines]:
            while not peers(name):
                if time.monotonic() >= end_s:
                    raise ReplayError(
                        f"nobody hears {name} within {timeout_s:g} s: start the node in the same "
                        "domain and under this name, with use_sim_time=true and the recording's "
                        "cameras"
                    )
                sleep(LOOK_S)

    def unheard(self, lines: Iterable[Line], peers: Callable[[str], int]) -> tuple[str, ...]:
        """Those of these lines that nobody hears, by full name."""
        return tuple(name for name in map(self._name, lines) if not peers(name))

    def send(self, event: Event) -> str | None:
        """Publish it now. Returns why, in one line, where its picture cannot be read."""
        try:
            message = event.message(self._bus)
        except FrameError as error:
            self.unreadable[event.line.name] += 1
            why = " ".join(str(error).split())
            if event.clip:
                self.missed[event.clip] = why
            return why
        self._sends[event.line](message)
        self.sent[event.line.name] += 1
        return None

    def holds(self, line: Line) -> bool:
        """Whether it may be sent."""
        return line in self._sends

    def _name(self, line: Line) -> str:
        return self._names.of(line.topic, line.camera or None)


def play(
    scenes: Iterable[SceneStream],
    feed: Feed,
    *,
    rate: float = 1.0,
    reached: Callable[[SceneStream, Event], None] = lambda scene, event: None,
    wall_s: Callable[[], float] = time.monotonic,
    sleep: Sleep = time.sleep,
) -> float:
    """Send each event at its time, ``rate`` times as fast as it was; scenes follow at once.

    Returns how late the latest event was sent, in seconds of the wall: a busy machine cannot keep
    every pace.

    A node that is to take recorded stamps needs ``/clock``. Without it, give scenes that were
    shifted to the present, and a rate of 1. ``reached`` is called before each event is sent.
    """
    if not 0 < rate <= 1000:
        raise ValueError(f"rate lies in (0, 1000], got {rate:g}")
    late_s = 0.0
    for scene in scenes:
        began_s, first_us = wall_s(), scene.events[0].at_us
        for event in scene.events:
            due_s = began_s + (event.at_us - first_us) / 1e6 / rate
            early_s = due_s - wall_s()
            if early_s > 0:
                sleep(early_s)
            late_s = max(late_s, wall_s() - due_s)
            reached(scene, event)
            feed.send(event)
    return late_s
