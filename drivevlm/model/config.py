"""What a new model is made of. Nothing here wakes torch.

The defaults are ``tiny``, the model that ships; ``configs/model`` holds the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

PUBLISHED = "published"
RANDOM = "random"


class ModelError(Exception):
    """A model cannot be made, loaded or fed; the message is one clear line."""


class Pooling(str, Enum):
    """How the cells of an image's feature map become its few tokens."""

    AVERAGE = "average"
    ATTENTION = "attention"
    MLP = "mlp"
    ABSTRACTOR = "abstractor"
    RESAMPLER = "resampler"


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The eyes.

    Attributes:
        kind: ``efficientnet_lite0``, or the ``model_type`` of a vision class of transformers:
            ``siglip_vision_model``, ``clip_vision_model``, ``dinov2``, ``convnext``.
        weights: ``published`` (EfficientNet-Lite0's, on ImageNet), ``random``, or a folder with
            config.json and safetensors.
        strides: Pixels per cell of the feature maps that are read, finest first. A plain vision
            transformer has one, its patch.
        width: Channels of a random encoder of transformers; ConvNeXt doubles them every stage.
        layers: Its layers; ConvNeXt has so many in each stage.
        heads: Its attention heads.
        patch_px: Its patch; ConvNeXt's is 4.
    """

    kind: str = "efficientnet_lite0"
    weights: str = PUBLISHED
    strides: tuple[int, ...] = (8, 16)
    width: int = 64
    layers: int = 2
    heads: int = 4
    patch_px: int = 16

    def __post_init__(self) -> None:
        steps = self.strides
        if not steps or min(steps) < 1 or list(steps) != sorted(set(steps)):
            raise ValueError(f"strides must be positive and increase, got {steps}")
        if any(steps[-1] % step for step in steps):
            raise ValueError(f"every stride must divide the last one, got {steps}")

    @property
    def cell_px(self) -> int:
        """Side of the coarsest cell: one cell carries what all strides say of its pixels."""
        return self.strides[-1]


@dataclass(frozen=True, slots=True)
class Budget:
    """A grid of tokens for some images.

    Attributes:
        rows, columns: One token each.
        label: Words that stand in the label of such an image; empty for any.
        until_s: Their greatest age; None for any.
    """

    rows: int
    columns: int
    label: str = ""
    until_s: float | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"a budget has rows and columns, got {self.rows} x {self.columns}")

    def covers(self, label: str, age_s: float) -> bool:
        """Whether it is meant for an image."""
        return self.label in label and (self.until_s is None or age_s <= self.until_s)


BUDGETS = (
    Budget(6, 12, label="CAM_FRONT now"),
    Budget(2, 4, label="BACK", until_s=0.25),
    Budget(4, 8, until_s=0.25),
    Budget(3, 6, label="CAM_FRONT "),
    Budget(1, 2),
)
"""Most where the ego is going: with nuScenes' six cameras and two images each 188 tokens."""


@dataclass(frozen=True, slots=True)
class ProjectorConfig:
    """From cells of images to tokens of the language model.

    Attributes:
        pooling: How.
        budgets: How many tokens an image gets: those of the first that covers it.
        width: Channels inside.
        layers: Of the abstractor (before and after it pools) and of the resampler.
        heads: Of the attention within.
        unshuffle: The MLP reads so many cells in a row and in a column for one token.
    """

    pooling: Pooling = Pooling.ATTENTION
    budgets: tuple[Budget, ...] = BUDGETS
    width: int = 160
    layers: int = 2
    heads: int = 8
    unshuffle: int = 2

    def __post_init__(self) -> None:
        if not self.budgets or self.budgets[-1].label or self.budgets[-1].until_s is not None:
            raise ValueError("the last budget must cover every image: neither label nor until_s")
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of heads and of 4")

    def grid(self, label: str, age_s: float) -> tuple[int, int]:
        """Rows and columns of tokens for an image."""
        budget = next(b for b in self.budgets if b.covers(label, age_s))
        return budget.rows, budget.columns


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The language model.

    Attributes:
        kind: ``model_type`` of a causal language model of transformers: ``llama``, ``qwen3``,
            ``gemma``, ...
        weights: ``random``, or a folder with config.json and safetensors; the rest is then its own.
        width, layers, heads, key_value_heads, feed_forward: Its sizes.
        context_tokens: Of prompt, images and reply together.
    """

    kind: str = "llama"
    weights: str = RANDOM
    width: int = 256
    layers: int = 5
    heads: int = 4
    key_value_heads: int = 4
    feed_forward: int = 704
    context_tokens: int = 4096

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.key_value_heads:
            raise ValueError(
                f"width {self.width} must be a multiple of {self.heads} heads, "
                f"and they of {self.key_value_heads} key-value heads"
            )


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """LoRA on the language model, trained in place of its own weights.

    Attributes:
        rank: Of each adapter; 0 for none: all weights are trained.
        alpha: What an adapter adds is scaled by alpha / rank.
        dropout: Share of an adapter's inputs that is left out in training.
        targets: Layers that get one, by the last part of their name.
    """

    rank: int = 0
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                "rank is not negative, alpha positive and dropout in [0, 1), got "
                f"{self.rank}, {self.alpha:g} and {self.dropout:g}"
            )
        if self.rank and not self.targets:
            raise ValueError("targets names no layer: name some, or set rank 0")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole model.

    Attributes:
        encoder, projector, decoder: Its parts.
        adapter: How the decoder is trained: ``with_adapters`` reads it.
        seed: Of all random weights.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    seed: int = 0
