"""Boxes as the nuScenes detection task compares them: in the global frame, where they count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from drivevlm.metrics.raster import Bools
from drivevlm.world.boxes import Box3
from drivevlm.world.categories import detection_category
from drivevlm.world.decision import Decision
from drivevlm.world.labels import MOVING_MPS
from drivevlm.world.pose import Floats, Pose3, rotation_from_wxyz
from drivevlm.world.sets import Verdict
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

# N: boxes of one keyframe. K: bicycle racks.

RANGE_M: Mapping[str, float] = MappingProxyType(
    dict.fromkeys(("car", "truck", "bus", "trailer", "construction_vehicle"), 50.0)
    | dict.fromkeys(("pedestrian", "motorcycle", "bicycle"), 40.0)
    | dict.fromkeys(("traffic_cone", "barrier"), 30.0)
)
"""Farther from the ego, a box of the class does not count (``detection_cvpr_2019``)."""
MOST_BOXES = 500
"""A result file may hold so many boxes of one keyframe."""
BARE_SCORE = 1.0
"""Of a box that states no score, such as an object that a planner adds."""
RACK = "static_object.bicycle_rack"
IN_RACKS = ("bicycle", "motorcycle")
LONGEST_GAP_US = 1_500_000
"""Labels farther apart in time (twice as far, around the keyframe) tell no velocity."""

_VEHICLE = ("vehicle.moving", "vehicle.parked", "vehicle.parked")
_CYCLE = ("cycle.with_rider", "cycle.without_rider", "cycle.without_rider")
_ATTRIBUTES = {
    **dict.fromkeys(("car", "truck", "trailer", "construction_vehicle"), _VEHICLE),
    **dict.fromkeys(("bicycle", "motorcycle"), _CYCLE),
    "bus": ("vehicle.moving", "vehicle.stopped", "vehicle.moving"),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing", "pedestrian.moving"),
    **dict.fromkeys(("traffic_cone", "barrier"), ("", "", "")),
}
"""By class: the likeliest attribute when it moves, when it stands, and when that is unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class ResultBoxes:
    """Boxes of one keyframe, in the global frame.

    Attributes:
        center_global_m, size_lwh_m: (N, 3) each.
        wxyz_global: (N, 4) quaternions (w, x, y, z).
        velocity_global_mps: (N, 2) over ground; NaN where a label tells none.
        score: (N,) in [0, 1]; -1 for labels, as the devkit has it.
        category: N detection classes.
        attribute: N nuScenes attributes; "" where there is none.
    """

    center_global_m: Floats
    size_lwh_m: Floats
    wxyz_global: Floats
    velocity_global_mps: Floats
    score: Floats
    category: tuple[str, ...]
    attribute: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.category)

    def only(self, keep: Bools) -> ResultBoxes:
        """The boxes for which ``keep`` (N,) holds."""
        rows = np.flatnonzero(keep)
        return ResultBoxes(
            self.center_global_m[rows],
            self.size_lwh_m[rows],
            self.wxyz_global[rows],
            self.velocity_global_mps[rows],
            self.score[rows],
            tuple(self.category[i] for i in rows),
            tuple(self.attribute[i] for i in rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class JudgedBoxes:
    """What one answer says is there, and what is there.

    Attributes:
        failed: The answer could not be read: it says nothing.
        said: All that it says, for a result file.
        counted: The part of it that counts.
        proposed: What counts of its proposals, kept and dropped.
        labelled: The labelled objects that count.
    """

    failed: bool
    said: ResultBoxes
    counted: ResultBoxes
    proposed: ResultBoxes
    labelled: ResultBoxes

    @classmethod
    def of(cls, decision: Decision, truth: Truth) -> JudgedBoxes:
        """One decision against its truth."""
        failed, now = decision.plan is None, truth.now
        shown = [d.box for d in decision.detections if d.verdict is not Verdict.ADDED]
        said = said_boxes(() if failed else decision.seen, now.global_from_ego)
        proposed = said_boxes(() if failed else shown, now.global_from_ego)
        return cls(
            failed, said, that_count(said, now), that_count(proposed, now), labelled_boxes(truth)
        )


def said_boxes(boxes: Sequence[Box3], global_from_ego: Pose3) -> ResultBoxes:
    """An answer's boxes; of more than ``MOST_BOXES`` those with the best scores.

    The format has no word for what is not known: a missing score is ``BARE_SCORE``, a missing
    velocity is 0. An attribute is the likeliest of its class. Boxes stand upright, as labels do.
    """
    scores = [BARE_SCORE if box.score is None else box.score for box in boxes]
    best = sorted(np.argsort(-np.array(scores), kind="stable")[:MOST_BOXES].tolist())
    chosen = [boxes[i] for i in best]
    moving = [box.velocity_ego_mps for box in chosen]
    flat = _rows([[0.0, 0.0, 0.0] if v is None else [*v, 0.0] for v in moving], 3)
    ahead = _rows([[np.cos(box.yaw_ego_rad), np.sin(box.yaw_ego_rad), 0.0] for box in chosen], 3)
    ahead = ahead @ global_from_ego.rotation.T
    half_rad = np.arctan2(ahead[:, 1], ahead[:, 0]) / 2
    none = np.zeros(len(chosen))
    return ResultBoxes(
        global_from_ego.apply(_rows([box.center_ego_m for box in chosen], 3)),
        _rows([box.size_lwh_m for box in chosen], 3),
        np.stack([np.cos(half_rad), none, none, np.sin(half_rad)], axis=1),
        (flat @ global_from_ego.rotation.T)[:, :2],
        np.array([scores[i] for i in best], dtype=np.float64),
        tuple(box.category for box in chosen),
        tuple(_attribute(box) for box in chosen),
    )


def _attribute(box: Box3) -> str:
    moving, standing, unknown = _ATTRIBUTES[box.category]
    if box.velocity_ego_mps is None:
        return unknown
    return moving if float(np.hypot(*box.velocity_ego_mps)) > MOVING_MPS else standing


def labelled_boxes(truth: Truth) -> ResultBoxes:
    """The labelled objects of now that count, in the order of the recording."""
    labels = truth.now.boxes
    names = [detection_category(name) for name in labels.category]
    points = labels.lidar_points + labels.radar_points
    rows = [i for i, name in enumerate(names) if name is not None and points[i] > 0]
    attribute = labels.attribute or ("",) * len(labels)
    boxes = ResultBoxes(
        labels.center_global_m[rows],
        labels.size_lwh_m[rows],
        labels.wxyz_global[rows],
        _velocities_global_mps(truth, rows),
        np.full(len(rows), -1.0),
        tuple(names[i] or "" for i in rows),
        tuple(attribute[i] for i in rows),
    )
    return that_count(boxes, truth.now)


def that_count(boxes: ResultBoxes, now: TruthStep) -> ResultBoxes:
    """Without boxes beyond their class's range, and without cycles that stand in a rack."""
    away_m = boxes.center_global_m[:, :2] - now.global_from_ego.translation_m[:2]
    near = np.hypot(away_m[:, 0], away_m[:, 1]) < [RANGE_M[name] for name in boxes.category]
    cycle = np.array([name in IN_RACKS for name in boxes.category], dtype=np.bool_)
    return boxes.only(near & ~(cycle & _in_racks(boxes.center_global_m, now.boxes)))


def _in_racks(points_global_m: Floats, labels: LabelledBoxes) -> Bools:
    """(N,) which points lie in a bicycle rack's box."""
    inside = np.zeros(len(points_global_m), dtype=np.bool_)
    for i, name in enumerate(labels.category):
        if name == RACK:
            rotation = rotation_from_wxyz(labels.wxyz_global[i])
            offset_m = (points_global_m - labels.center_global_m[i]) @ rotation
            inside |= (np.abs(offset_m) <= labels.size_lwh_m[i] / 2).all(axis=1)
    return inside


def _velocities_global_mps(truth: Truth, rows: Sequence[int]) -> Floats:
    """(len(rows), 2): from an object's label before to the one after; one-sided at its ends.

    The devkit's ``box_velocity``, as far as a truth looks back (1 s).
    """
    steps = {
        k: (step, {name: i for i, name in enumerate(step.boxes.instance)})
        for k, step in truth.steps.items()
    }
    earlier = [steps[k] for k in sorted((k for k in steps if k < 0), reverse=True)]
    later = [steps[k] for k in sorted(k for k in steps if k > 0)]
    now, found = steps[0], np.full((len(rows), 2), np.nan)
    for out, row in enumerate(rows):
        name = truth.now.boxes.instance[row]
        before = next((step for step in earlier if name in step[1]), None)
        after = next((step for step in later if name in step[1]), None)
        lost = after is None and truth.now.boxes.following[row] != ""
        if lost or (before is None and after is None):
            continue
        (first, first_row), (last, last_row) = before or now, after or now
        gap_us = last.stamp_us - first.stamp_us
        if gap_us <= LONGEST_GAP_US * (2 if before and after else 1):
            moved_m = (
                last.boxes.center_global_m[last_row[name]]
                - first.boxes.center_global_m[first_row[name]]
            )
            found[out] = moved_m[:2] / (gap_us / 1e6)
    return found


def _rows(rows: Sequence[Floats] | Sequence[list[float]], width: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(-1, width)
