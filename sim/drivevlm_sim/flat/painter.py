"""Paints one camera image: a flat ground from the bottom up, then faces by depth per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.flat.canvas import DepthCanvas, Painting
from drivevlm_sim.flat.shapes import Colour
from drivevlm_sim.flat.view import NEAR_M, PER_PIXEL, SUBPIXEL_BITS, Corners, View

# H, W: image rows and columns. F: faces. M: faces that may be seen. N: corners of a polygon.
HAZE_M = 260.0
"""At this distance 63 % of a colour is haze."""
HAZE = np.array([196.0, 208.0, 218.0])
SKY = np.array([112.0, 158.0, 214.0])
GRASS = np.array([112.0, 134.0, 84.0])
SUN = np.array([0.45, -0.55, 0.70]) / np.linalg.norm([0.45, -0.55, 0.70])
SHADE = 0.62
"""What is left of a colour on a face that the sun does not reach."""
SMALLEST_DETAIL_PX = 2.0
"""Details smaller than this area are left out: one pixel of them would be too much."""


@dataclass(frozen=True, slots=True, eq=False)
class GroundPaint:
    """Polygons (N, 2) of one colour on the ground; later paints cover earlier ones."""

    colour: Colour
    polygons_m: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Flat four-cornered faces in the global frame; the faces of one owner follow each other.

    Attributes:
        corners_m: (F, 4, 3).
        normals: (F, 3) outward.
        colours: (F, 3) RGB.
        detail: (F,) whether the face only decorates another.
        owner: (F,) index of the annotated object, or ``SCENERY``.
    """

    corners_m: Floats
    normals: Floats
    colours: Floats
    detail: NDArray[np.bool_]
    owner: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Faces]) -> Faces:
        """All faces in order."""
        names = ("corners_m", "normals", "colours", "detail", "owner")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Painter:
    """Paints what one camera of a level vehicle sees."""

    def __init__(self, camera: Camera) -> None:
        if camera.intrinsics is None or camera.ego_from_camera is None:
            raise ValueError(f"camera {camera.name!r} must be calibrated to paint its images")
        self._size_px = camera.size_px
        self._inverse_k = np.linalg.inv(camera.intrinsics)
        self._ego_from_camera = camera.ego_from_camera
        self._view = View(camera.intrinsics, camera.size_px)
        self._sky, self._clear = self._empty_world()

    def paint(
        self, global_from_ego: Pose3, ground: Sequence[GroundPaint], faces: Faces
    ) -> Painting:
        """The image from a pose."""
        camera_from_global = (global_from_ego @ self._ego_from_camera).inverse()
        canvas = DepthCanvas(self._size_px)
        self._put_faces(canvas, camera_from_global, faces)
        return canvas.over(self._ground(camera_from_global, ground))

    def _empty_world(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(H, W, 3) sky and haze, and (H, W) how much haze lets through of the ground."""
        columns, rows = np.meshgrid(*(np.arange(edge) for edge in self._size_px))
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
        rays = pixels @ self._inverse_k.T @ self._ego_from_camera.rotation.T
        up = rays[..., 2] / np.linalg.norm(rays, axis=-1)
        away_m = self._ego_from_camera.translation_m[2] / np.maximum(-up, 1e-6)
        clear = np.where(up < 0, np.exp(-away_m / HAZE_M), 0.0)
        high = np.clip(up / 0.45, 0, 1)[..., None] ** 0.7
        return (HAZE + (SKY - HAZE) * high).astype(np.uint8), clear.astype(np.float32)

    def _ground(
        self, camera_from_global: Pose3, ground: Sequence[GroundPaint]
    ) -> NDArray[np.uint8]:
        image = np.full_like(self._sky, GRASS.astype(np.uint8))
        rings = [(paint.colour, ring) for paint in ground for ring in paint.polygons_m]
        flat = np.vstack([ring for _, ring in rings])
        starts = np.cumsum([0, *(len(ring) for _, ring in rings[:-1])])
        points = camera_from_global.apply(np.column_stack([flat, np.zeros(len(flat))]))
        for k, corners in self._view.corners(points, starts).items():
            cv2.fillPoly(image, [corners], rings[k][0], cv2.LINE_AA, SUBPIXEL_BITS)
        return np.asarray(cv2.blendLinear(image, self._sky, self._clear, 1 - self._clear))

    def _put_faces(self, canvas: DepthCanvas, camera_from_global: Pose3, faces: Faces) -> None:
        eye = camera_from_global.inverse().translation_m
        middle = faces.corners_m.mean(axis=1)
        facing = np.flatnonzero(np.einsum("fk,fk->f", faces.normals, eye - middle) > 0)
        points = camera_from_global.apply(faces.corners_m[facing])
        starts = np.arange(len(facing)) * 4
        seen = self._view.corners(points.reshape(-1, 3), starts)
        planes, nearest = self._inverse_depths(points)
        away_m = np.linalg.norm(eye - middle[facing], axis=1)
        colours = _lit(faces.colours[facing], faces.normals[facing], away_m)
        detail, owner = faces.detail[facing].tolist(), faces.owner[facing].tolist()
        for k, corners in seen.items():
            if not detail[k] or _area_px(corners) >= SMALLEST_DETAIL_PX:
                canvas.put(corners, planes[k], nearest[k], colours[k], owner[k])

    def _inverse_depths(self, points: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(M, 3) a, b, c with 1/depth = a u + b v + c on each face, and (M,) its highest value."""
        first = points[:, 0]
        normals = np.cross(points[:, 1] - first, points[:, 3] - first)
        planes = normals @ self._inverse_k / np.einsum("mk,mk->m", normals, first)[:, None]
        nearest = 1 / np.maximum(points[..., 2].min(axis=1), NEAR_M)
        return planes.astype(np.float32), nearest.astype(np.float32)


def _lit(colours: Floats, normals: Floats, away_m: Floats) -> Floats:
    """(M, 3) colours in sun or shade, seen through haze."""
    light = SHADE + (1 - SHADE) * np.clip(normals @ SUN, 0, 1)
    clear = np.exp(-away_m / HAZE_M)[:, None]
    return np.asarray(HAZE + (colours * light[:, None] - HAZE) * clear)


def _area_px(corners: Corners) -> float:
    """Area of a polygon by the shoelace formula."""
    points: list[tuple[float, float]] = (corners / PER_PIXEL).tolist()
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2
