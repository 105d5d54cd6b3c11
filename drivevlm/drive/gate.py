"""What a trajectory must be to be published: checked before, and told check by check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import shapely
from numpy.typing import NDArray

from drivevlm.baselines.motions import SLOWEST_TURNING_MPS
from drivevlm.drive.config import SLACK_US, GateConfig, VehicleConfig
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.plan_message import Trajectory
from drivevlm.world.boxes import Box3, footprint_m
from drivevlm.world.pose import Floats, Pose2

WILDEST = 1e6
"""A number beyond this is no number of a road."""


class CheckName(str, Enum):
    """What is looked at."""

    FINITE = "finite"  # how many numbers are not finite, or beyond any road
    MONOTONE = "monotone"  # shortest time between points, s
    AGE = "age"  # since decision time, s
    START = "start"  # from the ego now to the path, m
    START_SPEED = "start_speed"  # first point against the ego at decision time, m/s
    BEHIND = "behind"  # first point behind the ego of then, or last behind that of now, m
    CURVATURE = "curvature"  # rad/m
    SPEED_UP = "speed_up"  # m/s2
    BRAKE = "brake"  # m/s2
    LATERAL = "lateral"  # m/s2
    CLEARANCE = "clearance"  # least way to an object, m


@dataclass(frozen=True, slots=True)
class Check:
    """One number against its limit.

    Attributes:
        name: What was looked at.
        passed: Whether it keeps the limit.
        value: What was found; None where it cannot be known, which does not pass.
        limit: What is allowed.
    """

    name: CheckName
    passed: bool
    value: float | None
    limit: float

    def __str__(self) -> str:
        found = "unknown" if self.value is None else f"{self.value:.3g}"
        return f"{self.name.value} {found}, limit {self.limit:g}"


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All checks that could be made; a trajectory that is not finite is looked at no further."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the trajectory may be published."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that it does not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def __str__(self) -> str:
        return "; ".join(str(check) for check in self.failed) or "passed"


def judge(
    trajectory: Trajectory,
    *,
    now_us: int,
    then_mps: float,
    now: OdometrySample | None,
    objects: Sequence[Box3] | None,
    limits: GateConfig,
    vehicle: VehicleConfig,
) -> GateVerdict:
    """Look at a trajectory. Nothing is raised.

    Args:
        trajectory: Of any numbers.
        now_us: The node's clock.
        then_mps: The ego's speed at the trajectory's decision time.
        now: The newest odometry.
        objects: In the ego frame of the trajectory's decision time, where they were then; None
            where objects were told of and their place is not known, or where they are needed and
            nobody told of them.
        limits: What is allowed.
        vehicle: The ego's box.
    """
    columns = [trajectory.xy_ego_m, *_numbers(trajectory)]
    wild = sum(int((~(np.abs(column) <= WILDEST)).sum()) for column in columns)
    finite = Check(CheckName.FINITE, wild == 0, float(wild), 0.0)
    if wild:
        return GateVerdict((finite,))
    step_s = float(np.diff(trajectory.time_s, prepend=0.0).min())
    where = None if now is None else _then_from_now(trajectory, now)
    off_mps = abs(float(trajectory.speed_mps[0]) - then_mps)
    return GateVerdict(
        (
            finite,
            Check(CheckName.MONOTONE, step_s > 0, step_s, 0.0),
            age_check(trajectory, now_us, limits),
            _at_most(CheckName.START, _off_path_m(trajectory, where), limits.start_m),
            _at_most(CheckName.START_SPEED, off_mps, limits.start_speed_mps),
            _at_most(CheckName.BEHIND, _behind_m(trajectory, where), limits.behind_m),
            *_bend_and_force(trajectory, limits),
            _clear(trajectory, objects, limits, vehicle),
        )
    )


def age_check(trajectory: Trajectory, now_us: int, limits: GateConfig) -> Check:
    """Neither too old nor of the future: where the node's clock jumped back, all earlier is."""
    age_s, youngest_s = (now_us - trajectory.stamp_us) / 1e6, -SLACK_US / 1e6
    if age_s < youngest_s:
        return Check(CheckName.AGE, False, age_s, youngest_s)
    return _at_most(CheckName.AGE, age_s, limits.max_plan_age_s)


