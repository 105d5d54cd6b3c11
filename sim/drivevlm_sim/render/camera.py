"""Where a camera looks: its projection, and which things cannot be in its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3

# N: things to choose from.
NEAR_M, FAR_M = 0.25, 420.0
Mask = NDArray[np.bool_]
Names = NDArray[np.uint16]
"""(H, W) whose each pixel is."""
DepthsM = NDArray[np.float32]
"""(H, W) along the optical axis; infinite in the sky."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A projection of the town.

    Attributes:
        clip_from_town: (4, 4); pixel rows grow with y, so that pictures need no turning over.
        eye_m: (3,) where it is seen from.
        size_px: Width and height.
        reach_m: What lies farther is left out.
        focal_px: Pixels that a metre takes at one metre.
    """

    clip_from_town: Floats
    eye_m: Floats
    size_px: tuple[int, int]
    reach_m: float
    focal_px: float

    @property
    def planes(self) -> Floats:
        """(5, 4) left, right, top, bottom and near; positive inside, normals of length 1."""
        x, y, z, w = self.clip_from_town
        planes = np.stack([w + x, w - x, w + y, w - y, w + z])
        return np.asarray(planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True))

    @property
    def turned(self) -> bool:
        """Whether what is counter-clockwise in the town is clockwise for the graphics card."""
        return bool(np.linalg.det(self.clip_from_town[:3, :3]) > 0)

    def sees_spheres(self, centres_m: Floats, radii_m: Floats, least_px: float = 0.0) -> Mask:
        """(N,) whether spheres may show, each at least ``least_px`` wide."""
        away = np.linalg.norm(centres_m - self.eye_m, axis=1)
        inside = (centres_m @ self.planes[:, :3].T + self.planes[:, 3] > -radii_m[:, None]).all(1)
        large = 2 * radii_m * self.focal_px >= least_px * away
        return np.asarray(inside & large & (away - radii_m < self.reach_m))

    def sees_boxes(self, low_m: Floats, high_m: Floats) -> Mask:
        """(N,) whether upright boxes may show."""
        middle, half = (low_m + high_m) / 2, (high_m - low_m) / 2
        planes = self.planes
        reach = half @ np.abs(planes[:, :3]).T
        inside = (middle @ planes[:, :3].T + planes[:, 3] > -reach).all(axis=1)
        gap = np.clip(self.eye_m, low_m, high_m) - self.eye_m
        return np.asarray(inside & (np.linalg.norm(gap, axis=1) < self.reach_m))

    def mirrored(self) -> View:
        """What a mirror on the road shows at each pixel: the view of a town upside down."""
        flip = np.diag([1.0, 1.0, -1.0, 1.0])
        eye_m = self.eye_m * np.array([1.0, 1.0, -1.0])
        return View(self.clip_from_town @ flip, eye_m, self.size_px, self.reach_m, self.focal_px)


def view_of(camera: Camera, town_from_ego: Pose3, reach_m: float = FAR_M) -> View:
    """The view of a calibrated camera of a vehicle."""
    if camera.intrinsics is None or camera.ego_from_camera is None:
        raise ValueError(f"camera {camera.name!r} must be calibrated to render its picture")
    return view_through(
        camera.intrinsics, camera.size_px, town_from_ego @ camera.ego_from_camera, reach_m
    )


def view_through(
    intrinsics: Floats, size_px: tuple[int, int], town_from_camera: Pose3, reach_m: float
) -> View:
    """The view of a pinhole whose pixel centres have whole coordinates."""
    width, height = size_px
    far_m = max(FAR_M, reach_m)
    clip = np.zeros((4, 4))
    clip[0, :3] = 2 * intrinsics[0] / width + np.array([0, 0, 1 / width - 1])
    clip[1, :3] = 2 * intrinsics[1] / height + np.array([0, 0, 1 / height - 1])
    clip[2, 2:] = (far_m + NEAR_M) / (far_m - NEAR_M), -2 * far_m * NEAR_M / (far_m - NEAR_M)
    clip[3, 2] = 1.0
    camera_from_town = np.eye(4)
    back = town_from_camera.inverse()
    camera_from_town[:3, :3], camera_from_town[:3, 3] = back.rotation, back.translation_m
    eye_m = town_from_camera.translation_m
    return View(clip @ camera_from_town, eye_m, size_px, reach_m, float(intrinsics[0, 0]))


def sun_view(sun_way: Floats, middle_m: Floats, half_m: float, size_px: int) -> View:
    """The view of the sun on a square of ground, for shadows."""
    right = np.cross([0.0, 0.0, 1.0], sun_way)
    right /= max(float(np.linalg.norm(right)), 1e-9)
    up = np.cross(sun_way, right)
    axes = np.stack([right, up, sun_way])
    # Steps of whole shadow pixels keep the edges of shadows still while the vehicle moves.
    step_m = 2 * half_m / size_px
    at = axes @ middle_m
    at[:2] = np.round(at[:2] / step_m) * step_m
    clip = np.eye(4)
    clip[0, :3], clip[0, 3] = axes[0] / half_m, -at[0] / half_m
    clip[1, :3], clip[1, 3] = axes[1] / half_m, -at[1] / half_m
    depth_m = 2.5 * half_m
    clip[2, :3], clip[2, 3] = -axes[2] / depth_m, at[2] / depth_m
    eye_m = middle_m + sun_way * depth_m
    return View(clip, eye_m, (size_px, size_px), 4 * depth_m, np.inf)
