"""Where the rear axle goes when the front bumper is led along a path: never by what comes later.

Smoothing a path over a window that reaches into the future would let past poses tell of the next
manoeuvre, and a blind planner would see it coming.
"""

from __future__ import annotations

import numpy as np

from drivevlm.world.pose import Floats

# K: steps.


def follow(front_xy_m: Floats, *, yaw_rad: float, length_m: float) -> tuple[Floats, Floats]:
    """The rear axle's (K, 2) places and the body's (K,) heading behind a led front.

    In every step the axle moves along the body, so it does not slip: its direction of motion is
    the heading of the step that it moved in.

    Args:
        front_xy_m: (K, 2) of the front bumper's middle.
        yaw_rad: The body's heading in the first step.
        length_m: From the front bumper to the rear axle.
    """
    rear_xy_m = np.empty_like(front_xy_m)
    yaws_rad = np.empty(len(front_xy_m))
    yaws_rad[0] = yaw_rad
    rear_xy_m[0] = front_xy_m[0] - length_m * np.array([np.cos(yaw_rad), np.sin(yaw_rad)])
    for step in range(1, len(front_xy_m)):
        pull = front_xy_m[step] - rear_xy_m[step - 1]
        distance_m = float(np.hypot(*pull))
        rear_xy_m[step] = front_xy_m[step] - length_m * pull / distance_m
        yaws_rad[step] = np.arctan2(pull[1], pull[0])
    return rear_xy_m, yaws_rad
