"""What a camera says of itself: size, matrix and frame, and how far its lens is from a pinhole."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.world.pose import Floats

BROWN = ("plumb_bob", "rational_polynomial")
FISHEYE = ("equidistant", "fisheye")
ALONG_BORDER = 41


@dataclass(frozen=True, slots=True, eq=False)
class CameraInfo:
    """A ``sensor_msgs/CameraInfo``, for the pictures that lie beside it.

    Attributes:
        size_px: Width and height.
        intrinsics: (3, 3) in pixels of ``size_px``; None where it is uncalibrated.
        rectified_from_optical: (3, 3) turn that rectification adds; identity for a raw picture.
        frame_id: Its optical frame; "" where it names none.
        bend_px: How far the lens moves a border pixel from where a pinhole has it, at most; None
            where it bends by a model that is not known here.
    """

    size_px: tuple[int, int]
    intrinsics: Floats | None
    rectified_from_optical: Floats
    frame_id: str
    bend_px: float | None


def camera_info(message: Message, *, rectified: bool) -> CameraInfo:
    """Read for raw pictures (matrix K), or for rectified ones (matrix P, turn R, no bend).

    Binning and region of interest are taken into account. A K of zeros says "uncalibrated".
    """
    k = _matrix(message.k, "k", columns=3)
    if rectified:
        p, turn = _matrix(message.p, "p", columns=4)[:, :3], _matrix(message.r, "r", columns=3)
        calibrated, full = bool(p[0, 0] and p[1, 1]), p
        if calibrated and np.abs(turn @ turn.T - np.eye(3)).max() > 1e-5:
            raise BadMessageError(f"r: expected a rotation, got {turn.ravel().tolist()}")
    else:
        calibrated, full, turn = bool(k[0, 0] and k[1, 1]), k, np.eye(3)
    if int(message.width) < 1 or int(message.height) < 1:
        raise BadMessageError(
            f"width, height: expected the size of the picture, got {message.width} x "
            f"{message.height}"
        )
    return CameraInfo(
        _size_px(message),
        _cut(message, full) if calibrated else None,
        turn if calibrated else np.eye(3),
        str(message.header.frame_id).lstrip("/"),
        _bend_px(message, k) if calibrated and not rectified else 0.0,
    )


def info_key(message: Message) -> tuple[object, ...]:
    """Equal for two messages that say the same: cameras repeat themselves with every picture."""
    roi = message.roi
    return (
        str(message.header.frame_id),
        str(message.distortion_model),
        *(int(value) for value in (message.width, message.height)),
        *(int(value) for value in (message.binning_x, message.binning_y)),
        *(int(value) for value in (roi.x_offset, roi.y_offset, roi.width, roi.height)),
        *(
            np.asarray(numbers).tobytes()
            for numbers in (message.d, message.k, message.r, message.p)
        ),
    )


def _matrix(numbers: Message, where: str, *, columns: int) -> Floats:
    matrix = np.array(numbers, dtype=np.float64)
    if matrix.shape != (3 * columns,) or not np.isfinite(matrix).all():
        raise BadMessageError(
            f"{where}: expected {3 * columns} finite numbers, got {matrix.tolist()}"
        )
    return matrix.reshape(3, columns)


def _size_px(message: Message) -> tuple[int, int]:
    roi = message.roi
    width, height = int(roi.width) or int(message.width), int(roi.height) or int(message.height)
    across, down = _binning(message)
    return width // across, height // down


def _cut(message: Message, full: Floats) -> Floats:
    """The matrix of the picture that is sent, from that of the whole sensor."""
    across, down = _binning(message)
    shift = np.eye(3)
    shift[:2, 2] = -float(message.roi.x_offset), -float(message.roi.y_offset)
    return np.asarray(np.diag([1 / across, 1 / down, 1.0]) @ shift @ full)


def _binning(message: Message) -> tuple[int, int]:
    return max(1, int(message.binning_x)), max(1, int(message.binning_y))


def _bend_px(message: Message, k: Floats) -> float | None:
    bend, model = np.array(message.d, dtype=np.float64), str(message.distortion_model)
    if not bend.any():
        return 0.0
    known = (model in BROWN and len(bend) in (4, 5, 8)) or (model in FISHEYE and len(bend) == 4)
    if not (known and np.isfinite(bend).all()):
        return None
    u = np.linspace(0, int(message.width) - 1, ALONG_BORDER)
    v = np.linspace(0, int(message.height) - 1, ALONG_BORDER)
    sides = [np.stack(np.broadcast_arrays(u, row), axis=1) for row in (v[0], v[-1])]
    sides += [np.stack(np.broadcast_arrays(column, v), axis=1) for column in (u[0], u[-1])]
    border_px = np.concatenate(sides)
    rays = np.c_[border_px, np.ones(len(border_px))] @ np.linalg.inv(k).T  # z = 1
    project = cv2.fisheye.projectPoints if model in FISHEYE else cv2.projectPoints
    bent_px, _ = project(rays[:, None, :], np.zeros(3), np.zeros(3), k, bend)
    return float(np.linalg.norm(np.asarray(bent_px).reshape(-1, 2) - border_px, axis=1).max())
