"""A coarse spinning lidar over boxes on a flat ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, Pose2, Pose3
from drivevlm_sim.flat.shapes import Shape
from drivevlm_sim.keyframes import Cloud

# R: rings. A: azimuths. S: azimuths that may meet a shape.
ELEVATIONS_RAD = np.radians(np.linspace(-25.0, 6.0, 32))
AZIMUTHS = 360
REACH_M = 80.0
GROUND_EVERY = 6
"""Only so many-th azimuths keep their ground points: they are many and alike."""
GROUND_INTENSITY, OBJECT_INTENSITY = 15.0, 60.0


def sweep(global_from_lidar: Pose3, placed: Sequence[tuple[Shape, Pose2]]) -> Cloud:
    """The first hits of all rays; nothing where a ray meets nothing within reach."""
    rays = _rays(global_from_lidar.yaw_rad)
    eye = global_from_lidar.translation_m
    with np.errstate(divide="ignore", invalid="ignore"):
        ground_m = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)
        object_m = np.full(rays.shape[:2], np.inf)
        for shape, pose in placed:
            columns = _columns(eye, global_from_lidar.yaw_rad, shape, pose)
            if len(columns):
                hit_m = _first_hit_m(eye, rays[:, columns], shape, pose)
                object_m[:, columns] = np.minimum(object_m[:, columns], hit_m)
    on_object = (object_m < ground_m) & (object_m < REACH_M)
    on_ground = ~on_object & (ground_m < REACH_M)
    on_ground[:, np.arange(AZIMUTHS) % GROUND_EVERY > 0] = False
    distance_m = np.where(on_object, object_m, ground_m)
    kept = on_object | on_ground
    points = eye + rays[kept] * distance_m[kept][:, None]
    xyz = global_from_lidar.inverse().apply(points)
    intensity = np.where(on_object[kept], OBJECT_INTENSITY, GROUND_INTENSITY)
    return np.column_stack([xyz, intensity, np.nonzero(kept)[0]]).astype(np.float32)


def _rays(yaw_rad: float) -> Floats:
    """(R, A, 3) unit directions in the global frame."""
    azimuth = yaw_rad + np.arange(AZIMUTHS) * 2 * np.pi / AZIMUTHS
    flat, up = np.cos(ELEVATIONS_RAD)[:, None], np.sin(ELEVATIONS_RAD)[:, None]
    return np.stack(
        [flat * np.cos(azimuth), flat * np.sin(azimuth), np.broadcast_to(up, (len(up), AZIMUTHS))],
        axis=-1,
    )


def _columns(eye: Floats, yaw_rad: float, shape: Shape, pose: Pose2) -> NDArray[np.int64]:
    """(S,) azimuths that may meet the shape."""
    reach = np.abs(shape.boxes_m[:, :2]) + shape.boxes_m[:, 3:5]
    radius_m = float(np.hypot(*reach.max(axis=0)))
    dx, dy = pose.x_m - eye[0], pose.y_m - eye[1]
    away_m = float(np.hypot(dx, dy))
    if away_m - radius_m > REACH_M:
        return np.zeros(0, dtype=np.int64)
    if away_m <= radius_m:
        return np.arange(AZIMUTHS)
    step = 2 * np.pi / AZIMUTHS
    middle = (np.arctan2(dy, dx) - yaw_rad) / step
    half = np.arcsin(radius_m / away_m) / step
    return np.arange(int(np.ceil(middle - half)), int(np.floor(middle + half)) + 1) % AZIMUTHS


def _first_hit_m(eye: Floats, rays: Floats, shape: Shape, pose: Pose2) -> Floats:
    """(R, S) distance to the nearest box of the shape; infinite where none is met."""
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    origin = (eye - np.array([pose.x_m, pose.y_m, 0.0])) @ turn
    directions = rays @ turn
    nearest = np.full(rays.shape[:2], np.inf)
    for box in shape.boxes_m:
        low = (box[:3] - box[3:] - origin) / directions
        high = (box[:3] + box[3:] - origin) / directions
        enter = np.minimum(low, high).max(axis=-1)
        leave = np.maximum(low, high).min(axis=-1)
        met = (leave >= enter) & (enter > 0)
        nearest = np.where(met, np.minimum(nearest, enter), nearest)
    return nearest
