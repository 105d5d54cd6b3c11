"""Six cameras and a lidar, placed like those of nuScenes but level and without its tolerances."""

from __future__ import annotations

import numpy as np

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Pose2, Pose3
from drivevlm_sim.keyframes import Rig

CAMERAS_EGO: dict[str, tuple[float, float, float, float, float]] = {
    "CAM_FRONT": (1.70, 0.0, 1.51, 0.0, 0.7915),
    "CAM_FRONT_RIGHT": (1.55, -0.49, 1.50, -55.0, 0.788),
    "CAM_BACK_RIGHT": (1.01, -0.48, 1.56, -110.0, 0.787),
    "CAM_BACK": (0.03, 0.0, 1.58, 180.0, 0.506),
    "CAM_BACK_LEFT": (1.03, 0.48, 1.59, 110.0, 0.786),
    "CAM_FRONT_LEFT": (1.52, 0.49, 1.51, 55.0, 0.795),
}
"""x, y, z in the ego frame in metres, yaw in degrees, focal length in image widths."""

FIRES_BEFORE_US = {
    "CAM_FRONT": 35_500,
    "CAM_FRONT_RIGHT": 27_600,
    "CAM_BACK_RIGHT": 20_000,
    "CAM_BACK": 10_400,
    "CAM_BACK_LEFT": 500,
    "CAM_FRONT_LEFT": 43_000,
}
"""How long before the keyframe each camera fires: the lidar sweeps past them clockwise."""

LIDAR_EGO_M = (0.94, 0.0, 1.84)
HORIZON = 0.54
"""Height of the horizon in image heights, from the top."""

_EGO_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def flat_rig(size_px: tuple[int, int]) -> Rig:
    """The rig with images of any size; horizontal fields of view are those of nuScenes."""
    width, height = size_px
    cameras = []
    for name, (x_m, y_m, z_m, yaw_deg, focal) in CAMERAS_EGO.items():
        turned = Pose3.from_pose2(Pose2(x_m, y_m, float(np.radians(yaw_deg))), z_m)
        mounting = Pose3(turned.rotation @ _EGO_FROM_OPTICAL, turned.translation_m)
        f_px = focal * width
        middle = (width - 1) / 2, HORIZON * height - 0.5
        intrinsics = np.array([[f_px, 0.0, middle[0]], [0.0, f_px, middle[1]], [0.0, 0.0, 1.0]])
        cameras.append(Camera(name, size_px, intrinsics, mounting))
    x_m, y_m, z_m = LIDAR_EGO_M
    ego_from_lidar = Pose3.from_pose2(Pose2(x_m, y_m, -np.pi / 2), z_m)
    return Rig(tuple(cameras), ego_from_lidar)
