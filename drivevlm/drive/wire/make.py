"""Messages from fields: what is left out has its ROS default, and what does not fit is told."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Basename, FieldDesc
    from rosbags.typesys.store import Typestore

    Fit = Callable[[Any], Any]
    Part = tuple[Callable[[], Any], Fit]

NOT_ZERO = {("geometry_msgs/msg/Quaternion", "w"): 1.0}
"""The only default in ROS's own packages that is neither zero, nor false, nor empty."""
NUMBERS = {"byte": "uint8", "char": "uint8"}
"""Types of ROS that numpy calls otherwise."""
MOST_OF_A_BYTE = 127
"""The typestore writes a single ``byte`` with a sign, others read it without."""


class Maker:
    """Makes messages of every type in a store."""

    def __init__(self, store: Typestore) -> None:
        self._store = store
        self._parts: dict[str, dict[str, Part]] = {}

    def __call__(self, type_name: str, given: Mapping[str, Any]) -> Any:
        """A message with the given fields.

        Raises:
            ValueError: The type, or a field's name, is not known.
            TypeError: A value is not what the field holds.
        """
        parts = self._parts.get(type_name)
        if parts is None:
            parts = self._parts[type_name] = self._parts_of(type_name)
        values = {}
        for name, (default, fit) in parts.items():
            if name not in given:
                values[name] = default()
                continue
            try:
                values[name] = fit(given[name])
            except (TypeError, ValueError) as error:
                raise TypeError(f"{type_name}: {name} {error}") from None
        if strangers := sorted(given.keys() - parts.keys()):
            near = get_close_matches(strangers[0], parts, n=1) or sorted(parts)
            raise ValueError(f"{type_name} has no field {strangers[0]!r}: {', '.join(near)}?")
        return self._store.types[type_name](**values)

    def _parts_of(self, type_name: str) -> dict[str, Part]:
        must_be_known(self._store, type_name)
        parts = {}
        for name, kind in self._store.get_msgdef(type_name).fields:
            default, fit = self._part(kind)
            other = NOT_ZERO.get((type_name, name))
            parts[name] = (default if other is None else _always(other), fit)
        return parts

    def _part(self, kind: FieldDesc) -> Part:
        from rosbags.interfaces import Nodetype

        if kind[0] == Nodetype.NAME:
            nested = kind[1]
            return (lambda: self(nested, {})), _message(nested)
        if kind[0] == Nodetype.BASE:
            return _scalar(*kind[1])
        inner, length = kind[1]
        fixed = length if kind[0] == Nodetype.ARRAY else 0
        bound = length if kind[0] == Nodetype.SEQUENCE else 0
        sized = _sized(fixed, bound)
        if inner[0] == Nodetype.BASE and inner[1][0] != "string":
            dtype = np.dtype(NUMBERS.get(inner[1][0], inner[1][0]))
            return (lambda: np.zeros(fixed, dtype)), lambda value: sized(_numbers(value, dtype))
        default, fit = self._part(inner)
        return (lambda: [default() for _ in range(fixed)]), lambda value: sized(_list(value, fit))


def must_be_known(store: Typestore, type_name: str) -> None:
    """Raises ValueError, with the nearest name, where there is no such type."""
    if type_name not in store.fielddefs:
        near = get_close_matches(type_name, store.fielddefs, n=1)
        raise ValueError(
            f"the message type {type_name!r} is not known"
            + (f": {near[0]}?" if near else "; types are named as in nav_msgs/msg/Odometry")
        )


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _scalar(base: Basename, bound: int) -> Part:
    if base == "string":
        return str, _text(bound)
    if base == "bool":
        return bool, _truth
    dtype = np.dtype(NUMBERS.get(base, base))
    if dtype.kind == "f":
        return float, _real(dtype)
    return int, _byte if base == "byte" else _whole(dtype)


def _text(bound: int) -> Fit:
    def fit(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"must be text, got {_shown(value)}")
        if "\0" in value:
            raise ValueError(f"must hold no NUL, got {_shown(value)}")
        if bound and len(value.encode()) > bound:
            raise ValueError(f"must be at most {bound} bytes long, got {_shown(value)}")
        return value

    return fit


def _truth(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"must be true or false, got {_shown(value)}")
    return bool(value)


def _byte(value: Any) -> int:
    """A number, or a single byte as rclpy has it."""
    number: int = value[0] if isinstance(value, bytes) and len(value) == 1 else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"must be a byte, got {_shown(value)}")
    if not 0 <= number <= MOST_OF_A_BYTE:
        raise ValueError(f"must be from 0 to {MOST_OF_A_BYTE}, got {number}")
    return number


def _whole(dtype: np.dtype[Any]) -> Fit:
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def fit(value: Any) -> int:
        if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
            raise TypeError(f"must be a whole number, got {_shown(value)}")
        number = operator.index(value)
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}, got {number}")
        return number

    return fit


def _real(dtype: np.dtype[Any]) -> Fit:
    most = float(np.finfo(dtype).max)

    def fit(value: Any) -> float:
        known = isinstance(value, (int, float, np.integer, np.floating))
        if not known or isinstance(value, bool):
            raise TypeError(f"must be a number, got {_shown(value)}")
        number = float(value)
        if abs(number) > most and np.isfinite(number):
            raise ValueError(f"must be within {most:g}, got {number:g}")
        return number

    return fit


def _message(type_name: str) -> Fit:
    def fit(value: Any) -> Any:
        if getattr(value, "__msgtype__", None) != type_name:
            raise TypeError(f"must be a {type_name}, got {_shown(value)}")
        return value

    return fit


def _sized(fixed: int, bound: int) -> Callable[[Any], Any]:
    def check(values: Any) -> Any:
        if fixed and len(values) != fixed:
            raise ValueError(f"must have {fixed} values, got {len(values)}")
        if bound and len(values) > bound:
            raise ValueError(f"must have at most {bound} values, got {len(values)}")
        return values

    return check


def _list(values: Any, fit: Fit) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"must be a list, got {_shown(values)}")
    return [fit(value) for value in values]


def _numbers(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A one-dimensional array, in the order of memory that the wire needs."""
    raw = isinstance(value, (bytes, bytearray, memoryview))
    if raw and dtype.itemsize != 1:
        raise TypeError(f"must be {dtype.name} values, got bytes")
    array: NDArray[Any] = np.frombuffer(value, np.uint8) if raw else np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"must be one-dimensional, got shape {array.shape}")
    if array.dtype != dtype and len(array):
        kinds = {"f": "fiu", "b": "b"}.get(dtype.kind, "iu")
        if array.dtype.kind not in kinds:
            raise TypeError(f"must be {dtype.name} values, got {array.dtype.name}")
        if dtype.kind in "iu":
            for extreme in (array.min(), array.max()):
                _whole(dtype)(extreme)
        else:
            finite = array[np.isfinite(array)]
            _real(dtype)(np.abs(finite).max() if len(finite) else 0.0)
    return np.ascontiguousarray(array, dtype)


def _shown(value: Any) -> str:
    """Type and value, cut short."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '...'}"
