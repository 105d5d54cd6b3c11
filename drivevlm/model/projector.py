"""From feature maps, rays and ages of images to tokens of the language model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from drivevlm.model.config import ModelError, ProjectorConfig
from drivevlm.model.geometry import GeometryEmbedding, pooled_rays
from drivevlm.model.pooling import POOLS, Grid


class Projector(nn.Module):
    """Tokens of each image by itself: no image's tokens depend on which others come with it.

    The geometry is told twice: finely, to the cells before they are pooled, and to each token.

    Args:
        config: Kind and sizes.
        channels: Of a cell.
        token_width: Of the language model.
    """

    def __init__(self, config: ProjectorConfig, *, channels: int, token_width: int) -> None:
        super().__init__()
        # Encoders differ in scale, and so do their strides: Lite0's numbers spread by 11 and 6.
        self.lift = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, config.width))
        self.cell_geometry = GeometryEmbedding(config.width)
        self.pool = POOLS[config.pooling](config)
        self.head = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, token_width),
            nn.GELU(),
            nn.Linear(token_width, token_width),
        )
        self.token_geometry = GeometryEmbedding(token_width)
        self.norm = nn.LayerNorm(token_width)
        self.token_size: Tensor
        self.register_buffer("token_size", torch.tensor(0.02))
        """Root mean square of a fresh token's numbers: that of the word embeddings."""

    def forward(
        self,
        features: Sequence[Tensor],
        rays: Sequence[Tensor | None],
        ages_s: Tensor,
        grids: Sequence[Grid],
    ) -> list[Tensor]:
        """(rows * columns, D) tokens of each image.

        Args:
            features: (C, h, w) of each image.
            rays: (6, h, w) of its cells, or None where unknown.
            ages_s: (N,) seconds.
            grids: Rows and columns of its tokens.
        """
        count = len(features)
        if not count == len(rays) == len(ages_s) == len(grids):
            raise ModelError(
                f"{count} feature maps come with {len(rays)} rays, {len(ages_s)} ages and "
                f"{len(grids)} grids: there must be one of each for every image"
            )
        for index, (cells, ray) in enumerate(zip(features, rays, strict=True)):
            if ray is not None and ray.shape != (6, *cells.shape[1:]):
                raise ModelError(
                    f"image {index}: rays must be {(6, *cells.shape[1:])}, one for each cell, "
                    f"got {tuple(ray.shape)}"
                )
        # Images of one size and one grid are projected together.
        kinds = [
            (tuple(f.shape), g, r is None) for f, g, r in zip(features, grids, rays, strict=True)
        ]
        order = sorted(range(count), key=kinds.__getitem__)
        tokens: list[Tensor] = [ages_s] * count
        for (_, grid, blind), indices in groupby(order, key=kinds.__getitem__):
            group = list(indices)
            known = None if blind else torch.stack([r for i in group if (r := rays[i]) is not None])
            cells = torch.stack([features[i].to(self.token_size.dtype) for i in group])
            for index, made in zip(
                group, self._alike(cells, known, ages_s[group], grid), strict=True
            ):
                tokens[index] = made
        return tokens

    def _alike(self, cells: Tensor, rays: Tensor | None, ages_s: Tensor, grid: Grid) -> Tensor:
        """(N, T, D) of cells (N, C, h, w)."""
        height, width = cells.shape[-2:]
        lifted = self.lift(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        told = lifted + self.cell_geometry(rays, ages_s, (height, width))
        pooled = self.pool(told, grid).flatten(2).mT
        coarse = None if rays is None else pooled_rays(rays, grid)
        geometry = self.token_geometry(coarse, ages_s, grid).flatten(2).mT
        tokens: Tensor = self.norm(self.head(pooled) + geometry) * self.token_size
        return tokens
