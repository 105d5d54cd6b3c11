"""The part of rclpy that the shell uses, and no more: what is not here, it must not use.

All of it is there in rclpy 3.3 (Humble) and 7.1 (Jazzy), and does here what it does there, as far
as the shell can tell. A test holds a ``Graph``, which is the rest of the vehicle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum, IntEnum
from types import ModuleType
from typing import Any, NamedTuple

from rclpy_graph import (
    GRAPH,
    GRAPHS,
    Clock,
    ClockType,
    DurabilityPolicy,
    Entity,
    Graph,
    HistoryPolicy,
    MutuallyExclusiveCallbackGroup,
    Publisher,
    QoSProfile,
    ReentrantCallbackGroup,
    ReliabilityPolicy,
    init,
    ok,
    shutdown,
)
from ros_messages import message_class, package_modules

ParameterDescriptor = message_class("rcl_interfaces/msg/ParameterDescriptor")
SetParametersResult = message_class("rcl_interfaces/msg/SetParametersResult")


# rclpy.parameter


class ParameterType(Enum):
    NOT_SET = 0
    BOOL = 1
    INTEGER = 2
    DOUBLE = 3
    STRING = 4
    BYTE_ARRAY = 5
    BOOL_ARRAY = 6
    INTEGER_ARRAY = 7
    DOUBLE_ARRAY = 8
    STRING_ARRAY = 9

    @classmethod
    def from_parameter_value(cls, value: Any) -> ParameterType:
        names = {type(None): "NOT_SET", bool: "BOOL", int: "INTEGER", float: "DOUBLE"}
        names |= {str: "STRING"}
        if type(value) in names:
            return cls[names[type(value)]]
        kinds = {type(item) for item in value}
        if not kinds:
            return cls.BYTE_ARRAY  # of an empty list rclpy cannot know
        if len(kinds) > 1:
            raise TypeError("The given value is not one of the allowed types")
        return cls[f"{names[kinds.pop()]}_ARRAY"]


class Parameter:
    Type = ParameterType

    def __init__(self, name: str, type_: ParameterType | None = None, value: Any = None) -> None:
        self.name, self.value = name, value
        self.type_ = ParameterType.from_parameter_value(value) if type_ is None else type_


class ParameterError(Exception):
    """Several of rclpy's own, which the shell must not meet."""


# rclpy.lifecycle, rclpy.node


class TransitionCallbackReturn(IntEnum):
    SUCCESS = 97
    FAILURE = 98
    ERROR = 99


class State(NamedTuple):
    label: str
    state_id: int


