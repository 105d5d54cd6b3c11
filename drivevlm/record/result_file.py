"""A planner's objects as a nuScenes detection result file, which any tool of that world reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivevlm.metrics.result_boxes import BARE_SCORE, MOST_BOXES, ResultBoxes

Json = dict[str, Any]


def result_file(
    boxes: Mapping[str, ResultBoxes], *, planner: str, uses_camera: bool, uses_proposals: bool
) -> Json:
    """The file's content: kept proposals and additions by sample token, and how to read them.

    A clip whose answer failed has an empty list, so that the file covers every clip.
    """
    return {
        "meta": {
            "use_camera": uses_camera,
            "use_lidar": False,
            "use_radar": False,
            "use_map": False,
            "use_external": uses_proposals,
            "planner": planner,
            "notes": [
                "boxes: proposals that the planner kept and objects that it added",
                f"detection_score: the proposal's own; {BARE_SCORE:g} where there is none, as for "
                "an added object",
                "velocity: 0 where it is unknown, as for an added object",
                "attribute_name: the likeliest of the class, moving or standing; never observed",
                f"at most {MOST_BOXES} boxes of a keyframe, best scores first to stay",
                "a keyframe whose answer failed has no boxes",
            ],
        },
        "results": {token: result_rows(token, rows) for token, rows in boxes.items()},
    }


def result_rows(token: str, boxes: ResultBoxes) -> list[Json]:
    """The rows of one keyframe; sizes become width, length, height."""
    size_wlh_m = boxes.size_lwh_m[:, [1, 0, 2]]
    return [
        {
            "sample_token": token,
            "translation": boxes.center_global_m[i].tolist(),
            "size": size_wlh_m[i].tolist(),
            "rotation": boxes.wxyz_global[i].tolist(),
            "velocity": boxes.velocity_global_mps[i].tolist(),
            "detection_name": boxes.category[i],
            "detection_score": float(boxes.score[i]),
            "attribute_name": boxes.attribute[i],
        }
        for i in range(len(boxes))
    ]
