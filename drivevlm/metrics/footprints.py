"""Footprints of other road users at each future step, in the lidar's axes of decision time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.raster import Bools, Ints
from drivevlm.metrics.surface import CannotJudgeError
from drivevlm.world.boxes import footprint_m
from drivevlm.world.categories import detection_category
from drivevlm.world.pose import Floats, Pose3, rotation_from_wxyz, wrap_rad
from drivevlm.world.truth import FUTURE_STEPS, LabelledBoxes, Truth, TruthStep

Precision = type[np.float32] | type[np.float64]

# M: footprints of all steps together. Lidar axes: x right, y ahead.

VEHICLES = frozenset(
    {"car", "truck", "bus", "trailer", "construction_vehicle", "motorcycle", "bicycle"}
)
"""The detection classes that carry wheels and are driven."""


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Rectangles on the ground.

    Attributes:
        step: (M,) future step, counted from 0.
        center_m: (M, 2).
        yaw_rad: (M,) of the length.
        size_lw_m: (M, 2) length and width.
    """

    step: Ints
    center_m: Floats
    yaw_rad: Floats
    size_lw_m: Floats

    def corners_m(self) -> Floats:
        """(M, 4, 2) corners: front left, front right, rear right, rear left."""
        flat = footprint_m(self.size_lw_m[:, 0], self.size_lw_m[:, 1])
        cos, sin = np.cos(self.yaw_rad)[:, None], np.sin(self.yaw_rad)[:, None]
        x, y = flat[..., 0], flat[..., 1]
        turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        return np.asarray(turned + self.center_m[:, None])


def lidar_mount(step: TruthStep) -> Pose3:
    """``ego_from_lidar`` of a keyframe. Raises CannotJudgeError where it is not known."""
    if step.ego_from_lidar is None:
        raise CannotJudgeError("the recording has no lidar, in whose axes this protocol scores")
    return step.ego_from_lidar


def carried_m(points_m: Floats, truth: Truth, step: int, precision: Precision) -> Floats:
    """Points (N, 3) fixed to the lidar at a future step, seen from the lidar at decision time.

    They go from pose to pose. In single precision, which some peers use, large global coordinates
    leave errors of some 10 micrometres; those decide to which cell a point on a border belongs.
    """
    later, now = truth.steps[step], truth.now
    xyz = points_m.astype(precision)
    for pose in (lidar_mount(later), later.global_from_ego):
        xyz = _turned(xyz, pose.rotation) + pose.translation_m.astype(precision)
    for pose in (now.global_from_ego, lidar_mount(now)):
        xyz = _turned(xyz - pose.translation_m.astype(precision), pose.rotation.T)
    return xyz.astype(np.float64)


def _turned(xyz: NDArray[Any], rotation: Floats) -> NDArray[Any]:
    """(N, 3) turned in their own precision, term by term, so that every machine agrees."""
    x_to, y_to, z_to = rotation.T.astype(xyz.dtype)
    x, y, z = xyz.T[..., None]
    return np.asarray(x * x_to + y * y_to + z * z_to)


def recorded_path(
    truth: Truth, *, point_lidar_m: tuple[float, float, float], precision: Precision
) -> tuple[Floats, Floats]:
    """(T, 2) recorded path of a point fixed to the lidar, and (T,) headings, in its axes now.

    NaN where the future was not recorded. Roll, pitch and height are as recorded.
    """
    xy_m = np.full((FUTURE_STEPS, 2), np.nan)
    for step in range(1, FUTURE_STEPS + 1):
        if step in truth.steps:
            xy_m[step - 1] = carried_m(np.array([point_lidar_m]), truth, step, precision)[0, :2]
    yaw_ego_rad = truth.future_path()[1]
    return xy_m, wrap_rad(yaw_ego_rad - lidar_mount(truth.now).yaw_rad)


def each_keyframe(truth: Truth, *, classes: Collection[str], precision: Precision) -> Footprints:
    """Every labelled object of the classes, as annotated at each future keyframe itself.

    No visibility, point-count or range filter. As in UniAD the middle of the box's floor is moved
    in space, while yaws of the single rotations are added up (see ``swing_rad``).
    """
    parts = []
    mount_now = lidar_mount(truth.now)
    for step in sorted(k for k in truth.steps if k > 0):
        later, mount = truth.steps[step], lidar_mount(truth.steps[step])
        kept = of_classes(later.boxes, classes)
        lidar_from_global = (later.global_from_ego @ mount).inverse()
        center_m = lidar_from_global.apply(later.boxes.center_global_m[kept])
        size_m = later.boxes.size_lwh_m[kept]
        center_m[:, 2] -= size_m[:, 2] / 2
        rotation = lidar_from_global.rotation @ rotation_from_wxyz(later.boxes.wxyz_global[kept])
        chain = (
            mount.rotation,
            later.global_from_ego.rotation,
            truth.now.global_from_ego.rotation.T,
            mount_now.rotation.T,
        )
        yaw_rad = swing_rad(rotation) + sum(float(swing_rad(turn)) for turn in chain)
        center_m = carried_m(center_m, truth, step, precision)
        parts.append(
            Footprints(np.full(len(size_m), step - 1), center_m[:, :2], yaw_rad, size_m[:, :2])
        )
    return joined(parts)