def clearance_m(
    trajectory: Trajectory, objects: Sequence[Box3], *, vehicle: VehicleConfig, until_s: float
) -> float:
    """The least way, in metres, between the ego's swept box and any object's; infinite with none.

    Both are swept from point to point, headings included; objects keep their velocity and
    heading, and stand where it is unknown. Who is wholly behind the ego's rear at decision time
    keeps its own distance and is not looked at.
    """
    rear_m = vehicle.ahead_m - vehicle.length_m / 2
    ahead = [box for box in objects if box.corners_ego_m()[:, 0].max() > rear_m]
    time_s = np.insert(trajectory.time_s, 0, 0.0)
    kept = time_s <= until_s + 1e-9
    if not ahead or kept.sum() < 2:
        return float("inf")
    time_s = time_s[kept]
    path_m = np.vstack([np.zeros((1, 2)), trajectory.xy_ego_m])[kept]
    yaw = np.insert(trajectory.yaw_ego_rad, 0, 0.0)[kept]
    ego = _swept(path_m, yaw, vehicle.length_m, vehicle.width_m, ahead_m=vehicle.ahead_m)
    least = float("inf")
    for box in ahead:
        velocity = np.zeros(2) if box.velocity_ego_mps is None else box.velocity_ego_mps
        centers_m = np.clip(box.center_ego_m[:2] + time_s[:, None] * velocity, -WILDEST, WILDEST)
        length_m, width_m = (min(float(size), WILDEST) for size in box.size_lwh_m[:2])
        turned = np.full(len(time_s), box.yaw_ego_rad)
        other = _swept(centers_m, turned, length_m, width_m, ahead_m=0.0)
        least = min(least, float(shapely.distance(ego, other).min()))
    return least


def _clear(
    trajectory: Trajectory,
    objects: Sequence[Box3] | None,
    limits: GateConfig,
    vehicle: VehicleConfig,
) -> Check:
    least_m, name = limits.clearance_m, CheckName.CLEARANCE
    if objects is None:
        return Check(name, False, None, least_m)
    found_m = clearance_m(trajectory, objects, vehicle=vehicle, until_s=limits.collision_s)
    return Check(name, found_m > least_m, found_m, least_m)


def _swept(
    xy_m: Floats, yaw_rad: Floats, length_m: float, width_m: float, *, ahead_m: float
) -> NDArray[np.object_]:
    """(N - 1,) hulls of a box at one moment and at the next, from N poses."""
    flat = footprint_m(np.array([length_m]), np.array([width_m]))[0] + [ahead_m, 0.0]
    cos, sin = np.cos(yaw_rad)[:, None], np.sin(yaw_rad)[:, None]
    x_m = xy_m[:, :1] + cos * flat[:, 0] - sin * flat[:, 1]
    y_m = xy_m[:, 1:] + sin * flat[:, 0] + cos * flat[:, 1]
    corners = np.stack([x_m, y_m], axis=-1)  # (N, 4, 2)
    both = np.concatenate([corners[:-1], corners[1:]], axis=1)
    return np.asarray(shapely.convex_hull(shapely.multipoints(both)), dtype=np.object_)


def _numbers(trajectory: Trajectory) -> tuple[Floats, ...]:
    return (
        trajectory.time_s,
        trajectory.yaw_ego_rad,
        trajectory.speed_mps,
        trajectory.acceleration_mps2,
        trajectory.heading_rate_radps,
        trajectory.curvature_radpm,
        trajectory.front_wheel_angle_rad,
    )


def _at_most(name: CheckName, value: float | None, limit: float) -> Check:
    return Check(name, value is not None and value <= limit, value, limit)


def _then_from_now(trajectory: Trajectory, now: OdometrySample) -> Pose2 | None:
    if now.frame_id != trajectory.frame_id:
        return None
    return trajectory.odom_from_ego.planar().inverse() @ now.odom_from_ego.planar()


def _off_path_m(trajectory: Trajectory, then_from_now: Pose2 | None) -> float | None:
    """From the ego now to the nearest place of the path, which begins where the ego was then."""
    if then_from_now is None:
        return None
    path = shapely.linestrings(np.vstack([np.zeros((1, 2)), trajectory.xy_ego_m]))
    ego = shapely.points([then_from_now.x_m, then_from_now.y_m])
    with np.errstate(invalid="ignore"):  # a path that stands has no length, which GEOS flags
        return float(shapely.distance(path, ego))


def _behind_m(trajectory: Trajectory, then_from_now: Pose2 | None) -> float | None:
    if then_from_now is None:
        return None
    end_now_m = then_from_now.inverse().apply(trajectory.xy_ego_m[-1])
    return max(0.0, -float(trajectory.xy_ego_m[0, 0]), -float(end_now_m[0]))


def _bend_and_force(trajectory: Trajectory, limits: GateConfig) -> tuple[Check, ...]:
    # A slower path's bend is noise of its waypoints.
    fast = np.abs(trajectory.speed_mps) >= SLOWEST_TURNING_MPS
    bend = float(np.abs(trajectory.curvature_radpm[fast]).max(initial=0.0))
    across = float(np.abs(trajectory.speed_mps * trajectory.heading_rate_radps).max())
    along = trajectory.acceleration_mps2 * np.where(trajectory.speed_mps < 0, -1.0, 1.0)
    return (
        _at_most(CheckName.CURVATURE, bend, limits.curvature_radpm),
        _at_most(CheckName.SPEED_UP, max(0.0, float(along.max())), limits.speed_up_mps2),
        _at_most(CheckName.BRAKE, max(0.0, -float(along.min())), limits.brake_mps2),
        _at_most(CheckName.LATERAL, across, limits.lateral_mps2),
    )
