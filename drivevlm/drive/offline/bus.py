"""A bus within one process, whose messages come from a bag and whose time is the bag's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivevlm.drive.bus import Message, Qos, Send
from drivevlm.drive.replay.event import CLOCK
from drivevlm.drive.wire.make import Maker
from drivevlm.drive.wire.store import typestore

Hear = Callable[[Message], None]
MOST_BEATS_US = 1_000_000
"""Where nothing was recorded for longer, timers beat for so long alone."""


@dataclass(slots=True)
class _Beat:
    """A timer, and when it is due."""

    period_us: int
    call: Callable[[], None]
    next_us: int


class PlayBus:
    """Plays what it is given. A ``drivevlm.drive.bus.Bus``.

    All happens in the thread that plays: a message is heard, and what it leads to is over, before
    ``play`` returns. Timers beat on the bag's time.
    """

    def __init__(self, start_us: int, *, use_sim_time: bool = False) -> None:
        """``use_sim_time``: the node's clock is the topic ``/clock`` of the bag."""
        self._make = Maker(typestore())
        self._heard: dict[str, list[Hear]] = defaultdict(list)
        self._at_us = start_us
        self._sim_us: int | None = None
        self._beats: list[_Beat] = []
        if use_sim_time:
            self._sim_us = 0
            self.subscribe(CLOCK.name, CLOCK.type_name, CLOCK.qos, self._on_clock)

    @property
    def at_us(self) -> int:
        """The bag's time, whatever the node's clock says."""
        return self._at_us

    def knows(self, type_name: str) -> bool:
        """Whether the type's definition is there."""
        return type_name in typestore().fielddefs

    def make(self, type_name: str, **fields: Any) -> Message:
        """A message; fields that are left out have their ROS defaults."""
        return self._make(type_name, fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        """Heard by who subscribed within this process; the bag stays as it is."""
        return lambda message: self._hand_over(topic, message)

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        """Hear a topic until what is returned is called."""
        self._heard[topic].append(callback)
        return lambda: self._heard[topic].remove(callback)

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call again and again, on the bag's time."""
        self._beats.append(_Beat(round(period_s * 1e6), callback, self._at_us))

    def now_us(self) -> int:
        """When the message came that is played; with ``use_sim_time`` what ``/clock`` said."""
        return self._at_us if self._sim_us is None else self._sim_us

    def play(self, at_us: int, topic: str, message: Message) -> None:
        """Let the time go on to where a message comes, and hand it over."""
        self.go_on(at_us)
        self._hand_over(topic, message)

    def go_on(self, to_us: int) -> None:
        """Let the time go on, and with it the timers. It never runs back."""
        for beat in self._beats:
            beat.next_us = max(beat.next_us, to_us - MOST_BEATS_US)
        while self._beats:
            beat = min(self._beats, key=lambda beat: beat.next_us)
            if beat.next_us > to_us:
                break
            self._at_us = max(self._at_us, beat.next_us)
            beat.next_us += beat.period_us
            beat.call()
        self._at_us = max(self._at_us, to_us)

    def run_out(self, for_us: int) -> None:
        """After the last message: what still waits for others waits no longer."""
        if self._sim_us is not None:
            self._sim_us += for_us
        self.go_on(self._at_us + for_us)

    def _hand_over(self, topic: str, message: Message) -> None:
        for callback in list(self._heard[topic]):
            callback(message)

    def _on_clock(self, message: Message) -> None:
        self._sim_us = message.clock.sec * 1_000_000 + message.clock.nanosec // 1000
