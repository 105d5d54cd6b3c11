"""Cameras as they become known: from the settings, their camera_info and the static frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from drivevlm.drive.frames import FrameTree
from drivevlm.drive.messages.cameras import CameraInfo
from drivevlm.drive.node_config import NodeConfig
from drivevlm.world.camera import Camera
from drivevlm.world.pose import Pose3

MOST_BEND = 0.01
"""Of the picture's width: a lens that bends more than this is told of."""


class Calibrator:
    """Puts each camera together and says what is lacking. What the settings say comes first.

    Lens distortion is not modelled: a camera is a pinhole, and one that bends much is told of.
    """

    def __init__(self, config: NodeConfig, tree: FrameTree) -> None:
        """``tree`` is looked at whenever a camera is asked for."""
        self._config = config
        self._tree = tree
        self._infos: dict[str, CameraInfo] = {}
        self._sizes_px: dict[str, tuple[int, int]] = {}

    @property
    def names(self) -> Sequence[str]:
        """The rig."""
        return self._config.drive.sync.cameras

    def heard(self, name: str, info: CameraInfo) -> None:
        """A camera spoke of itself."""
        self._infos[name] = info

    def saw(self, name: str, size_px: tuple[int, int]) -> None:
        """A picture has this size: it counts where nobody else tells the camera's."""
        self._sizes_px[name] = size_px

    def needs_size(self, name: str) -> bool:
        """Whether a picture is to be looked at, for nobody told its size so far."""
        return not self._config.camera.calibrated and self._size_px(name) is None

    def camera(self, name: str) -> Camera | None:
        """The camera as far as it is known; None where it can have no part in decisions yet."""
        size_px, pose = self._size_px(name), self._ego_from_camera(name)
        matrix = self._config.calibration_of(name).matrix
        if matrix is None and name in self._infos:
            matrix = self._infos[name].intrinsics
        if size_px is None:
            return None
        if self._config.camera.calibrated and (matrix is None or pose is None):
            return None
        return Camera(name, size_px, matrix, pose)

    def lacking(self) -> Mapping[str, str]:
        """In words, what the cameras wait for that have no part in decisions yet."""
        return {name: self._lack(name) for name in self.names if self.camera(name) is None}

    def bent(self) -> Mapping[str, str]:
        """In words, which cameras are far from a pinhole."""
        return {
            name: f"{name}: its lens bends pixels by {_bend(info)}, which is not modelled: publish "
            "rectified pictures and set camera.rectified"
            for name, info in self._infos.items()
            if not self._config.calibration_of(name).intrinsics
            and (info.bend_px is None or info.bend_px > MOST_BEND * info.size_px[0])
        }

    def _size_px(self, name: str) -> tuple[int, int] | None:
        given = self._config.calibration_of(name).size_px
        if given:
            return given[0], given[1]
        info = self._infos.get(name)
        return self._sizes_px.get(name) if info is None else info.size_px

    def _frame(self, name: str) -> str:
        info = self._infos.get(name)
        return self._config.calibration_of(name).frame_id or (info.frame_id if info else "")

    def _ego_from_camera(self, name: str) -> Pose3 | None:
        given = self._config.calibration_of(name).ego_from_camera
        if given is not None or not self._frame(name):
            return given
        pose = self._tree.between(target=self._config.base_frame, source=self._frame(name))
        info = self._infos.get(name)
        if pose is None or info is None:
            return pose
        return pose @ Pose3(info.rectified_from_optical.T, np.zeros(3))

    def _lack(self, name: str) -> str:
        if self._size_px(name) is None:
            wanted = "camera_info" if self._config.camera.calibrated else "picture"
            return f"{name}: no {wanted} came yet, and calibration.{name} gives no size_px"
        given, info = self._config.calibration_of(name), self._infos.get(name)
        if given.matrix is None and (info is None or info.intrinsics is None):
            said = "says it is uncalibrated" if info else "did not come yet"
            return f"{name}: its camera_info {said}, and calibration.{name} gives no intrinsics"
        if not self._frame(name):
            return (
                f"{name}: no camera_info names its frame, and calibration.{name}.frame_id is empty"
            )
        return (
            f"{name}: tf_static does not join {self._config.base_frame} and {self._frame(name)}, "
            f"and calibration.{name} gives no pose"
        )


def _bend(info: CameraInfo) -> str:
    return "an unknown model" if info.bend_px is None else f"up to {info.bend_px:.0f} px"
