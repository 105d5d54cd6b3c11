"""Arrays on disk, found by name: written once, whole or not at all, read through a memory map."""

from __future__ import annotations

import json
import mmap
import os
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Half = NDArray[np.float16]


class ArrayStore:
    """Arrays of half precision in one file, and beside it a line on each.

    A line is written after its numbers, so whatever is broken off leaves whole arrays alone. One
    process writes at a time; a reader sees what was there when it opened the folder, and what it
    wrote itself.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._numbers, self._lines = folder / "numbers.f16", folder / "names.jsonl"
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._writing: tuple[BinaryIO, BinaryIO] | None = None
        self._map: mmap.mmap | None = None
        self._end = self._whole = 0
        self._read_names()

    def __reduce__(self) -> tuple[type[ArrayStore], tuple[Path]]:
        """A worker opens it again."""
        return ArrayStore, (self.folder,)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size_bytes(self) -> int:
        """Of all arrays."""
        return self._end

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Keep an array. Raises ValueError where it holds no finite numbers of half precision."""
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(array, dtype=np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"{name}: the array does not fit half precision")
        if self._writing is None:
            # Without what a killed process left after its last whole line.
            self._writing = _opened(self._numbers, self._end), _opened(self._lines, self._whole)
        numbers, lines = self._writing
        numbers.write(half.tobytes())
        line = json.dumps({"name": name, "at": self._end, "shape": half.shape}).encode() + b"\n"
        lines.write(line)
        self._places[name] = self._end, half.shape
        self._end, self._whole = self._end + half.nbytes, self._whole + len(line)

    def flush(self) -> None:
        """Put on disk what was added."""
        if self._writing is not None:
            for file in self._writing:
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        """Put on disk what was added, and let go of the files until more comes."""
        self.flush()
        for file in self._writing or ():
            file.close()
        self._writing = None

    def __getitem__(self, name: str) -> Half:
        at, shape = self._places[name]
        size = 2 * prod(shape)
        if self._map is None or at + size > len(self._map):
            self.flush()
            with self._numbers.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype=np.float16, count=size // 2, offset=at).reshape(shape)

    def _read_names(self) -> None:
        if not (self._lines.exists() and self._numbers.exists()):
            return
        there = self._numbers.stat().st_size
        with self._lines.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                about = json.loads(line)
                shape = tuple(about["shape"])
                end = about["at"] + 2 * prod(shape)
                if end > there:
                    break
                self._places[about["name"]] = about["at"], shape
                self._end, self._whole = end, self._whole + len(line)


def _opened(path: Path, end: int) -> BinaryIO:
    """To be written from there on."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(end)
    file.seek(end)
    return file
