"""Bags of the bundled worlds, bags to which something happened, and what a node makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from drive_cases import bundled
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from replay_cases import cut
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from test_drive_same_decisions import planner

from drivevlm.app import main
from drivevlm.drive.offline.bag import Bag
from drivevlm.drive.offline.drive import OfflineDrive, Tick
from drivevlm.drive.parameters import node_config
from drivevlm.drive.replay.bag import write_bag
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.store import typestore
from drivevlm.verbs.driven import AFTER_US

CONFIG = ReplayConfig()
CLIPS = 9
ODOMETRY = "/drivevlm/input/kinematic_state"
FRONT = "/drivevlm/input/CAM_FRONT/image/compressed"
BACK = "/drivevlm/input/CAM_BACK/image/compressed"
AS_READ = {
    "sync": {"cameras": list(bundled().cameras), "frames": 2, "top_k": 8},
    "objects.type": CONFIG.objects.value,
}
"""A node that decides as the bundled recording is read."""
CTRV = "planner.settings=[planner=ctrv]"
Entry = tuple[str, str, int, bytes]
"""Topic, type, when it came in ns, and what was on the wire."""
Change = Callable[[Entry], Iterable[Entry]]


def bag_of(folder: Path, **clips: int) -> Path:
    """The first clips of some bundled scenes: ``scene_2001=8``."""
    recording = bundled()
    scenes = [scene_stream(recording, scene, CONFIG) for scene in cut(recording, **clips)]
    write_bag(scenes, folder, Names(), lines_of(recording.cameras, CONFIG))
    return folder


def changed_bag(
    bag: Path, folder: Path, change: Change, plugin: StoragePlugin = StoragePlugin.MCAP
) -> Path:
    """A copy, each of whose messages was left out, changed or doubled."""
    with Reader(bag) as reader:
        entries = [
            entry
            for connection, time_ns, cdr in reader.messages(reader.connections)
            for entry in change((connection.topic, connection.msgtype, time_ns, bytes(cdr)))
        ]
    connections = {}
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        for topic, kind, time_ns, cdr in entries:
            if (topic, kind) not in connections:
                made = writer.add_connection(topic, kind, typestore=typestore())
                connections[topic, kind] = made
            writer.write(connections[topic, kind], time_ns, cdr)
    return folder


def same(entry: Entry) -> Iterable[Entry]:
    yield entry


WRITTEN = {
    "chunks": {"chunk_size": 40_000, "compression": CompressionType.NONE},
    "zstd": {"chunk_size": 40_000, "compression": CompressionType.ZSTD},
    "no chunks": {"use_chunking": False},
    "no index": {"chunk_size": 40_000, "index_types": IndexType.NONE},
}
"""How an MCAP file is laid out, as recorders can be told."""


def written(bag: Path, path: Path, how: str = "chunks") -> Path:
    """The same in one file, with checksums, by a writer that knows nothing of rosbags."""
    channels: dict[str, int] = {}
    with Reader(bag) as reader, path.open("wb") as file:
        writer = McapWriter(file, **WRITTEN[how])
        writer.start(profile="ros2")
        for connection, time_ns, cdr in reader.messages(reader.connections):
            topic, kind = connection.topic, connection.msgtype
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", connection.msgdef.data.encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], time_ns, bytes(cdr), time_ns)
        writer.finish()
    return path


def ticks_of(path, **values) -> list[Tick]:
    """What becomes of a bag, asked of a planner that answers every request in another way."""
    values = AS_READ | {name.replace("__", "."): value for name, value in values.items()}
    with Bag(path) as opened:
        config = node_config(values)
        drive = OfflineDrive(
            opened, Names(), config, values, lambda _: planner(), after_us=AFTER_US
        )
        return [event for event in drive.run() if isinstance(event, Tick)]


def said(ticks) -> list[tuple[str, str]]:
    """Digests and replies, in order."""
    decisions = [tick.ended.reasoning.decision for tick in ticks if tick.ended.reasoning]
    return [(decision.request_digest, decision.reply) for decision in decisions]


def driven(bag, out, *words, code: int = 0) -> dict:
    """Run the verb; returns what it counted."""
    assert main(["drive", f"bag={bag}", f"out={out}", CTRV, "page=0", *words]) == code
    return json.loads((out / "drive.json").read_text())


def refused(capsys, *words: str) -> str:
    """The one line in which the verb ends."""
    assert main(["drive", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line
