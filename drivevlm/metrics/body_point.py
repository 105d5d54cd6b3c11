"""Paths of many clips in other axes, and as the paths of other points of the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivevlm.metrics.rule import Axes, Point
from drivevlm.metrics.surface import PATH_DIGITS, Paths
from drivevlm.world.plan import STILL_MPS
from drivevlm.world.pose import Floats, Pose3, wrap_rad
from drivevlm.world.truth import STEP_S

# N: clips, T: steps. A path is the displacement of a body point from its place now: (N, T, 2).

BodyPoint = Literal["rear_axle", "lidar"]
"""A point of the body by name."""

FINE_STEPS = 8
"""Into which a step is cut while the axle is pulled along."""
SHORTEST_TRAIL_M = 0.1
"""A lidar that is less far ahead of the axle does not say how the body stands."""
TIGHTEST_TURN_M = 5.0
"""Radius of the tightest turn of a car."""


@dataclass(frozen=True, slots=True, eq=False)
class Mounts:
    """Where the lidar of each clip sits: ``ego_from_lidar``.

    Attributes:
        rotation: (N, 3, 3); the columns are the lidar's axes in the ego frame.
        translation_m: (N, 3) the lidar in the ego frame.
    """

    rotation: Floats
    translation_m: Floats

    def __post_init__(self) -> None:
        n = len(self.rotation)
        if self.rotation.shape != (n, 3, 3) or self.translation_m.shape != (n, 3):
            raise ValueError(
                "mounts need (N, 3, 3) rotations and (N, 3) translations, got "
                f"{self.rotation.shape} and {self.translation_m.shape}"
            )

    @classmethod
    def of(cls, poses: Sequence[Pose3]) -> Mounts:
        """Of as many clips as there are poses."""
        return cls(
            np.array([pose.rotation for pose in poses]).reshape(-1, 3, 3),
            np.array([pose.translation_m for pose in poses]).reshape(-1, 3),
        )

    @property
    def yaw_rad(self) -> Floats:
        """(N,) heading of the lidar's x axis in the ego frame."""
        return np.arctan2(self.rotation[:, 1, 0], self.rotation[:, 0, 0])


def in_axes(xy_m: Floats, *, given: Axes, wanted: Axes) -> Floats:
    """Points (..., 2) in other axes by an exact quarter turn: nothing moves, nothing is rounded."""
    x, y = xy_m[..., 0], xy_m[..., 1]
    if given is wanted:
        return xy_m
    return np.stack([y, -x] if wanted is Axes.EGO else [-y, x], axis=-1)


def as_scored(
    xy_m: Floats,
    *,
    axes: Axes,
    point: BodyPoint | None,
    wanted_axes: Axes,
    wanted_point: Point,
    mounts: Mounts | None,
) -> Paths:
    """The paths (N, T, 2) of a body point as a protocol scores them.

    Where ``point`` is None or the protocol's own (any point in the lidar's frame is "lidar"), the
    axes are changed and nothing else. Else the point is moved, in the ego's axes: see
    ``lidar_paths`` and ``axle_paths``. What is named the rear axle's is rounded as a plan of ours
    is, so that it scores the same from a file as from a run.

    The axes of ``xy_m`` are taken for an exact quarter turn of each other. A real lidar is off by
    0.1 degrees or so; ``lidar_paths`` minds it, as there the lidar's axes are made, not read.

    Headings are the tangents of what was read; those of an axle pulled along are its own.

    Raises ValueError where a point must be moved and there are no mounts.
    """
    xy_ego_m = in_axes(xy_m, given=axes, wanted=Axes.EGO)
    own: BodyPoint = "rear_axle" if wanted_point == "rear_axle" else "lidar"
    if point is None or point == own:
        as_read_m = in_axes(xy_m, given=axes, wanted=wanted_axes)
        scored_m = np.round(as_read_m, PATH_DIGITS) if point == "rear_axle" else as_read_m
        return Paths(scored_m, _turned(tangent_headings_rad(xy_ego_m), wanted_axes))
    if mounts is None:
        raise ValueError(f"the path of the {point} cannot be moved to the {own}: no lidar is known")
    if wanted_point != "rear_axle":
        return lidar_paths(
            xy_ego_m,
            tangent_headings_rad(xy_ego_m),
            mounts=mounts,
            point_lidar_m=wanted_point,
            axes=wanted_axes,
        )
    axle = axle_paths(xy_ego_m, lidar_ego_m=mounts.translation_m[:, :2])
    axle_m = in_axes(axle.xy_m, given=Axes.EGO, wanted=wanted_axes)
    return Paths(axle_m, _turned(axle.yaw_rad, wanted_axes))


