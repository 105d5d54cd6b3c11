"""The manifest of a packed recording: whose it is, and where each clip lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivevlm.data.packed.schema import BEGUN, FORMAT, MANIFEST, TABLES
from drivevlm.data.recording import DataError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PackedScene:
    """One scene.

    Attributes:
        name: As in the recording.
        tokens: Of its clips.
        shard: The folder of its shard.
        first: The row of its first clip in the shard's clips.
    """

    name: str
    tokens: tuple[str, ...]
    shard: Path
    first: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the packed recording said of itself, and its scenes. Fields as in ``Recording``.

    Attributes:
        missing_images: So many images could not be read when the data were packed.
    """

    name: str
    digest: str
    synthetic: bool
    cameras: tuple[str, ...]
    most_proposals: int
    provenance: Mapping[str, str]
    missing_images: int
    scenes: tuple[PackedScene, ...]


def read_manifest(path: str) -> Manifest:
    """The manifest of a whole folder. Raises DataError, in one line, for any other."""
    if not path:
        raise DataError("data.path is not set: give the folder that drivevlm pack wrote")
    folder = Path(path).expanduser()
    value = _json(folder, path)
    if value.get("format") != FORMAT:
        raise DataError(
            f"data.path={path} has format {value.get('format')}, this version reads {FORMAT}: "
            "pack the data again"
        )
    try:
        about = value["recording"]
        manifest = Manifest(
            name=about["name"],
            digest=about["digest"],
            synthetic=about["synthetic"],
            cameras=tuple(about["cameras"]),
            most_proposals=about["most_proposals"],
            provenance=about["provenance"],
            missing_images=value["counts"]["missing_images"],
            scenes=tuple(
                PackedScene(s["name"], tuple(s["clips"]), folder / s["shard"], s["row"])
                for s in value["scenes"]
            ),
        )
        sizes = {shard["folder"]: shard["files"] for shard in value["shards"]}
    except (KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    for shard, files in sizes.items():
        for name in TABLES:
            _check_size(folder / shard / f"{name}.parquet", files[f"{name}.parquet"]["bytes"])
    return manifest


def _json(folder: Path, path: str) -> Json:
    if not folder.is_dir():
        raise DataError(f"data.path={path}: no such folder; give the one that drivevlm pack wrote")
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        if (folder / BEGUN).exists():
            raise DataError(
                f"data.path={path} is not finished: the drivevlm pack command that began it goes on"
            ) from None
        raise DataError(
            f"data.path={path} is no packed recording, it has no {MANIFEST}: "
            f"make one with drivevlm pack data=... out=..."
        ) from None
    except OSError as error:
        raise DataError(f"{folder / MANIFEST}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _damaged(folder, str(error)) from error
    if not isinstance(value, dict):
        raise _damaged(folder, "it is no object")
    return value


def _check_size(path: Path, size: int) -> None:
    try:
        there = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): pack the data again") from None
    if there != size:
        raise DataError(f"{path} has {there} bytes, packed were {size}: copy or pack it again")


def _damaged(folder: Path, trouble: str) -> DataError:
    return DataError(f"{folder / MANIFEST} is damaged ({trouble}): pack the data again")
