"""Reads the tables through the nuScenes devkit into the arrays of the index."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes

from drivevlm.data.nuscenes.index import Array, Index
from drivevlm.data.recording import DataError

Row = dict[str, Any]
LIDAR = "LIDAR_TOP"


def built_index(root: Path, version: str) -> tuple[Index, dict[str, list[str]]]:
    """The index of a version folder, and its splits: the official ones and its own."""
    try:
        tables = NuScenes(version=version, dataroot=str(root), verbose=False)
    except (AssertionError, KeyError, ValueError) as error:
        raise DataError(f"the nuScenes devkit cannot load {root / version}: {error!r}") from error
    scenes, keys = _ordered(tables)
    mount_row = {row["token"]: i for i, row in enumerate(tables.calibrated_sensor)}
    arrays: dict[str, Array] = {
        **_scene_arrays(tables, scenes, keys),
        **_mount_arrays(tables),
        **_sensor_arrays(tables, keys, mount_row),
        **_box_arrays(tables, keys),
    }
    return Index(**arrays), _splits(root / version)


def _splits(folder: Path) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = dict(create_splits_scenes())
    own = folder / "splits.json"
    if own.exists():
        splits.update(json.loads(own.read_text()))
    return splits


def _ordered(tables: NuScenes) -> tuple[list[Row], list[Row]]:
    """Scenes by name, and their keyframes in order of time."""
    scenes = sorted(tables.scene, key=lambda scene: str(scene["name"]))
    keys: list[Row] = []
    for scene in scenes:
        token = scene["first_sample_token"]
        while token:
            keys.append(tables.get("sample", token))
            token = keys[-1]["next"]
    return scenes, keys


def _scene_arrays(tables: NuScenes, scenes: list[Row], keys: list[Row]) -> dict[str, Array]:
    counts = Counter(key["scene_token"] for key in keys)
    locations = [tables.get("log", scene["log_token"])["location"] for scene in scenes]
    return {
        "scene_name": _text([scene["name"] for scene in scenes]),
        "scene_description": _text([scene["description"] for scene in scenes]),
        "scene_location": _text(locations),
        "scene_start": np.cumsum([0, *(counts[scene["token"]] for scene in scenes)]),
        "key_token": _text([key["token"] for key in keys]),
        "key_stamp_us": np.array([key["timestamp"] for key in keys], dtype=np.int64),
    }


def _mount_arrays(tables: NuScenes) -> dict[str, Array]:
    mounts = tables.calibrated_sensor
    intrinsics = np.full((len(mounts), 3, 3), np.nan)
    for i, mount in enumerate(mounts):
        if mount["camera_intrinsic"]:
            intrinsics[i] = mount["camera_intrinsic"]
    return {
        "mount_place": np.array([_pose(mount) for mount in mounts]).reshape(-1, 7),
        "mount_intrinsics": intrinsics,
    }


def _sensor_arrays(
    tables: NuScenes, keys: list[Row], mount_row: dict[str, int]
) -> dict[str, Array]:
    key_row = {key["token"]: i for i, key in enumerate(keys)}
    scene_row = {token: i for i, token in enumerate(dict.fromkeys(k["scene_token"] for k in keys))}
    lidar_pose, lidar_mount = np.full((len(keys), 7), np.nan), np.full(len(keys), -1)
    images: list[tuple[int, str, int, int, Row]] = []
    for row in tables.sample_data:
        if row["sample_token"] not in key_row:
            continue
        key, mount = key_row[row["sample_token"]], mount_row[row["calibrated_sensor_token"]]
        if row["sensor_modality"] == "camera":
            scene = scene_row[keys[key]["scene_token"]]
            images.append((scene, row["channel"], row["timestamp"], key, row))
        elif row["channel"] == LIDAR and row["is_key_frame"]:
            lidar_pose[key] = _pose(tables.get("ego_pose", row["ego_pose_token"]))
            lidar_mount[key] = mount
    images.sort(key=lambda image: image[:3])
    channels = sorted({image[1] for image in images})
    rows = [image[4] for image in images]
    poses = [_pose(tables.get("ego_pose", row["ego_pose_token"])) for row in rows]
    return {
        "lidar_pose": lidar_pose,
        "lidar_mount": lidar_mount,
        "image_scene": np.array([image[0] for image in images], dtype=np.int64),
        "image_channel": np.array([channels.index(i[1]) for i in images], dtype=np.int64),
        "image_key": np.array([image[3] for image in images], dtype=np.int64),
        "image_mount": np.array([mount_row[r["calibrated_sensor_token"]] for r in rows], np.int64),
        "image_stamp_us": np.array([row["timestamp"] for row in rows], dtype=np.int64),
        "image_is_key": np.array([row["is_key_frame"] for row in rows], dtype=bool),
        "image_file": _text([row["filename"] for row in rows]),
        "image_size_px": np.array([[r["width"], r["height"]] for r in rows], np.int64).reshape(
            -1, 2
        ),
        "image_pose": np.array(poses).reshape(-1, 7),
        "channel": _text(channels),
    }


def _box_arrays(tables: NuScenes, keys: list[Row]) -> dict[str, Array]:
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in tables.sample_annotation:
        by_key[row["sample_token"]].append(row)
    rows = [row for key in keys for row in by_key[key["token"]]]
    instance_row = {row["token"]: i for i, row in enumerate(tables.instance)}
    category_row = {row["token"]: i for i, row in enumerate(tables.category)}
    category_of = [category_row[row["category_token"]] for row in tables.instance]
    instances = [instance_row[row["instance_token"]] for row in rows]
    size_wlh = np.array([row["size"] for row in rows], dtype=np.float64).reshape(-1, 3)
    return {
        "box_start": np.cumsum([0, *(len(by_key[key["token"]]) for key in keys)]),
        "box_center_m": np.array([row["translation"] for row in rows]).reshape(-1, 3),
        "box_size_lwh_m": size_wlh[:, [1, 0, 2]],
        "box_wxyz": np.array([row["rotation"] for row in rows]).reshape(-1, 4),
        "box_category": np.array([category_of[i] for i in instances], dtype=np.int64),
        "box_instance": np.array(instances, dtype=np.int64),
        "box_token": _text([row["token"] for row in rows]),
        "box_next": _text([row["next"] for row in rows]),
        "box_lidar_points": np.array([row["num_lidar_pts"] for row in rows], dtype=np.int64),
        "box_radar_points": np.array([row["num_radar_pts"] for row in rows], dtype=np.int64),
        "box_visibility": np.array([_visibility(row) for row in rows], dtype=np.int64),
        "category": _text([row["name"] for row in tables.category]),
        "instance": _text([row["token"] for row in tables.instance]),
    }


def _visibility(row: Row) -> int:
    token = row.get("visibility_token") or "0"
    return int(token) if token.isdecimal() else 0


def _pose(row: Row) -> list[float]:
    return [*row["translation"], *row["rotation"]]


def _text(values: Sequence[str]) -> Array:
    return np.array(values, dtype=np.str_) if len(values) else np.zeros(0, dtype="U1")
