"""The tables of one version as flat arrays, built once and mapped from the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_path

from drivevlm.data.nuscenes.folder import TABLES
from drivevlm.data.recording import DataError
from drivevlm.world.pose import Floats

Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""

LAYOUT = 2
"""Raised whenever the arrays change, so that an older index is not read."""


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """Many strings in two arrays.

    Attributes:
        utf8: All of them, end to end.
        ends: (N + 1,) string ``i`` is ``utf8[ends[i]:ends[i + 1]]``.
    """

    utf8: NDArray[np.uint8]
    ends: Ints

    @classmethod
    def pack(cls, strings: Sequence[str]) -> Strings:
        """From a list."""
        encoded = [s.encode() for s in strings]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int | np.int64) -> str:
        return self.utf8[self.ends[i] : self.ends[i + 1]].tobytes().decode()

    def span(self, start: int = 0, stop: int | None = None) -> tuple[str, ...]:
        """The strings from ``start`` to before ``stop``."""
        ends = self.ends[start : len(self) + 1 if stop is None else stop + 1].tolist()
        base = ends[0]
        utf8 = self.utf8[base : ends[-1]].tobytes()
        return tuple(utf8[a - base : b - base].decode() for a, b in pairwise(ends))


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """All that clips and truths are made of. Rows of a table refer to rows of another.

    Scenes are sorted by name, samples by scene and time, images by camera, scene and time, boxes by
    sample. ``X_first`` has one entry more than rows, so row ``i`` owns ``[first[i], first[i+1])``.
    A pose is x, y, z, then a quaternion w, x, y, z. -1 refers to nothing.

    Attributes:
        scene_name, scene_description, scene_location: One each per scene.
        scene_first: First sample of each scene.
        sample_token, sample_stamp_us: One each per keyframe.
        lidar_pose: (samples, 7) global from ego at the lidar's keyframe; NaN without a lidar.
        lidar_mount: (samples,) its mount.
        camera_name: One per channel.
        key_image: (cameras, samples) the keyframe's image.
        image_first: (cameras, scenes + 1) first image.
        image_stamp_us, image_pose, image_mount, image_size_px, image_file: One each per image.
        mount_pose: (mounts, 7) ego from sensor.
        mount_intrinsics: (mounts, 3, 3); NaN for a sensor that is no camera.
        box_first: First annotation of each sample.
        box_token, box_instance, box_category, box_next: Row, object, kind, and the object's next
            row.
        box_center_m, box_wxyz: In the global frame.
        box_size_lwh_m, box_lidar_points, box_radar_points, box_visibility: As in ``LabelledBoxes``.
        box_attribute: Its attribute, where it has one and no more.
        instance_token, category_name, attribute_name: One each per object, kind and attribute.
    """

    scene_name: Strings
    scene_description: Strings
    scene_location: Strings
    scene_first: Ints
    sample_token: Strings
    sample_stamp_us: Ints
    lidar_pose: Floats
    lidar_mount: Ints
    camera_name: Strings
    key_image: Ints
    image_first: Ints
    image_stamp_us: Ints
    image_pose: Floats
    image_mount: Ints
    image_size_px: Ints
    image_file: Strings
    mount_pose: Floats
    mount_intrinsics: Floats
    box_first: Ints
    box_token: Strings
    box_instance: Ints
    box_category: Ints
    box_next: Ints
    box_center_m: Floats
    box_wxyz: Floats
    box_size_lwh_m: Floats
    box_lidar_points: Ints
    box_radar_points: Ints
    box_visibility: Ints
    box_attribute: Ints
    instance_token: Strings
    category_name: Strings
    attribute_name: Strings

    def write(self, folder: Path) -> None:
        """One .npy file per array."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Strings):
                np.save(folder / f"{field.name}.utf8.npy", value.utf8, allow_pickle=False)
                np.save(folder / f"{field.name}.ends.npy", value.ends, allow_pickle=False)
            else:
                np.save(folder / f"{field.name}.npy", value, allow_pickle=False)

    @classmethod
    def read(cls, folder: Path) -> Index:
        """Mapped, not loaded: an array's pages are read when they are looked at."""

        def mapped(name: str) -> NDArray[Any]:
            # As a plain array: memmap's own indexing is slow.
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

        columns: dict[str, Any] = {
            f.name: Strings(mapped(f"{f.name}.utf8"), mapped(f"{f.name}.ends"))
            if f.type == "Strings"
            else mapped(f.name)
            for f in fields(cls)
        }
        return cls(**columns)


@dataclass(frozen=True, slots=True, eq=False)
class IndexedTables:
    """An index and what was known when it was built.

    Attributes:
        index: The arrays.
        digest: SHA-256 over the contents of all tables.
        splits: The devkit's official splits: names of scenes by name of split.
    """

    index: Index
    digest: str
    splits: Mapping[str, Sequence[str]]


def open_index(tables: Path, *, cache: str, progress: Progress | None = None) -> IndexedTables:
    """The index of a version folder: from the cache, or built into it.

    A cached one is found by the folder's path and its tables' names, sizes and times of change.
    Builders take turns by a lock, and an index appears whole (by one rename) or not at all.
    """
    home = (Path(cache).expanduser() if cache else user_cache_path("drivevlm")) / "nuscenes"
    folder = home / _key(tables)
    found = _read(folder)
    if found is not None:
        return found
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return _read(folder) or _build(tables, folder, progress)
    except OSError as error:
        raise DataError(
            f"the index of {tables} cannot be written to {home} ({error}): "
            "choose another folder with data.cache=..."
        ) from error


def _key(tables: Path) -> str:
    stats = [(tables / f"{name}.json").stat() for name in TABLES]
    known = [LAYOUT, str(tables.resolve()), [(s.st_size, s.st_mtime_ns) for s in stats]]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:24]


def _read(folder: Path) -> IndexedTables | None:
    """None where there is no index, or a damaged one."""
    try:
        about = json.loads((folder / "about.json").read_text())
        return IndexedTables(Index.read(folder), about["digest"], about["splits"])
    except (OSError, ValueError, KeyError):
        return None


def _build(tables: Path, folder: Path, progress: Progress | None) -> IndexedTables:
    # The devkit takes seconds to import: only a first start pays for it.
    from drivevlm.data.nuscenes.tables import index_tables

    built = index_tables(tables, progress or (lambda what, done, total: None))
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.part-", dir=folder.parent) as part:
        whole = Path(part) / "index"
        whole.mkdir()
        built.index.write(whole)
        about = {"tables": str(tables.resolve()), "digest": built.digest, "splits": built.splits}
        (whole / "about.json").write_text(json.dumps(about))
        if folder.exists():  # a damaged one
            shutil.rmtree(folder)
        os.rename(whole, folder)
    return _read(folder) or built
