"""Where polygons of the camera frame fall in an image, cut to what the camera can see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats

# P: points of all polygons together. N: corners of one. Q: polygons.
NEAR_M = 0.15
MARGIN = 3.0
"""Polygons are cut where they leave the image by this many half widths."""
SUBPIXEL_BITS = 4
PER_PIXEL = 1 << SUBPIXEL_BITS

Corners = NDArray[np.int32]
"""(N, 2) columns and rows in sixteenths of a pixel; whole numbers of pixels are pixel centres."""


class View:
    """A pinhole camera's view."""

    def __init__(self, intrinsics: Floats, size_px: tuple[int, int]) -> None:
        self._focal = intrinsics[[0, 1], [0, 1]]
        self._middle = intrinsics[:2, 2]
        self._size = np.array(size_px)
        right = MARGIN * max(size_px) / (2 * self._focal[0])
        down = MARGIN * max(size_px) / (2 * self._focal[1])
        sides = [[1, 0, right, 0], [-1, 0, right, 0], [0, 1, down, 0], [0, -1, down, 0]]
        self.planes = np.array([[0, 0, 1, NEAR_M], *sides], dtype=np.float64)
        """(5, 4) n, d: a point of the camera frame is inside where n x >= d."""

    def corners(self, points: Floats, starts: NDArray[np.int64]) -> dict[int, Corners]:
        """The polygons that may be seen, by index.

        Args:
            points: (P, 3) corners of all polygons in the camera frame, one after the other.
            starts: (Q,) where each polygon begins.
        """
        sides = points @ self.planes[:, :3].T - self.planes[:, 3]
        inside = sides >= 0
        whole = np.logical_and.reduceat(inside, starts).all(axis=1)
        gone = ~np.logical_or.reduceat(inside, starts).all(axis=1)
        uv = self._project(points)
        low, high = np.minimum.reduceat(uv, starts), np.maximum.reduceat(uv, starts)
        off = whole & ((high < -1) | (low > self._size)).any(axis=1)
        fixed = np.round(uv * PER_PIXEL).astype(np.int32)
        ends = [*starts[1:], len(points)]
        found = {}
        for k in np.flatnonzero(~gone & ~off).tolist():
            if whole[k]:
                found[k] = fixed[starts[k] : ends[k]]
            else:
                part = self._cut(points[starts[k] : ends[k]])
                if part is not None:
                    found[k] = np.round(self._project(part) * PER_PIXEL).astype(np.int32)
        return found

    def _project(self, points: Floats) -> Floats:
        depth = np.maximum(points[:, 2:], NEAR_M / 2)
        uv = points[:, :2] / depth * self._focal + self._middle
        return np.asarray(np.clip(uv, -1e6, 1e6))

    def _cut(self, points: Floats) -> Floats | None:
        """The part of a polygon (N, 3) inside all planes."""
        for plane in self.planes:
            side = points @ plane[:3] - plane[3]
            inside = side >= -1e-12
            if not inside.any():
                return None
            if not inside.all():
                points = _cut_by(points, side, inside)
        return points


def _cut_by(points: Floats, side: Floats, inside: NDArray[np.bool_]) -> Floats:
    crossing = np.flatnonzero(inside != np.roll(inside, -1))
    after = (crossing + 1) % len(points)
    share = (side[crossing] / (side[crossing] - side[after]))[:, None]
    cuts = points[crossing] + share * (points[after] - points[crossing])
    kept = np.flatnonzero(inside)
    order = np.argsort(np.concatenate([kept, crossing + 0.5]), kind="stable")
    return np.asarray(np.concatenate([points[kept], cuts])[order])
