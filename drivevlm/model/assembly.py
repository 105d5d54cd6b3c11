"""A new model out of its parts: published, from folders, or random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from drivevlm.model import storage  # noqa: F401  (the Auto classes know our own by it)
from drivevlm.model.architecture import DriveVLMConfig, plain
from drivevlm.model.config import (
    PUBLISHED,
    RANDOM,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    ModelError,
)
from drivevlm.model.encoder import is_backbone, read_maps
from drivevlm.model.lite import MEAN, SCALE, EfficientNetLite0, EfficientNetLite0Config
from drivevlm.model.network import DriveVLM
from drivevlm.model.processor import IMAGE_TOKEN, DriveVLMProcessor
from drivevlm.model.published import lite0_weights

_hf: Any = transformers
_GREY = ((127.5,) * 3, (127.5,) * 3)


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
        decoder = _decoder(config.decoder, tokenizer)
        if len(tokenizer) > decoder.get_input_embeddings().num_embeddings:
            decoder.resize_token_embeddings(len(tokenizer))
        encoder = _encoder(config.encoder)
        mean, std = _colours(config.encoder)
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
    words = model.get_input_embeddings().weight
    size: torch.Tensor = words.detach().float().square().mean().sqrt()  # type: ignore[operator]
    model.projector.token_size.copy_(size)
    _set_ends(model, tokenizer)
    processor = DriveVLMProcessor(
        tokenizer,
        cell_px=config.encoder.cell_px,
        budgets=plain(config.projector)["budgets"],
        chat_template=chat_template,
    )
    model.train(False)
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


def _encoder(config: EncoderConfig) -> Any:
    if config.kind == EfficientNetLite0Config.model_type:
        if config.weights not in (PUBLISHED, RANDOM):
            raise ModelError(f"encoder {config.kind} comes published or random, not from a folder")
        architecture: Any = EfficientNetLite0Config()
        read_maps(architecture, config.strides)
        trunk = EfficientNetLite0(architecture)
        if config.weights == PUBLISHED:
            names = trunk.state_dict().keys()
            weights = lite0_weights()
            trunk.load_state_dict({name: weights[name] for name in names})
        return trunk
    if config.weights == PUBLISHED:
        raise ModelError(f"encoder {config.kind} has no published weights here: name a folder")
    if config.weights == RANDOM:
        architecture = _class_of(config.kind)(**_vision_sizes(config))
    else:
        architecture = _hf.AutoConfig.from_pretrained(
            _folder(config.weights), local_files_only=True
        )
        # A folder of both towers: ours is the one that sees.
        architecture = getattr(architecture, "vision_config", architecture)
    if hasattr(architecture, "vision_use_head"):
        architecture.vision_use_head = False
    read_maps(architecture, config.strides)
    kind = _hf.AutoBackbone if is_backbone(architecture) else _hf.AutoModel
    return _made(kind, architecture, config.weights)


def _vision_sizes(config: EncoderConfig) -> dict[str, Any]:
    if config.kind.startswith("convnext"):
        stages = 1 + (config.cell_px // 4).bit_length() - 1
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


def _decoder(config: DecoderConfig, tokenizer: Any) -> Any:
    if config.weights == RANDOM:
        architecture = _class_of(config.kind)(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.key_value_heads,
            head_dim=config.width // config.heads,
            max_position_embeddings=config.context_tokens,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    else:
        architecture = _hf.AutoConfig.from_pretrained(
            _folder(config.weights), local_files_only=True
        )
    return _made(_hf.AutoModelForCausalLM, architecture, config.weights)


def _made(kind: Any, architecture: Any, weights: str) -> Any:
    """A part with random weights, or those of a folder."""
    if weights == RANDOM:
        return kind.from_config(architecture)
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


def _class_of(kind: str) -> Any:
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"transformers knows no model_type {kind!r}")
    return CONFIG_MAPPING[kind]


def _folder(weights: str) -> Path:
    folder = Path(weights).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: expected config.json and safetensors")
    return folder


def _colours(config: EncoderConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour that the weights were trained with, 0 to 255."""
    if config.kind == EfficientNetLite0Config.model_type:
        return (MEAN,) * 3, (SCALE,) * 3
    file = Path(config.weights).expanduser() / "preprocessor_config.json"
    if not file.is_file():
        return _GREY
    words = json.loads(file.read_text(encoding="utf-8"))
    scale = float(words.get("rescale_factor", 1 / 255))
    mean, std = (
        tuple(float(v) / scale for v in words[f"image_{name}"]) for name in ("mean", "std")
    )
    return mean, std


def _set_ends(model: DriveVLM, tokenizer: Any) -> None:
    ends = model.generation_config
    ends.eos_token_id, ends.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    ends.bos_token_id = tokenizer.bos_token_id
