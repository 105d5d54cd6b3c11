"""The path that was really driven after a decision, as the recorded future that pages show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drivevlm.report.drive_figures import SECONDS
from drivevlm.world.clip import Clip
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, LabelledBoxes, Truth, TruthStep

STEP_US = round(STEP_S * 1e6)
AFTER_US = range(0, FUTURE_STEPS * STEP_US + 1, STEP_US)
"""Decision time, and the half seconds after it that a truth holds."""


def driven_truth(clip: Clip, poses: Mapping[int, Pose3]) -> Truth | None:
    """A truth without a label, in the odometry's frame; None without the pose of now.

    ``poses`` are by microseconds after the clip's decision time, of ``AFTER_US``.
    """
    if 0 not in poses:
        return None
    steps = {
        us // STEP_US: TruthStep(clip.t0_us + us, pose, None, _NOTHING)
        for us, pose in poses.items()
    }
    return Truth(clip.token, clip.scene, steps)


def apart_m(plan: Plan | None, truth: Truth | None) -> Mapping[int, float]:
    """By second, how far a plan lies from the driven path; empty where that is not whole.

    A second at which the plan has no waypoint is left out.
    """
    driven = None if truth is None else truth.future_plan()
    if plan is None or driven is None:
        return {}
    found = {}
    for second in SECONDS:
        row, of_driven = round(second / plan.dt_s) - 1, round(second / STEP_S) - 1
        at_once = abs((row + 1) * plan.dt_s - second) < 1e-6
        if at_once and row < len(plan.xy_ego_m):
            away_m = plan.xy_ego_m[row] - driven.xy_ego_m[of_driven]
            found[second] = float(np.hypot(away_m[0], away_m[1]))
    return found


_NONE = np.zeros(0, dtype=np.int64)
_NOTHING = LabelledBoxes(
    center_global_m=np.zeros((0, 3)),
    size_lwh_m=np.zeros((0, 3)),
    wxyz_global=np.zeros((0, 4)),
    category=(),
    instance=(),
    annotation=(),
    following=(),
    lidar_points=_NONE,
    radar_points=_NONE,
    visibility=_NONE,
)