class Logger:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, text: str) -> None:
        self.lines.append(("info", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def error(self, text: str) -> None:
        self.lines.append(("error", text))


class Node:
    def __init__(
        self,
        node_name: str,
        *,
        automatically_declare_parameters_from_overrides: bool = False,
    ) -> None:
        graph = GRAPH()
        assert graph.is_ok, "cannot create node"
        self._name = graph.name or node_name
        self._parameters: dict[str, Parameter] = {}
        self._descriptors: dict[str, Any] = {}
        self._callbacks: list[Callable[[list[Parameter]], Any]] = []
        self._logger = Logger()
        self._clock = Clock(clock_type=ClockType.ROS_TIME)
        self._group = MutuallyExclusiveCallbackGroup()
        self._entities: list[Entity] = []
        self.publishers: dict[str, Publisher] = {}
        if automatically_declare_parameters_from_overrides:
            for name, value in graph.overrides.items():
                self.declare_parameter(name, value, None, ignore_override=True)
        for name, value in graph.of_ros.items():
            if name not in self._parameters:
                self.declare_parameter(name, value)
        graph.nodes.append(self)

    @property
    def default_callback_group(self) -> ReentrantCallbackGroup:
        return self._group

    def get_name(self) -> str:
        return self._name

    def get_namespace(self) -> str:
        return GRAPH().namespace

    def get_logger(self) -> Logger:
        return self._logger

    def get_clock(self) -> Clock:
        return self._clock

    def resolve_topic_name(self, topic: str) -> str:
        return GRAPH().remaps.get(topic, topic)

    def create_publisher(
        self, msg_type: type[Any], topic: str, qos_profile: QoSProfile
    ) -> Publisher:
        publisher = Publisher(self.resolve_topic_name(topic), msg_type, qos_profile)
        assert publisher.topic not in self.publishers, f"{topic} is published twice"
        self.publishers[publisher.topic] = publisher
        return publisher

    def create_subscription(
        self,
        msg_type: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        qos_profile: QoSProfile,
        *,
        callback_group: ReentrantCallbackGroup | None = None,
    ) -> Entity:
        name, group = self.resolve_topic_name(topic), callback_group or self._group
        entity = Entity(name, callback, group, qos_profile, msg_type)
        self._entities.append(entity)
        GRAPH().joined(entity)
        return entity

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], None],
        callback_group: ReentrantCallbackGroup | None = None,
        clock: Clock | None = None,
    ) -> Entity:
        group = callback_group or self._group
        timer = Entity("", callback, group, period_s=timer_period_sec, clock=clock or self._clock)
        self._entities.append(timer)
        return timer

    def destroy_subscription(self, subscription: Entity) -> bool:
        self._entities.remove(subscription)
        return True

    def destroy_node(self) -> None:
        self._entities.clear()
        self.publishers.clear()

    def declare_parameter(
        self,
        name: str,
        value: Any = None,
        descriptor: Any = None,
        ignore_override: bool = False,
    ) -> Parameter:
        descriptor = descriptor or ParameterDescriptor()
        if name in self._parameters:
            raise ParameterError(f"{name} is declared already")
        if isinstance(value, ParameterType):
            if descriptor.dynamic_typing or value is ParameterType.NOT_SET:
                raise ValueError(f"{name}: a type, and no dynamic typing")
            descriptor.type, value = value.value, None
        elif not descriptor.dynamic_typing:
            descriptor.type = ParameterType.from_parameter_value(value).value
            if not descriptor.type:
                raise ValueError("Cannot declare a statically typed parameter of type NOT_SET")
        if not ignore_override and name in GRAPH().overrides:
            value = GRAPH().overrides[name]
        result = self._set([Parameter(name, None, value)], {name: descriptor})
        if not result.successful:
            raise ParameterError(result.reason)
        return self._parameters[name]

    def undeclare_parameter(self, name: str) -> None:
        if self._descriptors[name].read_only:
            raise ParameterError(f"{name} is immutable")
        del self._parameters[name], self._descriptors[name]

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        assert prefix == ""
        return dict(self._parameters)

    def add_on_set_parameters_callback(self, callback: Callable[[list[Parameter]], Any]) -> None:
        self._callbacks.insert(0, callback)

    def set_parameters_atomically(self, parameters: Sequence[Parameter]) -> Any:
        """What the service of ``ros2 param set`` calls."""
        for parameter in parameters:
            if parameter.name not in self._parameters:
                raise ParameterError(f"{parameter.name} is not declared")
            if self._descriptors[parameter.name].read_only:
                return SetParametersResult(successful=False, reason="read-only")
        return self._set(list(parameters), {})

    def describe(self, name: str) -> Any:
        return self._descriptors[name]

    def _set(self, parameters: list[Parameter], descriptors: dict[str, Any]) -> Any:
        told = self._descriptors | descriptors
        for parameter in parameters:
            descriptor, kind = told[parameter.name], parameter.type_.value
            if descriptor.dynamic_typing:
                descriptor.type = kind
            elif kind not in (0, descriptor.type) or (not kind and not descriptors):
                return SetParametersResult(successful=False, reason="Wrong parameter type")
        for callback in self._callbacks:
            result = callback(parameters)
            if not result.successful:
                return result
        self._descriptors |= descriptors
        self._parameters |= {parameter.name: parameter for parameter in parameters}
        return SetParametersResult(successful=True)


