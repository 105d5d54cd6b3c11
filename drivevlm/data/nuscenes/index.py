"""The index: what clips and truths need of the tables, as arrays that a second start maps at once.

Rows are sorted so that neighbours in time are neighbours in the arrays. Letters: S scenes,
K keyframes, C camera images, M mounts (calibrated sensors), A annotations.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from drivevlm.data.recording import DataError

FORMAT = 1
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

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Arrays of one version folder. Poses are global_from_ego: position (3), quaternion wxyz (4).

    Attributes:
        scene_name, scene_description, scene_location: (S,) text.
        scene_start: (S + 1,) first keyframe of each scene, and the end.
        key_token, key_stamp_us: (K,).
        lidar_pose: (K, 7) at the lidar's keyframe, NaN where there is none.
        lidar_mount: (K,) row of the mounts, -1 where there is no lidar.
        image_key: (C,) keyframe that an image belongs to (a sweep's: the next one).
        image_scene, image_channel, image_mount: (C,) rows; ``image_channel`` into ``channel``.
        image_stamp_us, image_is_key, image_file, image_size_px, image_pose: (C, ...).
        channel: Names of the camera channels.
        mount_place: (M, 7) ego_from_sensor. mount_intrinsics: (M, 3, 3), NaN for the lidar.
        box_start: (K + 1,) first annotation of each keyframe, and the end.
        box_center_m, box_size_lwh_m, box_wxyz: (A, ...) in the global frame.
        box_category, box_instance: (A,) rows of ``category``, ``instance``.
        box_token, box_next, box_lidar_points, box_radar_points, box_visibility: (A,).
        category, instance: Names.
    """

    scene_name: Array
    scene_description: Array
    scene_location: Array
    scene_start: Array
    key_token: Array
    key_stamp_us: Array
    lidar_pose: Array
    lidar_mount: Array
    image_key: Array
    image_scene: Array
    image_channel: Array
    image_mount: Array
    image_stamp_us: Array
    image_is_key: Array
    image_file: Array
    image_size_px: Array
    image_pose: Array
    channel: Array
    mount_place: Array
    mount_intrinsics: Array
    box_start: Array
    box_center_m: Array
    box_size_lwh_m: Array
    box_wxyz: Array
    box_category: Array
    box_instance: Array
    box_token: Array
    box_next: Array
    box_lidar_points: Array
    box_radar_points: Array
    box_visibility: Array
    category: Array
    instance: Array


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """An index, its key, and the splits known when it was built."""

    index: Index
    key: str
    splits: dict[str, list[str]]


def open_index(
    root: Path, version: str, cache: Path | None, progress: Callable[[str], None]
) -> OpenIndex:
    """The index of a version folder, built on first use and mapped from the cache afterwards.

    Raises DataError where the folder or a table is missing.
    """
    folder = checked_version_folder(root, version)
    key = _key(folder)
    home = (cache or user_cache_path("drivevlm") / "nuscenes") / key
    if not (home / "splits.json").exists():
        progress(f"reading the tables of {folder} (once)")
        from drivevlm.data.nuscenes.tables import built_index

        index, splits = built_index(root, version)
        _save(index, splits, home)
    arrays = {f.name: np.load(home / f"{f.name}.npy", mmap_mode="r") for f in fields(Index)}
    return OpenIndex(Index(**arrays), key, json.loads((home / "splits.json").read_text()))


def checked_version_folder(root: Path, version: str) -> Path:
    """The version folder, with every table in it; DataError says what is missing and what to do."""
    if not str(root) or str(root) == ".":
        raise DataError(
            "data.root is not set: give the folder that holds v1.0-mini or v1.0-trainval"
        )
    if not root.is_dir():
        raise DataError(f"data.root={root} is no folder: give the one that holds {version}/")
    folder = root / version
    if not folder.is_dir():
        if (root / "sample.json").exists():
            raise DataError(
                f"data.root={root} is a version folder itself: use data.root={root.parent} "
                f"data.version={root.name}"
            )
        there = sorted(p.parent.name for p in root.glob("*/sample.json"))
        found = f"it holds {', '.join(there)}" if there else "it holds no nuScenes tables"
        raise DataError(f"{root} has no version folder {version!r}: {found}; set data.version=")
    missing = [name for name in TABLES if not (folder / f"{name}.json").exists()]
    if missing:
        raise DataError(f"{folder} lacks {missing[0]}.json: unpack the metadata archive again")
    return folder


def _key(folder: Path) -> str:
    """Changes with any table's size or time, and with the index's own format."""
    files = [folder / f"{name}.json" for name in TABLES]
    splits = folder / "splits.json"
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    if splits.exists():
        stats.append((splits.name, splits.stat().st_size, splits.stat().st_mtime_ns))
    text = json.dumps([FORMAT, str(folder.resolve()), stats])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _save(index: Index, splits: dict[str, list[str]], home: Path) -> None:
    """All or nothing, and harmless when two processes build at once."""
    home.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        for f in fields(Index):
            np.save(scratch / f"{f.name}.npy", getattr(index, f.name), allow_pickle=False)
        (scratch / "splits.json").write_text(json.dumps(splits))
        try:
            os.replace(scratch, home)
        except OSError:
            if not (home / "splits.json").exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
