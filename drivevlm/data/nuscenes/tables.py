"""From the devkit's tables to the index: the one place that reads them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes

from drivevlm.data.nuscenes.folder import TABLES, file_digest
from drivevlm.data.nuscenes.index import Index, IndexedTables, Ints, Progress, Strings
from drivevlm.data.recording import DataError
from drivevlm.world.pose import Floats

Record = dict[str, Any]

CLOCKWISE = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
LIDAR = "LIDAR_TOP"
VISIBILITY = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4}


class _Tables(NuScenes):  # type: ignore[misc]
    """The devkit's tables, telling of progress and naming a table that is no JSON."""

    def __init__(self, tables: Path, tell: Callable[[str], None]) -> None:
        self._tell = tell
        super().__init__(version=tables.name, dataroot=str(tables.parent), verbose=False)

    def __load_table__(self, table_name: str) -> list[Record]:
        path = Path(self.table_root) / f"{table_name}.json"
        self._tell(table_name)
        try:
            table = json.loads(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error}): unpack it again") from error
        if not isinstance(table, list):
            raise DataError(f"{path}: expected a list of records, got {type(table).__name__}")
        return table


def index_tables(tables: Path, progress: Progress) -> IndexedTables:
    """Read every table and lay out the index. Raises DataError where they do not fit together."""
    read = count()

    def tell(table_name: str) -> None:
        progress(f"reading {table_name}", min(next(read), len(TABLES)), len(TABLES) + 2)

    try:
        nusc = _Tables(tables, tell)
        progress("sorting", len(TABLES), len(TABLES) + 2)
        index = _index(nusc)
    except AssertionError as error:  # the devkit's own checks
        raise DataError(
            f"{tables}: the devkit refuses it ({error}): unpack the metadata archive of this "
            "version again, its maps/ folder too"
        ) from error
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{tables}: the tables do not fit together ({type(error).__name__}: {error}): "
            "unpack the metadata archive of this version again"
        ) from error
    progress("hashing", len(TABLES) + 1, len(TABLES) + 2)
    contents = " ".join(file_digest(tables / f"{name}.json") for name in TABLES)
    progress("indexed", len(TABLES) + 2, len(TABLES) + 2)
    return IndexedTables(
        index, hashlib.sha256(contents.encode()).hexdigest(), create_splits_scenes()
    )


def _index(nusc: NuScenes) -> Index:
    scenes = sorted(nusc.scene, key=lambda record: str(record["name"]))
    scene_row = {record["token"]: row for row, record in enumerate(scenes)}
    samples = sorted(
        nusc.sample, key=lambda record: (scene_row[record["scene_token"]], record["timestamp"])
    )
    sample_row = {record["token"]: row for row, record in enumerate(samples)}
    sample_scene = np.array([scene_row[record["scene_token"]] for record in samples], dtype=int)
    _check_names(scenes, samples)
    mount_row = {record["token"]: row for row, record in enumerate(nusc.calibrated_sensor)}
    lidar_pose, lidar_mount = _lidar(nusc, sample_row, mount_row)
    return Index(
        scene_name=Strings.pack([record["name"] for record in scenes]),
        scene_description=Strings.pack([record["description"] for record in scenes]),
        scene_location=Strings.pack(
            [nusc.get("log", record["log_token"])["location"] for record in scenes]
        ),
        scene_first=_first(sample_scene, len(scenes)),
        sample_token=Strings.pack([record["token"] for record in samples]),
        sample_stamp_us=_ints([record["timestamp"] for record in samples]),
        lidar_pose=lidar_pose,
        lidar_mount=lidar_mount,
        mount_pose=_floats([_pose(record) for record in nusc.calibrated_sensor], 7),
        mount_intrinsics=_intrinsics(nusc.calibrated_sensor),
        **_images(nusc, sample_row, sample_scene, len(scenes), mount_row),
        **_boxes(nusc, sample_row),
    )


def _check_names(scenes: Sequence[Record], samples: Sequence[Record]) -> None:
    for what, names in (
        ("scene name", [record["name"] for record in scenes]),
        ("sample token", [record["token"] for record in samples]),
    ):
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise DataError(f"the {what} {name!r} occurs {count} times in the tables")


def _lidar(
    nusc: NuScenes, sample_row: dict[str, int], mount_row: dict[str, int]
) -> tuple[Floats, Ints]:
    pose = np.full((len(sample_row), 7), np.nan)
    mount = np.full(len(sample_row), -1, dtype=np.int64)
    for record in nusc.sample_data:
        if record["channel"] == LIDAR and record["is_key_frame"]:
            row = sample_row[record["sample_token"]]
            pose[row] = _pose(nusc.get("ego_pose", record["ego_pose_token"]))
            mount[row] = mount_row[record["calibrated_sensor_token"]]
    return pose, mount


