"""The ego on a fine grid, turned by its heading: a rounded block of cells, and a drawn box.

Both are laid over a grid whose rows count to the left and whose columns count ahead, in the ego's
axes of decision time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.footprints import Footprints, Precision
from drivevlm.metrics.grids import Block, on_grid
from drivevlm.metrics.raster import Grid, Ints, covered
from drivevlm.metrics.surface import EgoBox, Paths
from drivevlm.world.pose import Floats

# N: clips, T: steps, B: cells under the ego, M: footprints.

FINE_GRID = Grid(cell_m=0.1, cells=1000)
CELL_M = float(np.float32(0.1))
FIRST_CENTRE_M = float(np.float32(-49.95))
"""The peers keep the grid in single precision: a border lies some micrometres beside its number,
and that decides to which cell a multiple of 0.05 m belongs."""
LIDAR_AHEAD_M = 0.985793
"""From the rear axle to the lidar, the same for every vehicle and clip."""
MOVES_M = 1.0


def step_headings_rad(xy_m: Floats, *, precision: Precision) -> Floats:
    """(N, T) direction of each step; 0, as the ego stands now, where a step is under 1 m.

    So a car slower than 2 m/s is drawn unturned, even in the middle of a turn.
    """
    step_m: NDArray[Any] = _steps(xy_m.astype(precision))
    length_m = np.sqrt(step_m[..., 0] ** 2 + step_m[..., 1] ** 2)
    headings = np.arctan2(step_m[..., 1], step_m[..., 0])
    return np.where(length_m >= MOVES_M, headings, 0.0).astype(np.float64)


def tangents_rad(xy_m: Floats) -> Floats:
    """(N, T) direction of each step, however short."""
    step_m = _steps(xy_m)
    return np.asarray(np.arctan2(step_m[..., 1], step_m[..., 0]))


def _steps(xy_m: NDArray[Any]) -> NDArray[Any]:
    return np.diff(xy_m, axis=-2, prepend=np.zeros_like(xy_m[..., :1, :]))


@dataclass(frozen=True, slots=True)
class TurnedBlock:
    """The lattice points in the ego's box, turned about the ego's origin and rounded to cells.

    The turned block is moved by the path, cut to whole cells and glued to the border. Rounding
    leaves holes in it: it has as many cells as the unturned block, on a larger outline.

    Attributes:
        grid: The cells.
        ego: The block's outline when it stands at the origin.
        precision: Of the path.
    """

    grid: Grid
    ego: EgoBox
    precision: Precision

    def cells(self, paths: Paths) -> tuple[Ints, Ints]:
        """(N, T, B) rows and columns under the ego."""
        middle = self.grid.cells / 2 - 0.5
        ahead, left = (Block(self.grid, self.ego).block() - middle).T
        cos, sin = (f(paths.yaw_rad)[..., None].astype(np.float32) for f in (np.cos, np.sin))
        given: NDArray[Any] = paths.xy_m.astype(self.precision)
        moved = (given / self.precision(CELL_M)).astype(np.float64)
        column = np.rint(ahead * cos - left * sin + middle) + moved[..., :1]
        row = np.rint(ahead * sin + left * cos + middle) + moved[..., 1:]
        return on_grid(row, self.grid.cells), on_grid(column, self.grid.cells)


MARGIN = 1
"""Cells round the grid on which a drawn box lands where it leaves the grid."""


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """The ego's box, filled cell by cell like other road users; what is off the grid is not drawn.

    Its cells are those of a grid with a margin (``MARGIN``) round it, so that a cell off the grid
    has a place.

    Attributes:
        grid: The cells, without the margin.
        ego: The outline. It turns about its own centre, which stays ``ahead_m`` ahead in the axes
            of decision time.
    """

    grid: Grid
    ego: EgoBox

    def cells(self, paths: Paths) -> tuple[Ints, Ints]:
        """(N, T, B) rows and columns under the ego; a step with fewer cells repeats one."""
        yaw_rad = paths.yaw_rad.reshape(-1)
        center_m = paths.xy_m.reshape(-1, 2) + np.array([self.ego.ahead_m, 0.0])
        size_lw_m = np.broadcast_to([self.ego.length_m, self.ego.width_m], center_m.shape)
        boxes = Footprints(np.zeros(len(yaw_rad), np.int64), center_m, yaw_rad, size_lw_m)
        row, column = covered(rounded_rc(boxes.corners_m()), cells=self.grid.cells)
        shape = (*paths.yaw_rad.shape, row.shape[1])
        return row.reshape(shape) + MARGIN, column.reshape(shape) + MARGIN


def rounded_rc(corners_m: Floats) -> Ints:
    """(M, V, 2) nearest row (left) and column (ahead) of corners (M, V, 2) ahead and left."""
    at = (corners_m - FIRST_CENTRE_M + CELL_M / 2) / CELL_M
    return np.asarray(np.round(at)[..., ::-1], dtype=np.int64)


def cut_rc(corners_m: Floats) -> Ints:
    """(M, V, 2) row (left) and column (ahead) of corners (M, V, 2), cut towards zero."""
    at = (corners_m - FIRST_CENTRE_M) / CELL_M
    return np.asarray(np.trunc(at)[..., ::-1], dtype=np.int64)
