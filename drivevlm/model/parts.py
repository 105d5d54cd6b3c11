"""The parts of a new model that have classes of their own: published, from folders, or random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

from drivevlm.model.architecture import of_kind
from drivevlm.model.config import PUBLISHED, RANDOM, DecoderConfig, EncoderConfig, ModelError
from drivevlm.model.encoder import is_backbone, read_maps
from drivevlm.model.faults import one_line
from drivevlm.model.lite import MEAN, SCALE, EfficientNetLite0, EfficientNetLite0Config
from drivevlm.model.published import lite0_weights

_hf: Any = transformers
_GREY = 127.5


def vision_class(config: EncoderConfig) -> Any:
    """The eyes. Raises ModelError where they cannot be had."""
    architecture = vision_architecture(config)
    if config.kind == EfficientNetLite0Config.model_type:
        trunk = EfficientNetLite0(architecture)
        if config.weights == PUBLISHED:
            names = trunk.state_dict().keys()
            weights = lite0_weights()
            trunk.load_state_dict({name: weights[name] for name in names})
        return trunk
    kind = _hf.AutoBackbone if is_backbone(architecture) else _hf.AutoModel
    return _made(kind, architecture, config.weights)


def vision_architecture(config: EncoderConfig) -> Any:
    """The config of the eyes' class, without weights. Raises ModelError where there is none."""
    architecture: Any
    if config.kind == EfficientNetLite0Config.model_type:
        if config.weights not in (PUBLISHED, RANDOM):
            raise ModelError(f"encoder {config.kind} comes published or random, not from a folder")
        architecture = EfficientNetLite0Config()
    elif config.weights == PUBLISHED:
        raise ModelError(f"encoder {config.kind} has no published weights here: name a folder")
    elif config.weights == RANDOM:
        architecture = of_kind(config.kind, _vision_sizes(config))
    else:
        architecture = _of_folder(config.weights)
        # A folder of both towers: ours is the one that sees.
        architecture = getattr(architecture, "vision_config", architecture)
    if hasattr(architecture, "vision_use_head"):
        architecture.vision_use_head = False
    read_maps(architecture, config.strides)
    return architecture


def _vision_sizes(config: EncoderConfig) -> dict[str, Any]:
    if config.kind.startswith("convnext"):
        stages = (config.cell_px // 4).bit_length()
        return {
            "num_stages": stages,
            "depths": [config.layers] * stages,
            "hidden_sizes": [config.width * 2**stage for stage in range(stages)],
            "layer_scale_init_value": 1.0,  # the usual 1e-6 is meant for long training
        }
    sizes = {
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "patch_size": config.patch_px,
        "image_size": 16 * config.patch_px,
    }
    if config.kind == "dinov2":
        return sizes | {"mlp_ratio": 4}
    return sizes | {"intermediate_size": 4 * config.width}


def language_model(config: DecoderConfig, tokenizer: Any) -> Any:
    """What reads and writes. Raises ModelError where it cannot be had."""
    architecture = text_architecture(
        config,
        vocabulary=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _made(_hf.AutoModelForCausalLM, architecture, config.weights)


def text_architecture(config: DecoderConfig, *, vocabulary: int, **ends: int | None) -> Any:
    """The config of the language model's class, without weights.

    A random one knows ``vocabulary`` tokens and ``ends``, one from a folder its own. Raises
    ModelError where there is none.
    """
    if config.weights == RANDOM:
        sizes = {
            "vocab_size": vocabulary,
            "hidden_size": config.width,
            "intermediate_size": config.feed_forward,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.key_value_heads,
            "head_dim": config.width // config.heads,
            "max_position_embeddings": config.context_tokens,
            "tie_word_embeddings": True,
            **ends,
        }
        return of_kind(config.kind, sizes)
    return _of_folder(config.weights)


def _made(kind: Any, architecture: Any, weights: str) -> Any:
    """A part with random weights, or those of a folder."""
    if weights == RANDOM:
        with one_line(f"{architecture.model_type} with random weights"):
            return kind.from_config(architecture)
    if kind is _hf.AutoBackbone:  # which would ask the hub about every folder
        kind = MODEL_FOR_BACKBONE_MAPPING[type(architecture)]
    with one_line(f"{weights} does not load"):
        made, report = kind.from_pretrained(
            _folder(weights),
            config=architecture,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    # Norms of the maps that are read are new where a classifier was saved.
    missing = [k for k in report["missing_keys"] if not k.startswith("hidden_states_norms.")]
    if missing:
        raise ModelError(
            f"{weights} lacks {len(missing)} weights of {type(made).__name__} ({missing[0]}, ...)"
        )
    return made


def _of_folder(weights: str) -> Any:
    with one_line(f"{weights} does not load"):
        return _hf.AutoConfig.from_pretrained(_folder(weights), local_files_only=True)


def _folder(weights: str) -> Path:
    folder = Path(weights).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: expected config.json and safetensors")
    return folder


def colours(config: EncoderConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour that the weights were trained with, 0 to 255."""
    if config.kind == EfficientNetLite0Config.model_type:
        return (MEAN,) * 3, (SCALE,) * 3
    if config.weights == RANDOM:
        return (_GREY,) * 3, (_GREY,) * 3
    folder = _folder(config.weights)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            words = json.loads((folder / name).read_text(encoding="utf-8"))
            words = words.get("image_processor", words)
            if "image_mean" in words and "image_std" in words:
                scale = float(words.get("rescale_factor", 1 / 255))
                mean, std = ([v / scale for v in words[f"image_{k}"]] for k in ("mean", "std"))
                return tuple(mean), tuple(std)
    raise ModelError(
        f"{folder} does not say how its colours are scaled: expected preprocessor_config.json "
        "with image_mean and image_std"
    )
