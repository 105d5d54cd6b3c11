"""Messages of ROS from plain fields, cast to what the setters of Humble and Jazzy take."""

from __future__ import annotations

import operator
import re
from array import array
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fit = Callable[[Any], Any]
SEQUENCE = re.compile(r"sequence<(?P<item>.+?)(?:, \d+)?>")
ARRAY = re.compile(r"(?P<item>.+)\[\d+\]")
CODES = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float": "f",
    "double": "d",
}
"""How an ``array.array`` calls what ROS does: rclpy takes one for a sequence as it is, and anything
else number by number."""


class Messages:
    """Makes messages. Their packages are imported when they are first asked for."""

    def __init__(self) -> None:
        self._classes: dict[str, Any] = {}
        self._fits: dict[str, dict[str, Fit]] = {}

    def class_of(self, type_name: str) -> Any | None:
        """Of a type such as ``nav_msgs/msg/Odometry``; None where no package has it here."""
        if type_name not in self._classes:
            package, folder, name = type_name.split("/")
            try:
                found = getattr(import_module(f"{package}.{folder}"), name, None)
            except ImportError:
                found = None
            self._classes[type_name] = found
        return self._classes[type_name]

    def known(self, type_name: str) -> Any:
        """Its class. Raises ValueError where its package is not there."""
        found = self.class_of(type_name)
        if found is None:
            raise ValueError(f"the message type {type_name} is not there: source its package")
        return found

    def make(self, type_name: str, given: Mapping[str, Any]) -> Any:
        """A message with these fields; others have their defaults.

        Raises ValueError for a type or a field that is not known, TypeError for a value that is not
        what a field holds.
        """
        message_class = self.known(type_name)
        fits = self._fits.get(type_name)
        if fits is None:
            kinds = message_class.get_fields_and_field_types()
            fits = self._fits[type_name] = {name: fit_of(kind) for name, kind in kinds.items()}
        message = message_class()
        for name, value in given.items():
            if name not in fits:
                near = get_close_matches(name, fits, n=1) or sorted(fits)
                raise ValueError(f"{type_name} has no field {name!r}: {', '.join(near)}?")
            try:
                setattr(message, name, fits[name](value))
            except (AssertionError, TypeError, ValueError, OverflowError) as error:
                raise TypeError(f"{type_name}: {name}: {error}") from None
        return message


def fit_of(kind: str) -> Fit:
    """Casts a value to a field's type, which is named as ``get_fields_and_field_types`` does."""
    sequence, fixed = SEQUENCE.fullmatch(kind), ARRAY.fullmatch(kind)
    listed = sequence or fixed
    if listed is None:
        return SCALARS.get(kind, _same)
    item = listed["item"]
    if item in CODES:
        code = CODES[item]
        return (
            (lambda value: array(code, _numbers(value, code).tobytes()))
            if sequence
            else (lambda value: _numbers(value, code))
        )
    fit = fit_of(item)
    return lambda values: [fit(value) for value in values]


def _same(value: Any) -> Any:
    return value


def _octet(value: Any) -> bytes:
    """ROS calls it a byte, rclpy takes ``bytes`` of length one."""
    return value if isinstance(value, bytes) else bytes([operator.index(value)])


def _truth(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected true or false, got {value!r}")
    return bool(value)


def _numbers(value: Any, code: str) -> NDArray[Any]:
    """(N,) of the type that the code stands for, nothing lost."""
    dtype = np.dtype(code)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return np.frombuffer(value, dtype)
    found = np.asarray(value)
    if found.ndim != 1:
        raise ValueError(f"expected a list of numbers, got shape {found.shape}")
    if not len(found):
        return np.zeros(0, dtype)
    whole = dtype.kind in "iu"
    if found.dtype.kind not in ("iu" if whole else "iuf"):
        raise TypeError(f"expected {dtype.name} values, got {found.dtype.name}")
    if whole:
        limits = np.iinfo(dtype)
        if found.min() < limits.min or found.max() > limits.max:
            raise OverflowError(f"expected numbers from {limits.min} to {limits.max}")
    return np.ascontiguousarray(found, dtype)


SCALARS: dict[str, Fit] = {
    "boolean": _truth,
    "octet": _octet,
    "float": float,
    "double": float,
    **{kind: operator.index for kind in CODES if "int" in kind},
}
