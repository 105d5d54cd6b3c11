"""Every parameter of the node, as data: read off the frozen settings, declared nowhere else."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Any

from drivevlm.drive.node_config import Calibration, NodeConfig, OutputConfig

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
CALIBRATION, CAMERAS = "calibration", "sync.cameras"
INLINE = "drive"
"""Its settings bear no prefix: ``sync.tolerance_ms``."""
NO_PARAMETER = ("name",)
"""A node is named where it is started."""
DYNAMIC = (OutputConfig,)
"""Groups that may be changed while the node is configured; all else is read when it is."""


class Kind(Enum):
    """What a parameter holds, by its word in ROS."""

    BOOL = "bool"
    INT = "integer"
    FLOAT = "double"
    TEXT = "string"
    INTS = "integer_array"
    FLOATS = "double_array"
    TEXTS = "string_array"


KINDS: dict[Any, Kind] = {
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.TEXT,
    tuple[int, ...]: Kind.INTS,
    tuple[float, ...]: Kind.FLOATS,
    tuple[str, ...]: Kind.TEXTS,
}
ONE = {Kind.INTS: Kind.INT, Kind.FLOATS: Kind.FLOAT, Kind.TEXTS: Kind.TEXT}


class ParameterError(Exception):
    """A parameter is unknown or makes no sense; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes:
        name: With its groups, as in ``sync.tolerance_ms``.
        kind: What it holds.
        default: Where it is not given. An empty list says "not given".
        description: What it is for, with units.
        choices: The words it takes; empty where it takes any.
        dynamic: May be changed while the node is configured.
        group: What its group is about.
    """

    name: str
    kind: Kind
    default: Value
    description: str
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    group: str = ""


def parameters(cameras: Sequence[str] = ()) -> tuple[Parameter, ...]:
    """All parameters of a node with this rig: each camera has a calibration."""
    found = list(_declared(NodeConfig, ""))
    for camera in cameras:
        found += _declared(Calibration, f"{CALIBRATION}.{camera}.")
    return tuple(found)


def node_config(values: Mapping[str, object], *, name: str = "drivevlm") -> NodeConfig:
    """Settings from the values of parameters, nested by group, flat with dots, or mixed.

    Args:
        values: What differs from the defaults, or all. A list may hold one value only, and an
            integer does for a double; ROS has no empty list, so ``['']`` stands for it.
        name: The node's.

    Raises:
        ParameterError: With the parameter's name, and the nearest one where it is unknown.
    """
    given = flat(values)
    rig = Parameter(CAMERAS, Kind.TEXTS, NodeConfig().drive.sync.cameras, "")
    cameras = typing.cast("tuple[str, ...]", _read(rig, given))
    known = {parameter.name: parameter for parameter in parameters(cameras)}
    for key in given:
        if key not in known:
            raise ParameterError(_unknown(key, known))
    read = {key: _read(parameter, given) for key, parameter in known.items()}
    calibration = {}
    for camera in cameras:
        told = _built(Calibration, f"{CALIBRATION}.{camera}.", read)
        if told != Calibration():
            calibration[camera] = told
    config: NodeConfig = _built(NodeConfig, "", read)
    try:
        drive = replace(config.drive, name=name)
        return replace(config, drive=drive, calibration=calibration)
    except ValueError as error:
        raise ParameterError(str(error)) from None


def changed(config: NodeConfig, values: Mapping[str, object]) -> NodeConfig:
    """The settings of a configured node with other values of dynamic parameters.

    Raises ParameterError where one is unknown, makes no sense or is not dynamic.
    """
    known = {parameter.name: parameter for parameter in parameters(config.drive.sync.cameras)}
    given = flat(values)
    for key in given:
        if key not in known:
            raise ParameterError(_unknown(key, known))
        if not known[key].dynamic:
            raise ParameterError(
                f"{key} is read when the node is configured: clean it up and configure it again"
            )
    return node_config({**values_of(config), **given}, name=config.drive.name)


def flat(values: Mapping[str, object]) -> dict[str, object]:
    """Nested groups as dotted names. Raises ParameterError where a name is given twice."""
    found: dict[str, object] = {}
    for key, value in values.items():
        inner = {str(key): value}
        if isinstance(value, Mapping):
            inner = {f"{key}.{name}": nested for name, nested in flat(value).items()}
        twice = sorted(set(inner) & set(found))
        if twice:
            both = f"{found[twice[0]]!r} and {inner[twice[0]]!r}"
            raise ParameterError(f"{twice[0]} is given twice: {both}")
        found |= inner
    return found


def values_of(config: NodeConfig) -> dict[str, Value]:
    """All parameters' values, by name: the inverse of ``node_config``."""
    found = _values(config, "")
    for camera in config.drive.sync.cameras:
        calibration = config.calibration.get(camera, Calibration())
        found |= _values(calibration, f"{CALIBRATION}.{camera}.")
    return found


