"""Plain values of a configuration become frozen dataclasses, by their type hints."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


class SettingError(Exception):
    """A setting is unknown or of the wrong kind; the message is one clear line."""


def settings_from(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of a config dataclass from plain values (str, int, float, bool, list, dict).

    A single value does for a list of one. Raises SettingError with the setting's full name.
    """
    hints = typing.get_type_hints(kind)
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - names)
    if unknown:
        raise SettingError(f"{_dotted(where, unknown[0])} is no setting: there are {sorted(names)}")
    converted = {
        name: _convert(value, hints[name], _dotted(where, name)) for name, value in values.items()
    }
    try:
        return kind(**converted)
    except ValueError as error:
        raise SettingError(f"{where}: {error}" if where else str(error)) from None


def plain(value: Any) -> Any:
    """A config dataclass as plain values, the inverse of ``settings_from``."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _dotted(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [a for a in arguments if a is not type(None)]
        return _first_that_fits(value, rest, where)
    if origin is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        if arguments[1:] != (...,):
            if len(items) != len(arguments):
                raise SettingError(f"{where} takes {len(arguments)} values, got {value!r}")
            return tuple(_convert(v, a, where) for v, a in zip(items, arguments, strict=True))
        return tuple(_convert(item, arguments[0], where) for item in items)
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, Mapping):
            raise SettingError(f"{where} takes a mapping like {{name: value}}, got {value!r}")
        key, item = arguments
        return {_convert(k, key, where): _convert(v, item, where) for k, v in value.items()}
    return _convert_plain(value, hint, where)


def _first_that_fits(value: Any, hints: list[Any], where: str) -> Any:
    errors = []
    for hint in hints:
        try:
            return _convert(value, hint, where)
        except SettingError as error:
            errors.append(error)
    raise errors[0]


def _convert_plain(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise SettingError(f"{where} is a group of settings, got {value!r}")
        return settings_from(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        # YAML reads a bare on / off as a truth value.
        word = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        try:
            return hint(word)
        except ValueError:
            choices = ", ".join(str(choice.value) for choice in hint)
            raise SettingError(f"{where} is one of {choices}; got {value!r}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise SettingError(f"{where} takes a value of type {hint.__name__}, got {value!r}")
