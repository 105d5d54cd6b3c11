"""Message classes as rclpy has them, whose setters check types as ROS Humble does.

They are made of the same definitions as the wire's. What is checked was read off generated classes:
numbers by type and range, sequences of numbers as ``array.array``, arrays of a fixed length as
numpy arrays, a byte as ``bytes`` of length one, and no field that does not exist.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype

from drivevlm.drive.wire.make import NOT_ZERO
from drivevlm.drive.wire.store import typestore

Desc = Any
NAMES = {"bool": "boolean", "byte": "octet", "char": "uint8", "float32": "float"}
NAMES |= {"float64": "double"}
CODES = {"int8": "b", "uint8": "B", "char": "B", "int16": "h", "uint16": "H", "int32": "i"}
CODES |= {"uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d"}
MOST_FLOAT = 3.402823466e38


@cache
def message_class(type_name: str) -> type[Any]:
    """The class of a type such as ``nav_msgs/msg/Odometry``."""
    package, _, name = type_name.split("/")
    fields: Mapping[str, Desc] = dict(typestore().fielddefs[type_name][1])

    def begin(self: Any, **given: Any) -> None:
        strangers = [key for key in given if key not in fields]
        assert not strangers, f"Invalid arguments passed to constructor: {strangers}"
        for key, desc in fields.items():
            other = NOT_ZERO.get((type_name, key))
            default = initial(desc) if other is None else other
            setattr(self, key, given.get(key, default))

    space: dict[str, Any] = {
        "__slots__": [f"_{key}" for key in fields],
        "__init__": begin,
        "__module__": f"{package}.msg._{name.lower()}",
        "TYPE_NAME": type_name,
        "get_fields_and_field_types": classmethod(
            lambda cls: {key: kind_of(desc) for key, desc in fields.items()}
        ),
    }
    for key, desc in fields.items():
        space[key] = _checked(key, desc)
    return type(name, (), space)


def package_modules(lacks: Sequence[str] = ()) -> dict[str, ModuleType]:
    """``nav_msgs``, ``nav_msgs.msg`` and so on, with all classes of every package but these."""
    found: dict[str, ModuleType] = {}
    for type_name in typestore().fielddefs:
        package, _, name = type_name.split("/")
        if package in lacks:
            continue
        for path in (package, f"{package}.msg"):
            found.setdefault(path, ModuleType(path))
        setattr(found[f"{package}.msg"], name, message_class(type_name))
        found[package].msg = found[f"{package}.msg"]  # type: ignore[attr-defined]
    return found


def kind_of(desc: Desc) -> str:
    """A field's type in the words of ``get_fields_and_field_types``."""
    kind, detail = desc
    if kind == Nodetype.NAME:
        package, _, name = detail.split("/")
        return f"{package}/{name}"
    if kind == Nodetype.BASE:
        base, bound = detail
        return f"string<{bound}>" if bound else NAMES.get(base, base)
    item, length = kind_of(detail[0]), detail[1]
    if kind == Nodetype.ARRAY:
        return f"{item}[{length}]"
    return f"sequence<{item}, {length}>" if length else f"sequence<{item}>"


def initial(desc: Desc) -> Any:
    kind, detail = desc
    if kind == Nodetype.NAME:
        return message_class(detail)()
    if kind == Nodetype.BASE:
        return {"bool": False, "string": "", "byte": b"\0", "float32": 0.0, "float64": 0.0}.get(
            detail[0], 0
        )
    inner, length = detail
    if kind == Nodetype.ARRAY and inner[0] == Nodetype.BASE and inner[1][0] in CODES:
        return np.zeros(length, np.dtype(CODES[inner[1][0]]))
    return [initial(inner) for _ in range(length if kind == Nodetype.ARRAY else 0)]


def to_rosbags(message: Any) -> Any:
    """The same message as rosbags has it."""
    names = typestore().fielddefs[message.TYPE_NAME][1]
    plain = {key: _plain(getattr(message, key), desc) for key, desc in names}
    return typestore().types[message.TYPE_NAME](**plain)


