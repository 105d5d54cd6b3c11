"""Counts what a model costs, on its real modules but without numbers in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from drivevlm.model import storage  # noqa: F401  (the Auto classes know our own by it)
from drivevlm.model.adapters import with_adapters
from drivevlm.model.architecture import DriveVLMConfig, plain
from drivevlm.model.config import ModelConfig
from drivevlm.model.description import (
    Description,
    ImageGrid,
    Memory,
    ModelPart,
    PartSize,
    Stage,
    Workload,
)
from drivevlm.model.faults import one_line
from drivevlm.model.network import DriveVLM
from drivevlm.model.parts import text_architecture, vision_architecture
from drivevlm.model.pooling import Grid

T = TypeVar("T")
_FP32, _BF16 = 4, 2
_META = "meta"


def describe(config: ModelConfig, workload: Workload | None = None) -> Description:
    """Parameters and operations are counted exactly; times and training memory are estimates.

    No weights are read: of a folder only its config. Raises ModelError where it cannot be made.
    """
    asked = workload or Workload()
    architecture = _architecture(config, asked.vocabulary)
    model = _on_meta(architecture).train(False)
    text: Any = architecture.text_config
    grids = [config.projector.grid(label, age_s) for label, age_s in asked.images]
    visual = sum(rows * columns for rows, columns in grids)
    context = asked.prompt_tokens + visual + asked.reply_tokens
    parts = {part: _numbers(members) for part, members in _members(model).items()}
    own = sum(parts.values())
    stages, cached = _stages(model, asked, grids)
    trained, held, activations = _training(config, architecture, asked, grids)
    sizes = [PartSize(part.value, n, trained.get(part.value, 0)) for part, n in parts.items()]
    adapters = trained.get("adapters", 0)
    if adapters:
        sizes.append(PartSize("adapters", adapters, adapters))
    return Description(
        encoder=architecture.vision_config.model_type,  # type: ignore[union-attr]
        decoder=text.model_type,
        workload=asked,
        vocabulary=text.vocab_size,
        images=tuple(
            ImageGrid(label, *grid) for (label, _), grid in zip(asked.images, grids, strict=True)
        ),
        visual_tokens=visual,
        context_tokens=context,
        most_context_tokens=text.max_position_embeddings,
        parts=tuple(sizes),
        stages=stages,
        memory=Memory(
            weights_fp32=_FP32 * own,
            weights_bf16=_BF16 * own,
            cache_fp32=_FP32 * cached * context,
            cache_bf16=_BF16 * cached * context,
            training=_FP32 * (held + 3 * sum(trained.values())),
            activations=activations,
        ),
    )


def _architecture(config: ModelConfig, vocabulary: int) -> DriveVLMConfig:
    text = text_architecture(config.decoder, vocabulary=vocabulary)
    text.vocab_size = max(text.vocab_size, vocabulary)
    return DriveVLMConfig(
        vision_config=vision_architecture(config.encoder),
        text_config=text,
        strides=list(config.encoder.strides),
        projector=plain(config.projector),
    )


def _members(model: DriveVLM) -> dict[ModelPart, list[Tensor]]:
    """Parameters by part, each once: a tied head is the embeddings."""
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    words = {id(p): p for table in tables for p in table.parameters()}
    return {
        ModelPart.ENCODER: list(model.vision_encoder.parameters()),
        ModelPart.PROJECTOR: list(model.projector.parameters()),
        ModelPart.DECODER: [p for p in model.language_model.parameters() if id(p) not in words],
        ModelPart.EMBEDDINGS: list(words.values()),
    }


def _numbers(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() for p in parameters)


def _stages(model: DriveVLM, asked: Workload, grids: list[Grid]) -> tuple[tuple[Stage, ...], int]:
    """What each stage takes, and the numbers that the cache keeps of a token."""
    image = torch.zeros(3, asked.height_px, asked.width_px, device=_META)
    one, features = _counted(lambda: model.encode([image]))
    encode = one * len(grids)
    ages_s = torch.zeros(len(grids), device=_META)
    project, tokens = _counted(lambda: model.project(features * len(grids), None, ages_s, grids))
    visual = sum(len(t) for t in tokens)
    read = visual + asked.prompt_tokens
    width = tokens[0].shape[-1]
    prefill, state = _counted(lambda: _read(model, torch.zeros(1, read, width, device=_META)))
    cached = sum(layer.keys.numel() + layer.values.numel() for layer in state.layers) // read
    # A step's work grows with the context by the same amount each time.
    word = torch.zeros(1, 1, width, device=_META)
    first, _ = _counted(lambda: _read(model, word, state))
    second, _ = _counted(lambda: _read(model, word, state))
    count = asked.reply_tokens
    decode = count * first + (second - first) * count * (count - 1) // 2
    weights = _numbers(_members(model)[ModelPart.DECODER])
    weights += _numbers(model.get_output_embeddings().parameters())
    mean_context = read + (count + 1) / 2
    bytes_read = _FP32 * count * (weights + cached * mean_context)

    def ms(flops: float) -> float:
        return flops / asked.gflops / 1e6

    return (
        Stage("encode", len(grids), "images", encode, ms(encode)),
        Stage("project", visual, "visual tokens", project, ms(project)),
        Stage("prefill", read, "tokens", prefill, ms(prefill)),
        Stage(
            "decode", count, "tokens", decode, max(ms(decode), bytes_read / asked.memory_gb_s / 1e6)
        ),
    ), cached


def _read(model: DriveVLM, embedded: Tensor, state: Any = None) -> Any:
    """The cache after some more tokens; only the last one gets logits."""
    return model.language_model(
        inputs_embeds=embedded, past_key_values=state, use_cache=True, logits_to_keep=1
    ).past_key_values


def _counted(run: Callable[[], T]) -> tuple[int, T]:
    with FlopCounterMode(display=False) as counter:
        result = run()
    return counter.get_total_flops(), result


def _training(
    config: ModelConfig,
    architecture: DriveVLMConfig,
    asked: Workload,
    grids: list[Grid],
) -> tuple[dict[str, int], int, int]:
    """Numbers that are trained, by part; all that are held; bytes kept for a backward pass."""
    model = _on_meta(architecture)
    if config.adapter.rank:
        adapted = with_adapters(model, config.adapter)
        trained = _numbers(p for p in adapted.parameters() if p.requires_grad)
        projector = _numbers(p for p in model.projector.parameters() if p.requires_grad)
        counts = {"projector": projector, "adapters": trained - projector}
    else:
        counts = _unfrozen(model, asked.frozen)
    # Fake tensors, not those of "meta": attention then keeps what it keeps on a CPU.
    with FakeTensorMode():
        _as_on_cpu(model)
        return counts, _numbers(model.parameters()), _kept_bytes(model.train(), asked, grids)


def _on_meta(architecture: DriveVLMConfig) -> DriveVLM:
    with one_line("model"), torch.device(_META):
        return DriveVLM(architecture)


def _as_on_cpu(model: DriveVLM) -> None:
    """Puts tensors of the mode that is on in place of those of "meta", shared ones once."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype)
                    is_parameter = isinstance(old, nn.Parameter)
                    made[id(old)] = nn.Parameter(new, old.requires_grad) if is_parameter else new
                tensors[name] = made[id(old)]


