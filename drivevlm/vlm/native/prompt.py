"""A request as the tensors that our network takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from drivevlm.model.config import ModelError
from drivevlm.model.pooling import Grid
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.native.conversation import adds_beginning, written
from drivevlm.vlm.native.features import picture_digest
from drivevlm.vlm.seam import Request, VLMError


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One request, in the CPU's memory. L tokens, N images.

    Attributes:
        ids: (L,) words, and a place for every visual token.
        digests: Of each image's pixels.
        pixels: (3, H, W) uint8 of each image.
        rays: (6, h, w) of the cells of each image, or None.
        ages_s: (N,) of each image.
        grids: Rows and columns of each image's tokens.
    """

    ids: Tensor
    digests: tuple[str, ...]
    pixels: tuple[Tensor, ...]
    rays: tuple[Tensor | None, ...]
    ages_s: Tensor
    grids: tuple[Grid, ...]


def prompt_of(chat: Chat, request: Request) -> Prompt:
    """Write and measure a request. Raises VLMError where template or processor refuse it."""
    told = written(chat, request)
    try:
        inputs = chat.processor(
            text=[told.text],
            images=[[image.image_rgb for image in told.images]],
            rays=[[image.rays for image in told.images]],
            ages_s=[told.ages_s],
            labels=[told.labels],
            padding=False,
            add_special_tokens=adds_beginning(chat, told.text),
        )
    except ModelError as error:
        raise VLMError(str(error)) from error
    return Prompt(
        ids=inputs["input_ids"][0],
        digests=tuple(picture_digest(image.image_rgb) for image in told.images),
        pixels=tuple(inputs.get("pixel_values", ())),
        rays=tuple(inputs.get("rays", ())),
        ages_s=inputs.get("ages_s", torch.zeros(0)),
        grids=tuple(inputs.get("grids", ())),
    )
