"""Box proposals from a nuScenes detection result file, checked before the first clip is made."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.data.nuscenes.folder import read_json
from drivevlm.data.nuscenes.sidecars import check_tokens
from drivevlm.data.recording import DataError
from drivevlm.world.boxes import CATEGORIES, Box3
from drivevlm.world.pose import Floats, Pose3, rotation_from_wxyz, wrap_rad

FAR_M = 150.0
"""A detection farther than this from its ego is not in the global frame."""
NUMBERS = ("translation", 3), ("size", 3), ("rotation", 4)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector saw at one keyframe, in the global frame. N: boxes, best score first.

    Attributes:
        center_m, size_wlh_m, wxyz: (N, 3), (N, 3), (N, 4) as the file writes them.
        velocity_mps: (N, 2); NaN where the file has none.
        score: (N,).
        category: N detection names.
    """

    center_m: Floats
    size_wlh_m: Floats
    wxyz: Floats
    velocity_mps: Floats
    score: Floats
    category: tuple[str, ...]

    def boxes(self, global_from_ego: Pose3) -> list[Box3]:
        """The same boxes in the ego frame."""
        ego_from_global = global_from_ego.inverse()
        if not self.category:
            return []
        center = ego_from_global.apply(self.center_m)
        rotation = ego_from_global.rotation @ rotation_from_wxyz(self.wxyz)
        yaw = wrap_rad(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
        flat = np.c_[self.velocity_mps, np.zeros(len(self.category))]
        velocity = (flat @ ego_from_global.rotation.T)[:, :2]
        return [
            Box3(
                center[i],
                self.size_wlh_m[i, [1, 0, 2]],
                float(yaw[i]),
                name,
                velocity[i] if np.isfinite(velocity[i]).all() else None,
                float(self.score[i]),
            )
            for i, name in enumerate(self.category)
        ]


def read_detections(
    path: Path,
    *,
    known: Container[str],
    wanted: Sequence[str],
    top_k: int,
    min_score: float,
    global_from_ego: Callable[[str], Pose3],
) -> dict[str, Detections]:
    """The best boxes of each wanted keyframe. Raises DataError, one line, for anything wrong.

    ``known`` are all tokens of the version, so that a file may cover more than is wanted.
    """
    what = "data.proposals"
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise DataError(f"{what}: {path} is no nuScenes result file, expected {{meta, results}}")
    check_tokens(results, path=path, known=known, what=what)
    missing = [token for token in wanted if token not in results]
    if missing:
        raise DataError(
            f"{what}: {path} lacks {len(missing)} of {len(wanted)} chosen keyframes, e.g. "
            f"{missing[0]}: run the detector on this split, or choose data.scenes=..."
        )
    found = {}
    for token in wanted:
        where = f"{what}: {path}: sample {token}"
        everything = _detections(results[token], where=where)
        _check_owner(results[token], token, where=where)
        _check_frame(everything, global_from_ego(token), where=where)
        found[token] = _best(everything, top_k, min_score)
    return found


def _detections(rows: Any, *, where: str) -> Detections:
    if not isinstance(rows, list):
        raise DataError(f"{where}: expected a list of boxes, got {type(rows).__name__}")
    try:
        columns = [
            np.array([row[key] for row in rows], dtype=np.float64).reshape(len(rows), width)
            for key, width in NUMBERS
        ]
        score = np.array([row["detection_score"] for row in rows], dtype=np.float64)
        score = score.reshape(len(rows))
        names = tuple(row["detection_name"] for row in rows)
        given = [row.get("velocity") for row in rows]
        unknown = [v is None for v in given]
        velocity = np.array([[0.0, 0.0] if v is None else v for v in given], dtype=np.float64)
        velocity = velocity.reshape(len(rows), 2)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{where}: a box needs translation (3), size (3), rotation (4), detection_name and "
            f"detection_score, and may have velocity (2) ({type(error).__name__}: {error})"
        ) from error
    _check_numbers([*columns, score[:, None], velocity], names, where=where)
    velocity[unknown] = np.nan
    return Detections(columns[0], columns[1], columns[2], velocity, score, names)


def _check_numbers(columns: Sequence[Floats], names: tuple[Any, ...], *, where: str) -> None:
    finite = np.all([np.isfinite(column).all(axis=1) for column in columns], axis=0)
    size, turn, score = columns[1], columns[2], columns[3][:, 0]
    known = np.array([isinstance(name, str) and name in CATEGORIES for name in names], dtype=bool)
    rules: Mapping[str, Any] = {
        "a number is not finite (leave velocity out where it is unknown)": finite,
        "size must be positive": (size > 0).all(axis=1),
        "rotation must be a quaternion w, x, y, z": np.linalg.norm(turn, axis=1) > 1e-6,
        "detection_score must lie in [0, 1]": (score >= 0) & (score <= 1),
        f"detection_name must be one of {', '.join(CATEGORIES)}": known,
    }
    for rule, holds in rules.items():
        wrong = np.flatnonzero(~holds)
        if len(wrong):
            i = int(wrong[0])
            numbers = [float(value) for column in columns for value in column[i]]
            raise DataError(f"{where}, box {i}: {rule}; got {names[i]!r} with {numbers}")


def _check_owner(rows: Sequence[Mapping[str, Any]], token: str, *, where: str) -> None:
    """A box that names another keyframe was filed under the wrong one."""
    for i, row in enumerate(rows):
        if (row.get("sample_token") or token) != token:
            raise DataError(f"{where}, box {i}: its sample_token is {row['sample_token']!r}")


def _check_frame(detections: Detections, global_from_ego: Pose3, *, where: str) -> None:
    away = detections.center_m[:, :2] - global_from_ego.translation_m[:2]
    distance_m = np.linalg.norm(away, axis=1)
    wrong = np.flatnonzero(distance_m > FAR_M)
    if len(wrong):
        i = int(wrong[0])
        raise DataError(
            f"{where}, box {i}: lies {distance_m[i]:.0f} m from the ego, expected the global frame "
            f"and at most {FAR_M:.0f} m: are these boxes in the ego's or the lidar's frame?"
        )


def _best(detections: Detections, top_k: int, min_score: float) -> Detections:
    order = np.argsort(-detections.score, kind="stable")
    order = order[detections.score[order] >= min_score][:top_k]
    return replace(
        detections,
        center_m=detections.center_m[order],
        size_wlh_m=detections.size_wlh_m[order],
        wxyz=detections.wxyz[order],
        velocity_mps=detections.velocity_mps[order],
        score=detections.score[order],
        category=tuple(detections.category[i] for i in order),
    )
