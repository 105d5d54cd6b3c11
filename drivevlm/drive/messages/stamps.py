"""Times of messages in nanoseconds and microseconds, as whole numbers: nothing is rounded twice."""

from __future__ import annotations

import threading
from collections import OrderedDict

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.messages.fields import BadMessageError

NS_PER_S = 1_000_000_000
KEPT = 1000


def ns_of(stamp: Message, where: str = "header.stamp") -> int:
    """A ``builtin_interfaces/Time`` in nanoseconds. A stamp that nobody set is refused."""
    sec, nanosec = int(stamp.sec), int(stamp.nanosec)
    if not 0 <= nanosec < NS_PER_S:
        raise BadMessageError(f"{where}: expected nanosec in [0, {NS_PER_S}), got {nanosec}")
    if sec == nanosec == 0:
        raise BadMessageError(f"{where}: expected a time, got zero: its driver must set the stamp")
    return sec * NS_PER_S + nanosec


def us_of(stamp: Message, where: str = "header.stamp") -> int:
    """A ``builtin_interfaces/Time`` in whole microseconds that have passed by then."""
    return ns_of(stamp, where) // 1000


def time_message(bus: Bus, stamp_ns: int) -> Message:
    """A ``builtin_interfaces/Time``."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    return bus.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def duration_message(bus: Bus, time_s: float) -> Message:
    """A ``builtin_interfaces/Duration``, to the nearest nanosecond."""
    sec, nanosec = divmod(round(time_s * NS_PER_S), NS_PER_S)
    return bus.make("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec)


class Nanoseconds:
    """Remembers the last stamps in full: an output bears its input's stamp to the last digit.

    The runtime counts in microseconds. Any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_ns: OrderedDict[int, int] = OrderedDict()

    def us_of(self, stamp: Message) -> int:
        """In microseconds, and remembered."""
        stamp_ns = ns_of(stamp)
        with self._lock:
            self._full_ns[stamp_ns // 1000] = stamp_ns
            while len(self._full_ns) > KEPT:
                self._full_ns.popitem(last=False)
        return stamp_ns // 1000

    def ns_of(self, stamp_us: int) -> int:
        """The stamp as it came; whole microseconds where it was not remembered."""
        with self._lock:
            return self._full_ns.get(stamp_us, stamp_us * 1000)
