"""Truth values straight from nuScenes-format JSON tables, without the devkit or our reader."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.world.pose import Pose3
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, LabelledBoxes, Truth, TruthStep

Row = dict[str, Any]


def truths(version_folder: Path) -> dict[str, Truth]:
    """Every keyframe's Truth by sample token, in the order of the scenes and of time."""
    rows = {name: _table(version_folder, name) for name in ("sample", "scene")}
    steps = _steps(version_folder, rows["sample"])
    found = {}
    for scene in rows["scene"].values():
        tokens = [scene["first_sample_token"]]
        while rows["sample"][tokens[-1]]["next"]:
            tokens.append(rows["sample"][tokens[-1]]["next"])
        for at, token in enumerate(tokens):
            offsets = range(-min(PAST_STEPS, at), min(FUTURE_STEPS, len(tokens) - 1 - at) + 1)
            around = {k: steps[tokens[at + k]] for k in offsets}
            found[token] = Truth(token, scene["name"], around)
    return found


def _steps(folder: Path, samples: dict[str, Row]) -> dict[str, TruthStep]:
    poses, mounts = _table(folder, "ego_pose"), _table(folder, "calibrated_sensor")
    channel = {t: row["channel"] for t, row in _table(folder, "sensor").items()}
    lidar = {}
    for row in _table(folder, "sample_data").values():
        mount = mounts[row["calibrated_sensor_token"]]
        if row["is_key_frame"] and channel[mount["sensor_token"]] == "LIDAR_TOP":
            lidar[row["sample_token"]] = (poses[row["ego_pose_token"]], mount)
    boxes = _boxes(folder)
    return {
        token: TruthStep(
            row["timestamp"], _pose(lidar[token][0]), _pose(lidar[token][1]), boxes[token]
        )
        for token, row in samples.items()
    }


def _boxes(folder: Path) -> defaultdict[str, LabelledBoxes]:
    instances, categories = _table(folder, "instance"), _table(folder, "category")
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in _table(folder, "sample_annotation").values():
        grouped[row["sample_token"]].append(row)
    boxes = defaultdict(lambda: _labelled([], instances, categories))
    for token, rows in grouped.items():
        boxes[token] = _labelled(rows, instances, categories)
    return boxes


def _labelled(
    rows: list[Row], instances: dict[str, Row], categories: dict[str, Row]
) -> LabelledBoxes:
    names = [categories[instances[r["instance_token"]]["category_token"]]["name"] for r in rows]
    return LabelledBoxes(
        center_global_m=np.array([r["translation"] for r in rows]).reshape(-1, 3),
        size_lwh_m=np.array([r["size"] for r in rows]).reshape(-1, 3)[:, [1, 0, 2]],
        wxyz_global=np.array([r["rotation"] for r in rows]).reshape(-1, 4),
        category=tuple(names),
        instance=tuple(r["instance_token"] for r in rows),
        annotation=tuple(r["token"] for r in rows),
        following=tuple(r["next"] for r in rows),
        lidar_points=np.array([r["num_lidar_pts"] for r in rows], dtype=np.int64),
        radar_points=np.array([r["num_radar_pts"] for r in rows], dtype=np.int64),
        visibility=np.array([int(r["visibility_token"] or 0) for r in rows], dtype=np.int64),
    )


def _pose(row: Row) -> Pose3:
    return Pose3.from_quaternion(
        wxyz=np.array(row["rotation"]), translation_m=np.array(row["translation"])
    )


def _table(folder: Path, name: str) -> dict[str, Row]:
    return {row["token"]: row for row in json.loads((folder / f"{name}.json").read_text())}
