"""What is published in place of a plan that failed: declared, marked, and off by default."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.baselines.motions import SLOWEST_TURNING_MPS
from drivevlm.drive.config import Fallback, FallbackConfig, VehicleConfig
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.plan_message import STEP_S, Source, Trajectory
from drivevlm.world.kinematics import unicycle


def fallback_trajectory(
    config: FallbackConfig,
    *,
    last: Trajectory | None,
    now: OdometrySample | None,
    vehicle: VehicleConfig,
) -> Trajectory | None:
    """The declared fallback, marked as such; None where there is none.

    Args:
        config: What was declared.
        last: The last plan that passed the gate. It keeps its own stamp and poses, so whoever
            reads it sees its age. The gate must judge it again before it is published.
        now: The newest odometry, from which a stop begins. A stop is not judged for collisions:
            braking is the best that is left.
        vehicle: For the wheel angle.
    """
    if config.kind is Fallback.PREVIOUS and last is not None:
        return replace(last, source=Source.PREVIOUS)
    if config.kind is Fallback.STOP and now is not None:
        return stop_trajectory(config, now, vehicle)
    return None


def stop_trajectory(
    config: FallbackConfig, now: OdometrySample, vehicle: VehicleConfig
) -> Trajectory:
    """Brake evenly along the present bend, and stand."""
    count = max(1, round(config.horizon_s / STEP_S))
    turning = abs(now.speed_mps) >= SLOWEST_TURNING_MPS
    bend = now.yaw_rate_radps / now.speed_mps if turning else 0.0
    brake = -np.copysign(config.brake_mps2, now.speed_mps) if now.speed_mps else 0.0
    # Braking ends at standstill: what is left of the horizon stands.
    moving_s = abs(now.speed_mps) / config.brake_mps2
    time_s = np.arange(1, count + 1) * STEP_S
    xy, yaw, speed = unicycle(
        speed_mps=now.speed_mps,
        acceleration_mps2=np.where(time_s - STEP_S < moving_s, brake, 0.0),
        curvature_radpm=np.full(count, bend),
        dt_s=STEP_S,
    )
    curvature = np.full(count, bend)
    return Trajectory(
        stamp_us=now.stamp_us,
        frame_id=now.frame_id,
        odom_from_ego=now.odom_from_ego,
        time_s=time_s,
        xy_ego_m=xy,
        yaw_ego_rad=yaw,
        speed_mps=speed,
        acceleration_mps2=np.where(time_s < moving_s, brake, 0.0),
        heading_rate_radps=speed * bend,
        curvature_radpm=curvature,
        front_wheel_angle_rad=np.arctan(vehicle.wheelbase_m * curvature),
        source=Source.STOP,
    )
