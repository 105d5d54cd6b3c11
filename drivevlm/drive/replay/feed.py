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
                        "domain and under this name, with the recording's cameras"
                    )
                sleep(LOOK_S)

    def send(self, event: Event) -> str | None:
        """Publish it now. Returns why, in one line, where its picture cannot be read."""
        try:
            message = event.message(self._bus)
        except FrameError as error:
            self.unreadable[event.line.name] += 1
            return " ".join(str(error).split())
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
    wall_s: Callable[[], float] = time.monotonic,
    sleep: Sleep = time.sleep,
) -> None:
    """Send each event at its time, ``rate`` times as fast as it was; scenes follow at once.

    A node that is to take recorded stamps needs ``/clock``. Without it, give scenes that were
    shifted to the present, and a rate of 1.
    """
    if not 0 < rate <= 1000:
        raise ValueError(f"rate lies in (0, 1000], got {rate:g}")
    for scene in scenes:
        began_s, first_us = wall_s(), scene.events[0].at_us
        for event in scene.events:
            early_s = (event.at_us - first_us) / 1e6 / rate - (wall_s() - began_s)
            if early_s > 0:
                sleep(early_s)
            feed.send(event)