class LifecycleNode(Node):
    """Its state machine is that of ``rcl_lifecycle``."""

    STEPS = {  # noqa: RUF012
        "configure": ("unconfigured", "inactive"),
        "activate": ("inactive", "active"),
        "deactivate": ("active", "inactive"),
        "cleanup": ("inactive", "unconfigured"),
    }

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        super().__init__(node_name, **kwargs)
        self.label = "unconfigured"

    def trigger_configure(self) -> TransitionCallbackReturn:
        return self.change("configure")

    def trigger_activate(self) -> TransitionCallbackReturn:
        return self.change("activate")

    def change(self, step: str) -> TransitionCallbackReturn:
        """What the service of ``ros2 lifecycle set`` calls."""
        begun, goal = self.STEPS.get(step, (self.label, "finalized"))
        if self.label != begun or begun == "finalized":
            raise RuntimeError(f"Transition is not registered: {step} in {self.label}")
        made = self._run_callback(step, begun)
        if made is TransitionCallbackReturn.SUCCESS:
            self.label = goal
        elif made is TransitionCallbackReturn.ERROR:
            healed = self._run_callback("error", begun) is TransitionCallbackReturn.SUCCESS
            self.label = "unconfigured" if healed else "finalized"
        return made

    def _run_callback(self, step: str, begun: str) -> TransitionCallbackReturn:
        try:
            made = getattr(self, f"on_{step}")(State(begun, 0))
        except Exception:  # noqa: BLE001 - as rclpy does, without a word
            return TransitionCallbackReturn.ERROR
        assert isinstance(made, TransitionCallbackReturn)
        return made


# rclpy.executors


class ExternalShutdownException(Exception):  # noqa: N818
    pass


class MultiThreadedExecutor:
    """Runs what the graph hands over, in many threads, as the groups allow."""

    def __init__(self, num_threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(num_threads)
        self._ready: list[tuple[Entity, tuple[Any, ...]]] = []
        self._changed = threading.Condition()
        self._failed: list[BaseException] = []

    def add_node(self, node: Node) -> bool:
        GRAPH().executor = self
        return True

    def put(self, entity: Entity, *arguments: Any) -> None:
        with self._changed:
            self._ready.append((entity, arguments))
            self._changed.notify_all()

    def interrupt(self, error: BaseException) -> None:
        with self._changed:
            self._failed.append(error)
            self._changed.notify_all()

    def idle(self, timeout_s: float = 10.0) -> bool:
        """Wait until nothing is left to do."""
        with self._changed:
            done = lambda: not self._ready and not any(e.group.busy for e in self._all())  # noqa: E731
            return self._changed.wait_for(done, timeout_s)

    def spin(self) -> None:
        while True:
            with self._changed:
                while not self._failed and self._next() is None:
                    self._changed.wait()
                if self._failed:
                    raise self._failed.pop(0)
                entity, arguments = self._ready.pop(self._next() or 0)
                entity.group.busy += 1
            self._pool.submit(self._run, entity, arguments)

    def shutdown(self) -> bool:
        self._pool.shutdown()
        GRAPH().executor = None
        return True

    def _all(self) -> Iterable[Entity]:
        return [entity for node in GRAPH().nodes for entity in node._entities]

    def _next(self) -> int | None:
        able = (k for k, (e, _) in enumerate(self._ready) if e.group.can_execute())
        return next(able, None)

    def _run(self, entity: Entity, arguments: tuple[Any, ...]) -> None:
        error: BaseException | None = None
        try:
            entity.call(*arguments)
        except Exception as raised:  # noqa: BLE001 - it comes out of spin, as in rclpy
            error = raised
        with self._changed:
            entity.group.busy -= 1
            if error is not None:
                self._failed.append(error)
            self._changed.notify_all()


def modules(graph: Graph) -> dict[str, ModuleType]:
    """What ``import`` finds while this graph is there."""
    GRAPHS[:] = [graph]
    parts: dict[str, list[Any]] = {
        "rclpy": [init, ok, shutdown],
        "rclpy.callback_groups": [MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup],
        "rclpy.clock": [Clock, ClockType],
        "rclpy.executors": [ExternalShutdownException, MultiThreadedExecutor],
        "rclpy.lifecycle": [LifecycleNode, State, TransitionCallbackReturn],
        "rclpy.parameter": [Parameter],
        "rclpy.qos": [DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy],
    }
    found = package_modules(graph.lacks)
    for path, members in parts.items():
        found[path] = ModuleType(path)
        for member in members:
            setattr(found[path], member.__name__, member)
        package, _, name = path.rpartition(".")
        with suppress(KeyError):
            setattr(found[package], name, found[path])
    return found
