"""Where each cell of an image looks, from where, and how long ago: as numbers a network can use.

Rays are (6, h, w): unit direction and origin in metres, in a frame of the sender's choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_DIRECTION_WAVES = (2.0, 1.0, 0.5, 0.25, 0.125)  # of a unit vector's component
_ORIGIN_WAVES_M = (64.0, 16.0, 4.0, 1.0)
_AGE_WAVES_S = (16.0, 4.0, 1.0)
_ORIGIN_SCALE_M = 10.0
_NUMBERS = 3 * (1 + 2 * len(_DIRECTION_WAVES)) + 3 * (1 + 2 * len(_ORIGIN_WAVES_M))
_NUMBERS += 1 + 1 + 2 * len(_AGE_WAVES_S)  # whether rays are known; the age


def cell_rays(pixel_rays: Tensor, cell_px: int) -> Tensor:
    """Rays (6, h, w) of the cells of an image from those of its pixels (H, W, 6).

    A cell at the right or lower edge takes the mean of the pixels it has.
    """
    channels = pixel_rays.permute(2, 0, 1).float()[None]
    pooled = functional.avg_pool2d(channels, cell_px, ceil_mode=True, count_include_pad=False)
    return _unit_directions(pooled)[0]


def pooled_rays(rays: Tensor, grid: tuple[int, int]) -> Tensor:
    """Rays (N, 6, rows, columns) of tokens from those of cells (N, 6, h, w)."""
    return _unit_directions(functional.adaptive_avg_pool2d(rays, grid))


def _unit_directions(rays: Tensor) -> Tensor:
    return torch.cat([functional.normalize(rays[:, :3], dim=1), rays[:, 3:]], dim=1)


class GeometryEmbedding(nn.Module):
    """One vector per cell from its ray and its image's age.

    Where rays are unknown, the vector tells the age, and that they are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(_NUMBERS, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, rays: Tensor | None, ages_s: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, width, h, w) of rays (N, 6, h, w) and ages (N,); ``size`` is h and w."""
        ages = ages_s.float()[:, None, None, None].expand(-1, *size, 1)
        age = torch.cat([ages / _AGE_WAVES_S[0], *_waves(ages, _AGE_WAVES_S)], dim=-1)
        if rays is None:
            numbers = functional.pad(age, (_NUMBERS - age.shape[-1], 0))
        else:
            known = rays.float().permute(0, 2, 3, 1)
            directions, origins_m = known[..., :3], known[..., 3:]
            pieces = [torch.ones_like(ages), directions, *_waves(directions, _DIRECTION_WAVES)]
            pieces += [origins_m / _ORIGIN_SCALE_M, *_waves(origins_m, _ORIGIN_WAVES_M), age]
            numbers = torch.cat(pieces, dim=-1)
        embedded: Tensor = self.layers(numbers.to(next(self.parameters()).dtype))
        return embedded.permute(0, 3, 1, 2)


def _waves(values: Tensor, lengths: tuple[float, ...]) -> list[Tensor]:
    phases = [values * (2 * math.pi / length) for length in lengths]
    return [wave(phase) for phase in phases for wave in (torch.sin, torch.cos)]
