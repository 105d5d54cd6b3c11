"""An MCAP file that broke off, as its recorder leaves it when it is killed, read up to there."""

from __future__ import annotations

import io
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
FOOTER, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, STATISTICS = 0x02, 0x06, 0x07, 0x08, 0x0B
HEAD = struct.Struct("<BQ")  # what a record is, and how many bytes follow
CHUNK_HEAD = struct.Struct("<QQQII")  # first and last stamp, size, checksum, length of a name
INDEX_HEAD = struct.Struct("<HI")  # channel, and bytes of its entries
ENTRY_BYTES = 16


@dataclass(slots=True)
class _Chunk:
    """Where a chunk lies, and what the index records after it say of its messages."""

    offset: int
    length: int
    first_ns: int
    last_ns: int
    size: int
    compression: bytes
    compressed: int
    indexed: dict[int, int] = field(default_factory=dict)
    index_length: int = 0

    @property
    def record(self) -> bytes:
        """As the summary of a whole file tells of it."""
        where = b"".join(struct.pack("<HQ", *pair) for pair in self.indexed.items())
        name = struct.pack("<I", len(self.compression)) + self.compression
        spans = struct.pack("<QQQQ", self.first_ns, self.last_ns, self.offset, self.length)
        sizes = struct.pack("<QQ", self.compressed, self.size)
        told = spans + struct.pack("<I", len(where)) + where
        return _record(CHUNK_INDEX, told + struct.pack("<Q", self.index_length) + name + sizes)


class CutMcap:
    """Looks like the path of a whole file: the whole records, then the summary that is missing.

    Attributes:
        path: Of the file.
        end: So many of its bytes are whole records.
        size: So many there are.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where it cannot be read, ValueError where it is no MCAP file."""
        self.path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError("it does not begin as one")
            self.end, chunks, counts = _scanned(file, self.size)
        self._tail = _tail(self.end, chunks, counts)

    @property
    def suffix(self) -> str:
        """As of a path."""
        return self.path.suffix

    def exists(self) -> bool:
        """As of a path."""
        return True

    def is_dir(self) -> bool:
        """As of a path."""
        return False

    def open(self, mode: str) -> BinaryIO:
        """For reading bytes, whatever the mode."""
        return io.BufferedReader(_Joined(self.path.open("rb"), self.end, self._tail))

    def __str__(self) -> str:
        return str(self.path)


def is_cut(path: Path) -> bool:
    """Whether an MCAP file lacks its end. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return False
        file.seek(max(0, path.stat().st_size - len(MAGIC)))
        return file.tell() <= len(MAGIC) or file.read() != MAGIC


class _Joined(io.RawIOBase):
    """The first ``end`` bytes of a file, then others."""

    def __init__(self, file: BinaryIO, end: int, tail: bytes) -> None:
        self._file, self._end, self._tail, self._at = file, end, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end + len(self._tail)}
        self._at = base[whence] + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at < self._end:
            self._file.seek(self._at)
            found = self._file.read(min(len(buffer), self._end - self._at))
        else:
            begin = self._at - self._end
            found = self._tail[begin : begin + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()


def _scanned(file: BinaryIO, size: int) -> tuple[int, list[_Chunk], Counter[int]]:
    """Where the last whole record ends, the chunks before it, and messages by channel."""
    at, chunks, counts = len(MAGIC), list[_Chunk](), Counter[int]()
    while at + HEAD.size <= size:
        file.seek(at)
        what, length = HEAD.unpack(file.read(HEAD.size))
        after = at + HEAD.size + length
        if after > size or what == FOOTER:
            break
        if what == CHUNK:
            chunks.append(_chunk(file, at, HEAD.size + length))
        elif what == MESSAGE_INDEX and chunks:
            channel, bytes_of_entries = INDEX_HEAD.unpack(file.read(INDEX_HEAD.size))
            chunks[-1].indexed[channel] = at
            chunks[-1].index_length += HEAD.size + length
            counts[channel] += bytes_of_entries // ENTRY_BYTES
        at = after
    if not any(chunk.indexed for chunk in chunks):  # then a reader goes from record to record
        return at, [], counts
    if not chunks[-1].indexed:  # it broke off before the index of its last chunk
        at = chunks.pop().offset
    return at, chunks, counts


def _chunk(file: BinaryIO, offset: int, length: int) -> _Chunk:
    first_ns, last_ns, size, _, letters = CHUNK_HEAD.unpack(file.read(CHUNK_HEAD.size))
    compression = file.read(letters)
    (compressed,) = struct.unpack("<Q", file.read(8))
    return _Chunk(offset, length, first_ns, last_ns, size, compression, compressed)


def _tail(end: int, chunks: list[_Chunk], counts: Counter[int]) -> bytes:
    """The summary: readers look for schemas and channels in the chunks where it has none."""
    told = b""
    if chunks:
        by_channel = b"".join(struct.pack("<HQ", *pair) for pair in sorted(counts.items()))
        first_ns = min(chunk.first_ns for chunk in chunks)
        last_ns = max(chunk.last_ns for chunk in chunks)
        numbers = (counts.total(), 0, len(counts), 0, 0, len(chunks), first_ns, last_ns)
        statistics = struct.pack("<QHIIIIQQI", *numbers, len(by_channel)) + by_channel
        told = b"".join(chunk.record for chunk in chunks) + _record(STATISTICS, statistics)
    return told + _record(FOOTER, struct.pack("<QQI", end if told else 0, 0, 0)) + MAGIC


def _record(what: int, content: bytes) -> bytes:
    return HEAD.pack(what, len(content)) + content
