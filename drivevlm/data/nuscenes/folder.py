"""Where a nuScenes recording lies on disk, which scenes are chosen, and what to do if it is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.recording import DataError

TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
MOST_NAMED = 8
"""At most so many names are listed in one message."""


def find_tables(config: NuScenesConfig) -> Path:
    """The version folder with all its tables, or a DataError that says what is wrong."""
    if not config.root:
        raise DataError(
            "data.root is not set: give the folder that holds samples/ and the version folder, "
            "e.g. data.root=/data/nuscenes"
        )
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise DataError(f"data.root={config.root}: no such folder; give the nuScenes root")
    if (root / "scene.json").is_file():
        raise DataError(
            f"data.root={config.root} is the version folder itself: "
            f"say data.root={root.absolute().parent} data.version={root.absolute().name}"
        )
    tables = root / config.version
    if not tables.is_dir():
        found = listed(_versions(root)) or "none, so give the folder that holds v1.0-*"
        raise DataError(
            f"data.root={config.root} has no version folder {config.version!r}; "
            f"choose data.version=... of those it has: {found}"
        )
    missing = [name for name in TABLES if not (tables / f"{name}.json").is_file()]
    if missing:
        raise DataError(
            f"{tables} lacks the tables {listed(f'{name}.json' for name in missing)}: "
            "unpack the metadata archive of this version again"
        )
    return tables


def _versions(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob("*/scene.json"))


def choose_scenes(
    config: NuScenesConfig,
    tables: Path,
    *,
    present: Sequence[str],
    official: Mapping[str, Sequence[str]],
) -> tuple[str, ...]:
    """Names of the wanted scenes that the version holds, sorted.

    ``official`` maps the devkit's split names to scene names; ``splits.json`` adds to them.
    """
    unknown = [name for name in config.scenes if name not in set(present)]
    if unknown:
        raise DataError(
            f"{tables} has no scene {listed(unknown)}; it has {len(present)}, "
            f"e.g. {listed(sorted(present))}"
        )
    split = config.split
    if not split and not config.scenes and tables.name == "v1.0-trainval":
        split = "val"
    if not split:
        return tuple(sorted(config.scenes or present))
    members = _split(split, tables, present=present, official=official)
    strangers = [name for name in config.scenes if name not in members]
    if strangers:
        raise DataError(f"split {split!r} does not hold {listed(strangers)}: leave data.split out")
    return tuple(sorted(config.scenes or members))


def _split(
    name: str, tables: Path, *, present: Sequence[str], official: Mapping[str, Sequence[str]]
) -> set[str]:
    splits: dict[str, Sequence[str]] = {**_custom_splits(tables), **official}
    here = {key: set(scenes) & set(present) for key, scenes in splits.items()}
    if here.get(name):
        return here[name]
    valid = ", ".join(f"{key} ({len(found)})" for key, found in sorted(here.items()) if found)
    trouble = f"has no scene in {tables.name}" if name in here else "is unknown"
    raise DataError(
        f"split {name!r} {trouble}; splits with scenes here: {valid or 'none'}; "
        "leave data.split out for every scene"
    )


def _custom_splits(tables: Path) -> dict[str, list[str]]:
    path = tables / "splits.json"
    if not path.is_file():
        return {}
    splits = read_json(path)
    if not isinstance(splits, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in splits.values()
    ):
        raise DataError(f"{path}: expected {{split: [scene names]}}")
    return splits


def read_json(path: Path) -> Any:
    """What a JSON file holds, or a DataError in one line."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def map_file(root: Path, location: str) -> Path:
    """Where the map expansion of a location lies, if it is there."""
    return root / "maps" / "expansion" / f"{location}.json"


def listed(names: Iterable[str]) -> str:
    """The first few names and how many more there are."""
    names = [str(name) for name in names]
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + rest
