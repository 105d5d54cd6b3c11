"""Keyframes as members of a part, and back; nothing is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from drivevlm.world.pose import Pose3
from drivevlm_sim.keyframes import Annotation, Keyframe, Shot

_TABLE = "keyframes.json"


def members_of(
    keyframes: Sequence[Keyframe], prefix: str = "", dense: Sequence[bytes | None] = ()
) -> dict[str, bytes]:
    """A table, the sensor files, and of each keyframe that has it the truth per pixel."""
    members, rows = {}, []
    for k, content in enumerate(dense):
        if content is not None:
            members[_dense_name(prefix, k)] = content
    for k, keyframe in enumerate(keyframes):
        shots = []
        for shot in keyframe.shots:
            if shot.jpeg is not None:
                members[f"{prefix}{k:03d}/{shot.camera}.jpg"] = shot.jpeg
            shots.append([shot.camera, shot.stamp_us, _numbers(shot.global_from_ego)])
        if keyframe.cloud is not None:
            cloud = np.ascontiguousarray(keyframe.cloud, dtype="<f4")
            members[f"{prefix}{k:03d}/cloud"] = cloud.tobytes()
        rows.append(
            {
                "stamp_us": keyframe.stamp_us,
                "global_from_ego": _numbers(keyframe.global_from_ego),
                "shots": shots,
                "annotations": [asdict(annotation) for annotation in keyframe.annotations],
            }
        )
    return {f"{prefix}{_TABLE}": json.dumps(rows).encode(), **members}


def keyframes_of(
    members: Mapping[str, bytes],
    prefix: str = "",
    *,
    moved_m: tuple[float, float] = (0.0, 0.0),
    later_us: int = 0,
) -> Iterator[Keyframe]:
    """The keyframes of a part, moved in space and time."""
    for k, row in enumerate(json.loads(members[f"{prefix}{_TABLE}"])):
        cloud = members.get(f"{prefix}{k:03d}/cloud")
        shots = tuple(
            Shot(
                camera,
                stamp_us + later_us,
                _pose(numbers, moved_m),
                members.get(f"{prefix}{k:03d}/{camera}.jpg"),
            )
            for camera, stamp_us, numbers in row["shots"]
        )
        yield Keyframe(
            row["stamp_us"] + later_us,
            _pose(row["global_from_ego"], moved_m),
            shots,
            tuple(_annotation(values, moved_m) for values in row["annotations"]),
            None if cloud is None else np.frombuffer(cloud, dtype="<f4").reshape(-1, 5),
        )


def dense_of(members: Mapping[str, bytes], prefix: str = "") -> tuple[bytes | None, ...]:
    """The truth per pixel of a part's keyframes, as it was given to ``members_of``."""
    count = len(json.loads(members[f"{prefix}{_TABLE}"]))
    return tuple(members.get(_dense_name(prefix, k)) for k in range(count))


def _dense_name(prefix: str, k: int) -> str:
    return f"{prefix}{k:03d}/dense.npz"


def _numbers(pose: Pose3) -> list[float]:
    return [*pose.rotation.ravel().tolist(), *pose.translation_m.tolist()]


def _pose(numbers: Sequence[float], moved_m: tuple[float, float]) -> Pose3:
    rotation = np.array(numbers[:9]).reshape(3, 3)
    return Pose3(rotation, np.array(numbers[9:]) + np.array([*moved_m, 0.0]))


def _annotation(values: Mapping[str, Any], moved_m: tuple[float, float]) -> Annotation:
    x_m, y_m, z_m = values["center_global_m"]
    told = Annotation(**{**values, "size_lwh_m": tuple(values["size_lwh_m"])})
    return replace(told, center_global_m=(x_m + moved_m[0], y_m + moved_m[1], z_m))