def _images(
    nusc: NuScenes,
    sample_row: dict[str, int],
    sample_scene: Ints,
    scenes: int,
    mount_row: dict[str, int],
) -> dict[str, Any]:
    present = {r["channel"] for r in nusc.sample_data if r["sensor_modality"] == "camera"}
    cameras = [name for name in CLOCKWISE if name in present]
    cameras += sorted(present - set(cameras))
    by_place: dict[tuple[int, int], list[Record]] = defaultdict(list)
    camera_row = {name: row for row, name in enumerate(cameras)}
    for record in nusc.sample_data:
        if record["sensor_modality"] == "camera":
            scene = int(sample_scene[sample_row[record["sample_token"]]])
            by_place[camera_row[record["channel"]], scene].append(record)
    rows: list[Record] = []
    first = np.zeros((len(cameras), scenes + 1), dtype=np.int64)
    for camera in range(len(cameras)):
        for scene in range(scenes):
            first[camera, scene] = len(rows)
            rows += _in_time(by_place[camera, scene])
        first[camera, scenes] = len(rows)
    key = np.full((len(cameras), len(sample_row)), -1, dtype=np.int64)
    for row, record in enumerate(rows):
        if record["is_key_frame"]:
            key[camera_row[record["channel"]], sample_row[record["sample_token"]]] = row
    poses = [_pose(nusc.get("ego_pose", record["ego_pose_token"])) for record in rows]
    return {
        "camera_name": Strings.pack(cameras),
        "key_image": key,
        "image_first": first,
        "image_stamp_us": _ints([record["timestamp"] for record in rows]),
        "image_pose": _floats(poses, 7),
        "image_mount": _ints([mount_row[record["calibrated_sensor_token"]] for record in rows]),
        "image_size_px": _ints([_size_px(record) for record in rows]).reshape(-1, 2),
        "image_file": Strings.pack([record["filename"] for record in rows]),
    }


def _in_time(records: list[Record]) -> list[Record]:
    """By stamp; of two with one stamp the keyframe stays."""
    by_stamp: dict[int, Record] = {}
    for record in sorted(records, key=lambda r: (r["timestamp"], r["is_key_frame"])):
        by_stamp[record["timestamp"]] = record
    return list(by_stamp.values())


def _size_px(record: Record) -> tuple[int, int]:
    size = (int(record["width"]), int(record["height"]))
    if min(size) < 1:
        raise DataError(
            f"sample_data {record['token']}: an image needs width and height, got {size}"
        )
    return size


def _boxes(nusc: NuScenes, sample_row: dict[str, int]) -> dict[str, Any]:
    rows = sorted(nusc.sample_annotation, key=lambda record: sample_row[record["sample_token"]])
    box_row = {record["token"]: row for row, record in enumerate(rows)}
    instance_row = {record["token"]: row for row, record in enumerate(nusc.instance)}
    category_row = {record["token"]: row for row, record in enumerate(nusc.category)}
    attribute_row = {record["token"]: row for row, record in enumerate(nusc.attribute)}
    kind = {r["token"]: category_row[r["category_token"]] for r in nusc.instance}
    level = {r["token"]: VISIBILITY.get(str(r.get("level")), 0) for r in nusc.visibility}
    width_length_height = _floats([record["size"] for record in rows], 3)
    return {
        "box_first": _first(
            np.array([sample_row[record["sample_token"]] for record in rows], dtype=int),
            len(sample_row),
        ),
        "box_token": Strings.pack([record["token"] for record in rows]),
        "box_instance": _ints([instance_row[record["instance_token"]] for record in rows]),
        "box_category": _ints([kind[record["instance_token"]] for record in rows]),
        "box_next": _ints([box_row[record["next"]] if record["next"] else -1 for record in rows]),
        "box_center_m": _floats([record["translation"] for record in rows], 3),
        "box_wxyz": _floats([record["rotation"] for record in rows], 4),
        "box_size_lwh_m": np.ascontiguousarray(width_length_height[:, [1, 0, 2]]),
        "box_lidar_points": _ints([record["num_lidar_pts"] for record in rows]),
        "box_radar_points": _ints([record["num_radar_pts"] for record in rows]),
        "box_visibility": _ints([level.get(record["visibility_token"], 0) for record in rows]),
        "box_attribute": _ints([_only(record, attribute_row) for record in rows]),
        "instance_token": Strings.pack([record["token"] for record in nusc.instance]),
        "category_name": Strings.pack([record["name"] for record in nusc.category]),
        "attribute_name": Strings.pack([record["name"] for record in nusc.attribute]),
    }


def _only(annotation: Record, attribute_row: dict[str, int]) -> int:
    """The row of a box's attribute; -1 where it has none or several."""
    tokens = annotation.get("attribute_tokens") or []
    return attribute_row[tokens[0]] if len(tokens) == 1 else -1


def _pose(record: Record) -> list[float]:
    return [*record["translation"], *record["rotation"]]


def _intrinsics(mounts: Sequence[Record]) -> Floats:
    matrices = np.full((len(mounts), 3, 3), np.nan)
    for row, record in enumerate(mounts):
        if record["camera_intrinsic"]:
            matrices[row] = record["camera_intrinsic"]
    return matrices


def _first(owner: Ints, owners: int) -> Ints:
    """Where each owner's rows begin, of rows sorted by owner; one entry more at the end."""
    return np.searchsorted(owner, np.arange(owners + 1)).astype(np.int64)


def _floats(rows: Sequence[Sequence[float]], width: int) -> Floats:
    table = np.array(rows, dtype=np.float64).reshape(-1, width)
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(wrong):
        raise ValueError(f"a pose or a size is not finite: {rows[int(wrong[0])]}")
    return table


def _ints(rows: Sequence[Any]) -> Ints:
    return np.array(rows, dtype=np.int64)
