"""A picture in which the nearest face wins at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.flat.view import SUBPIXEL_BITS, Corners

# H, W: image rows and columns.
SCENERY = -1
"""Owner of what is no annotated object."""


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """An image and what is seen in it.

    Attributes:
        rgb: (H, W, 3).
        owner: (H, W) index of the object seen at each pixel, or ``SCENERY``.
        alone_px: By owner, how many pixels of the image it would cover if nothing stood before it.
    """

    rgb: NDArray[np.uint8]
    owner: NDArray[np.int64]
    alone_px: dict[int, int]


class DepthCanvas:
    """Takes faces in any order, those of one owner together, and keeps the nearest."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._width, self._height = size_px
        self._columns = np.arange(self._width, dtype=np.float32)
        self._rows = np.arange(self._height, dtype=np.float32)[:, None]
        shape = (self._height, self._width)
        self._nearest = np.zeros(shape, dtype=np.float32)
        self._face = np.zeros(shape, dtype=np.int32)
        self._colours: list[Floats] = [np.zeros(3)]
        self._owners = [SCENERY]
        self._silhouette = _Silhouettes(shape)

    def put(
        self,
        corners: Corners,
        inverse_depth: NDArray[np.float32],
        nearest: np.float32,
        colour: Floats,
        owner: int,
    ) -> None:
        """Add a convex face.

        Args:
            corners: In the image.
            inverse_depth: (3,) a, b, c with 1/depth = a u + b v + c on the face.
            nearest: The highest 1/depth on the face. Pixels on the rim belong to it by a fraction
                only, and its plane is not to be trusted beyond its own nearest corner.
            colour: (3,) RGB.
            owner: Index of its object, or ``SCENERY``.
        """
        left, top, wide, tall = cv2.boundingRect(corners)
        x0, y0 = max((left >> SUBPIXEL_BITS) - 1, 0), max((top >> SUBPIXEL_BITS) - 1, 0)
        x1 = min((left + wide >> SUBPIXEL_BITS) + 2, self._width)
        y1 = min((top + tall >> SUBPIXEL_BITS) + 2, self._height)
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        offset = np.array([x0 << SUBPIXEL_BITS, y0 << SUBPIXEL_BITS], dtype=np.int32)
        cv2.fillConvexPoly(mask, corners - offset, (1,), cv2.LINE_8, SUBPIXEL_BITS)
        a, b, c = inverse_depth
        near = self._nearest[y0:y1, x0:x1]
        here = self._columns[x0:x1] * a + (self._rows[y0:y1] * b + c)
        np.minimum(here, nearest, out=here)
        closer = (here > near) & (mask > 0)
        np.copyto(near, here, where=closer)
        np.copyto(self._face[y0:y1, x0:x1], len(self._owners), where=closer)
        self._colours.append(colour)
        self._owners.append(owner)
        if owner != SCENERY:
            self._silhouette.add(owner, mask, x0, y0)

    def over(self, background: NDArray[np.uint8]) -> Painting:
        """The painting, on a background (H, W, 3) where no face is."""
        table = np.zeros((len(self._colours), 4), dtype=np.uint8)
        table[:, :3] = np.clip(np.round(self._colours), 0, 255)
        packed = np.take(table.view(np.uint32)[:, 0], self._face)
        rgb = packed.view(np.uint8).reshape(*self._face.shape, 4)[..., :3].copy()
        cv2.copyTo(background, (self._face == 0).astype(np.uint8), rgb)
        owner = np.take(np.array(self._owners), self._face)
        return Painting(rgb, owner, self._silhouette.counts())


class _Silhouettes:
    """Counts the pixels that each owner would cover alone."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._covered = np.zeros(shape, dtype=np.uint8)
        self._owner = SCENERY
        self._span = (0, 0, 0, 0)
        self._counts: dict[int, int] = {}

    def add(self, owner: int, mask: NDArray[np.uint8], x0: int, y0: int) -> None:
        """One face of an owner, with its place in the image."""
        y1, x1 = y0 + mask.shape[0], x0 + mask.shape[1]
        if owner != self._owner:
            self._close()
            self._owner, self._span = owner, (x0, y0, x1, y1)
        self._covered[y0:y1, x0:x1] |= mask
        left, top, right, bottom = self._span
        self._span = (min(left, x0), min(top, y0), max(right, x1), max(bottom, y1))

    def counts(self) -> dict[int, int]:
        """Pixels by owner."""
        self._close()
        return self._counts

    def _close(self) -> None:
        left, top, right, bottom = self._span
        region = self._covered[top:bottom, left:right]
        if self._owner != SCENERY:
            before = self._counts.get(self._owner, 0)
            self._counts[self._owner] = before + int(np.count_nonzero(region))
        region[:] = 0
        self._owner, self._span = SCENERY, (0, 0, 0, 0)
