"""A bus on DDS: this node speaks with ROS 2 peers where no ROS is installed."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from drivevlm.drive.bus import Message, Qos, Send
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.endpoints import Hearer, Line, Sender
from drivevlm.drive.wire.make import Maker, must_be_known
from drivevlm.drive.wire.participant import Joined, join
from drivevlm.drive.wire.shell import shell_of
from drivevlm.drive.wire.store import typestore
from drivevlm.drive.wire.timer import Timer
from drivevlm.drive.wire.trouble import Trouble, Troubles
from drivevlm.drive.worker import one_line

LOG = logging.getLogger(__name__)
CLOCK_TOPIC, CLOCK_TYPE = "/clock", "rosgraph_msgs/msg/Clock"
CLOCK_QOS = Qos(reliable=False, depth=1)
JOIN_S = 5.0
"""So long ``close`` waits for a callback that is under way."""


class DdsBus:
    """Topics of ROS 2 on DDS. A ``drivevlm.drive.bus.Bus``.

    Every subscription and every timer has a thread of its own. What goes wrong with a topic while
    the bus runs (a payload that is no message, a callback that raises, a message that DDS does not
    take) ends nothing: it is told once and counted in ``troubles``.

    Args:
        config: Where to join.
        tell: Gets one line for each kind of trouble of a topic; the log by default.

    Raises:
        WireError: cyclonedds or rosbags is not installed, or the domain cannot be joined.
    """

    def __init__(
        self,
        config: DdsConfig | None = None,
        *,
        tell: Callable[[str], None] = LOG.warning,
    ) -> None:
        config = config or DdsConfig()
        self._make = Maker(typestore())
        self._log = Troubles(tell)
        self._lock = threading.RLock()
        self._joined: Joined | None = join(config)
        self._topics: dict[str, tuple[str, Any]] = {}
        self._senders: list[tuple[str, Sender]] = []
        self._hearers: list[tuple[str, Hearer]] = []
        self._timers: list[Timer] = []
        self._sim_us: int | None = None
        atexit.register(self.close)
        if config.use_sim_time:
            self._sim_us = 0
            self.subscribe(CLOCK_TOPIC, CLOCK_TYPE, CLOCK_QOS, self._on_clock)

    def knows(self, type_name: str) -> bool:
        """Whether the type's definition is there."""
        return type_name in typestore().fielddefs

    def make(self, type_name: str, **fields: Any) -> Message:
        """A message; fields that are left out have their ROS defaults.

        Raises:
            ValueError: The type, or a field's name, is not known.
            TypeError: A value is not what the field holds.
        """
        return self._make(type_name, fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        """Sends to a topic (its full name) from any thread; after ``close``, nothing.

        What is sent must be of the type, else TypeError.
        """
        with self._lock:
            joined = self._open()
            sender = Sender(self._line(joined, topic, type_name, qos))
            self._senders.append((topic, sender))
        return sender

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        """Hear a topic (its full name) until the bus is closed, or what is returned is called.

        Arrays in what comes are read-only. A callback that is under way when it ends may go on.
        """
        with self._lock:
            joined = self._open()
            hearer = Hearer(self._line(joined, topic, type_name, qos), callback)
            self._hearers.append((topic, hearer))

        def leave() -> None:
            with self._lock:
                self._hearers = [pair for pair in self._hearers if pair[1] is not hearer]
            hearer.stop()

        return leave

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call again and again until the bus is closed, first after one period.

        By the wall clock, not by ROS time. Beats that a call overruns are left out.
        """

        def call() -> None:
            try:
                callback()
            # As with subscriptions: a watchdog that ended at its first error would watch nothing.
            except Exception as error:  # noqa: BLE001
                name = f"timer of {period_s:g} s"
                self._log.add(name, Trouble.CALLBACK, one_line(error))

        with self._lock:
            self._open()
            self._timers.append(Timer(period_s, call))

    def now_us(self) -> int:
        """Microseconds: system time, or ``/clock`` with ``use_sim_time``, 0 until it is heard."""
        return time.time_ns() // 1000 if self._sim_us is None else self._sim_us

    def peers(self, topic: str) -> int:
        """How many endpoints of others and of this bus are matched with ours of a topic."""
        with self._lock:
            ends: list[tuple[str, Sender | Hearer]] = [*self._senders, *self._hearers]
        return sum(end.peers() for name, end in ends if name == topic)

    def troubles(self) -> Mapping[tuple[str, Trouble], int]:
        """What went wrong so far, by topic and kind."""
        return self._log.counts()

    def close(self) -> None:
        """Leave: no callback begins after it, nothing is sent, all threads and sockets end.

        Who leaves without it, as at the end of the process, is closed then.
        """
        atexit.unregister(self.close)
        with self._lock:
            joined, self._joined = self._joined, None
            senders, self._senders = self._senders, []
            hearers, self._hearers = self._hearers, []
            timers, self._timers = self._timers, []
            self._topics = {}
        if joined is None:
            return
        threads: list[Timer | Hearer] = [*timers, *(hearer for _, hearer in hearers)]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(JOIN_S)
        for _, sender in senders:
            sender.close()

    def __enter__(self) -> DdsBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Joined:
        if self._joined is None:
            raise RuntimeError("the bus is closed: make a new one")
        return self._joined

    def _line(self, joined: Joined, name: str, type_name: str, qos: Qos) -> Line:
        from cyclonedds.topic import Topic

        must_be_known(typestore(), type_name)
        if not name.startswith("/") or name.endswith("/"):
            raise ValueError(f"a topic is named in full, as in /planning/trajectory, got {name!r}")
        known, topic = self._topics.get(name, (type_name, None))
        if known != type_name:
            raise ValueError(f"{name} carries {known} here, got {type_name}")
        if topic is None:
            topic = Topic(joined.participant, f"rt{name}", shell_of(type_name))
            self._topics[name] = (type_name, topic)
        return Line(joined, topic, name, type_name, qos, self._log)

    def _on_clock(self, message: Message) -> None:
        self._sim_us = message.clock.sec * 1_000_000 + message.clock.nanosec // 1000
