"""Parameters as a YAML file of ROS, read and written with what each is for."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import yaml

from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.parameters import (
    Parameter,
    ParameterError,
    Value,
    flat,
    parameters,
    values_of,
)

ROS = "ros__parameters"
WIDTH = 100
HEAD = """\
Every parameter of the node drivevlm, with its value. A double keeps its point: ROS takes no
integer for it. Lists that are commented out are empty, for ROS has no empty list. What is marked
dynamic may be set while the node is configured; all else is read when it is configured.
"""


def values_from_yaml(text: str, *, node: str = "/drivevlm", where: str = "") -> dict[str, object]:
    """The values in a file for a node (its full name), flat.

    A file of ROS holds them by node under ``ros__parameters``, where ``/**`` means any; a later
    entry wins. A plain file holds them alone. ``where`` names the file in errors.
    """
    before = f"{where}: " if where else ""
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{before}no YAML: {' '.join(str(error).split())}") from None
    if told is None:
        return {}
    if not isinstance(told, Mapping):
        raise ParameterError(f"{before}expected parameters by name, got {str(told)[:60]!r}")
    nodes = {name: part[ROS] for name, part in told.items() if _of_a_node(part)}
    if not nodes:
        return flat(told)
    strangers = sorted(set(told) - set(nodes))
    if strangers:
        raise ParameterError(f"{before}{strangers[0]} holds no {ROS}")
    found: dict[str, object] = {}
    for name, values in nodes.items():
        if name in ("/**", node, node.lstrip("/")):
            found |= flat(values or {})
    return found


def yaml_of(config: NodeConfig) -> str:
    """A file of ROS with all parameters of a node, each after what it is for."""
    values = values_of(config)
    lines = [f"# {line}" for line in HEAD.splitlines()]
    lines += ["/**:", f"  {ROS}:", *_lines(parameters(config.drive.sync.cameras), values)]
    return "\n".join(lines) + "\n"


def _of_a_node(part: object) -> bool:
    return isinstance(part, Mapping) and ROS in part


def _lines(declared: Sequence[Parameter], values: Mapping[str, Value]) -> Iterator[str]:
    opened: list[str] = []
    for parameter in declared:
        *groups, name = parameter.name.split(".")
        if groups != opened:
            shared = 0
            while shared < min(len(groups), len(opened)) and groups[shared] == opened[shared]:
                shared += 1
            for depth in range(shared, len(groups)):
                margin = "  " * (2 + depth)
                if depth == len(groups) - 1:
                    yield from _comment(parameter.group, margin)
                yield f"{margin}{groups[depth]}:"
            opened = groups
        margin = "  " * (2 + len(groups))
        yield from _comment(_about(parameter), margin)
        value = values[parameter.name]
        yield f"{margin}{'# ' if value == () else ''}{name}: {_scalar_or_list(value)}"


def _about(parameter: Parameter) -> str:
    choices = f" One of {', '.join(parameter.choices)}." if parameter.choices else ""
    return f"{parameter.description}{choices}{' (dynamic)' if parameter.dynamic else ''}"


def _comment(text: str, margin: str) -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - len(margin) - 2):
        yield f"{margin}# {line}"


def _scalar_or_list(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_scalar_or_list(item) for item in value)}]"
    if isinstance(value, float):
        return _double(value)
    return json.dumps(value)


def _double(value: float) -> str:
    """With a point, also before an exponent, where YAML would read text."""
    digits, e, exponent = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{e}{exponent}"
