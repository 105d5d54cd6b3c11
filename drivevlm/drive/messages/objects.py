"""Objects as a detector tells of them, in a frame of its own choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.fields import BadMessageError, frame_of, pose3, vector3
from drivevlm.drive.messages.stamps import us_of
from drivevlm.world.boxes import CATEGORIES, Box3
from drivevlm.world.categories import detection_category
from drivevlm.world.pose import Floats, Pose3

SOLID = "barrier"
"""The class that a box bears which is in the way and belongs to none: the gate looks at boxes."""
CLASS_OF_LABEL: tuple[str | None, ...] = (
    None,  # unknown
    "car",
    "truck",
    "bus",
    "trailer",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "pedestrian",  # animal
    None,  # hazard
    None,  # over_drivable
    None,  # under_drivable
)
"""Classes by Autoware's labels."""
DRIVABLE = (10, 11)
"""Labels of what is no obstacle."""
OTHER_NAMES = {
    "person": "pedestrian",
    "cyclist": "bicycle",
    "bike": "bicycle",
    "motorbike": "motorcycle",
    "motorcyclist": "motorcycle",
    "van": "car",
    "vehicle": "car",
    "animal": "pedestrian",
    "cone": "traffic_cone",
}
UNKNOWN = "unknown"
POLYGON = 2