def tracked_from_now(
    truth: Truth, *, classes: Collection[str], ahead_m: float, aside_m: float
) -> Footprints:
    """The tracks of the objects of the classes that are there at decision time.

    As in VAD: inside the window round the lidar and with a lidar point at decision time; their
    n-th next annotation is taken for step n; the size is that of decision time, and the yaw turns
    as it turns in the global frame.
    """
    now = truth.now.boxes
    lidar_from_global = (truth.now.global_from_ego @ lidar_mount(truth.now)).inverse()
    # In single precision, as the peer's boxes are: what lies on the border, to a micrometre, is
    # outside, whatever the last bits of a machine.
    xy_m = lidar_from_global.apply(now.center_global_m)[:, :2].astype(np.float32)
    kept = of_classes(now, classes) & (now.lidar_points > 0)
    kept &= (np.abs(xy_m) < [aside_m, ahead_m]).all(axis=1)
    boxes, start_row, step, row = tracks(truth, kept)
    center_m = lidar_from_global.apply(boxes.center_global_m[row])[:, :2]
    rotation = rotation_from_wxyz(boxes.wxyz_global)
    yaw_now_rad = swing_rad(lidar_from_global.rotation @ rotation[start_row])
    turned_rad = heading_rad(rotation[row]) - heading_rad(rotation[start_row])
    size_lw_m = boxes.size_lwh_m[start_row, :2]
    return Footprints(step, center_m, yaw_now_rad + turned_rad, size_lw_m)


def tracks(truth: Truth, kept: Bools) -> tuple[LabelledBoxes, Ints, Ints, Ints]:
    """Where the objects (N,) that are there now are later: their n-th next annotation at step n.

    Returns:
        The boxes of now and later in one table; and, (M,), of each annotation that is met the row
        of its object now, the future step, and its own row.
    """
    now = truth.now.boxes
    row_of, boxes = _rows_by_annotation(truth)
    track = [
        (row_of[now.annotation[start]], step, row)
        for start in np.flatnonzero(kept)
        for step, row in enumerate(_followed(int(start), now, row_of, boxes))
    ]
    start_row, step, row = np.array(track, dtype=np.int64).reshape(-1, 3).T
    return boxes, start_row, step, row


def _rows_by_annotation(truth: Truth) -> tuple[dict[str, int], LabelledBoxes]:
    """The boxes of now and later in one table, and the row of each annotation."""
    steps = [truth.steps[k].boxes for k in sorted(truth.steps) if k >= 0]
    boxes = LabelledBoxes(
        np.concatenate([s.center_global_m for s in steps]),
        np.concatenate([s.size_lwh_m for s in steps]),
        np.concatenate([s.wxyz_global for s in steps]),
        tuple(name for s in steps for name in s.category),
        tuple(name for s in steps for name in s.instance),
        tuple(name for s in steps for name in s.annotation),
        tuple(name for s in steps for name in s.following),
        np.concatenate([s.lidar_points for s in steps]),
        np.concatenate([s.radar_points for s in steps]),
        np.concatenate([s.visibility for s in steps]),
    )
    return {name: row for row, name in enumerate(boxes.annotation)}, boxes


def _followed(
    start: int, now: LabelledBoxes, row_of: dict[str, int], boxes: LabelledBoxes
) -> list[int]:
    rows: list[int] = []
    name = now.following[start]
    while name in row_of and len(rows) < FUTURE_STEPS:
        rows.append(row_of[name])
        name = boxes.following[rows[-1]]
    return rows


def of_classes(boxes: LabelledBoxes, classes: Collection[str]) -> Bools:
    """(N,) which boxes have a detection class among these."""
    return np.array(
        [detection_category(name) in classes for name in boxes.category], dtype=np.bool_
    )


def joined(parts: list[Footprints]) -> Footprints:
    """The footprints of all parts."""
    if not parts:
        return Footprints(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)))
    return Footprints(
        np.concatenate([part.step for part in parts]),
        np.concatenate([part.center_m for part in parts]),
        np.concatenate([part.yaw_rad for part in parts]),
        np.concatenate([part.size_lw_m for part in parts]),
    )


def heading_rad(rotation: Floats) -> Floats:
    """(...) direction on the ground of the turned x axis of rotations (..., 3, 3)."""
    return np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])


def swing_rad(rotation: Floats) -> Floats:
    """(...) the yaw that pyquaternion (and through it the peers) reads off (..., 3, 3) rotations.

    It equals the heading only without roll and pitch; on a tilted lidar it is off by up to 0.1
    degrees, which moves corners of long boxes to other cells.
    """
    return np.arctan2(-rotation[..., 0, 1], rotation[..., 0, 0])