def _declared(kind: type, prefix: str) -> Iterator[Parameter]:
    hints, about = typing.get_type_hints(kind), attributes(kind)
    group = (kind.__doc__ or "").strip().partition("\n")[0]
    for part in _parts(kind):
        hint = hints[part.name]
        if is_dataclass(hint):
            yield from _declared(typing.cast(type, hint), _prefix(prefix, part.name))
            continue
        is_choice = isinstance(hint, type) and issubclass(hint, Enum)
        yield Parameter(
            prefix + part.name,
            Kind.TEXT if is_choice else KINDS[hint],
            _plain(part.default),
            about.get(part.name, "").replace("``", ""),
            tuple(choice.value for choice in hint) if is_choice else (),
            kind in DYNAMIC,
            group,
        )


def _parts(kind: type) -> Iterator[Field[Any]]:
    """The fields that are parameters or groups of them; groups come last, as in a file."""
    own = [part for part in fields(kind) if part.name not in (*NO_PARAMETER, CALIBRATION)]
    yield from sorted(own, key=lambda part: part.default is MISSING)


def _prefix(prefix: str, name: str) -> str:
    return prefix if name == INLINE else f"{prefix}{name}."


def _plain(value: Any) -> Value:
    return typing.cast(Value, value.value if isinstance(value, Enum) else value)


def _values(config: Any, prefix: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for part in _parts(type(config)):
        value = getattr(config, part.name)
        if is_dataclass(value):
            found |= _values(value, _prefix(prefix, part.name))
        else:
            found[prefix + part.name] = _plain(value)
    return found


def _built(kind: Any, prefix: str, read: Mapping[str, Value]) -> Any:
    hints, made = typing.get_type_hints(kind), {}
    for part in _parts(kind):
        hint = hints[part.name]
        if is_dataclass(hint):
            made[part.name] = _built(hint, _prefix(prefix, part.name), read)
        else:
            value = read[prefix + part.name]
            is_choice = isinstance(hint, type) and issubclass(hint, Enum)
            made[part.name] = hint(value) if is_choice else value
    try:
        return kind(**made)
    except ValueError as error:
        raise ParameterError(f"{prefix.rstrip('.')}: {error}" if prefix else str(error)) from None


def _read(parameter: Parameter, given: Mapping[str, object]) -> Value:
    if parameter.name not in given:
        return parameter.default
    value = given[parameter.name]
    if parameter.kind in ONE:
        items = _items(value)
        if items == [""]:
            return ()
        return tuple(_one(ONE[parameter.kind], item, parameter) for item in items)  # type: ignore[return-value]
    found = _one(parameter.kind, value, parameter)
    if parameter.choices and found not in parameter.choices:
        choices = ", ".join(parameter.choices)
        raise ParameterError(f"{parameter.name} is one of {choices}; got {value!r}")
    return found


def _one(kind: Kind, value: Any, parameter: Parameter) -> bool | int | float | str:
    if kind is Kind.BOOL and isinstance(value, bool):
        return value
    if kind is Kind.TEXT and isinstance(value, str):
        return str(value)
    if kind is Kind.INT and isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if kind is Kind.FLOAT and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ParameterError(f"{parameter.name}: expected {parameter.kind.value}, got {value!r}")


def _items(value: object) -> list[object]:
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    return list(typing.cast("Iterable[object]", value)) if is_list else [value]


def _unknown(key: str, known: Mapping[str, Parameter]) -> str:
    if any(name.startswith(f"{key}.") for name in known):
        return f"{key} is a group of parameters, got no names in it"
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    if not near:  # right word, wrong group
        near = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"{key} is no parameter" + (f", did you mean {near[0]}?" if near else "")


def attributes(kind: type) -> dict[str, str]:
    """What a dataclass says of each of its fields under "Attributes", as one line each."""
    _, _, listed = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in listed.splitlines():
        entry = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if entry is not None:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
