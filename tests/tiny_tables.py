"""Small tables in the nuScenes schema, made of nothing: an ego on an arc among moving objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Row = dict[str, Any]
OFFSET_US = {
    "CAM_FRONT": -36_000,
    "CAM_FRONT_RIGHT": -28_000,
    "CAM_BACK_RIGHT": -20_000,
    "CAM_BACK": -11_000,
    "CAM_BACK_LEFT": 1_000,
    "CAM_FRONT_LEFT": -44_000,
}
"""As in the real recordings: the back left camera fires with the lidar, sometimes just after."""
SWEEP_US = 250_000
SPEED_MPS, YAW_RATE_RADPS = 8.0, 0.1
CATEGORIES = ("vehicle.car", "human.pedestrian.adult", "vehicle.emergency.police")


def ego_pose(t_us: int, start_us: int, scene: int) -> list[list[float]]:
    """Position and quaternion (w, x, y, z) at a time: an arc at constant speed."""
    yaw = YAW_RATE_RADPS * (t_us - start_us) / 1e6
    radius = SPEED_MPS / YAW_RATE_RADPS
    x, y = 600 + 50 * scene + radius * np.sin(yaw), 1600 + radius * (1 - np.cos(yaw))
    return [[float(x), float(y), 0.0], [float(np.cos(yaw / 2)), 0, 0, float(np.sin(yaw / 2))]]


def write_tables(
    root: Path,
    *,
    version: str = "v1.0-mini",
    names: Sequence[str] = ("scene-2001", "scene-2002"),
    samples: int = 9,
    objects: int = 3,
    cameras: Sequence[str] = ("CAM_FRONT", "CAM_BACK_LEFT"),
    lidar: bool = True,
    sweeps: bool = True,
    offset_us: dict[str, int] | None = None,
) -> Path:
    """Write all tables under ``root`` and give it back."""
    tables: dict[str, list[Row]] = {name: [] for name in ("ego_pose", "sample_data", "sample")}
    tables |= {"sample_annotation": [], "instance": [], "scene": [], "calibrated_sensor": []}
    tables["sensor"] = [
        {"token": f"sensor-{name}", "channel": name, "modality": kind}
        for name, kind in [("LIDAR_TOP", "lidar"), *((name, "camera") for name in cameras)]
    ]
    for sensor in tables["sensor"]:
        tables["calibrated_sensor"].append(_mount(sensor))
    tables["category"] = [{"token": f"kind-{k}", "name": k, "description": ""} for k in CATEGORIES]
    levels = ("v0-40", "v40-60", "v60-80", "v80-100")
    tables["visibility"] = [
        {"token": str(k + 1), "level": level, "description": ""} for k, level in enumerate(levels)
    ]
    tables["attribute"] = [{"token": "a", "name": "vehicle.moving", "description": ""}]
    tables["log"] = [{"token": "log", "location": "boston-seaport", "logfile": "", "vehicle": ""}]
    tables["map"] = [{"token": "map", "filename": "maps/m.png", "log_tokens": ["log"]}]
    channels = {name: (offset_us or OFFSET_US)[name] for name in cameras}
    for number, name in enumerate(names):
        _scene(tables, name, number, samples, objects, channels, lidar=lidar, sweeps=sweeps)
    (root / version).mkdir(parents=True)
    (root / "maps").mkdir(exist_ok=True)
    Image.new("L", (1, 1)).save(root / "maps" / "m.png")
    for table, rows in tables.items():
        (root / version / f"{table}.json").write_text(json.dumps(rows))
    return root


def _mount(sensor: Row) -> Row:
    camera = sensor["modality"] == "camera"
    return {
        "token": f"mount-{sensor['channel']}",
        "sensor_token": sensor["token"],
        "translation": [1.7, 0.0, 1.5] if camera else [0.94, 0.0, 1.84],
        "rotation": [0.5, -0.5, 0.5, -0.5] if camera else [2**-0.5, 0.0, 0.0, -(2**-0.5)],
        "camera_intrinsic": [[80.0, 0, 80], [0, 80, 45], [0, 0, 1]] if camera else [],
    }


def _scene(
    tables: dict[str, list[Row]],
    name: str,
    number: int,
    samples: int,
    objects: int,
    channels: dict[str, int],
    *,
    lidar: bool,
    sweeps: bool,
) -> None:
    start_us = 1_600_000_000_000_000 + number * 100_000_000
    tokens = [f"{name}-{k:02d}" for k in range(samples)]
    tables["scene"].append(
        {
            "token": name,
            "name": name,
            "log_token": "log",
            "description": f"An arc, {name}",
            "nbr_samples": samples,
            "first_sample_token": tokens[0],
            "last_sample_token": tokens[-1],
        }
    )
    links = zip(tokens, ["", *tokens], [*tokens[1:], ""], strict=False)
    for k, (token, before, after) in enumerate(links):
        stamp_us = start_us + 500_000 * k
        tables["sample"].append(
            {
                "token": token,
                "timestamp": stamp_us,
                "scene_token": name,
                "prev": before,
                "next": after,
            }
        )
        shots = [(channel, stamp_us + offset, True) for channel, offset in channels.items()]
        if sweeps:
            shots += [(channel, stamp - SWEEP_US, False) for channel, stamp, _ in shots]
        if lidar:
            shots.append(("LIDAR_TOP", stamp_us, True))
        for channel, shot_us, is_key in shots:
            _shot(tables, token, channel, shot_us, is_key, ego_pose(shot_us, start_us, number))
        for j in range(objects):
            _object(tables, name, tokens, k, j, ego_pose(start_us, start_us, number)[0])


def _shot(
    tables: dict[str, list[Row]],
    sample: str,
    channel: str,
    stamp_us: int,
    is_key: bool,
    pose: list[list[float]],
) -> None:
    token = f"{channel}-{stamp_us}"
    tables["ego_pose"].append(
        {"token": token, "timestamp": stamp_us, "translation": pose[0], "rotation": pose[1]}
    )
    camera = channel != "LIDAR_TOP"
    tables["sample_data"].append(
        {
            "token": token,
            "sample_token": sample,
            "ego_pose_token": token,
            "calibrated_sensor_token": f"mount-{channel}",
            "timestamp": stamp_us,
            "fileformat": "jpg" if camera else "pcd",
            "is_key_frame": is_key,
            "height": 90 if camera else 0,
            "width": 160 if camera else 0,
            "filename": f"{'samples' if is_key else 'sweeps'}/{channel}/{stamp_us}.jpg",
            "prev": "",
            "next": "",
        }
    )


def _object(
    tables: dict[str, list[Row]],
    name: str,
    samples: list[str],
    k: int,
    j: int,
    origin_m: list[float],
) -> None:
    instance = f"{name}-object-{j}"
    if k == 0:
        tables["instance"].append(
            {
                "token": instance,
                "category_token": f"kind-{CATEGORIES[j % len(CATEGORIES)]}",
                "nbr_annotations": len(samples),
                "first_annotation_token": f"{samples[0]}-{j}",
                "last_annotation_token": f"{samples[-1]}-{j}",
            }
        )
    tables["sample_annotation"].append(
        {
            "token": f"{samples[k]}-{j}",
            "sample_token": samples[k],
            "instance_token": instance,
            "visibility_token": str(1 + j % 4),
            "attribute_tokens": [],
            "translation": [origin_m[0] + 10 + 4 * j + k, origin_m[1] + 3 - 2 * j, 0.9],
            "size": [1.9, 4.5, 1.8],
            "rotation": [1.0, 0.0, 0.0, 0.0],
            "prev": f"{samples[k - 1]}-{j}" if k else "",
            "next": f"{samples[k + 1]}-{j}" if k + 1 < len(samples) else "",
            "num_lidar_pts": 5,
            "num_radar_pts": 1,
        }
    )
