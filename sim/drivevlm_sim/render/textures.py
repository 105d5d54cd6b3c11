"""One array of small textures made by numpy: no picture file is shipped."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.render.shapes import Layer, vec

# N: pixels along a side. Row 0 is the top of a picture until ``texture_array`` turns them over.
SIDE_PX = 256
ONE = 204
"""This value leaves a colour as it is; brighter ones make room for light spots."""
WINDOWS = 4
"""Windows along a facade's texture, and floors up it."""
WINDOW_M, FLOOR_M = 2.6, 3.1

SIGN_CELLS = {
    "stop": 0,
    "yield": 1,
    **{f"limit_{kmh}": 2 + k for k, kmh in enumerate(range(20, 81, 5))},
}
"""Places of the signs in their layer, row by row."""
_CELLS = 4

_FONT = {
    "S": "01110 10001 10000 01110 00001 10001 01110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
}


@cache
def texture_array() -> NDArray[np.uint8]:
    """(L, N, N, 4): grey or colour factors, and in a facade's alpha 0 where a window is lit."""
    rng = np.random.default_rng(11)
    layers = np.full((max(Layer) + 1, SIDE_PX, SIDE_PX, 4), ONE, dtype=np.uint8)
    layers[..., 3] = 255
    grey = {
        Layer.ASPHALT: _asphalt(rng),
        Layer.SIDEWALK: _slabs(rng),
        Layer.GRASS: 0.60 + _noise(rng, (4, 16, 64, 128), (0.22, 0.18, 0.25, 0.25)),
        Layer.LEAVES: 0.20 + _noise(rng, (8, 32, 64, 128), (0.35, 0.5, 0.45, 0.3)),
        Layer.CLOUDS: _noise(rng, (4, 8, 16, 32), (0.5, 0.3, 0.18, 0.1)),
    }
    for layer, factor in grey.items():
        layers[layer, ..., :3] = _bytes(factor)[..., None]
    for k in range(Layer.SHOP - Layer.FACADE):
        layers[Layer.FACADE + k] = _facade(rng, k)
    layers[Layer.SHOP] = _shops(rng)
    layers[Layer.SIGNS, ..., :3] = _bytes(_signs())
    return np.ascontiguousarray(layers[:, ::-1])


def sign_uv(cell: str, unit: Floats) -> Floats:
    """Texture places of points (..., 2) of a sign's square, y up, each 0..1."""
    row, column = divmod(SIGN_CELLS[cell], _CELLS)
    return (unit + vec(column, _CELLS - 1 - row)) / _CELLS


def _bytes(factor: Floats) -> NDArray[np.uint8]:
    return np.clip(np.asarray(factor) * ONE, 0, 255).astype(np.uint8)


def _noise(rng: Generator, cells: tuple[int, ...], weights: tuple[float, ...]) -> Floats:
    """(N, N) smooth noise that tiles: for each scale its number of cells and its weight."""
    total = np.zeros((SIDE_PX, SIDE_PX))
    for count, weight in zip(cells, weights, strict=True):
        grid = np.pad(rng.random((count, count)), ((0, 1), (0, 1)), mode="wrap")
        place = np.arange(SIDE_PX) * count / SIDE_PX
        cell = place.astype(int)
        part = place - cell
        part = part * part * (3 - 2 * part)
        rows = grid[cell] * (1 - part)[:, None] + grid[cell + 1] * part[:, None]
        total += weight * (rows[:, cell] * (1 - part) + rows[:, cell + 1] * part)
    return total


def _asphalt(rng: Generator) -> Floats:
    factor = 0.82 + _noise(rng, (4, 16, 128), (0.16, 0.08, 0.14))
    factor[rng.random(factor.shape) < 0.03] *= 1.18
    # A few sealed cracks.
    for _ in range(3):
        x = rng.integers(0, SIDE_PX)
        wander = np.cumsum(rng.integers(-1, 2, SIDE_PX))
        for thick in range(2):
            factor[np.arange(SIDE_PX), (x + wander + thick) % SIDE_PX] *= 0.72
    return factor