def of_rosbags(message: Any) -> Any:
    """A message of rosbags as rclpy hands it to a callback."""
    found = message_class(message.__msgtype__)()
    for key, desc in typestore().fielddefs[message.__msgtype__][1]:
        setattr(found, key, _strict(getattr(message, key), desc))
    return found


def _plain(value: Any, desc: Desc) -> Any:
    kind, detail = desc
    if kind == Nodetype.NAME:
        return to_rosbags(value)
    if kind == Nodetype.BASE:
        return value[0] if detail[0] == "byte" else value
    if detail[0][0] == Nodetype.BASE and detail[0][1][0] in CODES:
        return np.array(value, dtype=np.dtype(CODES[detail[0][1][0]]))
    return [_plain(item, detail[0]) for item in value]


def _strict(value: Any, desc: Desc) -> Any:
    kind, detail = desc
    if kind == Nodetype.NAME:
        return of_rosbags(value)
    if kind == Nodetype.BASE:
        return bytes([value]) if detail[0] == "byte" else value
    if detail[0][0] == Nodetype.BASE and detail[0][1][0] in CODES:
        code = CODES[detail[0][1][0]]
        return np.array(value) if kind == Nodetype.ARRAY else array(code, np.array(value).tobytes())
    return [_strict(item, detail[0]) for item in value]


def _checked(key: str, desc: Desc) -> property:
    slot = f"_{key}"

    def put(self: Any, value: Any) -> None:
        object.__setattr__(self, slot, _fit(value, desc, f"{type(self).__name__}.{key}"))

    return property(operator.attrgetter(slot), put)


def _fit(value: Any, desc: Desc, where: str) -> Any:
    kind, detail = desc
    if kind == Nodetype.NAME:
        assert isinstance(value, message_class(detail)), f"{where}: a {detail}, got {value!r}"
        return value
    if kind == Nodetype.BASE:
        assert _is_base(value, detail[0]), f"{where}: a {detail[0]}, got {value!r}"
        return value
    inner, length = detail
    if kind == Nodetype.ARRAY or length:
        fits = len(value) == length if kind == Nodetype.ARRAY else len(value) <= length
        assert fits, f"{where}: {length} values, got {len(value)}"
    if inner[0] == Nodetype.BASE and inner[1][0] in CODES:
        code = CODES[inner[1][0]]
        if kind == Nodetype.ARRAY and isinstance(value, np.ndarray):
            assert value.dtype == np.dtype(code), f"{where}: {code}, got {value.dtype}"
            return value
        if isinstance(value, array):
            assert value.typecode == code, f"{where}: array {code!r}, got {value.typecode!r}"
            return value
        # What Humble takes as well, number by number: far too slow for a picture.
        assert isinstance(value, (list, tuple)), f"{where}: numbers, got {type(value)}"
        assert all(_is_base(item, inner[1][0]) for item in value), f"{where}: got {value!r}"
        return np.array(value, code) if kind == Nodetype.ARRAY else array(code, value)
    assert isinstance(value, (list, tuple)), f"{where}: a list, got {type(value)}"
    return [_fit(item, inner, where) for item in value]


def _is_base(value: Any, base: str) -> bool:
    checks: dict[str, Callable[[], bool]] = {
        "bool": lambda: isinstance(value, bool),
        "string": lambda: isinstance(value, str),
        "byte": lambda: isinstance(value, bytes) and len(value) == 1,
        "float64": lambda: isinstance(value, float),
        "float32": lambda: (
            isinstance(value, float) and (not np.isfinite(value) or abs(value) <= MOST_FLOAT)
        ),
    }
    if base in checks:
        return checks[base]()
    limits = np.iinfo(np.dtype(CODES[base]))
    return isinstance(value, int) and limits.min <= value <= limits.max