def _unfrozen(model: DriveVLM, frozen: tuple[ModelPart, ...]) -> dict[str, int]:
    counts = {}
    for part, parameters in _members(model).items():
        for parameter in parameters:
            parameter.requires_grad_(part not in frozen)
        counts[part.value] = _numbers(p for p in parameters if p.requires_grad)
    return counts


def _kept_bytes(model: DriveVLM, asked: Workload, grids: list[Grid]) -> int:
    """Of tensors, not parameters, that autograd saves in one forward pass."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(saved: Tensor) -> Tensor:
        if saved.untyped_storage()._cdata not in own:
            kept[saved.untyped_storage()._cdata] = saved
        return saved

    count = asked.prompt_tokens + asked.reply_tokens
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        image = torch.zeros(3, asked.height_px, asked.width_px)
        features = model.encode([image] * len(grids))
        tokens = torch.cat(model.project(features, None, torch.zeros(len(grids)), grids))
        words = model.get_input_embeddings()(torch.zeros(1, count, dtype=torch.long))
        read = torch.cat([tokens[None], words], dim=1)
        labels = torch.zeros(read.shape[:2], dtype=torch.long)
        # With a cache, no mask is looked into for packed sequences, which fakes cannot answer.
        model.language_model(inputs_embeds=read, labels=labels, use_cache=True)
    return sum(saved.untyped_storage().nbytes() for saved in kept.values())
