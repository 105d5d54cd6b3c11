"""From a map of cells to a grid of tokens: five ways with one interface.

Each takes cells (N, W, h, w) of any h and w and a grid (rows, columns), and gives (N, W, rows,
columns).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from drivevlm.model.config import Pooling, ProjectorConfig

Grid = tuple[int, int]
_SCORE_LIMIT = 8.0
"""Attention scores stay within +-8, so that no window of an image is left without weight."""


class AveragePool(nn.Module):
    """The mean of each window."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()

    def forward(self, cells: Tensor, grid: Grid) -> Tensor:
        """Means of windows."""
        return functional.adaptive_avg_pool2d(cells, grid)


class AttentionPool(nn.Module):
    """A weighted mean of each window: a few cells, say a lit lamp, may outweigh the rest."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.scores = nn.Conv2d(config.width, config.heads, 1)
        self.values = nn.Conv2d(config.width, config.width, 1)

    def forward(self, cells: Tensor, grid: Grid) -> Tensor:
        """Weighted means of windows, weights per head."""
        bounded = _SCORE_LIMIT * torch.tanh(self.scores(cells).float() / _SCORE_LIMIT)
        weights = bounded.exp().repeat_interleave(cells.shape[1] // self.heads, dim=1)
        weighed = functional.adaptive_avg_pool2d(weights * self.values(cells), grid)
        return (weighed / functional.adaptive_avg_pool2d(weights, grid)).to(cells.dtype)


class UnshufflePool(nn.Module):
    """The means of ``unshuffle`` squared parts of each window, side by side, through an MLP."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.factor = config.unshuffle
        self.mlp = nn.Sequential(
            nn.Conv2d(config.width * self.factor**2, config.width, 1),
            nn.GELU(),
            nn.Conv2d(config.width, config.width, 1),
        )

    def forward(self, cells: Tensor, grid: Grid) -> Tensor:
        """One MLP over each window's parts."""
        rows, columns = grid
        parts = functional.adaptive_avg_pool2d(cells, (rows * self.factor, columns * self.factor))
        pooled: Tensor = self.mlp(functional.pixel_unshuffle(parts, self.factor))
        return pooled


class _ConvBlock(nn.Module):
    """Look around within each channel, then mix the channels; added to what came."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1)
        )

    def forward(self, cells: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.norm(self.around(cells)))
        return cells + mixed


class AbstractorPool(nn.Module):
    """Convolutions, means of windows, convolutions (after Honeybee's C-Abstractor)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.before = nn.Sequential(*(_ConvBlock(config.width) for _ in range(config.layers)))
        self.after = nn.Sequential(*(_ConvBlock(config.width) for _ in range(config.layers)))

    def forward(self, cells: Tensor, grid: Grid) -> Tensor:
        """Convolve, pool, convolve."""
        pooled: Tensor = self.after(functional.adaptive_avg_pool2d(self.before(cells), grid))
        return pooled


class ResamplerPool(nn.Module):
    """Queries at the grid's places look at all cells of the image; both know where they lie."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.query = nn.Embedding(1, config.width)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                config.width,
                config.heads,
                2 * config.width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )

    def forward(self, cells: Tensor, grid: Grid) -> Tensor:
        """Cross-attention from the grid to the cells."""
        width = cells.shape[1]
        seen = cells.flatten(2).mT + _places(cells.shape[-2:], width).to(cells)
        asked = self.query.weight + _places(grid, width).to(cells)
        tokens = asked.expand(len(cells), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, seen)
        return tokens.mT.reshape(*tokens.mT.shape[:2], *grid)


def _places(size: Any, width: int) -> Tensor:
    """(h * w, width) sines and cosines of the cell centres' places within the image."""
    waves = math.pi * 2.0 ** torch.linspace(0, 5, width // 4)
    rows, columns = ((torch.arange(n) + 0.5) / n for n in size)
    down, right = (torch.outer(places, waves) for places in (rows, columns))
    down = down[:, None].expand(-1, len(columns), -1)
    right = right[None].expand(len(rows), -1, -1)
    return torch.cat([down.sin(), down.cos(), right.sin(), right.cos()], dim=-1).flatten(0, 1)


POOLS = {
    Pooling.AVERAGE: AveragePool,
    Pooling.ATTENTION: AttentionPool,
    Pooling.MLP: UnshufflePool,
    Pooling.ABSTRACTOR: AbstractorPool,
    Pooling.RESAMPLER: ResamplerPool,
}
