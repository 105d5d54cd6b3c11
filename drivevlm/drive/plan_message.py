"""From a plan to the trajectory that a controller follows: every 0.1 s, in the odometry's frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm.drive.odometry import OdometrySample
from drivevlm.world.plan import STILL_MPS, Plan
from drivevlm.world.pose import Floats, Pose3, wrap_rad

# T: waypoints of a plan. N: points of a trajectory.
STEP_S = 0.1
"""Between points, and from decision time to the first: a first point farther ahead trips
Autoware's check of the longitudinal distance."""
STEEPEST = 2.0
"""A waypoint is passed at most so much faster than the slower of the steps beside it."""

BASIS = np.array(
    [
        [1.0, 0.0, 0.0, -10.0, 15.0, -6.0],  # position at the start
        [0.0, 1.0, 0.0, -6.0, 8.0, -3.0],  # velocity
        [0.0, 0.0, 0.5, -1.5, 1.5, -0.5],  # acceleration
        [0.0, 0.0, 0.0, 0.5, -1.0, 0.5],  # acceleration at the end
        [0.0, 0.0, 0.0, -4.0, 7.0, -3.0],  # velocity
        [0.0, 0.0, 0.0, 10.0, -15.0, 6.0],  # position
    ]
)
"""Quintic Hermite polynomials on [0, 1], by rising power."""


class Source(str, Enum):
    """Who made a trajectory."""

    PLANNER = "planner"
    PREVIOUS = "previous"  # the fallback: an earlier plan, with its own stamp
    STOP = "stop"  # the fallback: braking


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A plan as a controller wants it. It may hold anything: the gate judges it.

    Attributes:
        stamp_us: Decision time.
        frame_id: Of the odometry.
        odom_from_ego: The ego in it at decision time.
        time_s: (N,) from decision time.
        xy_ego_m: (N, 2) in the ego frame of decision time.
        yaw_ego_rad: (N,) likewise.
        speed_mps: (N,) negative when reversing.
        acceleration_mps2: (N,) along the heading.
        heading_rate_radps: (N,) counter-clockwise.
        curvature_radpm: (N,) of the path, left positive.
        front_wheel_angle_rad: (N,) of a vehicle that rolls along it.
        source: Who made it; a fallback is marked.
    """

    stamp_us: int
    frame_id: str
    odom_from_ego: Pose3
    time_s: Floats
    xy_ego_m: Floats
    yaw_ego_rad: Floats
    speed_mps: Floats
    acceleration_mps2: Floats
    heading_rate_radps: Floats
    curvature_radpm: Floats
    front_wheel_angle_rad: Floats
    source: Source = Source.PLANNER

    def __post_init__(self) -> None:
        n = len(self.time_s)
        columns = (
            self.yaw_ego_rad,
            self.speed_mps,
            self.acceleration_mps2,
            self.heading_rate_radps,
            self.curvature_radpm,
            self.front_wheel_angle_rad,
        )
        if not n or self.xy_ego_m.shape != (n, 2) or any(c.shape != (n,) for c in columns):
            raise ValueError(
                f"a trajectory of N > 0 points needs (N, 2) positions and (N,) of all else, got "
                f"{n}, {self.xy_ego_m.shape} and {[c.shape for c in columns]}"
            )

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def xy_odom_m(self) -> Floats:
        """(N, 2) in the odometry's frame."""
        return self.odom_from_ego.planar().apply(self.xy_ego_m)

    @property
    def yaw_odom_rad(self) -> Floats:
        """(N,) in the odometry's frame."""
        return wrap_rad(self.yaw_ego_rad + self.odom_from_ego.yaw_rad)

    @property
    def z_odom_m(self) -> float:
        """Height of the rear axle's ground point, held over the trajectory."""
        return float(self.odom_from_ego.translation_m[2])


def trajectory_of(
    plan: Plan, ego: OdometrySample, *, wheelbase_m: float, source: Source = Source.PLANNER
) -> Trajectory:
    """A plan made at ``ego``'s stamp, resampled.

    Between waypoints the rear axle moves on quintic Hermite polynomials, whose velocity and
    acceleration at a waypoint are the central differences of its two steps. So the path is exact
    at every waypoint; velocity, acceleration and curvature are continuous, which steering needs
    and cubic Hermite pieces do not give; what a plan of constant acceleration says is kept; and
    a waypoint feels its neighbours only, where a spline through all of them rings after a stop.
    A waypoint beside a step that stands still is a standstill, and one beside a slow step is
    passed slowly, so that braking does not overshoot and roll back. The path leaves along the
    ego's heading: a rear axle can do nothing else, and a plan that steps sideways shows it as
    curvature, which the gate judges.

    The heading is the tangent, and below ``STILL_MPS`` it is held, as is the curvature.
    """
    count = max(1, int(np.floor(plan.horizon_s / STEP_S + 1e-6)))
    time_s = np.arange(1, count + 1) * STEP_S
    xy, velocity, acceleration = motion_at(plan, time_s)
    yaw, speed, along, rate, curvature = _body(velocity, acceleration)
    return Trajectory(
        stamp_us=ego.stamp_us,
        frame_id=ego.frame_id,
        odom_from_ego=ego.odom_from_ego,
        time_s=time_s,
        xy_ego_m=xy,
        yaw_ego_rad=yaw,
        speed_mps=speed,
        acceleration_mps2=along,
        heading_rate_radps=rate,
        curvature_radpm=curvature,
        front_wheel_angle_rad=np.arctan(wheelbase_m * curvature),
        source=source,
    )