def _turned(yaw_ego_rad: Floats, axes: Axes) -> Floats:
    return yaw_ego_rad if axes is Axes.EGO else wrap_rad(yaw_ego_rad + np.pi / 2)


def tangent_headings_rad(xy_ego_m: Floats, *, dt_s: float = STEP_S) -> Floats:
    """(N, T) headings of paths (N, T, 2): ``world.plan.tangent_headings_rad``, to the bit."""
    steps_m = np.diff(xy_ego_m, axis=1, prepend=np.zeros((len(xy_ego_m), 1, 2)))
    tangents = np.arctan2(steps_m[..., 1], steps_m[..., 0])
    moves = np.hypot(steps_m[..., 0], steps_m[..., 1]) / dt_s >= STILL_MPS
    headings = np.empty(tangents.shape)
    heading = np.zeros(len(tangents))
    for k in range(tangents.shape[1]):
        tangent = tangents[:, k]
        reverses = np.abs(wrap_rad(tangent - heading)) > np.pi / 2
        along = np.where(reverses, wrap_rad(tangent + np.pi), tangent)
        heading = np.where(moves[:, k], along, heading)
        headings[:, k] = heading
    return headings


def lidar_paths(
    xy_ego_m: Floats,
    yaw_ego_rad: Floats,
    *,
    mounts: Mounts,
    point_lidar_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    axes: Axes,
) -> Paths:
    """Paths of a point fixed to the lidar, from those of the rear axle (N, T, 2) in the ego frame.

    The body keeps its height, roll and pitch of now. In the lidar's axes the real mount counts,
    its yaw and tilt included; in the ego's, the result is the displacement along the ground.

    Args:
        xy_ego_m: Of the rear axle.
        yaw_ego_rad: (N, T) headings of the body: known ones, or the tangents.
        mounts: Of the N clips.
        point_lidar_m: In the lidar's frame.
        axes: Wanted.
    """
    point = np.asarray(point_lidar_m)
    point_ego_m = mounts.rotation @ point + mounts.translation_m
    x_m, y_m = point_ego_m[:, 0, None], point_ego_m[:, 1, None]
    cos, sin = np.cos(yaw_ego_rad), np.sin(yaw_ego_rad)
    placed_m = xy_ego_m + np.stack([cos * x_m - sin * y_m, sin * x_m + cos * y_m], axis=-1)
    if axes is Axes.EGO:
        return Paths(np.round(placed_m - point_ego_m[:, None, :2], PATH_DIGITS), yaw_ego_rad)
    x_m, y_m = np.moveaxis(placed_m - mounts.translation_m[:, None, :2], -1, 0)
    z_m = (point_ego_m - mounts.translation_m)[:, 2, None]
    to = mounts.rotation[..., None]  # to[:, i, j]: how much of ego axis i lies along lidar axis j
    along = [to[:, 0, j] * x_m + to[:, 1, j] * y_m + to[:, 2, j] * z_m - point[j] for j in (0, 1)]
    yaw_rad = wrap_rad(yaw_ego_rad - mounts.yaw_rad[:, None])
    return Paths(np.round(np.stack(along, axis=-1), PATH_DIGITS), yaw_rad)


