"""The node's parameters as ROS holds them: declared from data, and read back as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.parameter import Parameter as RosParameter

from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.parameters import CAMERAS, Kind, Parameter, parameters
from drivevlm.drive.topics import TOKEN

TYPES = {
    Kind.BOOL: RosParameter.Type.BOOL,
    Kind.INT: RosParameter.Type.INTEGER,
    Kind.FLOAT: RosParameter.Type.DOUBLE,
    Kind.TEXT: RosParameter.Type.STRING,
    Kind.INTS: RosParameter.Type.INTEGER_ARRAY,
    Kind.FLOATS: RosParameter.Type.DOUBLE_ARRAY,
    Kind.TEXTS: RosParameter.Type.STRING_ARRAY,
}
USE_SIM_TIME = "use_sim_time"
"""Ours too, but rclpy declares it."""
AT_THE_START = ("autostart",)
"""Looked at once. ROS calls that read-only: nobody may set it later, in no state of the node."""


class Declared:
    """Declares every parameter, and those of a camera when it joins the rig.

    Its node must be made with ``automatically_declare_parameters_from_overrides``: then it holds
    all that was given at the start, known or not, so that a misspelt name is found. That, and a
    value of the wrong type, is told when the values are checked, where ROS would end the process.
    """

    def __init__(self, node: Any) -> None:
        """``node`` is a node of rclpy."""
        self._node = node
        self._names: set[str] = set()
        self.declare()

    def declare(self) -> None:
        """Declare those that are not declared yet."""
        held = self._held()
        for parameter in parameters(_cameras(held)):
            if parameter.name not in self._names and parameter.name != USE_SIM_TIME:
                self._declare(parameter, held)
                self._names.add(parameter.name)

    def values(self) -> dict[str, object]:
        """All that have one, by name: also those that the node does not know."""
        held = self._held()
        known = {parameter.name for parameter in parameters(_cameras(held))}
        gone = self._names - known  # of cameras that left the rig
        return {
            name: value
            for name, value in held.items()
            if value is not None and name not in gone and is_ours(name)
        }

    def _held(self) -> dict[str, Any]:
        """Values by name; None where one is declared and has none yet."""
        found = self._node.get_parameters_by_prefix("")
        return {name: parameter.value for name, parameter in found.items()}

    def _declare(self, parameter: Parameter, held: Mapping[str, Any]) -> None:
        name = parameter.name
        value: Any = parameter.default
        if name in held:  # given at the start, and declared by ROS without a word
            given = _widened(parameter.kind, held[name])
            value = value if given is None else given
            self._node.undeclare_parameter(name)
        descriptor = ParameterDescriptor(
            description=parameter.description,
            additional_constraints=constraints(parameter),
            read_only=name in AT_THE_START,
        )
        wanted = TYPES[parameter.kind]
        if value == ():  # ROS has no empty list: it holds a type, and no value yet
            value = wanted
        elif isinstance(value, tuple):
            value = list(value)
        else:
            descriptor.dynamic_typing = RosParameter.Type.from_parameter_value(value) != wanted
        self._node.declare_parameter(name, value, descriptor, ignore_override=True)


def constraints(parameter: Parameter) -> str:
    """What ``ros2 param describe`` adds: the words that it takes, and when it may change."""
    choices = f"One of {', '.join(parameter.choices)}. " if parameter.choices else ""
    if parameter.name in AT_THE_START:
        return f"{choices}Read once, when the node starts."
    if parameter.dynamic:
        return f"{choices}May change at any time."
    return f"{choices}Read when the node is configured, and fixed until it is cleaned up."


def is_ours(name: str) -> bool:
    """Whether it is not one that rclpy declares for itself."""
    return not name.startswith("qos_overrides.") and name != "start_type_description_service"


def _cameras(held: Mapping[str, Any]) -> tuple[str, ...]:
    """The rig, as far as it makes sense: what makes none is told when it is checked."""
    told = held.get(CAMERAS)
    if told is None:
        told = NodeConfig().drive.sync.cameras
    names = told if isinstance(told, (list, tuple)) else [told]
    return tuple(name for name in names if isinstance(name, str) and TOKEN.fullmatch(name))


def _widened(kind: Kind, value: Any) -> Any:
    """Integers do for doubles, as in YAML that somebody wrote by hand."""
    if kind is Kind.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Kind.FLOATS and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        numbers = list(value)
        whole = [isinstance(number, int) and not isinstance(number, bool) for number in numbers]
        return [float(number) for number in numbers] if all(whole) else numbers
    return value
