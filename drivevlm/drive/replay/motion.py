"""The ego's motion between and at recorded poses, as odometry tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Pose2, wrap_rad
from drivevlm.world.track import PoseTrack, QuaternionPose

AROUND_US = 200_000
"""Speeds are means over so long before and after: poses a few ms apart would tell noise."""


@dataclass(frozen=True, slots=True, eq=False)
class EgoMotion:
    """The ego at one stamp.

    Attributes:
        stamp_us: When.
        fixed_from_ego: As recorded, or between recorded poses.
        speed_mps: Along its heading, negative when reversing.
        yaw_rate_radps: Counter-clockwise.
        acceleration_mps2: Along its heading.
    """

    stamp_us: int
    fixed_from_ego: QuaternionPose
    speed_mps: float
    yaw_rate_radps: float
    acceleration_mps2: float


def motions(track: PoseTrack, stamps_us: Iterable[int]) -> list[EgoMotion]:
    """The ego at these stamps, in order of time; those at which its pose is not known are left out.

    Poses are exact. Speeds are what a vehicle would measure, for which both sides of the stamp are
    looked at: they are for the vehicle's own checks, and no part of what a planner is shown.
    """
    found = []
    for stamp_us in sorted(set(stamps_us)):
        pose = track.at(stamp_us)
        if pose is not None:
            speed_mps, yaw_rate_radps = _twist(track, stamp_us)
            acceleration = _acceleration_mps2(track, stamp_us)
            found.append(EgoMotion(stamp_us, pose, speed_mps, yaw_rate_radps, acceleration))
    return found


def _twist(track: PoseTrack, stamp_us: int) -> tuple[float, float]:
    """Speed and yaw rate; zero where only one pose is known."""
    low_us, high_us = _around(track, stamp_us)
    low, here, high = (_planar(track, us) for us in (low_us, stamp_us, high_us))
    if low is None or here is None or high is None or low_us == high_us:
        return 0.0, 0.0
    span_s = (high_us - low_us) / 1e6
    way_m = (high.x_m - low.x_m) * np.cos(here.yaw_rad) + (high.y_m - low.y_m) * np.sin(
        here.yaw_rad
    )
    turn_rad = float(wrap_rad(high.yaw_rad - low.yaw_rad))
    return float(way_m) / span_s, turn_rad / span_s


def _acceleration_mps2(track: PoseTrack, stamp_us: int) -> float:
    low_us, high_us = _around(track, stamp_us)
    if low_us == high_us:
        return 0.0
    change_mps = _twist(track, high_us)[0] - _twist(track, low_us)[0]
    return change_mps / ((high_us - low_us) / 1e6)


def _around(track: PoseTrack, stamp_us: int) -> tuple[int, int]:
    """The stamps between which a speed is measured, within the track."""
    first_us, last_us = int(track.stamp_us[0]), int(track.stamp_us[-1])
    low_us, high_us = max(stamp_us - AROUND_US, first_us), min(stamp_us + AROUND_US, last_us)
    low_us = low_us if track.at(low_us) is not None else stamp_us
    high_us = high_us if track.at(high_us) is not None else stamp_us
    return low_us, high_us


def _planar(track: PoseTrack, stamp_us: int) -> Pose2 | None:
    pose = track.at(stamp_us)
    return None if pose is None else pose.pose.planar()
