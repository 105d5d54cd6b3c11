"""What is around a node of a fake rclpy: topics, a clock, parameters, and what is to go wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from drive_cases import Clock as NodeClock
from ros_messages import message_class, of_rosbags, to_rosbags

from drivevlm.drive.wire.store import typestore

# rclpy.qos, rclpy.clock, rclpy.callback_groups

ReliabilityPolicy = Enum("ReliabilityPolicy", "RELIABLE BEST_EFFORT")
DurabilityPolicy = Enum("DurabilityPolicy", "TRANSIENT_LOCAL VOLATILE")
HistoryPolicy = Enum("HistoryPolicy", "KEEP_LAST KEEP_ALL")
ClockType = Enum("ClockType", "ROS_TIME SYSTEM_TIME STEADY_TIME")


@dataclass
class QoSProfile:
    history: HistoryPolicy
    depth: int
    reliability: ReliabilityPolicy
    durability: DurabilityPolicy


class Time(NamedTuple):
    nanoseconds: int


class Clock:
    def __init__(self, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> None:
        self.clock_type = clock_type

    def now(self) -> Time:
        return Time(GRAPH().clock.now_us * 1000 + 999)


class ReentrantCallbackGroup:
    def __init__(self) -> None:
        self.busy = 0

    def can_execute(self) -> bool:
        return True


class MutuallyExclusiveCallbackGroup(ReentrantCallbackGroup):
    def can_execute(self) -> bool:
        return self.busy == 0


@dataclass
class Publisher:
    topic: str
    message_class: type[Any]
    qos: QoSProfile

    def publish(self, message: Any) -> None:
        GRAPH().take(self, message)


@dataclass(eq=False)
class Entity:
    """A subscription or a timer."""

    topic: str
    call: Callable[..., None]
    group: ReentrantCallbackGroup
    qos: QoSProfile | None = None
    message_class: Any = None
    period_s: float = 0.0
    clock: Clock | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


# The rest of the vehicle


@dataclass
class Graph:
    """All that is not the node.

    Attributes:
        overrides: Parameters that are given at the start.
        remaps: Of topics, by full names.
        name, namespace: What ROS is told of the node's.
        lacks: Packages that are not there.
        refuses: Topics that cannot be sent to.
        sent: What the node sent, by topic, as messages of rosbags.
    """

    overrides: dict[str, Any] = field(default_factory=dict)
    remaps: dict[str, str] = field(default_factory=dict)
    name: str = ""
    namespace: str = "/"
    lacks: tuple[str, ...] = ()
    refuses: set[str] = field(default_factory=set)
    clock: NodeClock = field(default_factory=NodeClock)
    sent: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    nodes: list[Any] = field(default_factory=list)
    executor: Any = None
    is_ok: bool = True
    of_ros: dict[str, Any] = field(
        default_factory=lambda: {"use_sim_time": False, "start_type_description_service": True}
    )
    latched: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def take(self, publisher: Publisher, message: Any) -> None:
        if not self.is_ok or publisher.topic in self.refuses:
            raise RuntimeError("the wire is cut\nin two")
        assert type(message) is publisher.message_class, f"{publisher.topic} got a {type(message)}"
        store, name = typestore(), message.TYPE_NAME
        cdr = bytes(store.serialize_cdr(to_rosbags(message), name))
        self.sent[publisher.topic].append(store.deserialize_cdr(cdr, name))

    def send(self, topic: str, message: Any, *, latched: bool = False) -> None:
        """From outside, a message of rosbags; nobody need hear it."""
        if latched:
            self.latched[topic].append(message)
        for entity in self._hearing(topic):
            assert entity.message_class is message_class(message.__msgtype__)
            self.call(entity, of_rosbags(message))

    def joined(self, entity: Entity) -> None:
        if entity.qos is not None and entity.qos.durability is DurabilityPolicy.TRANSIENT_LOCAL:
            for message in self.latched[entity.topic][-entity.qos.depth :]:
                self.call(entity, of_rosbags(message))

    def call(self, entity: Entity, *arguments: Any) -> None:
        """At once, or by the executor where one spins."""
        if self.executor is None:
            entity.call(*arguments)
        else:
            self.executor.put(entity, *arguments)

    def tick(self, count: int = 1, *, us: int = 100_000) -> None:
        """Timers beat, a tenth of a second apart."""
        for _ in range(count):
            self.clock.now_us += us
            for timer in self.timers():
                self.call(timer)

    def timers(self) -> list[Entity]:
        entities = [entity for node in self.nodes for entity in node._entities]
        return [entity for entity in entities if entity.period_s and not entity.cancelled]

    def subscriptions(self) -> dict[str, Entity]:
        entities = [entity for node in self.nodes for entity in node._entities]
        return {entity.topic: entity for entity in entities if entity.topic}

    def _hearing(self, topic: str) -> list[Entity]:
        found = self.subscriptions().get(topic)
        return [] if found is None else [found]


GRAPHS: list[Graph] = []


def GRAPH() -> Graph:  # noqa: N802
    """The one that is there now."""
    return GRAPHS[-1]


def init(args: Sequence[str] | None = None) -> None:
    GRAPH().is_ok = True


def ok() -> bool:
    return GRAPH().is_ok


def shutdown() -> None:
    GRAPH().is_ok = False
