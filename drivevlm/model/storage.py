"""Folders of saved models: written, read back and checked, and known to the Auto classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from drivevlm.model.architecture import DriveVLMConfig
from drivevlm.model.config import ModelError
from drivevlm.model.faults import one_line
from drivevlm.model.lite import EfficientNetLite0, EfficientNetLite0Config
from drivevlm.model.network import DriveVLM
from drivevlm.model.processor import DriveVLMProcessor

_hf: Any = transformers
_hf.AutoConfig.register(DriveVLMConfig.model_type, DriveVLMConfig, exist_ok=True)
_hf.AutoModel.register(EfficientNetLite0Config, EfficientNetLite0, exist_ok=True)
for _kind in (_hf.AutoModel, _hf.AutoModelForCausalLM, _hf.AutoModelForImageTextToText):
    _kind.register(DriveVLMConfig, DriveVLM, exist_ok=True)
_hf.AutoProcessor.register(DriveVLMConfig, DriveVLMProcessor, exist_ok=True)


def save_model(model: DriveVLM, processor: DriveVLMProcessor, folder: Path) -> None:
    """Write config, safetensors, tokenizer and processor into a folder.

    Raises OSError or SafetensorError where the disk refuses.
    """
    model.save_pretrained(folder)
    try:
        processor.save_pretrained(folder)
    except Exception as error:
        if type(error) is Exception:  # all that tokenizers says of a full disk
            raise OSError(str(error)) from error
        raise


def load_model(folder: Path, **options: Any) -> tuple[DriveVLM, DriveVLMProcessor]:
    """A saved model and its processor; ``options`` go to ``from_pretrained``.

    Raises ModelError where the folder holds another kind of model, a part of one, or a pickle.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: expected config.json")
    with one_line(f"{folder} does not load"):
        config = _hf.AutoConfig.from_pretrained(folder, local_files_only=True)
        if not isinstance(config, DriveVLMConfig):
            raise ModelError(f"{folder} holds a {config.model_type!r} model, expected 'drivevlm'")
        kind: Any = DriveVLM
        model, report = kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
        processor = _hf.AutoProcessor.from_pretrained(folder, local_files_only=True)
    for fault in ("missing", "unexpected", "mismatched"):
        keys = sorted(k if isinstance(k, str) else k[0] for k in report[f"{fault}_keys"])
        if keys:
            raise ModelError(
                f"{folder} has other weights than its config asks for: {len(keys)} {fault} "
                f"({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            )
    if not isinstance(model, DriveVLM) or not isinstance(processor, DriveVLMProcessor):
        raise ModelError(
            f"{folder} gave {type(model).__name__} and {type(processor).__name__}, "
            "expected DriveVLM and DriveVLMProcessor"
        )
    if processor.cell_px != config.strides[-1]:
        raise ModelError(
            f"{folder}: the processor counts cells of {processor.cell_px} px, the model of "
            f"{config.strides[-1]} px"
        )
    return model, processor
