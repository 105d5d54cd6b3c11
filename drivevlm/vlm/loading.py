"""Loading a stock image-text model: checked before a byte of weights is read, quiet, complete."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from llguidance.hf import from_tokenizer
from safetensors import SafetensorError
from transformers.utils import logging as _untyped_logging

from drivevlm.model.scales import Scales
from drivevlm.vlm import checkpoint
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.config import BITSANDBYTES, DTYPES, HfConfig
from drivevlm.vlm.matcher import Grammars
from drivevlm.vlm.processors import load_processor
from drivevlm.vlm.quantise import quantise_language_model
from drivevlm.vlm.seam import VLMError

_hf: Any = transformers  # its classes are not typed enough for strict checks
_logging: Any = _untyped_logging
_DTYPES = {name: getattr(torch, name) for name in DTYPES}
_FOREIGN_FAULTS = (
    OSError,
    ValueError,
    ImportError,
    KeyError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises over files that are not as it needs them."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model ready to write, and what is known of it.

    Attributes:
        revision: Digest of the files (see ``checkpoint.digest``), dtype, quantisation and, where
            one was named, the chat template.
        context_tokens: How many tokens prompt and reply may have together; None if unsaid.
        scales: Of numbers that are written as one word; None where there are none.
    """

    model: Any
    chat: Chat
    grammars: Grammars
    end_tokens: frozenset[int]
    pad_token: int
    context_tokens: int | None
    revision: str
    scales: Scales | None = None


def load(config: HfConfig) -> LoadedModel:
    """Load a model as its config says. Raises VLMError, one line, where that cannot be."""
    if not config.model:
        raise VLMError("no model named: set `model` to a folder or a hub id")
    if config.threads:
        torch.set_num_threads(config.threads)
    device = _device(config)
    folder = checkpoint.find_folder(
        config.model,
        hub_revision=config.hub_revision,
        local_files_only=config.local_files_only,
    )
    number_bytes = _number_bytes(config, device)
    checkpoint.check_fits(folder, bytes_per_number=number_bytes, device=device)
    with quiet():
        try:
            return _load(config, folder, device)
        except _FOREIGN_FAULTS as error:
            line = " ".join(str(error).split())
            raise VLMError(f"{folder} does not load: {line[:300]}") from error


def _load(config: HfConfig, folder: Path, device: str) -> LoadedModel:
    local: dict[str, Any] = {
        "trust_remote_code": config.trust_remote_code,
        "local_files_only": True,
    }
    architecture = _hf.AutoConfig.from_pretrained(folder, **local)
    processor = load_processor(folder, architecture, trust_remote_code=config.trust_remote_code)
    chat = Chat(processor, config.chat_template)
    dtype = config.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    model, report = _hf.AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=_DTYPES.get(dtype, "auto"),
        attn_implementation=config.attention,
        use_safetensors=True,
        output_loading_info=True,
        device_map=None if device == "cpu" else {"": device},
        quantization_config=_bitsandbytes(config),
        **local,
    )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise VLMError(
            f"{folder} lacks {len(missing)} weights of {type(model).__name__} ({missing[0]}, ...): "
            "it is incomplete or belongs to another class"
        )
    model.eval()
    if config.quantisation == "int8":
        quantise_language_model(model)
    ends = end_tokens(model, chat)
    pad_token = chat.tokenizer.pad_token_id
    text = architecture.get_text_config()
    model.generation_config = (
        _hf.GenerationConfig()
    )  # decoding is as the request says, no other way
    return LoadedModel(
        model=model,
        chat=chat,
        grammars=Grammars(from_tokenizer(chat.tokenizer, eos_token=sorted(ends))),
        end_tokens=ends,
        pad_token=min(ends) if pad_token is None else pad_token,
        context_tokens=getattr(text, "max_position_embeddings", None),
        revision=_revision(config, folder, str(model.dtype).removeprefix("torch.")),
    )


def torch_device(device: str) -> str:
    """``auto`` is the first GPU if there is one. Raises VLMError for a GPU that is none."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise VLMError(f"device {device!r}: this torch sees no GPU; set device=cpu")
    return device


def _device(config: HfConfig) -> str:
    device = torch_device(config.device)
    if config.quantisation == "int8" and device != "cpu":
        raise VLMError("quantisation int8 is for the CPU: on a GPU take bnb_8bit or bnb_4bit")
    if config.quantisation in BITSANDBYTES and importlib.util.find_spec("bitsandbytes") is None:
        raise VLMError(f"quantisation {config.quantisation}: pip install bitsandbytes")
    return device


def _number_bytes(config: HfConfig, device: str) -> float | None:
    if config.quantisation in BITSANDBYTES:
        return BITSANDBYTES[config.quantisation]
    if config.dtype != "auto":
        return float(_DTYPES[config.dtype].itemsize)
    return 4 if device == "cpu" else None


def _bitsandbytes(config: HfConfig) -> object | None:
    if config.quantisation not in BITSANDBYTES:
        return None
    four = config.quantisation == "bnb_4bit"
    return cast(object, _hf.BitsAndBytesConfig(load_in_4bit=four, load_in_8bit=not four))


def end_tokens(model: Any, chat: Chat) -> frozenset[int]:
    """What ends a reply: of the generation config (a turn's end) and of the tokenizer."""
    said: object = model.generation_config.eos_token_id
    ends = set(said) if isinstance(said, (list, tuple)) else {said}
    ends.add(chat.tokenizer.eos_token_id)
    found = frozenset(int(end) for end in ends if isinstance(end, int))
    if not found:
        raise VLMError("neither generation config nor tokenizer names a token that ends a reply")
    return found


def _revision(config: HfConfig, folder: Path, dtype: str) -> str:
    origin = checkpoint.digest(folder)
    if folder.parent.name == "snapshots":  # of the hub's cache: the folder is named by the commit
        origin = f"{config.model}@{folder.name}"
    words = [origin, dtype] + [config.quantisation] * (config.quantisation != "none")
    if config.chat_template is not None:
        template = hashlib.sha256(Path(config.chat_template).expanduser().read_bytes())
        words.append(f"template:{template.hexdigest()[:16]}")
    return " ".join(words)


@contextmanager
def quiet() -> Iterator[None]:
    """Loading without transformers' advice and bars; errors still come as exceptions."""
    level, bars = _logging.get_verbosity(), _logging.is_progress_bar_enabled()
    _logging.set_verbosity_error()
    _logging.disable_progress_bar()
    try:
        yield
    finally:
        _logging.set_verbosity(level)
        if bars:
            _logging.enable_progress_bar()
