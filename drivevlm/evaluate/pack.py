"""Packs a recording into parquet shards, whole scenes at a time; a killed pack goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from drivevlm.data.nuscenes.folder import file_digest
from drivevlm.data.packed.schema import BEGUN, FORMAT, MANIFEST, TABLES, documentation, parquet
from drivevlm.data.recording import DataError, Recording, SceneClips, twins_of
from drivevlm.evaluate.pack_shard import Dense, ShardWriter
from drivevlm.record.run_folder import difference, write_atomically
from drivevlm.world.twins import TwinPair

Json = dict[str, Any]
Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""
ABOUT = "about.json"
"""What a whole shard says of itself."""
KINDS = (
    "clips",
    "frames",
    "images",
    "missing_images",
    "image_bytes",
    "steps",
    "boxes",
    "polygons",
    "labels",
    "pairs",
    "dense",
)


class PackError(Exception):
    """A folder cannot be packed into; the message is one clear line."""


def without_dense(token: str) -> Mapping[str, Any]:
    """Of a recording that knows nothing of single pixels."""
    return {}


@dataclass(frozen=True, slots=True)
class PackOrder:
    """What is packed how.

    Attributes:
        recording: The data.
        shard_bytes: A shard ends with the scene that brings its images to this size.
        dense: Truth per pixel of a clip.
        settings: How the recording was opened, for the manifest.
        made_by: Which code packs, for the manifest.
    """

    recording: Recording
    shard_bytes: int
    dense: Dense = without_dense
    settings: Mapping[str, Any] | None = None
    made_by: Mapping[str, Any] | None = None

    def identity(self) -> Json:
        """All that decides what is written. A folder goes on for an order of the same identity."""
        data = self.recording
        return {
            "format": FORMAT,
            "recording": {
                "name": data.name,
                "digest": data.digest,
                "synthetic": data.synthetic,
                "cameras": list(data.cameras),
                "most_proposals": data.most_proposals,
                "provenance": dict(data.provenance),
            },
            "shard_bytes": self.shard_bytes,
            "dense": self.dense is not without_dense,
        }


def pack(order: PackOrder, out: Path, progress: Progress = lambda what, done, total: None) -> Json:
    """Write what is missing of ``out``; returns its manifest.

    A shard appears whole or not at all, the manifest last.

    Raises:
        PackError: The folder holds something else, is in use, or cannot be written.
        DataError: Something of the recording cannot be read, or pyarrow is missing.
    """
    parquet()
    if not order.recording.scenes():
        raise DataError(f"{order.recording.name} has no scene to pack")
    with _held(out):
        identity = json.loads(json.dumps(order.identity()))
        finished = _begin(out, identity)
        if finished is not None:
            return finished
        for growing in out.glob(".shard-*.part"):
            shutil.rmtree(growing)
        shards = _whole_shards(out)
        _write_shards(order, out, shards, progress)
        manifest = _manifest(order, identity, shards)
        write_atomically(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        (out / BEGUN).unlink()
        return manifest


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """The folder is this process's own, and what the disk refuses is told in one line."""
    lock = FileLock(out / ".lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise PackError(f"out={out} is in use by another process: wait for it") from None
    except OSError as error:
        raise PackError(
            f"out={out} cannot be written ({error.strerror}): choose another out="
        ) from None
    try:
        yield
    except OSError as error:
        # Arrow words its errors in its own way.
        trouble = os.strerror(error.errno) if error.errno else error
        whole = len(list(out.glob("shard-*")))
        raise PackError(
            f"out={out} cannot be written any more ({trouble}): {whole} whole "
            "shards are there; make room, and the same command goes on"
        ) from error
    finally:
        lock.release()


def _begin(out: Path, identity: Json) -> Json | None:
    """The manifest where all is done already; else the folder is marked as begun."""
    for name in (MANIFEST, BEGUN):
        if not (out / name).exists():
            continue
        try:
            value: Json = json.loads((out / name).read_bytes())
            there = {key: value.get(key) for key in identity}
        except (ValueError, AttributeError) as error:
            raise PackError(f"{out / name} is damaged ({error}): remove the folder") from None
        if there != identity:
            raise PackError(
                f"out={out} holds other packed data ({difference(there, identity)}): "
                "choose another out=, or remove it"
            )
        return value if name == MANIFEST else None
    strange = sorted(path.name for path in out.iterdir() if path.name != ".lock")
    if strange:
        raise PackError(f"out={out} holds something else, e.g. {strange[0]}: choose another out=")
    write_atomically(out / BEGUN, json.dumps(identity, indent=1) + "\n")
    return None


def _whole_shards(out: Path) -> list[Json]:
    """What the whole shards say of themselves, in order."""
    return [json.loads((p / ABOUT).read_bytes()) for p in sorted(out.glob("shard-*"))]


def _write_shards(order: PackOrder, out: Path, shards: list[Json], progress: Progress) -> None:
    """Add the missing shards to ``out`` and to the list."""
    scenes = order.recording.scenes()
    there = [scene["name"] for shard in shards for scene in shard["scenes"]]
    if there != [scene.name for scene in scenes[: len(there)]]:
        raise PackError(f"out={out} holds other scenes than {order.recording.name}: remove it")
    left = list(scenes[len(there) :])
    total = sum(len(scene.tokens) for scene in scenes)
    done = total - sum(len(scene.tokens) for scene in left)
    pairs = {token: pair for pair in twins_of(order.recording) for token in pair.tokens}
    progress("clips", done, total)

    def one_more() -> None:
        nonlocal done
        done += 1
        progress("clips", done, total)

    while left:
        name = f"shard-{len(shards):05d}"
        growing = out / f".{name}.part"
        growing.mkdir()
        about = _write_shard(order, growing, left, pairs, one_more)
        about = {"folder": name, **about}
        write_atomically(growing / ABOUT, json.dumps(about, indent=1) + "\n")
        growing.replace(out / name)
        _sync(out)
        shards.append(about)


def _write_shard(
    order: PackOrder,
    folder: Path,
    left: list[SceneClips],
    pairs: Mapping[str, TwinPair],
    one_more: Callable[[], None],
) -> Json:
    """Write the next scenes, taking them off the list, until the shard is large enough."""
    writer = ShardWriter(folder, order.recording, order.dense)
    try:
        while left and (not writer.scenes or writer.image_bytes < order.shard_bytes):
            writer.add(left.pop(0), pairs, one_more)
        writer.close()
    except BaseException:
        writer.abandon()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    files = {f"{table}.parquet": _sealed(folder / f"{table}.parquet") for table in TABLES}
    return {
        "scenes": writer.scenes,
        "counts": {kind: writer.counts[kind] for kind in KINDS},
        "files": files,
        "made_by": order.made_by,
    }


def _sealed(path: Path) -> Json:
    """Have a file written through to the disk; its size and digest."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _manifest(order: PackOrder, identity: Json, shards: list[Json]) -> Json:
    counts: Counter[str] = Counter()
    makers: list[Any] = []
    for shard in shards:
        counts.update(shard["counts"])
        makers += [] if shard["made_by"] in makers else [shard["made_by"]]
    scenes = [{**s, "shard": shard["folder"]} for shard in shards for s in shard["scenes"]]
    return {
        **identity,
        "settings": order.settings,
        "made_by": makers,
        "counts": {"scenes": len(scenes), **{kind: counts[kind] for kind in KINDS}},
        "columns": documentation(),
        "shards": [{key: shard[key] for key in ("folder", "counts", "files")} for shard in shards],
        "scenes": scenes,
    }