def motion_at(plan: Plan, time_s: Floats) -> tuple[Floats, Floats, Floats]:
    """Position, velocity and acceleration (N, 2) of a plan at times up to its horizon."""
    ends = _waypoint_motion(plan)
    piece = np.clip(np.floor(time_s / plan.dt_s + 1e-9).astype(int), 0, len(plan.xy_ego_m) - 1)
    u = time_s / plan.dt_s - piece
    scaled = [values * plan.dt_s**order for order, values in enumerate(ends)]
    corners = np.stack([*(v[piece] for v in scaled), *(v[piece + 1] for v in scaled[::-1])])
    found = []
    for order in range(3):
        powers = _powers(u, order)  # (6, N)
        weights = BASIS @ powers  # (6, N)
        found.append(np.einsum("kn,knd->nd", weights, corners) / plan.dt_s**order)
    return found[0], found[1], found[2]


def _powers(u: Floats, order: int) -> Floats:
    """(6, N) derivatives of 1, u, u^2, ..., u^5."""
    rows = []
    for power in range(6):
        factor = float(np.prod(np.arange(power, power - order, -1))) if order else 1.0
        rows.append(factor * u ** max(power - order, 0))
    return np.array(rows)


def _waypoint_motion(plan: Plan) -> tuple[Floats, Floats, Floats]:
    """(T + 1, 2) positions, velocities and accelerations at the start and at every waypoint."""
    xy = np.vstack([np.zeros((1, 2)), plan.xy_ego_m])
    steps = np.diff(xy, axis=0) / plan.dt_s
    velocity, acceleration = np.zeros_like(xy), np.zeros_like(xy)
    if len(steps) == 1:
        velocity[:] = steps[0]
    else:
        change = np.diff(steps, axis=0) / plan.dt_s
        acceleration[1:-1] = change
        acceleration[0], acceleration[-1] = change[0], change[-1]
        velocity[1:-1] = (steps[1:] + steps[:-1]) / 2
        velocity[0] = steps[0] - change[0] * plan.dt_s / 2
        velocity[-1] = steps[-1] + change[-1] * plan.dt_s / 2
    lengths = np.linalg.norm(steps, axis=1)
    slower = np.minimum(np.append(lengths, np.inf), np.insert(lengths, 0, np.inf))
    still = slower < STILL_MPS
    velocity[still], acceleration[still] = 0.0, 0.0
    fast = np.linalg.norm(velocity, axis=1)
    velocity *= np.minimum(1.0, STEEPEST * slower / np.maximum(fast, 1e-9))[:, None]
    ahead = velocity[0, 0] * steps[0, 0] > 0  # else the plan turns round within its first step
    velocity[0] = [velocity[0, 0] if ahead else 0.0, 0.0]
    return xy, velocity, acceleration


def _body(velocity: Floats, acceleration: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Heading, speed, acceleration along it, heading rate and curvature, (N,) each.

    A direction more than 90 degrees from the heading before is reversing.
    """
    n = len(velocity)
    yaw, sign, rate, curvature = np.zeros(n), np.ones(n), np.zeros(n), np.zeros(n)
    fast = np.linalg.norm(velocity, axis=1)
    cross = velocity[:, 0] * acceleration[:, 1] - velocity[:, 1] * acceleration[:, 0]
    heading, way, bend = 0.0, 1.0, 0.0
    for k in range(n):
        if fast[k] >= STILL_MPS:
            tangent = float(np.arctan2(velocity[k, 1], velocity[k, 0]))
            way = -1.0 if abs(float(wrap_rad(tangent - heading))) > np.pi / 2 else 1.0
            heading = tangent if way > 0 else float(wrap_rad(tangent + np.pi))
            rate[k] = cross[k] / fast[k] ** 2
            bend = rate[k] / (way * fast[k])
        yaw[k], sign[k], curvature[k] = heading, way, bend
    ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    return yaw, sign * fast, (acceleration * ahead).sum(axis=1), rate, curvature
