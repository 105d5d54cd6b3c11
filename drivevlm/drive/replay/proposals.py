"""What a detector would say: the recording's proposals, as either message tells of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.messages.outgoing import detections_message, header_message, pose_message
from drivevlm.drive.replay.contents import GEOMETRY, vector_message
from drivevlm.drive.replay.told import LABELS
from drivevlm.world.boxes import Box3
from drivevlm.world.pose import Floats

PERCEPTION = "autoware_perception_msgs/msg"


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """Proposals in the ego frame, without their speeds."""

    boxes: tuple[Box3, ...]
    base_frame: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``vision_msgs/Detection3DArray``."""
        return detections_message(bus, self.boxes, stamp_us * 1000, base_frame=self.base_frame)


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Proposals in the ego frame, in Autoware's classes."""

    boxes: tuple[Box3, ...]
    base_frame: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """An ``autoware_perception_msgs/PredictedObjects`` that predicts nothing."""
        return bus.make(
            f"{PERCEPTION}/PredictedObjects",
            header=header_message(bus, stamp_us * 1000, self.base_frame),
            objects=[_predicted(bus, box) for box in self.boxes],
        )


def _predicted(bus: Bus, box: Box3) -> Message:
    """A score or a speed that is not known is NaN."""
    pose = bus.make(
        f"{GEOMETRY}/PoseWithCovariance", pose=pose_message(bus, box.center_ego_m, box.yaw_ego_rad)
    )
    linear = vector_message(bus, "Vector3", _velocity_box_mps(box))
    twist = bus.make(
        f"{GEOMETRY}/TwistWithCovariance", twist=bus.make(f"{GEOMETRY}/Twist", linear=linear)
    )
    label = bus.make(
        f"{PERCEPTION}/ObjectClassification", label=LABELS[box.category], probability=1.0
    )
    return bus.make(
        f"{PERCEPTION}/PredictedObject",
        existence_probability=float("nan") if box.score is None else float(box.score),
        classification=[label],
        kinematics=bus.make(
            f"{PERCEPTION}/PredictedObjectKinematics",
            initial_pose_with_covariance=pose,
            initial_twist_with_covariance=twist,
        ),
        shape=bus.make(
            f"{PERCEPTION}/Shape", dimensions=vector_message(bus, "Vector3", box.size_lwh_m)
        ),
    )


def _velocity_box_mps(box: Box3) -> Floats:
    """(3,) in the axes of the box."""
    if box.velocity_ego_mps is None:
        return np.full(3, np.nan)
    cos, sin = np.cos(box.yaw_ego_rad), np.sin(box.yaw_ego_rad)
    turned = np.array([[cos, sin], [-sin, cos]]) @ box.velocity_ego_mps
    return np.append(turned, 0.0)
