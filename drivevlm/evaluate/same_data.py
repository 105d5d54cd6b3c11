"""Whether two recordings tell the same of a clip: inputs may differ, what scores may not."""

from __future__ import annotations

import numpy as np

from drivevlm.world.pose import Pose3
from drivevlm.world.truth import LabelledBoxes, Truth


def other_truth(a: Truth | None, b: Truth | None) -> str:
    """What two recordings tell differently of one clip; "" where they tell the same."""
    if a is None or b is None:
        return "" if a is b else "only one of them has poses"
    if a.scene != b.scene or a.steps.keys() != b.steps.keys():
        return "its scene is cut differently"
    for k, mine in a.steps.items():
        yours = b.steps[k]
        if mine.stamp_us != yours.stamp_us:
            return "decision times differ"
        if not _same_pose(mine.global_from_ego, yours.global_from_ego):
            return "recorded poses differ"
        if not _same_pose(mine.ego_from_lidar, yours.ego_from_lidar):
            return "the lidar sits elsewhere"
        if not _same_boxes(mine.boxes, yours.boxes):
            return "labels differ"
    return ""


def _same_pose(a: Pose3 | None, b: Pose3 | None) -> bool:
    if a is None or b is None:
        return a is b
    same_turn = np.array_equal(a.rotation, b.rotation)
    return same_turn and np.array_equal(a.translation_m, b.translation_m)


def _same_boxes(a: LabelledBoxes, b: LabelledBoxes) -> bool:
    words = ("category", "instance", "annotation", "following", "attribute")
    arrays = ("center_global_m", "size_lwh_m", "wxyz_global", "lidar_points", "radar_points")
    return all(getattr(a, name) == getattr(b, name) for name in words) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in (*arrays, "visibility")
    )
