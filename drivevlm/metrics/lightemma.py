"""LightEMMA's protocol: distances alone, a second at a time."""

from __future__ import annotations

from drivevlm.metrics.bevplanner import recorded
from drivevlm.metrics.rule import (
    DISTANCE,
    Averaging,
    Axes,
    Counted,
    Figure,
    PlanningRule,
    l2,
)

LIGHTEMMA = PlanningRule(
    name="lightemma",
    source="michigan-traffic-lab/LightEMMA 846bddd, utils.py compute_metrics, predict.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.EGO,
    point=(0.0, 0.0, 0.0),
    recorded=recorded,
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
        "the lidar's displacement is scored, in the ego's axes, as its function was run for the "
        "reference values; the source's own recorded path is the rear axle's, with the pose of the "
        "front camera's stamp (say point rear_axle in a plan file of such paths)",
        "the source leaves out answers that it cannot read; here the fallback stands in for them",
    ),
)
