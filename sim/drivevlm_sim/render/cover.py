"""What a depth picture covers: things behind it need not be drawn into a finer one."""

from __future__ import annotations

import cv2
import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.render.camera import NEAR_M, DepthsM, Mask, View

# N: boxes to judge. H, W: of the picture.
MARGIN_M = 0.05
"""A thing is behind another if it is so much farther at least."""
_CELLS = 4
"""A box is judged by at most so many cells of the depth picture a side."""
_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=bool)


class Cover:
    """A depth picture seen through a view, with the farthest depth of ever larger cells.

    Each pixel counts as its farthest neighbour does, so that nothing shows through between the
    places where depths were taken but through gaps thinner than a pixel.

    Args:
        view: Of the picture.
        depth_m: (H, W) along the optical axis; infinite in the sky.
    """

    def __init__(self, view: View, depth_m: DepthsM) -> None:
        self._view = view
        cells = np.asarray(cv2.dilate(depth_m, np.ones((3, 3), dtype=np.uint8)), dtype=np.float32)
        self._levels = [cells]
        while max(cells.shape) > _CELLS:
            height, width = cells.shape
            even = np.pad(cells, ((0, height % 2), (0, width % 2)))
            cells = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).max(axis=(1, 3))
            self._levels.append(cells)

    def hides(self, low_m: Floats, high_m: Floats) -> Mask:
        """(N,) which upright boxes lie wholly behind what the picture shows."""
        corners_m = np.where(_CORNERS, high_m[:, None], low_m[:, None])
        clip = np.concatenate([corners_m, np.ones((*corners_m.shape[:2], 1))], axis=2)
        clip = clip @ self._view.clip_from_town.T
        depth_m = clip[..., 3]
        size_px = np.array(self._view.size_px)
        px = (clip[..., :2] / np.maximum(depth_m, NEAR_M)[..., None] + 1) / 2 * size_px - 0.5
        first = np.clip(np.floor(px.min(axis=1)), 0, size_px - 1).astype(np.int64)
        last = np.clip(np.ceil(px.max(axis=1)), 0, size_px - 1).astype(np.int64)
        farthest_m = self._farthest_m(first, last)
        nearest_m = depth_m.min(axis=1)
        return np.asarray((nearest_m > NEAR_M) & (nearest_m - MARGIN_M > farthest_m))

    def _farthest_m(self, first: Floats, last: Floats) -> Floats:
        """(N,) the largest depth in rectangles of pixels (N, 2), both ends included."""
        spans = (last - first).max(axis=1)
        steps = np.ceil(np.log2(np.maximum(spans, 1) / (_CELLS - 1)))
        level = np.clip(steps, 0, len(self._levels) - 1).astype(np.int64)
        farthest_m = np.zeros(len(first))
        for k in np.unique(level):
            chosen, cells = level == k, self._levels[k]
            a, b = first[chosen] >> k, last[chosen] >> k
            most = np.zeros(int(chosen.sum()))
            for dx in range(_CELLS + 1):
                for dy in range(_CELLS + 1):
                    column = np.minimum(a[:, 0] + dx, b[:, 0])
                    row = np.minimum(a[:, 1] + dy, b[:, 1])
                    most = np.maximum(most, cells[row, column])
            farthest_m[chosen] = most
        return farthest_m
