"""Loading our own model: checked before a byte of weights is read, quiet, complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from drivevlm.model.config import ModelError
from drivevlm.model.scales import Scales
from drivevlm.model.storage import load_model
from drivevlm.vlm import checkpoint
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.config import NativeConfig
from drivevlm.vlm.loading import LoadedModel, end_tokens, quiet, torch_device
from drivevlm.vlm.matcher import Grammars
from drivevlm.vlm.native.vocabulary import word_tokenizer
from drivevlm.vlm.quantise import quantise_language_model
from drivevlm.vlm.seam import VLMError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(config: NativeConfig) -> LoadedModel:
    """Load a model as its config says. Raises VLMError, one line, where that cannot be."""
    folder = _folder(config)
    device = torch_device(config.device)
    if config.quantisation == "int8" and device != "cpu":
        raise VLMError("quantisation int8 is for the CPU: set it to none on a GPU")
    if config.threads:
        torch.set_num_threads(config.threads)
    asked = "float32" if config.dtype == "auto" and device == "cpu" else config.dtype
    dtype = _DTYPES.get(asked)
    number_bytes = None if dtype is None else float(dtype.itemsize)
    checkpoint.check_fits(folder, bytes_per_number=number_bytes, device=device)
    network: Any
    with quiet():
        try:
            network, processor = load_model(folder, dtype=dtype or "auto")
        except ModelError as error:
            raise VLMError(str(error)) from error
    model = network.to(device).eval()
    kind = str(model.dtype).removeprefix("torch.")
    if config.quantisation == "int8":
        quantise_language_model(model.language_model)
        kind += " int8"
    chat = Chat(processor)
    ends = end_tokens(model, chat)
    pad_token = chat.tokenizer.pad_token_id
    # Decoding is as the request says, no other way.
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    return LoadedModel(
        model=model,
        chat=chat,
        grammars=Grammars(word_tokenizer(chat.tokenizer, ends)),
        end_tokens=ends,
        pad_token=min(ends) if pad_token is None else pad_token,
        context_tokens=getattr(model.config.text_config, "max_position_embeddings", None),
        revision=f"{checkpoint.digest(folder)} {kind}",
        scales=Scales(chat.tokenizer, config.spread_bins),
    )


def _folder(config: NativeConfig) -> Path:
    folder = config.folder
    if not config.model and not any(folder.glob("*.safetensors")):
        raise VLMError(
            f"the weights that ship with drivevlm are missing, no {folder}/model.safetensors: "
            "install drivevlm again, or set `model` to the folder of a model of ours"
        )
    if not folder.is_dir():
        raise VLMError(f"no model folder at {folder}: give one with config.json and safetensors")
    return folder