def _slabs(rng: Generator) -> Floats:
    factor = 0.88 + _noise(rng, (8, 64), (0.14, 0.08))
    tone = 0.94 + 0.1 * rng.random((4, 4))
    factor *= np.kron(tone, np.ones((SIDE_PX // 4, SIDE_PX // 4)))
    joint = np.arange(SIDE_PX) % (SIDE_PX // 4) < 2
    factor[joint] *= 0.70
    factor[:, joint] *= 0.70
    return factor


def _facade(rng: Generator, kind: int) -> NDArray[np.uint8]:
    """A wall with WINDOWS x WINDOWS windows of one of three styles."""
    wide, high = (
        ((0.24, 0.76), (0.10, 0.90), (0.30, 0.70))[kind],
        ((0.20, 0.78), (0.30, 0.80), (0.16, 0.84))[kind],
    )
    factor = np.repeat((0.90 + _noise(rng, (8, 64), (0.12, 0.06)))[..., None], 3, axis=2)
    alpha = np.full((SIDE_PX, SIDE_PX), 255, dtype=np.uint8)
    cell = SIDE_PX // WINDOWS
    if kind == 1:
        factor[:: cell // 2] *= 0.9
    for i in range(WINDOWS):
        for j in range(WINDOWS):
            top, bottom = (round((i + edge) * cell) for edge in high)
            left, right = (round((j + edge) * cell) for edge in wide)
            factor[top - 3 : bottom + 3, left - 3 : right + 3] *= 1.12
            pane = np.array([0.16, 0.20, 0.25]) + rng.random() * np.array([0.16, 0.20, 0.24])
            shade = np.linspace(1.25, 0.8, bottom - top)[:, None, None]
            factor[top:bottom, left:right] = pane * shade
            middle = (left + right) // 2
            factor[top:bottom, middle - 1 : middle + 1] = 0.75
            factor[top : top + 2, left:right] *= 0.5
            factor[bottom : bottom + 3, left - 4 : right + 4] = 1.1
            if rng.random() < 0.3:
                alpha[top:bottom, left:right] = 0
    return np.concatenate([_bytes(factor), alpha[..., None]], axis=2)


def _shops(rng: Generator) -> NDArray[np.uint8]:
    """The ground floor: two shop windows with signboards, a door between."""
    factor = np.repeat((0.80 + _noise(rng, (8, 64), (0.12, 0.06)))[..., None], 3, axis=2)
    alpha = np.full((SIDE_PX, SIDE_PX), 255, dtype=np.uint8)
    half = SIDE_PX // 2
    for k, board in enumerate(((0.75, 0.20, 0.15), (0.15, 0.35, 0.65))):
        left = k * half + 10
        factor[30:70, left : left + half - 20] = board
        factor[84:220, left : left + half - 48] = np.array([0.20, 0.23, 0.27]) * 1.2
        factor[84:240, left + half - 40 : left + half - 20] = (0.22, 0.16, 0.12)
        for x in (left, left + (half - 48) // 2, left + half - 50):
            factor[84:220, x : x + 3] = 0.6
        alpha[84:220, left : left + half - 48] = 40 if k else 160
    return np.concatenate([_bytes(factor), alpha[..., None]], axis=2)


def _signs() -> Floats:
    """Colours of all signs; a cell's border colour fills it, so that far signs stay pure."""
    side = SIDE_PX // _CELLS
    atlas = np.ones((SIDE_PX, SIDE_PX, 3))
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1
    for name, place in SIGN_CELLS.items():
        cell = np.ones((side, side, 3))
        if name == "stop":
            cell[:] = (0.62, 0.015, 0.02)
            turned = np.stack([np.abs(x), np.abs(y), (np.abs(x) + np.abs(y)) / np.sqrt(2)])
            rim = turned.max(axis=0)
            cell[(rim > 0.84) & (rim < 0.91)] = 1.0
            _write(cell, "STOP", 2)
        elif name == "yield":
            # The triangle's tip points down; its inner part is white.
            depth = np.minimum.reduce(
                [0.5 + y, *(0.5 - y / 2 + s * x * np.sqrt(3) / 2 for s in (-1, 1))]
            )
            cell[depth < 0.22] = (0.62, 0.015, 0.02)
        else:
            cell[np.hypot(x, y) > 0.74] = (0.62, 0.015, 0.02)
            _write(cell, name.removeprefix("limit_"), 3)
        row, column = divmod(place, _CELLS)
        atlas[row * side : (row + 1) * side, column * side : (column + 1) * side] = cell
    return atlas


def _write(cell: Floats, text: str, scale: int) -> None:
    """Put letters in the middle: white on red, black on white."""
    ink = 1.0 if text == "STOP" else 0.02
    glyphs = [np.array([[int(bit) for bit in row] for row in _FONT[c].split()]) for c in text]
    line = np.concatenate([np.pad(glyph, ((0, 0), (0, 1))) for glyph in glyphs], axis=1)[:, :-1]
    pixels = np.kron(line, np.ones((scale * 2 if text == "STOP" else scale, scale))) > 0
    top, left = ((cell.shape[k] - pixels.shape[k]) // 2 for k in (0, 1))
    cell[top : top + pixels.shape[0], left : left + pixels.shape[1]][pixels] = ink
