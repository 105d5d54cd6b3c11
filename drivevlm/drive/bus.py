"""What a shell lends the node: topics, messages, timers and a clock, under ROS or without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Message = Any
"""An object with the fields of its ROS definition as attributes; its class is the shell's own."""
Send = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Qos:
    """How a topic is carried.

    Attributes:
        reliable: Sent again until it arrives; else best effort.
        depth: Messages kept.
        latched: Late joiners get the last ones (transient local).
    """

    reliable: bool
    depth: int
    latched: bool = False


class Bus(Protocol):
    """Carries messages. Types are named as in ``nav_msgs/msg/Odometry``.

    Callbacks of subscriptions and timers may come from any thread, several at once.
    """

    def knows(self, type_name: str) -> bool:
        """Whether the type's definition (under ROS: its package) is there."""

    def make(self, type_name: str, **fields: Any) -> Message:
        """A message; fields that are left out have their ROS defaults.

        Arrays of numbers may be numpy arrays, nested messages are made first.
        """

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        """Sends to a topic (its full name) from any thread."""

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        """Hear a topic (its full name) until the bus is closed, or what is returned is called."""

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call again and again until the bus is closed; by the wall clock, not by ROS time."""

    def now_us(self) -> int:
        """The node's clock in microseconds: system time, or ``/clock`` with ``use_sim_time``."""