def axle_paths(xy_ego_m: Floats, *, lidar_ego_m: Floats) -> Paths:
    """Paths of the rear axle, pulled along by the lidar like a trailer, in the ego frame.

    The axle does not slip sideways, so the body turns by how far the lidar moves across it (a
    tractrix: the axle trails on the straight line to the lidar, at a constant distance a). While
    the lidar goes straight for a length s, the angle d between the body and its direction falls
    as tan(d/2) exp(-s/a). A smooth curve (cubic, through all waypoints) is laid through each path
    and followed in straight pieces. In reverse the same law makes errors grow instead of fade:
    there the angle grows no further than that of a car in its tightest turn.

    Error on the 192 whole paths of the public reference recordings (recorded lidar in, recorded
    axle out): mean 0.004 m, largest 0.064 m; taking the lidar's path for the axle's, 0.28 and
    1.70 m. Noise of 0.05 m on every waypoint comes out as 0.06 m in mean where the car drives
    on, 0.2 m (largest 0.45 m) where it reverses. Back and forth, from the axle to the lidar and
    back, 0.06 and 0.28 m: nearly all of it from ``lidar_paths``, which knows tangents only.

    Args:
        xy_ego_m: (N, T, 2) displacement of the lidar from its place now.
        lidar_ego_m: (N, 2) that place. Where it is less than ``SHORTEST_TRAIL_M`` ahead of the
            axle, the body is taken to stand along the lidar's path.
    """
    ahead_m, left_m = lidar_ego_m[:, 0, None], lidar_ego_m[:, 1, None]
    pulls = ahead_m[:, 0] >= SHORTEST_TRAIL_M
    yaw_rad = tangent_headings_rad(xy_ego_m)
    yaw_rad[pulls] = _trailing_rad(xy_ego_m[pulls], ahead_m[pulls, 0])
    cos, sin = np.cos(yaw_rad) - 1.0, np.sin(yaw_rad)
    swung_m = np.stack([cos * ahead_m - sin * left_m, sin * ahead_m + cos * left_m], axis=-1)
    return Paths(np.round(xy_ego_m - swung_m, PATH_DIGITS), yaw_rad)


def _trailing_rad(xy_m: Floats, ahead_m: Floats) -> Floats:
    """(N, T) headings of bodies whose lidar, ``ahead_m`` (N,) of the axle, goes along (N, T, 2)."""
    pieces_m = np.diff(_smooth(xy_m), axis=1, prepend=np.zeros((len(xy_m), 1, 2)))
    length_m = np.hypot(pieces_m[..., 0], pieces_m[..., 1])
    direction = np.arctan2(pieces_m[..., 1], pieces_m[..., 0])
    fading = np.exp(-np.minimum(length_m / ahead_m[:, None], 50.0))
    widest = np.arcsin(np.minimum(ahead_m / TIGHTEST_TURN_M, 1.0))
    headings = np.empty(direction.shape)
    heading = np.zeros(len(xy_m))
    for k in range(direction.shape[1]):
        reverses = np.cos(heading - direction[:, k]) < 0
        along = direction[:, k] + np.pi * reverses
        angle = wrap_rad(heading - along)
        half = np.tan(angle / 2)
        faded = 2 * np.arctan(half * fading[:, k])
        grown = 2 * np.arctan(half / fading[:, k])
        held = np.sign(angle) * np.maximum(
            np.abs(2 * np.arctan(half)), np.minimum(np.abs(grown), widest)
        )
        heading = along + np.where(reverses, held, faded)
        headings[:, k] = heading
    return wrap_rad(headings[:, FINE_STEPS - 1 :: FINE_STEPS])


def _smooth(xy_m: Floats) -> Floats:
    """(N, T * FINE_STEPS, 2) a smooth curve from the origin through the waypoints (N, T, 2).

    Cubic pieces; the velocity at a waypoint is that of the parabola through it and its neighbours.
    """
    path = np.concatenate([np.zeros((len(xy_m), 1, 2)), xy_m], axis=1)
    velocity = np.gradient(path, axis=1, edge_order=2)
    s = (np.arange(1, FINE_STEPS + 1) / FINE_STEPS)[:, None]
    start, end = path[:, :-1, None], path[:, 1:, None]
    curve = (1 + 2 * s) * (1 - s) ** 2 * start + s**2 * (3 - 2 * s) * end
    curve = curve + s * (1 - s) ** 2 * velocity[:, :-1, None]
    curve = curve - s**2 * (1 - s) * velocity[:, 1:, None]
    return np.asarray(curve).reshape(len(xy_m), xy_m.shape[1] * FINE_STEPS, 2)
