"""A bag on disk, in MCAP: what is published on it is written. Needs ``drivevlm[dds]``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from drivevlm.drive.bus import Message, Qos, Send
from drivevlm.drive.replay.event import Line, SceneStream
from drivevlm.drive.replay.feed import Feed
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.make import Maker
from drivevlm.drive.wire.store import typestore

if TYPE_CHECKING:
    from rosbags.interfaces import Qos as BagQos

MCAP = ".mcap"
VERSION: Literal[9] = 9
"""Of the bag's description, as ROS 2 Iron and later write it."""


class BagBus:
    """A folder with one MCAP file and its description. A ``drivevlm.drive.bus.Bus``.

    Nobody else speaks on a bag: what is subscribed is never called, and no timer beats.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ReplayError where it exists or cannot be written, WireError without rosbags."""
        store = typestore()
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

        self._store = store
        self._make = Maker(store)
        self._now_us = 0
        try:
            self._writer = Writer(folder, version=VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except WriterError:
            raise ReplayError(f"{folder} exists: remove it, or choose another bag=") from None
        except OSError as error:
            raise ReplayError(
                f"{folder} cannot be written ({error.strerror}): choose another bag="
            ) from None

    def knows(self, type_name: str) -> bool:
        """Whether the type's definition is there."""
        return type_name in self._store.fielddefs

    def make(self, type_name: str, **fields: Any) -> Message:
        """A message; fields that are left out have their ROS defaults."""
        return self._make(type_name, fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        """Writes to the bag at ``now_us``. One publisher a topic."""
        connection = self._writer.add_connection(
            topic, type_name, typestore=self._store, offered_qos_profiles=[_bag_qos(qos)]
        )

        def send(message: Message) -> None:
            cdr = self._store.serialize_cdr(message, type_name)
            self._writer.write(connection, self._now_us * 1000, cdr)

        return send

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        """Nothing is heard."""
        return lambda: None

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Never."""

    def now_us(self) -> int:
        """As it was set."""
        return self._now_us

    def set_now_us(self, now_us: int) -> None:
        """What is written from now on comes at this time."""
        self._now_us = now_us

    def close(self) -> None:
        """Write the index and the description."""
        self._writer.close()

    def __enter__(self) -> BagBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """After an error the bag is left without an index, so that nobody takes it for whole."""
        if error is None:
            self.close()
        else:
            self._writer.abort()


def write_bag(
    scenes: Iterable[SceneStream], path: Path, names: Names, lines: Iterable[Line]
) -> Feed:
    """All scenes in one bag, each event at its time. Returns what was written, by topic.

    The bag is a folder as of ROS, or, where ``path`` ends in ``.mcap``, that one file.

    Raises:
        ReplayError: It exists or cannot be written.
        WireError: rosbags is not installed.
    """
    if path.suffix != MCAP:
        return _write_folder(scenes, path, names, lines)
    if path.exists():
        raise ReplayError(f"{path} exists: remove it, or choose another bag=")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            feed = _write_folder(scenes, Path(scratch) / path.stem, names, lines)
            next(Path(scratch).rglob(f"*{MCAP}")).replace(path)
    except OSError as error:
        raise ReplayError(
            f"{path} cannot be written ({error.strerror}): choose another bag="
        ) from None
    return feed


def _write_folder(
    scenes: Iterable[SceneStream], folder: Path, names: Names, lines: Iterable[Line]
) -> Feed:
    with BagBus(folder) as bus:
        feed = Feed(bus, names, lines)
        for scene in scenes:
            for event in scene.events:
                bus.set_now_us(event.at_us)
                feed.send(event)
    return feed


def _bag_qos(qos: Qos) -> BagQos:
    from rosbags.interfaces import (
        Qos as BagQos,
    )
    from rosbags.interfaces import (
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    never = QosTime(2147483647, 4294967295)
    return BagQos(
        QosHistory.KEEP_LAST,
        qos.depth,
        QosReliability.RELIABLE if qos.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if qos.latched else QosDurability.VOLATILE,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        avoid_ros_namespace_conventions=False,
    )
