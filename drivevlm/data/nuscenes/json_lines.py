"""Reads files of JSON lines, so that whatever is wrong in one is told with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from drivevlm.data.recording import DataError

E_ = TypeVar("E_", bound=Enum)


@dataclass(frozen=True, slots=True)
class JsonLine:
    """An object of a line, or one inside it.

    Attributes:
        fields: What it holds.
        where: File and line, and the way to the object.
    """

    fields: Mapping[str, Any]
    where: str

    def error(self, trouble: str) -> DataError:
        """What to raise where something is wrong here."""
        return DataError(f"{self.where}: {trouble}")

    def get(self, key: str, *kinds: type) -> Any:
        """A value of one of these types; a text is not empty, a bool is no number."""
        if key not in self.fields:
            raise self.error(f"{key!r} is missing")
        value = self.fields[key]
        right = type(value) in kinds and value != ""
        if not right:
            told = " or ".join(kind.__name__ for kind in kinds)
            raise self.error(f"{key} must be of type {told}, got {value!r:.80}")
        return value

    def text(self, key: str) -> str:
        """A text that may be empty."""
        return "" if self.fields.get(key) == "" else str(self.get(key, str))

    def metres(self, key: str) -> float:
        """A finite number that is not negative; metres, or seconds."""
        value = float(self.get(key, int, float))
        if not (math.isfinite(value) and value >= 0):
            raise self.error(f"{key} must be finite and not negative, got {value}")
        return value

    def metres_or_none(self, key: str) -> float | None:
        """The same, or null."""
        return None if self.get(key, int, float, type(None)) is None else self.metres(key)

    def member(self, key: str, kind: type[E_]) -> E_:
        """A word of a closed set."""
        word = self.get(key, str)
        if word not in [member.value for member in kind]:
            known = ", ".join(str(member.value) for member in kind)
            raise self.error(f"{key} is {word!r}, expected one of {known}")
        return kind(word)

    def inside(self, key: str) -> JsonLine:
        """An object."""
        return JsonLine(self.get(key, dict), f"{self.where}: {key}")

    def inside_or_none(self, key: str) -> JsonLine | None:
        """The same, or null."""
        return None if self.get(key, dict, type(None)) is None else self.inside(key)

    def each(self, key: str) -> Iterator[JsonLine]:
        """A list of objects."""
        for number, value in enumerate(self.get(key, list)):
            where = f"{self.where}: {key}[{number}]"
            if not isinstance(value, dict):
                raise DataError(f"{where}: expected an object, got {value!r:.80}")
            yield JsonLine(value, where)


def json_lines(path: Path) -> Iterator[JsonLine]:
    """One object a line; empty lines are passed over. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not valid JSON ({error})") from error
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected an object, got {value!r:.80}")
        yield JsonLine(value, where)
