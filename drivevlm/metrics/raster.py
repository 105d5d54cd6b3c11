"""Polygons drawn on a bird's-eye grid by the lattice rule, many at once.

The corners are lattice points. A cell is drawn when its lattice point lies in the closed polygon,
or on the outline: the 8-connected Bresenham line of each edge, walked from left to right. On the
grid this is what ``cv2.fillPoly`` draws (all versions but 4.8 to 4.10, which draw fatter
polygons). At the border it is what OpenCV up to 4.7 draws, with which the published numbers were
made: an edge's line is first cut at the border and then walked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ONE = 1 << 16
"""Crossings are counted in fixed point between lattice points; slopes are cut to it, not rounded.
This shows only where an edge's line was bent by the cut at the border."""
NOWHERE = np.iinfo(np.int64).max

# N: polygons, V: corners of each, T: layers (steps in time), S: cells along a side of the grid,
# rc: row and column.


@dataclass(frozen=True, slots=True)
class Grid:
    """A square grid centred on the origin.

    Attributes:
        cell_m: Side of a cell.
        cells: Cells along a side.
    """

    cell_m: float
    cells: int

    @property
    def half_m(self) -> float:
        """From the centre to the border."""
        return self.cell_m * self.cells / 2

    def lattice(self, xy_m: Floats) -> Ints:
        """Nearest lattice points of metric coordinates, counted from the corner at -half, -half.

        Exactly between two points, the even one is taken.
        """
        return np.asarray(np.round((xy_m + self.half_m) / self.cell_m), dtype=np.int64)


def fill(corners_rc: Ints, layer: Ints, *, layers: int, cells: int) -> Bools:
    """Draw polygons.

    Args:
        corners_rc: (N, V, 2) corners, in order around each polygon.
        layer: (N,) on which layer each is drawn.
        layers: T.
        cells: S.

    Returns:
        (T, S, S) occupied cells.
    """
    grid = np.zeros((layers, cells, cells), dtype=np.bool_)
    near = (corners_rc.max(axis=1) >= 0) & (corners_rc.min(axis=1) < cells)
    corners_rc, layer = corners_rc[near.all(axis=1)], layer[near.all(axis=1)]
    if len(layer):
        for polygon, row, column in (_outlines(corners_rc, cells), _insides(corners_rc, cells)):
            on_grid = (row >= 0) & (row < cells) & (column >= 0) & (column < cells)
            grid[layer[polygon[on_grid]], row[on_grid], column[on_grid]] = True
    return grid


def _insides(corners_rc: Ints, cells: int) -> tuple[Ints, Ints, Ints]:
    """Polygon, row and column of every lattice point between odd and even edge crossings."""
    rows = corners_rc[..., 0]
    first = np.maximum(rows.min(axis=1), 0)
    polygon, offset = spread(np.maximum(np.minimum(rows.max(axis=1), cells) - first, 0))
    row = first[polygon] + offset
    crossings = np.sort(_crossings(corners_rc[polygon], row), axis=1)
    begin = np.maximum(-(-crossings[:, 0:-1:2] // ONE), 0).ravel()
    end = np.minimum(crossings[:, 1::2] // ONE, cells - 1).ravel()
    empty = (crossings[:, 1::2] == NOWHERE).ravel()
    span, along = spread(np.where(empty, 0, np.maximum(end - begin + 1, 0)))
    line = span // (crossings.shape[1] // 2)
    return polygon[line], row[line], begin[span] + along


def _crossings(corners_rc: Ints, row: Ints) -> Ints:
    """(M, V) columns at which the edges cross the row, in fixed point; NOWHERE where they do not.

    An edge includes its lower end and not its upper one.
    """
    after_rc = np.roll(corners_rc, -1, axis=1)
    upward = (after_rc[..., 0] > corners_rc[..., 0])[..., None]
    low_rc, high_rc = np.where(upward, corners_rc, after_rc), np.where(upward, after_rc, corners_rc)
    rise, run = np.moveaxis(high_rc - low_rc, -1, 0)
    up = row[:, None] - low_rc[..., 0]
    slope = np.sign(run) * (np.abs(run) * ONE // np.maximum(rise, 1))
    return np.where((up >= 0) & (up < rise), low_rc[..., 1] * ONE + up * slope, NOWHERE)


def _outlines(corners_rc: Ints, cells: int) -> tuple[Ints, Ints, Ints]:
    """Polygon, row and column of every point of the edges' Bresenham lines."""
    before_rc = np.roll(corners_rc, 1, axis=1).reshape(-1, 2)
    a_rc, b_rc = _cut(before_rc, corners_rc.reshape(-1, 2), cells)
    leftward = (b_rc[:, 1] < a_rc[:, 1])[:, None]
    left_rc, right_rc = np.where(leftward, b_rc, a_rc), np.where(leftward, a_rc, b_rc)
    rise, run = (right_rc - left_rc).T
    major, minor = np.maximum(np.abs(rise), run), np.minimum(np.abs(rise), run)
    edge, walked = spread(major + 1)
    # The minor coordinate rounds to the nearest, and down when exactly between two.
    aside = -((major[edge] - 2 * minor[edge] * walked) // (2 * np.maximum(major, 1)[edge]))
    steep = (np.abs(rise) > run)[edge]
    row = left_rc[edge, 0] + np.sign(rise)[edge] * np.where(steep, walked, aside)
    column = left_rc[edge, 1] + np.where(steep, aside, walked)
    return edge // corners_rc.shape[1], row, column


def _cut(a_rc: Ints, b_rc: Ints, cells: int) -> tuple[Ints, Ints]:
    """Lines cut at the border: rows first, then columns, each end rounded towards its old place.

    A line that misses the grid may come back uncut: it has no point on the grid.
    """
    ends = [a_rc.copy(), b_rc.copy()]
    for axis in (0, 1):
        for at in (0, 1):
            end, other = ends[at], ends[1 - at]
            limit = np.clip(end[:, axis], 0, cells - 1)
            along = other[:, axis] - end[:, axis]
            misses = ((end < 0) & (other < 0)) | ((end >= cells) & (other >= cells))
            cut = (limit != end[:, axis]) & ~misses.any(axis=1)
            aside = (limit - end[:, axis]) * (other[:, 1 - axis] - end[:, 1 - axis])
            shift = np.trunc(aside / np.where(cut, along, 1)).astype(np.int64)
            end[cut, 1 - axis] += shift[cut]
            end[cut, axis] = limit[cut]
    return ends[0], ends[1]


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """Every item repeated as often as counted: its index, and a running number within the item."""
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, within
