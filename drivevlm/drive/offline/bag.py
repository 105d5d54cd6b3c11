"""A recorded bag, read in the order of its clock. Needs ``drivevlm[dds]``."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from drivevlm.drive.bus import Message
from drivevlm.drive.offline.cut_mcap import CutMcap, is_cut
from drivevlm.drive.wire.store import typestore
from drivevlm.drive.worker import one_line

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, MessageDefinition
    from rosbags.interfaces.typing import RPath
    from rosbags.rosbag2 import Reader
    from rosbags.typesys.store import Typestore

FILES = (".mcap", ".db3")
MIDDLE = "metadata.yaml"


class BagError(Exception):
    """A bag cannot be read, or lacks what a node needs; the message is one clear line."""


class UnreadableError(Exception):
    """A message is none of its type; the message is one line."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag.

    Attributes:
        name: In full.
        type_name: As in ``nav_msgs/msg/Odometry``.
        count: Messages.
    """

    name: str
    type_name: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One message as it was recorded.

    Attributes:
        at_us: When it came, on the bag's clock.
        topic: In full.
        cdr: What was on the wire.
    """

    at_us: int
    topic: str
    cdr: bytes
    connection: Connection

    def message(self) -> Message:
        """Read by the definition that its bag holds, else by ours.

        Raises UnreadableError where it is none of its type.
        """
        from rosbags.serde import SerdeError

        kind = self.connection.msgtype
        try:
            return _store(kind, self.connection.msgdef).deserialize_cdr(self.cdr, kind)
        except (SerdeError, IndexError) as error:
            raise UnreadableError(one_line(error)) from None


class Bag:
    """A folder with ``metadata.yaml``, or one file of MCAP or sqlite3, that is open for reading.

    A folder whose recorder was killed has no ``metadata.yaml``, and its last file no end: the files
    are read one by one then, each as far as it is whole.

    Attributes:
        path: Of the folder or file.
        topics: By name and type; who records a topic twice is counted once.
        start_us, end_us: When the first message came, and the last.
        damage: In words, what of it cannot be read; it may grow while messages are read.
    """

    def __init__(self, path: Path) -> None:
        """Raises BagError where it is no bag, WireError without rosbags."""
        typestore()
        self.path = path
        self.damage: list[str] = []
        self._stack = ExitStack()
        self._readers: list[Reader] = []
        if not path.exists():
            raise BagError(f"bag={path} does not exist")
        try:
            for place in self._places():
                self._open(place)
            if not self._readers:
                raise BagError(f"bag={path} holds no message: {'; '.join(self.damage)}")
            self.start_us = min(reader.start_time for reader in self._readers) // 1000
            self.end_us = max(reader.end_time for reader in self._readers) // 1000
            self.topics = tuple(self._topics())
        except OSError as error:
            self._stack.close()
            raise BagError(f"bag={path} cannot be read ({error.strerror})") from None
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def check(self, topics: Collection[str]) -> None:
        """Raise BagError where the definition of a topic's messages cannot be read."""
        from rosbags.typesys import TypesysError

        for connection in self._connections():
            if connection.topic not in topics:
                continue
            try:
                _store(connection.msgtype, connection.msgdef).get_msgdef(connection.msgtype)
            except (TypesysError, KeyError) as error:
                raise BagError(
                    f"{connection.topic}: the definition of {connection.msgtype} cannot be read: "
                    f"{one_line(error)}"
                ) from None

    def recorded(self, topics: Collection[str]) -> Iterator[Recorded]:
        """All messages of these topics, in the order in which they came.

        What is damaged ends the file that it is in, and is told in ``damage``.
        """
        streams = (self._of(reader, topics) for reader in self._readers)
        yield from heapq.merge(*streams, key=lambda recorded: recorded.at_us)

    def _of(self, reader: Reader, topics: Collection[str]) -> Iterator[Recorded]:
        wanted = [connection for connection in reader.connections if connection.topic in topics]
        if not wanted:  # which a reader takes for all
            return
        promised, read, last_us = sum(c.msgcount for c in wanted), 0, self.start_us
        try:
            for connection, time_ns, cdr in reader.messages(connections=wanted):
                read, last_us = read + 1, time_ns // 1000
                yield Recorded(last_us, connection.topic, cdr, connection)
        # What a damaged file makes a reader, a database or a decompressor raise, nobody can list.
        # All that came before it counts.
        except Exception as error:  # noqa: BLE001
            reached_s = (last_us - self.start_us) / 1e6
            self.damage.append(
                f"{reader.path} is damaged {reached_s:.1f} s into the bag, and read up to there "
                f"({one_line(error)})"
            )
        else:
            if read < promised:
                self.damage.append(f"{reader.path} lacks {promised - read} of {promised} messages")

    def _topics(self) -> Iterator[BagTopic]:
        counts = Counter[tuple[str, str]]()
        for connection in self._connections():
            counts[connection.topic, connection.msgtype] += connection.msgcount
        for (name, type_name), count in sorted(counts.items()):
            yield BagTopic(name, type_name, count)

    def _connections(self) -> Iterator[Connection]:
        for reader in self._readers:
            yield from reader.connections

    def _places(self) -> Sequence[Path]:
        """What is opened: the folder as a whole where it can be, else its files."""
        path = self.path
        if path.is_file():
            if path.suffix not in FILES:
                raise BagError(
                    f"bag={path} is no bag: expected a folder with {MIDDLE}, or a file of "
                    f"{' or '.join(FILES)}"
                )
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix in FILES)
        if not files and not (path / MIDDLE).is_file():
            raise BagError(f"bag={path} is no bag: it has no {MIDDLE}, and no {' or '.join(FILES)}")
        whole = (path / MIDDLE).is_file()
        if whole and not any(file.suffix == ".mcap" and is_cut(file) for file in files):
            return [path]
        if not whole:
            self.damage.append(f"{path} has no {MIDDLE}: its files are read one by one")
        return files

    def _open(self, place: Path) -> None:
        from rosbags.rosbag2 import Reader

        found: Path | CutMcap = place
        try:
            if place.suffix == ".mcap" and place.is_file() and is_cut(place):
                found = CutMcap(place)
            # A reader opens what looks like a path: it calls exists, is_dir, suffix and open.
            reader = Reader(cast("RPath", found))
            reader.open()
        # As above: a file that is no bag, or a damaged one, fails in ways that nobody can list.
        except Exception as error:  # noqa: BLE001
            why = "it is no MCAP file" if isinstance(error, struct.error) else one_line(error)
            raise BagError(f"bag={place} cannot be read: {why}") from None
        self._stack.callback(reader.close)
        if isinstance(found, CutMcap):
            whole = f"its first {found.end} of {found.size} bytes, {reader.duration / 1e9:.1f} s"
            self.damage.append(f"{place} breaks off: {whole}, are whole")
        if reader.message_count:
            self._readers.append(reader)
        else:
            self.damage.append(f"{place} holds no message")


@cache
def _store(type_name: str, definition: MessageDefinition) -> Typestore:
    """One of the definition that a bag holds, which may be of another version; ours without one."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    if definition.format is not MessageDefinitionFormat.MSG:
        return typestore()
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition.data, type_name))
    return store
