"""Where the ego is, and how the frames of its sensors stand to each other."""

from __future__ import annotations

import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.drive.frames import StaticTransform
from drivevlm.drive.messages.fields import BadMessageError, frame_of, pose3, vector3
from drivevlm.drive.messages.stamps import us_of
from drivevlm.drive.odometry import OdometrySample


def odometry_sample(message: Message, *, base_frame: str) -> OdometrySample:
    """A ``nav_msgs/Odometry`` whose child frame is the ego's: the rear axle, on the ground.

    The twist is the child frame's, as its definition says; where child and fixed frame bear one
    name it is the fixed frame's, and the speed is its part along the heading.
    """
    frame_id, child = frame_of(message), str(message.child_frame_id).lstrip("/")
    if child not in ("", base_frame, frame_id):
        raise BadMessageError(
            f"child_frame_id: expected {base_frame!r} (parameter base_frame), got {child!r}"
        )
    pose = message.pose.pose
    odom_from_ego = pose3(pose.position, pose.orientation, "pose.pose")
    velocity_mps = vector3(message.twist.twist.linear, "twist.twist.linear")
    turning_radps = vector3(message.twist.twist.angular, "twist.twist.angular")
    if child == frame_id:
        velocity_mps = np.asarray(odom_from_ego.rotation.T @ velocity_mps)
    return OdometrySample(
        us_of(message.header.stamp),
        odom_from_ego,
        float(velocity_mps[0]),
        float(turning_radps[2]),
        frame_id,
    )


def static_transforms(message: Message) -> tuple[list[StaticTransform], list[str]]:
    """The edges of a ``tf2_msgs/TFMessage``, and what is wrong with those that are left out."""
    edges, complaints = list[StaticTransform](), list[str]()
    for edge in message.transforms:
        child, moved = str(edge.child_frame_id).lstrip("/"), edge.transform
        try:
            parent = frame_of(edge)
            parent_from_child = pose3(moved.translation, moved.rotation, "transform")
        except BadMessageError as error:
            complaints.append(f"frame {child!r}: {error}")
            continue
        edges.append(StaticTransform(parent, child, parent_from_child))
    return edges, complaints
