"""Single rows of large parquet files: only the row group around a row is ever read."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.data.packed.schema import parquet
from drivevlm.data.recording import DataError

Row = dict[str, Any]
FILES_OPEN = 512
GROUPS_KEPT = 64
"""Row groups of rows kept in memory, over all files; of images, an eighth of that."""


def row_of(path: Path, row: int, columns: tuple[str, ...]) -> Row:
    """Some columns of one row of a table. Raises DataError where the file is not whole."""
    group, offset = _file(path, _reader(path)).place(row)
    table = _group(path, group, columns, _reader(path))
    found: Row = table.slice(offset, 1).to_pylist()[0]
    return found


def numbers_of(path: Path, row: int, column: str) -> NDArray[Any] | None:
    """One list of numbers of one row, as an array; None where it is null."""
    group, offset = _file(path, _reader(path)).place(row)
    value = _group(path, group, (column,), _reader(path)).column(column)[offset]
    return np.array(value.values.to_numpy(zero_copy_only=False)) if value.is_valid else None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a packed recording: it can be sent to a worker, which reads it there."""

    path: Path
    row: int

    def read_bytes(self) -> bytes:
        """As recorded. Raises OSError where it was missing when the data were packed."""
        try:
            group, offset = _file(self.path, _reader(self.path)).place(self.row)
            table = _image_group(self.path, group, _reader(self.path))
        except DataError as error:
            raise OSError(errno.EIO, str(error)) from error
        encoded = table.column("encoded")[offset]
        if not encoded.is_valid:
            trouble = table.column("trouble")[offset].as_py()
            raise OSError(errno.ENOENT, f"missing when the data were packed: {trouble}")
        return bytes(encoded.as_buffer())

    def __str__(self) -> str:
        return f"{self.path} row {self.row}"


class _File:
    """An open parquet file. Threads take turns."""

    def __init__(self, path: Path) -> None:
        pa, pq = parquet()
        self._lock = Lock()
        self._path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
        about = self._file.metadata
        rows = [about.row_group(k).num_rows for k in range(about.num_row_groups)]
        self._ends = np.cumsum(rows, dtype=np.int64)

    def place(self, row: int) -> tuple[int, int]:
        """The row group of a row, and where in it."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        if row < 0 or group == len(self._ends):
            raise _damaged(self._path, f"it has no row {row}")
        return group, row - (int(self._ends[group - 1]) if group else 0)

    def read(self, group: int, columns: tuple[str, ...]) -> Any:
        """A row group as a table of arrow."""
        pa, _ = parquet()
        try:
            # Arrow's own threads do not survive a fork, and a group is small.
            with self._lock:
                return self._file.read_row_group(group, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self._path, error) from error


def _damaged(path: Path, trouble: object) -> DataError:
    words = " ".join(str(trouble).split())
    return DataError(f"{path} is no whole table of packed data ({words}): pack the data again")


Reader = tuple[int, ...]


def _reader(path: Path) -> Reader:
    """This process, since a forked worker opens its own, and which file this is now, since a
    folder may be packed again under its name."""
    try:
        about = path.stat()
    except OSError:
        return (os.getpid(),)
    return (os.getpid(), about.st_dev, about.st_ino, about.st_mtime_ns)


@lru_cache(maxsize=FILES_OPEN)
def _file(path: Path, reader: Reader) -> _File:
    return _File(path)


@lru_cache(maxsize=GROUPS_KEPT)
def _group(path: Path, group: int, columns: tuple[str, ...], reader: Reader) -> Any:
    return _file(path, reader).read(group, columns)


@lru_cache(maxsize=GROUPS_KEPT // 8)
def _image_group(path: Path, group: int, reader: Reader) -> Any:
    return _file(path, reader).read(group, ("encoded", "trouble"))