@dataclass(frozen=True, slots=True, eq=False)
class ToldBox:
    """One object.

    Attributes:
        frame_from_box: Its centre and axes; x along its length.
        size_lwh_m: (3,) length, width, height.
        category: One of ``CATEGORIES``; None where it belongs to none and is an obstacle alone.
        velocity_box_mps: (3,) over ground, in its own axes; None where unknown.
        score: In [0, 1]; None where there is none.
    """

    frame_from_box: Pose3
    size_lwh_m: Floats
    category: str | None
    velocity_box_mps: Floats | None
    score: float | None

    def in_ego(self, ego_from_frame: Pose3) -> Box3:
        """The upright box in the ego frame."""
        ego_from_box = ego_from_frame @ self.frame_from_box
        velocity = None
        if self.velocity_box_mps is not None:
            velocity = np.asarray(ego_from_box.rotation @ self.velocity_box_mps)[:2]
        return Box3(
            ego_from_box.translation_m,
            self.size_lwh_m,
            ego_from_box.yaw_rad,
            self.category or SOLID,
            velocity,
            self.score,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ToldObjects:
    """Objects of one moment.

    Attributes:
        stamp_us: When they were seen.
        frame_id: In which frame their poses are.
        boxes: All that could be read.
        complaints: What is wrong with others, which are left out, or with a part of one.
    """

    stamp_us: int
    frame_id: str
    boxes: tuple[ToldBox, ...]
    complaints: tuple[str, ...]


def predicted_objects(message: Message) -> ToldObjects:
    """An ``autoware_perception_msgs/PredictedObjects``: what is there now, not the predictions."""
    return _told(message, message.objects, _predicted)


def detections(message: Message, classes: Mapping[str, str]) -> ToldObjects:
    """A ``vision_msgs/Detection3DArray``.

    Args:
        message: Its class ids may bear any names. The best hypothesis counts; a class that is not
            known is told of.
        classes: Class ids that mean one of ``CATEGORIES``, beside those known here.
    """
    frame_id = frame_of(message)
    read = partial(_detected, classes=classes, frame_id=frame_id)
    return _told(message, message.detections, read)


def _told(
    message: Message,
    items: Sequence[Message],
    read: Callable[[Message, list[str]], ToldBox | None],
) -> ToldObjects:
    boxes, complaints = list[ToldBox](), list[str]()
    for k, item in enumerate(items):
        try:
            box = read(item, complaints)
        except BadMessageError as error:
            complaints.append(f"object {k} of {len(items)} is left out: {error}")
            continue
        if box is not None:
            boxes.append(box)
    stamp_us = us_of(message.header.stamp)
    return ToldObjects(stamp_us, frame_of(message), tuple(boxes), tuple(complaints))


def _predicted(item: Message, complaints: list[str]) -> ToldBox | None:
    best = max(item.classification, key=lambda told: told.probability, default=None)
    label = 0 if best is None else int(best.label)
    if label >= len(CLASS_OF_LABEL):
        complaints.append(f"classification: label {label} is none of 0 to 11, taken as unknown")
        label = 0
    if label in DRIVABLE:
        return None
    motion = item.kinematics
    pose = motion.initial_pose_with_covariance.pose
    frame_from_box, size_lwh_m = _body(
        item.shape, pose3(pose.position, pose.orientation, "kinematics.initial_pose")
    )
    velocity = _velocity(motion.initial_twist_with_covariance.twist.linear, complaints)
    score = _score(item.existence_probability, "existence_probability", complaints)
    return ToldBox(frame_from_box, size_lwh_m, CLASS_OF_LABEL[label], velocity, score)


def _velocity(linear: Message, complaints: list[str]) -> Floats | None:
    """In the object's axes. A type without a word for "unknown" says it with three NaN."""
    xyz = np.array([linear.x, linear.y, linear.z], dtype=np.float64)
    if np.isfinite(xyz).all():
        return xyz
    if not np.isnan(xyz).all():
        complaints.append(
            f"kinematics.twist: expected finite numbers, got {xyz.tolist()}, taken as unknown"
        )
    return None


def _body(shape: Message, frame_from_object: Pose3) -> tuple[Pose3, Floats]:
    """Centre pose and size. Of a polygon, the rectangle around it along the object's axes."""
    if int(shape.type) != POLYGON:
        return frame_from_object, _size(shape.dimensions, "shape.dimensions")
    corners = [vector3(point, "shape.footprint")[:2] for point in shape.footprint.points]
    if len(corners) < 3:
        raise BadMessageError(f"shape.footprint: expected 3 points or more, got {len(corners)}")
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    middle = Pose3(np.eye(3), np.append((low + high) / 2, 0.0))
    size = np.append(high - low, float(shape.dimensions.z))
    return frame_from_object @ middle, _positive(size, "shape.footprint")


def _detected(
    item: Message, complaints: list[str], *, classes: Mapping[str, str], frame_id: str
) -> ToldBox:
    own = str(item.header.frame_id).lstrip("/")
    if own not in ("", frame_id):
        raise BadMessageError(f"header.frame_id: expected {frame_id!r} as of all, got {own!r}")
    best = max(
        (told.hypothesis for told in item.results), key=lambda told: told.score, default=None
    )
    category, score = None, None
    if best is not None:
        category = _category(str(best.class_id), classes, complaints)
        score = _score(best.score, "results.hypothesis.score", complaints)
    center = item.bbox.center
    frame_from_box = pose3(center.position, center.orientation, "bbox.center")
    return ToldBox(frame_from_box, _size(item.bbox.size, "bbox.size"), category, None, score)


def _category(name: str, classes: Mapping[str, str], complaints: list[str]) -> str | None:
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    found = classes.get(name) or detection_category(name) or OTHER_NAMES.get(plain)
    if found is not None:
        return found
    if plain in CATEGORIES:
        return plain
    if plain != UNKNOWN:
        complaints.append(
            f"class_id: {name!r} is no class known here, so the object is an obstacle and no "
            "proposal: say what it means in the parameter objects.classes"
        )
    return None


def _score(value: float, where: str, complaints: list[str]) -> float | None:
    score = float(value)
    if 0 <= score <= 1:
        return score
    complaints.append(f"{where}: expected a number in [0, 1], got {score:g}, taken as unknown")
    return None


def _size(dimensions: Message, where: str) -> Floats:
    return _positive(vector3(dimensions, where), where)


def _positive(size_lwh_m: Floats, where: str) -> Floats:
    if not (np.isfinite(size_lwh_m).all() and (size_lwh_m > 0).all()):
        raise BadMessageError(f"{where}: expected a positive size, got {size_lwh_m.tolist()}")
    return size_lwh_m
