"""An untrained model: a small random stock class that exercises the whole path and knows nothing.

It is made, not downloaded: config, weights, tokenizer and processor are written once into the
user's cache as an ordinary model folder, which ``HfVLM`` then serves like any other.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import torch
import transformers
from filelock import FileLock
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from drivevlm.model.tokenizer import CHAT_TEMPLATE, END, PAD, TURNS
from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.hf import HfVLM
from drivevlm.vlm.loading import quiet

UNTRAINED = "untrained"
_SEED = 20_260_101
_WIDTH, _LAYERS, _HEADS = 64, 2, 4
_IMAGE_SIDE_PX, _PATCH_PX = 128, 32  # 16 tokens an image
_CONTEXT_TOKENS = 32_768
_SPREAD = 0.5
"""Standard deviation of the weights: wide enough that other pixels give other words."""

_PIECES = (
    " the of and to in is a it on at by for with as be or an are from that this not no all any "
    "each other same more most one two three first next last left right front back side near far "
    "above below before after there here which when where what how many some small large"
)


def untrained_vlm(config: HfConfig | None = None) -> HfVLM:
    """The untrained model, ready to answer; ``config.model`` is left out of account."""
    folder = untrained_folder()
    return HfVLM(replace(config or HfConfig(), model=str(folder)), name=UNTRAINED)


def untrained_folder(cache: Path | None = None) -> Path:
    """The model folder in the user's cache, made on first use; a temporary one where it cannot."""
    name = f"{UNTRAINED}-{_recipe()}"
    root = cache or Path(platformdirs.user_cache_dir("drivevlm"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(root)
    except OSError:
        root = Path(tempfile.mkdtemp(prefix="drivevlm-"))
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not folder.is_dir():
            new = Path(tempfile.mkdtemp(prefix=name, dir=root))
            try:
                make_untrained(new)
                new.rename(folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    return folder


def make_untrained(folder: Path) -> None:
    """Write config, safetensors, tokenizer, processor and chat template into a folder."""
    hf: Any = transformers
    with quiet():
        tokenizer = _tokenizer()
        processor = hf.LlavaProcessor(
            hf.SiglipImageProcessorPil(size={"height": _IMAGE_SIDE_PX, "width": _IMAGE_SIDE_PX}),
            tokenizer,
            patch_size=_PATCH_PX,
            vision_feature_select_strategy="full",
            chat_template=CHAT_TEMPLATE,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            model = hf.LlavaForConditionalGeneration(_architecture(tokenizer))
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


def _architecture(tokenizer: Any) -> Any:
    hf: Any = transformers
    ends = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    size = {
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
    }
    return hf.LlavaConfig(
        vision_config=hf.SiglipVisionConfig(
            **size,
            image_size=_IMAGE_SIDE_PX,
            patch_size=_PATCH_PX,
            vision_use_head=False,
            initializer_range=_SPREAD,
        ),
        text_config=hf.LlamaConfig(
            **size,
            **ends,
            num_key_value_heads=_HEADS // 2,
            vocab_size=len(tokenizer),
            max_position_embeddings=_CONTEXT_TOKENS,
            initializer_range=_SPREAD,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        initializer_range=_SPREAD,
        tie_word_embeddings=False,
    )


def _tokenizer() -> Any:
    """Bytes, and a few whole words with their space before; every digit by itself."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in _PIECES.split():
        piece = "Ġ"
        for letter in word:
            if piece + letter not in vocabulary:
                vocabulary[piece + letter] = len(vocabulary)
                merges.append((piece, letter))
            piece += letter
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    marks = (*TURNS, "<image>", END, PAD)
    raw.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    hf: Any = transformers
    return hf.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PAD)


def _recipe() -> str:
    """Digest of this recipe and the versions that read it: another recipe, another folder."""
    source = inspect.getsource(sys.modules[__name__])
    parts = (source, transformers.__version__, torch.__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
