"""Surfaces made of cells: what is drawn on a grid, and which cells lie under the ego."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.footprints import Footprints
from drivevlm.metrics.raster import Bools, Grid, Ints, fill
from drivevlm.metrics.surface import Arrays, EgoBox, Paths
from drivevlm.world.pose import Floats
from drivevlm.world.truth import FUTURE_STEPS, Truth

# N: clips, T: steps, L: layers (T, or 1 where all steps share one), S: cells along a side,
# B: cells under the ego.

WORD_BYTES = 8
TOGETHER = 128
"""The ego's cells are laid out for so many clips at once."""


@dataclass(frozen=True, slots=True)
class GridSurface:
    """Cells that are drawn, and the ego's cells laid over them.

    Attributes:
        grid: The cells.
        draw: (L, S, S) occupied cells of a clip.
        cells: (N, T, B) rows and columns under the ego, on the grid.
        layers: L.
        off: The ego touches where a cell under it is *not* drawn: it leaves an area.
    """

    grid: Grid
    draw: Callable[[Truth], Bools]
    cells: Callable[[Paths], tuple[Ints, Ints]]
    layers: int = FUTURE_STEPS
    off: bool = False

    def prepare(self, truth: Truth) -> bytes:
        """One clip's cells, packed and compressed."""
        return packed(self.draw(truth))

    def join(self, parts: Sequence[bytes]) -> GridLayer:
        """The layer of as many clips."""
        ends = np.cumsum([0, *map(len, parts)])
        return GridLayer(self, np.frombuffer(b"".join(parts), np.uint8), ends)

    def load(self, arrays: Arrays) -> GridLayer:
        """A layer from its plain arrays."""
        return GridLayer(self, arrays["blob"], arrays["ends"])


def packed(drawn: Bools) -> bytes:
    """Cells (L, S, S) as the words of their bits that are not 0, and where those stand.

    Most of a grid is empty: words leave little to decompress, and that takes most of the time.
    """
    bits = np.packbits(drawn.reshape(len(drawn), -1), axis=-1)
    words = np.pad(bits, ((0, 0), (0, -bits.shape[1] % WORD_BYTES))).reshape(-1).view(np.uint64)
    at = np.flatnonzero(words)
    return zlib.compress(words[at].tobytes() + at.astype(np.uint32).tobytes(), 1)


@dataclass(frozen=True, slots=True, eq=False)
class GridLayer:
    """Occupied cells of N clips.

    Attributes:
        surface: How the ego is laid over them.
        blob: The clips' packed and compressed cells, one after the other.
        ends: (N + 1,) where each begins and ends.
    """

    surface: GridSurface
    blob: NDArray[np.uint8]
    ends: Ints

    def touched(self, paths: Paths) -> Bools:
        """(N, T) whether one of the ego's cells is occupied, or with ``off`` is free."""
        hit = np.zeros(paths.yaw_rad.shape, dtype=np.bool_)
        layer = np.arange(hit.shape[1])[:, None] if self.surface.layers > 1 else 0
        for first in range(0, len(hit), TOGETHER):
            rows = slice(first, first + TOGETHER)
            row, column = self.surface.cells(Paths(paths.xy_m[rows], paths.yaw_rad[rows]))
            at = row * self.surface.grid.cells + column
            byte, mask = at >> 3, (128 >> (at & 7)).astype(np.uint8)
            for k in range(len(at)):
                drawn = self._bits(first + k)[layer, byte[k]] & mask[k]
                met = (drawn == 0) if self.surface.off else (drawn != 0)
                hit[first + k] = met.any(axis=-1)
        return hit

    def grid(self, clip: int) -> Bools:
        """(L, S, S) cells of one clip."""
        side = self.surface.grid.cells
        bits = np.unpackbits(self._bits(clip), axis=-1, count=side * side)
        return bits.reshape(-1, side, side).astype(np.bool_)

    def take(self, rows: Ints) -> GridLayer:
        """The layer of some of the clips."""
        own = [self.blob[self.ends[i] : self.ends[i + 1]] for i in rows]
        ends = np.cumsum([0, *map(len, own)])
        return GridLayer(self.surface, np.concatenate([self.blob[:0], *own]), ends)

    def arrays(self) -> Arrays:
        """All of it as plain arrays."""
        return {"blob": self.blob, "ends": self.ends}

    def _bits(self, clip: int) -> NDArray[np.uint8]:
        """(L, bytes of a grid) of one clip; the highest bit of a byte is its first cell."""
        raw = zlib.decompress(self.blob[self.ends[clip] : self.ends[clip + 1]].tobytes())
        count = len(raw) // (WORD_BYTES + 4)
        bytes_of_grid = -(-(self.surface.grid.cells**2) // 64) * WORD_BYTES
        words = np.zeros(self.surface.layers * bytes_of_grid // WORD_BYTES, dtype=np.uint64)
        at = np.frombuffer(raw, np.uint32, count, offset=count * WORD_BYTES)
        words[at] = np.frombuffer(raw, np.uint64, count)
        return words.view(np.uint8).reshape(self.surface.layers, -1)


@dataclass(frozen=True, slots=True)
class Block:
    """The ego as a block of cells that never turns, in the lidar's axes.

    It is the lattice points in the ego's box when it stands at the origin. The block is moved by
    the path, cut to whole cells and glued to the border when it leaves the grid.

    Attributes:
        grid: The cells.
        ego: The block's outline.
        ahead_first: Row 0 lies far ahead, not far behind. Cutting then works the other way round:
            at exact multiples of a cell, a stop among them, the block sits one cell further back.
    """

    grid: Grid
    ego: EgoBox
    ahead_first: bool = False

    def block(self) -> Ints:
        """(B, 2) ahead and aside index of the ego's cells when it stands at the origin."""
        half = np.array([self.ego.length_m / 2, self.ego.width_m / 2])
        centre_m = np.array([self.ego.ahead_m, 0.0])
        first_centre_m = self.grid.cell_m / 2 - self.grid.half_m
        low = np.ceil((centre_m - half - first_centre_m) / self.grid.cell_m).astype(np.int64)
        high = np.floor((centre_m + half - first_centre_m) / self.grid.cell_m).astype(np.int64)
        ahead, aside = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
        return np.stack([ahead.ravel(), aside.ravel()], axis=-1)

    def cells(self, paths: Paths) -> tuple[Ints, Ints]:
        """(N, T, B) rows and columns under the ego."""
        block = self.block()
        ahead: Floats = paths.xy_m[..., 1:] / self.grid.cell_m + block[:, 0]
        aside: Floats = paths.xy_m[..., :1] / self.grid.cell_m + block[:, 1]
        row = self.grid.cells - ahead if self.ahead_first else ahead
        return on_grid(row, self.grid.cells), on_grid(aside, self.grid.cells)

    def drawn(self, footprints: Footprints) -> Bools:
        """(T, S, S) cells of road users, on rounded corners."""
        x_m, y_m = np.moveaxis(footprints.corners_m(), -1, 0)
        rows_m = -y_m if self.ahead_first else y_m
        corners_rc = self.grid.lattice(np.stack([rows_m, x_m], axis=-1))
        return fill(corners_rc, footprints.step, layers=FUTURE_STEPS, cells=self.grid.cells)

    def surface(self, agents: Callable[[Truth], Footprints]) -> GridSurface:
        """These road users under this block."""
        return GridSurface(self.grid, lambda truth: self.drawn(agents(truth)), self.cells)


def on_grid(at: Floats, cells: int) -> Ints:
    """Cell numbers cut towards zero and glued to the border."""
    return np.clip(np.trunc(at), 0, cells - 1).astype(np.int64)
