"""Where labelled objects lie in an image: the rectangle around a box's projected hull."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from drivevlm.world.camera import NEAREST_DEPTH_M, Camera, CameraSequence
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import LabelledBoxes, Truth

_SIGNS = np.array([[x, y, z] for x in (1.0, -1.0) for y in (1.0, -1.0) for z in (1.0, -1.0)])
_EDGES = np.array(
    [(a, b) for a, b in combinations(range(8), 2) if (_SIGNS[a] != _SIGNS[b]).sum() == 1]
)
SMALLEST_PX = 1.0
"""What is narrower or lower than this in the image is not there."""


@dataclass(frozen=True, slots=True)
class ImageBox:
    """One labelled object in a camera's newest image.

    Attributes:
        camera: The camera's name.
        instance, category: As in ``LabelledBoxes``.
        box_px: Left, top, right, bottom of the hull, cut at the image's border.
        inside: Share of the uncut rectangle that lies within the image.
        depth_m: Distance of the object's centre along the optical axis.
        visibility: As in ``LabelledBoxes``: 1 (least visible) to 4, over all cameras; 0 unknown.
    """

    camera: str
    instance: str
    category: str
    box_px: tuple[float, float, float, float]
    inside: float
    depth_m: float
    visibility: int


def image_boxes(clip: Clip, truth: Truth) -> tuple[ImageBox, ...]:
    """Objects of the decision's keyframe in each calibrated camera's newest image.

    The camera is where it was when it took the image; the objects are where they were labelled.
    Nothing is said of what hides what, but for ``visibility``.
    """
    ego_from_global = truth.now.global_from_ego.inverse()
    corners_ego_m = ego_from_global.apply(corners_global_m(truth.now.boxes))
    centers_ego_m = ego_from_global.apply(truth.now.boxes.center_global_m)
    return tuple(
        box
        for sequence in clip.cameras
        for box in _of_camera(sequence, truth.now.boxes, corners_ego_m, centers_ego_m)
    )


def corners_global_m(boxes: LabelledBoxes) -> Floats:
    """(N, 8, 3) corners."""
    half = boxes.size_lwh_m[:, None, :] / 2 * _SIGNS
    turned = np.einsum("nij,nkj->nki", rotation_from_wxyz(boxes.wxyz_global), half)
    return np.asarray(turned + boxes.center_global_m[:, None, :])


def _of_camera(
    sequence: CameraSequence, boxes: LabelledBoxes, corners_ego_m: Floats, centers_ego_m: Floats
) -> Iterator[ImageBox]:
    camera, now_from_then = sequence.camera, sequence.frames[-1].now_from_then
    if camera.intrinsics is None or camera.ego_from_camera is None:
        return
    camera_from_ego = camera.ego_from_camera.inverse()
    if now_from_then is not None:
        camera_from_ego = camera_from_ego @ now_from_then.inverse()
    corners = camera_from_ego.apply(corners_ego_m)
    depth_m = camera_from_ego.apply(centers_ego_m)[:, 2]
    ahead = np.flatnonzero((corners[..., 2] > NEAREST_DEPTH_M).any(axis=1))
    whole = _rectangles_px(corners[ahead], camera)
    limit = np.array([*camera.size_px, *camera.size_px], dtype=np.float64)
    cut = np.clip(whole, 0.0, limit)
    size, full = cut[:, 2:] - cut[:, :2], whole[:, 2:] - whole[:, :2]
    for k in np.flatnonzero((size >= SMALLEST_PX).all(axis=1)):
        row = int(ahead[k])
        left, top, right, bottom = cut[k].tolist()
        yield ImageBox(
            camera.name,
            boxes.instance[row],
            boxes.category[row],
            (left, top, right, bottom),
            float(size[k].prod() / full[k].prod()),
            float(depth_m[row]),
            int(boxes.visibility[row]),
        )


def _rectangles_px(corners_camera_m: Floats, camera: Camera) -> Floats:
    """(N, 4) left, top, right, bottom of what lies before the lens of boxes (N, 8, 3)."""
    nearest_m = NEAREST_DEPTH_M * 1.001
    before = corners_camera_m[..., 2] > nearest_m
    a, b = corners_camera_m[:, _EDGES[:, 0]], corners_camera_m[:, _EDGES[:, 1]]
    crosses = before[:, _EDGES[:, 0]] != before[:, _EDGES[:, 1]]
    rise = np.where(crosses, b[..., 2] - a[..., 2], 1.0)
    on_plane = a + ((nearest_m - a[..., 2]) / rise)[..., None] * (b - a)
    # Rounding must not put a point of the plane behind the lens.
    on_plane[..., 2] = nearest_m
    hull = np.concatenate(
        [
            np.where(before[..., None], corners_camera_m, np.nan),
            np.where(crosses[..., None], on_plane, np.nan),
        ],
        axis=1,
    )
    pixels = camera.project(hull.reshape(-1, 3))[0].reshape(*hull.shape[:2], 2)
    # Both pass over NaN.
    low, high = np.fmin.reduce(pixels, axis=1), np.fmax.reduce(pixels, axis=1)
    return np.concatenate([low, high], axis=1)
