"""From a prompt with images to what the network takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from drivevlm.model.architecture import budgets_from
from drivevlm.model.config import ModelError, ProjectorConfig
from drivevlm.model.geometry import cell_rays
from drivevlm.model.pooling import Grid

IMAGE_TOKEN = "<image>"


class DriveVLMProcessor(ProcessorMixin):
    """Writes the places of visual tokens into prompts, and makes tensors.

    Pixels stay bytes: the network scales them, so that no second copy of its scale can differ.

    Args:
        tokenizer: Of the language model; it knows ``IMAGE_TOKEN``.
        cell_px: Side of the encoder's coarsest cell.
        budgets: Tokens per image, as in ``ProjectorConfig``, as plain values.
        chat_template: How turns are written.
    """

    def __init__(
        self,
        tokenizer: Any,
        cell_px: int = 16,
        budgets: Sequence[dict[str, Any]] = (),
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template)  # type: ignore[no-untyped-call]
        self.cell_px = cell_px
        self.budgets = list(budgets)
        self._settings = ProjectorConfig(budgets=budgets_from(self.budgets))
        self.tokenizer: Any

    def grid(self, label: str, age_s: float) -> Grid:
        """Rows and columns of the tokens that an image gets."""
        return self._settings.grid(label, age_s)

    def __call__(
        self,
        text: Sequence[str],
        images: Sequence[Sequence[Any]] | None = None,
        rays: Sequence[Sequence[Any]] | None = None,
        ages_s: Sequence[Sequence[float]] | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Inputs of ``DriveVLM`` for a batch of prompts.

        Prompts are padded on the left, so that replies follow all of them.

        Args:
            text: Prompts with one ``IMAGE_TOKEN`` per image.
            images: (H, W, 3) uint8 of each prompt.
            rays: (H, W, 6) of each image's pixels, or None.
            ages_s: Of each image; zero where left out.
            labels: Of each image: a budget may ask for words in it.
            options: Of the tokenizer.

        Raises ModelError where images and places do not match.
        """
        if isinstance(text, str):
            raise ModelError("text must be a list of prompts, got one str")
        rows = images or [[] for _ in text]
        ages = ages_s or [[0.0] * len(row) for row in rows]
        grids = self._grids(text, rows, ages, labels)
        words = [self._with_places(t, g) for t, g in zip(text, grids, strict=True)]
        usual = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        inputs = BatchFeature(dict(self.tokenizer(words, **(usual | options))))
        flat = list(chain.from_iterable(rows))
        if flat:
            inputs["pixel_values"] = [_pixels(image) for image in flat]
            inputs["ages_s"] = torch.tensor(list(chain.from_iterable(ages)), dtype=torch.float32)
            inputs["grids"] = list(chain.from_iterable(grids))
            if rays is not None:
                known = chain.from_iterable(rays)
                inputs["rays"] = [None if r is None else self.cell_rays(r) for r in known]
                if len(inputs["rays"]) != len(flat):
                    raise ModelError(f"{len(flat)} images come with {len(inputs['rays'])} rays")
        return inputs

    def cell_rays(self, pixel_rays: Any) -> Tensor:
        """(6, h, w) rays of the encoder's cells from (H, W, 6) of an image's pixels."""
        return cell_rays(torch.as_tensor(np.asarray(pixel_rays)), self.cell_px)

    def with_places(
        self, text: str, ages_s: Sequence[float], labels: Sequence[str]
    ) -> tuple[str, tuple[Grid, ...]]:
        """One prompt with the place of every visual token, and the grids of its images.

        Raises ModelError where images and places do not match.
        """
        grids = self._grids([text], [labels], [ages_s], [labels])[0]
        return self._with_places(text, grids), tuple(grids)

    def _grids(
        self,
        text: Sequence[str],
        rows: Sequence[Sequence[Any]],
        ages_s: Sequence[Sequence[float]],
        labels: Sequence[Sequence[str]] | None,
    ) -> list[list[Grid]]:
        named = labels or [[""] * len(row) for row in rows]
        counts = [len(row) for row in rows]
        for what, found in (
            ("prompts' places", [t.count(IMAGE_TOKEN) for t in text]),
            ("ages", [len(row) for row in ages_s]),
            ("labels", [len(row) for row in named]),
        ):
            if found != counts:
                raise ModelError(f"images per prompt are {counts}, {what} are {found}")
        return [
            [self.grid(label, age_s) for label, age_s in zip(labels_, row, strict=True)]
            for labels_, row in zip(named, ages_s, strict=True)
        ]

    def _with_places(self, text: str, grids: Sequence[Grid]) -> str:
        pieces = text.split(IMAGE_TOKEN)
        places = [IMAGE_TOKEN * (rows * columns) for rows, columns in grids] + [""]
        return "".join(chain.from_iterable(zip(pieces, places, strict=True)))


def _pixels(image: Any) -> Tensor:
    pixels = np.array(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ModelError(f"an image must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    return torch.from_numpy(pixels).permute(2, 0, 1)
