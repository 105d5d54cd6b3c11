"""A motion plan: the path of the rear axle on the ground, and its path seen from other points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats, Pose2, wrap_rad

# T: waypoints of a plan.
STILL_MPS = 0.1
"""Below this speed a path has no tangent worth reading: the heading before is held."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Future rear-axle positions, in the ego frame of decision time.

    Attributes:
        xy_ego_m: (T, 2). Row ``k`` is the position at ``(k + 1) * dt_s``.
        dt_s: Time between rows.
        yaw_ego_rad: (T,) headings where they are known (recorded, or of a motion model);
            None where the plan is a bare path, whose heading is its tangent.
    """

    xy_ego_m: Floats
    dt_s: float = 0.5
    yaw_ego_rad: Floats | None = None

    def __post_init__(self) -> None:
        if self.xy_ego_m.ndim != 2 or self.xy_ego_m.shape[1] != 2 or not len(self.xy_ego_m):
            raise ValueError(f"xy_ego_m must be (T, 2) with T > 0, got {self.xy_ego_m.shape}")
        if not np.isfinite(self.xy_ego_m).all():
            row = int(np.flatnonzero(~np.isfinite(self.xy_ego_m).all(axis=1))[0])
            raise ValueError(f"a plan must be finite, waypoint {row} is {self.xy_ego_m[row]}")
        if not (np.isfinite(self.dt_s) and self.dt_s > 0):
            raise ValueError(f"dt_s must be positive, got {self.dt_s}")
        yaw = self.yaw_ego_rad
        if yaw is not None and (yaw.shape != self.xy_ego_m.shape[:1] or not np.isfinite(yaw).all()):
            raise ValueError(f"yaw_ego_rad must be finite and ({len(self.xy_ego_m)},), got {yaw}")

    @property
    def horizon_s(self) -> float:
        """Time of the last waypoint."""
        return len(self.xy_ego_m) * self.dt_s

    def headings_ego_rad(self) -> Floats:
        """(T,) the known headings, else the tangents, held where slower than ``STILL_MPS``."""
        if self.yaw_ego_rad is not None:
            return self.yaw_ego_rad
        return tangent_headings_rad(self.xy_ego_m, dt_s=self.dt_s)

    def speeds_mps(self) -> Floats:
        """(T,) mean speed over the step that ends at each waypoint."""
        steps_m = np.diff(self.xy_ego_m, axis=0, prepend=np.zeros((1, 2)))
        return np.asarray(np.linalg.norm(steps_m, axis=1) / self.dt_s)


def tangent_headings_rad(xy_ego_m: Floats, *, dt_s: float) -> Floats:
    """(T,) heading of the step that ends at each waypoint, starting from 0 at the origin.

    A step slower than ``STILL_MPS`` has no direction: it keeps the heading before it.
    A step that points backwards (more than 90 degrees from the heading before) is reversing.
    """
    steps_m = np.diff(xy_ego_m, axis=0, prepend=np.zeros((1, 2)))
    headings = np.empty(len(steps_m))
    heading = 0.0
    for k, step in enumerate(steps_m):
        if np.hypot(*step) / dt_s >= STILL_MPS:
            tangent = float(np.arctan2(step[1], step[0]))
            turn = float(wrap_rad(tangent - heading))
            heading = float(wrap_rad(tangent + np.pi)) if abs(turn) > np.pi / 2 else tangent
        headings[k] = heading
    return headings


def path_of_point(plan: Plan, *, point_ego_m: Floats) -> Floats:
    """(T, 2) path, in the ego frame of decision time, of a point fixed to the body.

    This moves the point, with headings; it does not change the axes. ``point_ego_m`` is (2,) in
    the ego frame, e.g. where the lidar sits. The result at decision time would be
    ``point_ego_m`` itself, not the origin.
    """
    yaw = plan.headings_ego_rad()
    cos, sin = np.cos(yaw), np.sin(yaw)
    x_m, y_m = float(point_ego_m[0]), float(point_ego_m[1])
    offset = np.stack([cos * x_m - sin * y_m, sin * x_m + cos * y_m], axis=1)
    return np.asarray(plan.xy_ego_m + offset)


def carried_forward(plan: Plan, *, now_from_then: Pose2, age_s: float) -> Plan | None:
    """An older plan seen from today: shifted in time and moved into today's ego frame.

    The waypoints still ahead are read off the old plan (linear in time), at the plan's own rate;
    the last ``age_s`` seconds are missing, not invented. None when nothing is left.
    """
    left = int(np.floor((plan.horizon_s - age_s) / plan.dt_s + 1e-9))
    if age_s < 0 or left < 1:
        return None
    known_s = np.arange(len(plan.xy_ego_m) + 1) * plan.dt_s
    wanted_s = age_s + np.arange(1, left + 1) * plan.dt_s
    path = np.vstack([np.zeros((1, 2)), plan.xy_ego_m])
    xy_then_m = np.stack([np.interp(wanted_s, known_s, path[:, k]) for k in (0, 1)], axis=1)
    return Plan(now_from_then.apply(xy_then_m), dt_s=plan.dt_s)
