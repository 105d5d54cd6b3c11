"""What is read of any message: vectors and poses that are finite, or a complaint in one line."""

from __future__ import annotations

import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.world.pose import Floats, Pose3


class BadMessageError(Exception):
    """A message that cannot be used: its field, what was expected and what came, in one line."""


def frame_of(message: Message) -> str:
    """The frame of a stamped message, without the slash that ROS 1 put before it."""
    frame_id = str(message.header.frame_id).lstrip("/")
    if not frame_id:
        raise BadMessageError("header.frame_id: expected the name of a frame, got an empty one")
    return frame_id


def vector3(vector: Message, where: str) -> Floats:
    """(3,) of a message with x, y and z."""
    xyz = np.array([vector.x, vector.y, vector.z], dtype=np.float64)
    if not np.isfinite(xyz).all():
        raise BadMessageError(f"{where}: expected finite numbers, got {_listed(xyz)}")
    return xyz


def pose3(position: Message, orientation: Message, where: str) -> Pose3:
    """``a_from_b`` of a pose or transform message, whose quaternion may be q or -q."""
    wxyz = np.array([orientation.w, orientation.x, orientation.y, orientation.z], dtype=np.float64)
    return Pose3(_rotation(wxyz, where), vector3(position, where))


def _rotation(wxyz: Floats, where: str) -> Floats:
    try:
        return Pose3.from_quaternion(wxyz=wxyz, translation_m=np.zeros(3)).rotation
    except ValueError:
        xyzw = _listed(np.roll(wxyz, -1))
        raise BadMessageError(
            f"{where}: expected a quaternion that is finite and not zero, got (x, y, z, w) = {xyzw}"
        ) from None


def _listed(numbers: Floats) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
