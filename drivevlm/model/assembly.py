"""A new model out of its parts: published, from folders, or random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from drivevlm.model import storage  # noqa: F401  (the Auto classes know our own by it)
from drivevlm.model.architecture import DriveVLMConfig, plain
from drivevlm.model.config import ModelConfig, ModelError
from drivevlm.model.faults import one_line
from drivevlm.model.network import DriveVLM
from drivevlm.model.parts import colours, language_model, vision_class
from drivevlm.model.processor import IMAGE_TOKEN, DriveVLMProcessor

_hf: Any = transformers
_TRIAL_PX = (64, 96)
_WORDS_MEASURED = 1000


def new_model(
    config: ModelConfig,
    tokenizer: Any,
    *,
    codec_tokens: Sequence[str] = (),
    chat_template: str | None = None,
) -> tuple[DriveVLM, DriveVLMProcessor]:
    """A model and its processor. The tokenizer learns ``IMAGE_TOKEN`` and the codec tokens.

    Raises ModelError where a part cannot be had.
    """
    codec = add_tokens(tokenizer, codec_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        decoder = language_model(config.decoder, tokenizer)
        if len(tokenizer) > decoder.get_input_embeddings().num_embeddings:
            decoder.resize_token_embeddings(len(tokenizer))
        encoder = vision_class(config.encoder)
        mean, std = colours(config.encoder)
        model = DriveVLM(
            DriveVLMConfig(
                vision_config=encoder.config,
                text_config=decoder.config,
                strides=list(config.encoder.strides),
                projector=plain(config.projector),
                image_mean=list(mean),
                image_std=list(std),
                image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
                codec_first_id=codec.start,
                codec_size=len(codec),
            )
        )
    model.vision_encoder.net.load_state_dict(encoder.state_dict(), assign=True)
    model.language_model.load_state_dict(decoder.state_dict(), assign=True)
    model.tie_weights()
    model.projector.token_size.copy_(_word_size(model))
    _set_ends(model, tokenizer)
    processor = DriveVLMProcessor(
        tokenizer,
        cell_px=config.encoder.cell_px,
        budgets=plain(config.projector)["budgets"],
        chat_template=chat_template,
    )
    model.train(False)
    _try_eyes(model)
    return model, processor


def add_tokens(tokenizer: Any, codec_tokens: Sequence[str]) -> range:
    """Teach a tokenizer the image token and codec tokens; the ids of the latter, in one block.

    Raises ModelError where it knows some of them already in another order.
    """
    tokenizer.add_tokens([_hf.AddedToken(IMAGE_TOKEN, special=True, normalized=False)])
    # Plain tokens, not special ones: they are words of the answer and stay when it is decoded.
    tokenizer.add_tokens(
        [_hf.AddedToken(token, special=False, normalized=False) for token in codec_tokens]
    )
    ids = tokenizer.convert_tokens_to_ids(list(codec_tokens))
    first = ids[0] if ids else len(tokenizer)
    block = range(first, first + len(ids))
    if ids != list(block):
        raise ModelError(
            "the codec tokens do not lie in one block of the vocabulary: the tokenizer knew some "
            "of them before"
        )
    return block


@torch.no_grad()
def _word_size(model: DriveVLM) -> torch.Tensor:
    """Root mean square of words as the layers meet them: some models scale them after look-up."""
    words = model.get_input_embeddings()
    known: Any = words.weight
    size: torch.Tensor = words(torch.arange(min(len(known), _WORDS_MEASURED)))
    return size.float().square().mean().sqrt()


@torch.no_grad()
def _try_eyes(model: DriveVLM) -> None:
    """Raises ModelError now, not at the first image, where the encoder gives other maps."""
    eyes = model.vision_encoder
    kind = model.config.vision_config.model_type
    with one_line(f"encoder {kind} cannot be read"):
        found = tuple(model.encode([torch.zeros(3, *_TRIAL_PX)])[0].shape)
    expected = (eyes.channels, *(math.ceil(px / eyes.cell_px) for px in _TRIAL_PX))
    if found != expected:
        raise ModelError(f"encoder {kind} cannot be read: expected {expected}, got {found}")


def _set_ends(model: DriveVLM, tokenizer: Any) -> None:
    ends = model.generation_config
    ends.eos_token_id, ends.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    ends.bos_token_id = tokenizer.bos_token_id
