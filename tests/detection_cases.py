"""Labels, truths and answers about objects, small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_world import HALF_SECOND_US, LIDAR

from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import FailureKind, Verdict
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

PLAN = Plan(np.zeros((6, 2)))
FAILED = Decision.failed(FailureKind.UNREADABLE, "no answer")


def labels(*rows: tuple[str, float, float], points: int = 5) -> LabelledBoxes:
    """Upright boxes of 2 x 2 x 2 m by category, x and y, standing on the ground."""
    n = len(rows)
    ones = np.ones(n, dtype=np.int64)
    return LabelledBoxes(
        np.array([[x, y, 1.0] for _, x, y in rows]).reshape(-1, 3),
        np.full((n, 3), 2.0),
        np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)),
        tuple(category for category, _, _ in rows),
        tuple(f"object-{i}" for i in range(n)),
        tuple(f"row-{i}" for i in range(n)),
        ("",) * n,
        ones * points,
        ones * 0,
        ones * 4,
    )


def truth(now: LabelledBoxes, *, ego: Pose2 | None = None, **around: LabelledBoxes) -> Truth:
    """``now`` among the labels of other keyframes, which are 0.5 s apart."""
    pose = Pose3.from_pose2(ego or Pose2(0.0, 0.0, 0.0))
    offsets = {"long_before": -2, "before": -1, "after": 1, "in_2_s": 4}
    steps = {offsets[name]: boxes for name, boxes in around.items()} | {0: now}
    return Truth(
        "clip",
        "scene",
        {k: TruthStep((k + 4) * HALF_SECOND_US, pose, LIDAR, b) for k, b in steps.items()},
    )


def answer(*boxes: Box3, verdict: Verdict = Verdict.KEPT) -> Decision:
    return Decision(plan=PLAN, detections=tuple(Detection(box, verdict) for box in boxes))


def car(x_m: float, y_m: float = 0.0, score: float | None = None) -> Box3:
    return replace(Box3.typical("car", x_ego_m=x_m, y_ego_m=y_m), score=score)
