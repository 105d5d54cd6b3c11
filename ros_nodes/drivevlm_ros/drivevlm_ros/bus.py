"""The bus of the node on rclpy: topics, messages, timers and the clock of ROS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from drivevlm.drive.bus import Message, Qos, Send
from drivevlm.drive.topics import check_output
from drivevlm.drive.wire.trouble import Trouble, Troubles
from drivevlm.drive.worker import one_line
from drivevlm_ros.messages import Messages


class RosBus:
    """Topics of ROS 2. A ``drivevlm.drive.bus.Bus``.

    Every subscription and every timer has a callback group of its own, so that under an executor
    of many threads a slow one delays no other, and the messages of one topic stay in order. (In a
    reentrant group two pictures of a camera may overtake each other, which would look as if time
    ran backwards.) A callback that raises ends nothing: rclpy would end the process.
    """

    def __init__(self, node: Any) -> None:
        """``node`` is a node of rclpy."""
        self._node = node
        self._messages = Messages()
        self._wall = Clock(clock_type=ClockType.STEADY_TIME)
        self._troubles = Troubles(node.get_logger().warning)

    def knows(self, type_name: str) -> bool:
        """Whether the type's package is there, and has it."""
        return self._messages.class_of(type_name) is not None

    def make(self, type_name: str, **fields: Any) -> Message:
        """A message; fields that are left out have their ROS defaults.

        Raises ValueError for a type or a field that is not known, TypeError for a wrong value.
        """
        return self._messages.make(type_name, fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        """Sends to a topic (its full name, before the remapping of ROS) from any thread.

        Raises TopicError where the topic that it is remapped to belongs to others.
        """
        check_output(self._node.resolve_topic_name(topic))
        message_class = self._messages.known(type_name)
        publisher = self._node.create_publisher(message_class, topic, qos_profile(qos))
        send: Send = publisher.publish
        return send

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        """Hear a topic (its full name, before the remapping) until what is returned is called."""
        closed = threading.Event()

        def hear(message: Message) -> None:
            if not closed.is_set():
                self._guarded(topic, lambda: callback(message))

        subscription = self._node.create_subscription(
            self._messages.known(type_name),
            topic,
            hear,
            qos_profile(qos),
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

        def leave() -> None:
            closed.set()
            self._node.destroy_subscription(subscription)

        return leave

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call again and again, by the wall clock, whatever ROS time does."""
        name = f"timer of {period_s:g} s"
        self._node.create_timer(
            period_s,
            lambda: self._guarded(name, callback),
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=self._wall,
        )

    def once(self, after_s: float, callback: Callable[[], None]) -> None:
        """Call once, when no transition is under way: those share the default callback group."""

        def call() -> None:
            timer.cancel()
            self._guarded(f"call after {after_s:g} s", callback)

        timer = self._node.create_timer(after_s, call, clock=self._wall)

    def now_us(self) -> int:
        """System time, or ``/clock`` with ``use_sim_time``; 0 until it is heard."""
        return int(self._node.get_clock().now().nanoseconds) // 1000

    def troubles(self) -> Mapping[tuple[str, Trouble], int]:
        """What went wrong in callbacks so far, by topic."""
        return self._troubles.counts()

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        # What a callback raises comes out of the executor's spin and ends the node: it is told
        # once and counted, and the vehicle keeps its other topics.
        except Exception as error:  # noqa: BLE001
            self._troubles.add(name, Trouble.CALLBACK, one_line(error))


def qos_profile(qos: Qos) -> QoSProfile:
    """The same in the words of rclpy."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if qos.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if qos.latched else DurabilityPolicy.VOLATILE,
    )
