"""LoRA of PEFT on the language model; the projector and the codec tokens are trained beside it."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from drivevlm.model.config import AdapterConfig, ModelError
from drivevlm.model.faults import one_line
from drivevlm.model.network import DriveVLM


def with_adapters(model: DriveVLM, config: AdapterConfig) -> Any:
    """A PeftModel around the model, which it changes in place; nothing else of it is trained.

    ``merge_and_unload`` gives a DriveVLM again. Raises ModelError where ``rank`` is 0, PEFT is
    missing, or a target is no layer of the language model.
    """
    if not config.rank:
        raise ModelError("adapter.rank is 0: there is no adapter to put on")
    if find_spec("peft") is None:
        raise ModelError('adapters need PEFT: pip install "drivevlm[train]"')
    leaves = {name.rpartition(".")[2] for name, _ in model.language_model.named_modules()}
    unknown = [target for target in config.targets if target not in leaves]
    if unknown:
        raise ModelError(
            f"adapter.targets: {unknown[0]} is no layer of {model.config.text_config.model_type}"
        )
    peft = import_module("peft")
    words = _name_of(model, model.get_input_embeddings())
    codec_ids = list(model.config.codec_ids)
    names = "|".join(re.escape(target) for target in config.targets)
    with one_line("adapter"), warnings.catch_warnings():
        # PEFT asks transformers by a name that it is about to change.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        return peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=rf"language_model\..*\.({names})",
                modules_to_save=["projector"],
                # They are new to a pretrained language model: frozen, they would stay noise.
                trainable_token_indices={words: codec_ids} if codec_ids else None,
                task_type="CAUSAL_LM",
            ),
        )


def _name_of(model: DriveVLM, module: Any) -> str:
    names: dict[int, str] = {id(found): name for name, found in model.named_modules()}
    return names[id(module)]
