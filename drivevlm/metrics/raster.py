"""Polygons drawn on a bird's-eye grid by the lattice rule, many at once.

The corners are lattice points. A cell is drawn when its lattice point lies in the closed polygon,
or on the outline: the 8-connected Bresenham line of each edge, walked from left to right. On the
grid this is what ``cv2.fillPoly`` draws (all versions but 4.8 to 4.10, which draw fatter
polygons). At the border it is what OpenCV up to 4.7 draws, with which the published numbers were
made: an edge's line is first cut at the border and then walked.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    for polygon, row, column in _drawn(corners_rc, cells):
        grid[layer[polygon], row, column] = True
    return grid


def covered(corners_rc: Ints, *, cells: int) -> tuple[Ints, Ints]:
    """(N, B) row and column of every cell that ``fill`` draws, by polygon.

    A polygon of fewer cells than another repeats its first one; -1 where it has none.
    """
    parts = _drawn(corners_rc, cells)
    counts = [np.bincount(polygon, minlength=len(corners_rc)) for polygon, _, _ in parts]
    total = np.sum(counts, axis=0)
    width = max(int(total.max(initial=0)), 1)
    rows, columns = (np.full((len(corners_rc), width), -1) for _ in range(2))
    free = np.arange(len(corners_rc)) * width
    for (_, row, column), count in zip(parts, counts, strict=True):
        # Each part is in the order of the polygons.
        at = np.arange(len(row)) + np.repeat(free - np.cumsum(count) + count, count)
        rows.ravel()[at], columns.ravel()[at] = row, column
        free += count
    return np.where(rows < 0, rows[:, :1], rows), np.where(columns < 0, columns[:, :1], columns)


def _drawn(corners_rc: Ints, cells: int) -> list[tuple[Ints, Ints, Ints]]:
    """The cells of the outlines and those of the insides, each on the grid."""
    near = (corners_rc.max(axis=1) >= 0) & (corners_rc.min(axis=1) < cells)
    which = np.flatnonzero(near.all(axis=1))
    if not len(which):
        return [(which, which, which)]
    corners_rc = corners_rc[which]
    parts = (_outlines(corners_rc, cells), _insides(corners_rc, cells))
    return [on_grid(which[polygon], row, column, cells) for polygon, row, column in parts]


def fill_rings(rings_rc: Sequence[Ints], *, cells: int) -> Bools:
    """Draw what lies inside an odd number of rings, and all their outlines: (S, S).

    The same rule as ``fill``, for few rings of many corners.

    Args:
        rings_rc: Each (V, 2), the last corner being the first one again.
        cells: S.
    """
    grid = np.zeros((cells, cells), dtype=np.bool_)
    if not rings_rc:
        return grid
    a_rc = np.concatenate([ring[:-1] for ring in rings_rc])
    b_rc = np.concatenate([ring[1:] for ring in rings_rc])
    _mark(grid, walked(a_rc, b_rc, cells))
    upward = (b_rc[:, 0] > a_rc[:, 0])[:, None]
    low_rc, high_rc = np.where(upward, a_rc, b_rc), np.where(upward, b_rc, a_rc)
    rise, run = (high_rc - low_rc).T
    first = np.maximum(low_rc[:, 0], 0)
    edge, offset = spread(np.maximum(np.minimum(high_rc[:, 0], cells) - first, 0))
    row = first[edge] + offset
    slope = np.sign(run) * (np.abs(run) * ONE // np.maximum(rise, 1))
    crossing = low_rc[edge, 1] * ONE + (row - low_rc[edge, 0]) * slope[edge]
    order = np.lexsort((crossing, row))
    row, crossing = row[order[::2]], crossing[order].reshape(-1, 2)
    begin = np.maximum(-(-crossing[:, 0] // ONE), 0)
    end = np.minimum(crossing[:, 1] // ONE, cells - 1)
    span, along = spread(np.maximum(end - begin + 1, 0))
    grid[row[span], begin[span] + along] = True
    return grid


def draw_lines(points_rc: Ints, *, cells: int) -> Bools:
    """Draw polylines (N, V, 2), one cell thick: (S, S)."""
    grid = np.zeros((cells, cells), dtype=np.bool_)
    ends = points_rc[:, :-1].reshape(-1, 2), points_rc[:, 1:].reshape(-1, 2)
    _mark(grid, walked(*ends, cells))
    return grid


def _mark(grid: Bools, at: tuple[Ints, Ints, Ints]) -> None:
    _, row, column = on_grid(*at, len(grid))
    grid[row, column] = True


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
    edge, row, column = walked(before_rc, corners_rc.reshape(-1, 2), cells)
    return edge // corners_rc.shape[1], row, column


def walked(a_rc: Ints, b_rc: Ints, cells: int) -> tuple[Ints, Ints, Ints]:
    """Line, row and column of every point of Bresenham lines from (N, 2) to (N, 2).

    They are cut at the border; what misses the grid may leave points beside it.
    """
    a_rc, b_rc = _cut(a_rc, b_rc, cells)
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
    return edge, row, column


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


def on_grid(item: Ints, row: Ints, column: Ints, cells: int) -> tuple[Ints, Ints, Ints]:
    """Those of the cells that lie on the grid, and whose they are."""
    there = (row >= 0) & (row < cells) & (column >= 0) & (column < cells)
    return item[there], row[there], column[there]


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """Every item repeated as often as counted: its index, and a running number within the item."""
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, within
