"""LightEMMA's protocol: distances alone, a second at a time."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.rule import (
    DISTANCE,
    Averaging,
    Axes,
    Counted,
    Figure,
    PlanningRule,
    l2,
    unknown_path,
)
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth


def _recorded(truth: Truth) -> tuple[Floats, Floats]:
    """The rear axle's, on the ground: roll, pitch and height are left out before, not after."""
    xy_m, yaw_rad = unknown_path()
    ego_from_global = truth.now.global_from_ego.planar().inverse()
    for step in (k for k in truth.steps if k > 0):
        later = ego_from_global @ truth.steps[step].global_from_ego.planar()
        xy_m[step - 1], yaw_rad[step - 1] = np.array([later.x_m, later.y_m]), later.yaw_rad
    return xy_m, yaw_rad


LIGHTEMMA = PlanningRule(
    name="lightemma",
    source="michigan-traffic-lab/LightEMMA 846bddd, utils.py compute_metrics, predict.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.EGO,
    point="rear_axle",
    recorded=_recorded,
    touches=(),
    figures=(
        l2(Averaging.SEGMENT),
        Figure("ade_m", DISTANCE, Averaging.WHOLE),
        Figure("fde_m", DISTANCE, Averaging.LAST),
        Figure("miss_rate", DISTANCE, Averaging.MISSED),
    ),
    agents="none: no collision is measured",
    grid="none",
    quirks=(
        "L2 at 2 s is the mean of the steps at 1.5 and 2 s alone, at 3 s of 2.5 and 3 s alone",
        "a clip is missed where its largest distance is more than 2 m",
        "the source leaves out the first 7 keyframes of a scene and the last 7; here all with a "
        "whole future count",
        "the source takes the ego's pose when the front camera fires, here it is the keyframe's",
        "the source leaves out answers that it cannot read; here the fallback stands in for them",
    ),
)
