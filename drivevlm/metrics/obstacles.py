"""What stands in the ego's way at each step, and whether a path touches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.footprints import Footprints
from drivevlm.metrics.raster import Bools, Grid, Ints, fill
from drivevlm.world.pose import Floats
from drivevlm.world.truth import FUTURE_STEPS

# T: steps, S: cells along a side of the grid, B: cells under the ego. Axes: x right, y ahead.


class Obstacles(Protocol):
    """Everything that can be hit, by step."""

    def hits(self, xy_m: Floats) -> Bools:
        """(T,) whether the ego touches something, its point being at (T, 2) in these axes."""


@dataclass(frozen=True, slots=True)
class EgoBox:
    """The ego's outline round the point whose path is scored.

    Attributes:
        length_m, width_m: Of the box.
        ahead_m: From the point to the box's centre.
    """

    length_m: float
    width_m: float
    ahead_m: float


@dataclass(frozen=True, slots=True)
class GridRule:
    """How a protocol draws road users and the ego on a grid.

    The ego is a block of cells that never turns: the lattice points in its box when it stands at
    the origin. The block is moved by the path, cut to whole cells and glued to the border when it
    leaves the grid.

    Attributes:
        grid: The cells.
        ego: The block's outline.
        ahead_first: Row 0 lies far ahead, not far behind. Cutting then works the other way round:
            at exact multiples of a cell, a stop among them, the block sits one cell further back.
    """

    grid: Grid
    ego: EgoBox
    ahead_first: bool

    def obstacles(self, footprints: Footprints) -> GridObstacles:
        """Draw the road users."""
        x_m, y_m = np.moveaxis(footprints.corners_m(), -1, 0)
        rows_m = -y_m if self.ahead_first else y_m
        corners_rc = self.grid.lattice(np.stack([rows_m, x_m], axis=-1))
        drawn = fill(corners_rc, footprints.step, layers=FUTURE_STEPS, cells=self.grid.cells)
        return GridObstacles.from_grid(drawn, self)

    def block(self) -> Ints:
        """(B, 2) ahead and aside index of the ego's cells when it stands at the origin."""
        half = np.array([self.ego.length_m / 2, self.ego.width_m / 2])
        centre_m = np.array([self.ego.ahead_m, 0.0])
        first_centre_m = self.grid.cell_m / 2 - self.grid.half_m
        low = np.ceil((centre_m - half - first_centre_m) / self.grid.cell_m).astype(np.int64)
        high = np.floor((centre_m + half - first_centre_m) / self.grid.cell_m).astype(np.int64)
        ahead, aside = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
        return np.stack([ahead.ravel(), aside.ravel()], axis=-1)

    def cells(self, xy_m: Floats) -> tuple[Ints, Ints]:
        """(T, B) rows and (T, B) columns under the ego, its point being at (T, 2)."""
        block = self.block()
        ahead = xy_m[:, 1:] / self.grid.cell_m + block[:, 0]
        aside = xy_m[:, :1] / self.grid.cell_m + block[:, 1]
        row = self.grid.cells - ahead if self.ahead_first else ahead
        last = self.grid.cells - 1
        return (
            np.clip(np.trunc(row), 0, last).astype(np.int64),
            np.clip(np.trunc(aside), 0, last).astype(np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class GridObstacles:
    """Occupied cells, one bit each.

    Attributes:
        packed: (T, ceil(S * S / 8)) bits of the grids, row by row, the highest bit first.
        rule: How the ego is laid over them.
    """

    packed: NDArray[np.uint8]
    rule: GridRule

    @classmethod
    def from_grid(cls, occupied: Bools, rule: GridRule) -> GridObstacles:
        """From (T, S, S) cells."""
        return cls(np.packbits(occupied.reshape(len(occupied), -1), axis=-1), rule)

    def grid(self) -> Bools:
        """(T, S, S) cells."""
        side = self.rule.grid.cells
        bits = np.unpackbits(self.packed, axis=-1, count=side * side)
        return bits.reshape(-1, side, side).astype(np.bool_)

    def hits(self, xy_m: Floats) -> Bools:
        """(T,) whether one of the ego's cells is occupied."""
        row, column = self.rule.cells(xy_m)
        at = row * self.rule.grid.cells + column
        byte = self.packed[np.arange(len(xy_m))[:, None], at >> 3]
        return np.asarray(((byte >> (7 - (at & 7)).astype(np.uint8)) & 1).any(axis=1))
