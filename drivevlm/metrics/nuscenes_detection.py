"""mAP and NDS of what answers say is there, by the nuScenes devkit's own code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drivevlm.metrics.result_boxes import JudgedBoxes, ResultBoxes
from drivevlm.world.boxes import CATEGORIES

if TYPE_CHECKING:  # the devkit takes seconds to import: nobody pays who does not score with it
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox, DetectionMetrics

Json = dict[str, Any]
CONFIG = "detection_cvpr_2019"
TP_ERRORS = {
    "ate_m": "trans_err",
    "ase": "scale_err",
    "aoe_rad": "orient_err",
    "ave_mps": "vel_err",
    "aae": "attr_err",
}
"""Our names with their units, and the devkit's."""


def nuscenes_figures(clips: Mapping[str, JudgedBoxes]) -> Json | None:
    """The figures of one planner over all its clips; None without clips.

    Strict: a failed answer says that nothing is there. ``lenient``: its clip is left out.
    ``proposals``: what the proposals before these answers earn, had all been kept. Like the
    devkit's, ``map``, ``nds`` and the errors count a class without a labelled object as AP 0 and
    error 1: on few clips they are lower bounds; ``map_labelled`` is over the other classes. An AP
    is None where its class has no labelled object. The order of clips matters where scores tie.
    """
    if not clips:
        return None
    read = {token: clip for token, clip in clips.items() if not clip.failed}
    count = {name: _count(clips, name) for name in CATEGORIES}
    labelled = [name for name in CATEGORIES if count[name]]
    metrics = _metrics(clips)
    aps = {} if metrics is None else metrics.mean_dist_aps
    strict = _reading(metrics, len(clips))
    mild = strict
    if len(read) < len(clips):
        mild = _reading(_metrics(read), len(read))
    proposed = {token: replace(clip, counted=clip.proposed) for token, clip in read.items()}
    shown = any(len(clip.proposed) for clip in read.values())
    return {
        **strict,
        "failed": len(clips) - len(read),
        "labelled": sum(count.values()),
        "classes_labelled": len(labelled),
        "map_labelled": float(np.mean([aps[name] for name in labelled])) if labelled else None,
        "errors": {
            ours: None if metrics is None else float(metrics.tp_errors[theirs])
            for ours, theirs in TP_ERRORS.items()
        },
        "by_class": {
            name: {"ap": float(aps[name]) if count[name] else None, "n": count[name]}
            for name in CATEGORIES
        },
        "lenient": mild,
        "proposals": _reading(_metrics(proposed), len(read)) if shown else None,
        "note": _note(clips, len(labelled)),
    }


def devkit_metrics(labelled: EvalBoxes, said: EvalBoxes) -> DetectionMetrics:
    """The devkit's metrics of boxes that have passed its filters."""
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.algo import accumulate, calc_ap, calc_tp
    from nuscenes.eval.detection.data_classes import DetectionMetrics

    config = config_factory(CONFIG)
    metrics = DetectionMetrics(config)
    for name in config.class_names:
        for within_m in config.dist_ths:
            data = accumulate(labelled, said, name, _apart_m, within_m)
            ap = calc_ap(data, config.min_recall, config.min_precision)
            metrics.add_label_ap(name, within_m, ap)
            if within_m == config.dist_th_tp:
                for error in TP_ERRORS.values():
                    judged = error not in _without(name)
                    value = calc_tp(data, config.min_recall, error) if judged else np.nan
                    metrics.add_label_tp(name, error, value)
    return metrics


def _apart_m(one: DetectionBox, other: DetectionBox) -> float:
    """The devkit's ``center_distance``, without its arrays: half of all time would go there."""
    return math.dist(one.translation[:2], other.translation[:2])


def _without(category: str) -> tuple[str, ...]:
    """Errors that a class does not have: cones look alike from every side, and both stand still."""
    if category == "traffic_cone":
        return ("attr_err", "vel_err", "orient_err")
    return ("attr_err", "vel_err") if category == "barrier" else ()


def _metrics(clips: Mapping[str, JudgedBoxes]) -> DetectionMetrics | None:
    """None where there is nothing to find."""
    if not any(len(clip.labelled) for clip in clips.values()):
        return None
    from nuscenes.eval.common.data_classes import EvalBoxes

    labelled, said = EvalBoxes(), EvalBoxes()
    for token, clip in clips.items():
        labelled.add_boxes(token, _devkit_boxes(token, clip.labelled))
        said.add_boxes(token, _devkit_boxes(token, clip.counted))
    return devkit_metrics(labelled, said)


def _devkit_boxes(token: str, boxes: ResultBoxes) -> list[DetectionBox]:
    from nuscenes.eval.detection.data_classes import DetectionBox

    size_wlh_m = boxes.size_lwh_m[:, [1, 0, 2]].tolist()
    columns = zip(
        boxes.center_global_m.tolist(),
        size_wlh_m,
        boxes.wxyz_global.tolist(),
        boxes.velocity_global_mps.tolist(),
        boxes.category,
        boxes.score.tolist(),
        boxes.attribute,
        strict=True,
    )
    return [
        DetectionBox(
            sample_token=token,
            translation=tuple(center),
            size=tuple(size),
            rotation=tuple(wxyz),
            velocity=tuple(velocity),
            detection_name=name,
            detection_score=score,
            attribute_name=attribute,
        )
        for center, size, wxyz, velocity, name, score, attribute in columns
    ]


def _reading(metrics: DetectionMetrics | None, clips: int) -> Json:
    if metrics is None:
        return {"map": None, "nds": None, "n": clips}
    return {"map": float(metrics.mean_ap), "nds": float(metrics.nd_score), "n": clips}


def _count(clips: Mapping[str, JudgedBoxes], category: str) -> int:
    return sum(clip.labelled.category.count(category) for clip in clips.values())


def _note(clips: Mapping[str, JudgedBoxes], classes: int) -> str:
    words = [
        f"mAP and NDS by the nuScenes devkit ({CONFIG}); scores are the proposals' own, an added "
        "object has 1",
        "a failed answer says that nothing is there (lenient: it is left out)",
    ]
    if classes < len(CATEGORIES):
        words.append(
            f"{classes} of {len(CATEGORIES)} classes have a labelled object in range, the others "
            "count as AP 0 and error 1"
        )
    attributes = [name for clip in clips.values() for name in clip.labelled.attribute if name]
    if not attributes:
        words.append("no label has an attribute: the attribute error counts as 1 in NDS")
    return "; ".join(words)
