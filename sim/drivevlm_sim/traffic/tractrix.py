"""Where the rear axle goes when the front bumper is led along a path: never by what comes later.

Smoothing a path over a window that reaches into the future would let past poses tell of the next
manoeuvre, and a blind planner would see it coming.
"""

from __future__ import annotations

import math

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
    fronts = front_xy_m.tolist()  # plain numbers: numpy takes longer for so few at a time
    x_m = fronts[0][0] - length_m * math.cos(yaw_rad)
    y_m = fronts[0][1] - length_m * math.sin(yaw_rad)
    rear_xy_m, yaws_rad = [(x_m, y_m)], [yaw_rad]
    for front_x_m, front_y_m in fronts[1:]:
        pull_x_m, pull_y_m = front_x_m - x_m, front_y_m - y_m
        share = length_m / math.hypot(pull_x_m, pull_y_m)
        x_m, y_m = front_x_m - share * pull_x_m, front_y_m - share * pull_y_m
        rear_xy_m.append((x_m, y_m))
        yaws_rad.append(math.atan2(pull_y_m, pull_x_m))
    return np.array(rear_xy_m), np.array(yaws_rad)
