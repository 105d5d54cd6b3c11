"""What a model costs: the question, and the answer in numbers. Nothing here wakes torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ModelPart(str, Enum):
    """What a model is made of; a head that is not tied to them counts as embeddings."""

    ENCODER = "encoder"
    PROJECTOR = "projector"
    DECODER = "decoder"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a model at a time, and what a machine does in a second.

    Attributes:
        cameras: Each with so many images.
        frames: Images of each camera; only the newest are of age 0.
        step_s: From one image of a camera to its next.
        width_px, height_px: Of an image.
        prompt_tokens: Of the words; visual tokens are counted beside them.
        reply_tokens: Written one by one.
        vocabulary: Tokens that a random language model knows, those of the codec among them; one
            of a folder has its own, if these are not more.
        frozen: Parts that are not trained. With adapters (model.adapter.rank) only they, the
            projector and the codec tokens are.
        gflops: Large matrix products in fp32, 1e9 operations a second.
        memory_gb_s: Read from memory, 1e9 bytes a second.
    """

    cameras: int = 6
    frames: int = 2
    step_s: float = 0.5
    width_px: int = 448
    height_px: int = 252
    prompt_tokens: int = 400
    reply_tokens: int = 120
    vocabulary: int = 4096
    frozen: tuple[ModelPart, ...] = (ModelPart.ENCODER,)
    gflops: float = 115.0
    memory_gb_s: float = 28.0

    def __post_init__(self) -> None:
        least_one = ("cameras", "frames", "width_px", "height_px", "prompt_tokens", "reply_tokens")
        for name in (*least_one, "vocabulary"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}")
        for name in ("step_s", "gflops", "memory_gb_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is positive, got {getattr(self, name):g}")

    @property
    def ages_s(self) -> tuple[float, ...]:
        """Of all images, camera after camera, oldest first."""
        return tuple(self.step_s * k for k in reversed(range(self.frames))) * self.cameras


@dataclass(frozen=True, slots=True)
class PartSize:
    """Numbers of a part, and how many of them are trained."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A step from pixels to a reply.

    Attributes:
        name: ``encode``, ``project``, ``prefill`` or ``decode``.
        count: How many ``unit`` it is done for.
        flops: Operations for all of them, a multiplication and an addition being two.
        ms: Estimate: the longer of computing at the stated rate and, to decode, of reading the
            weights and the cache for each token.
    """

    name: str
    count: int
    unit: str
    flops: int
    ms: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; a name says of what, and whether it is an estimate.

    Attributes:
        weights_fp32, weights_bf16: Of all parts together.
        cache_fp32, cache_bf16: Of keys and values of the whole context.
        training: Estimate for fp32 and AdamW: weights, gradients, two moments.
        activations: Estimate: what one sample keeps for its backward pass.
    """

    weights_fp32: int
    weights_bf16: int
    cache_fp32: int
    cache_bf16: int
    training: int
    activations: int


@dataclass(frozen=True, slots=True)
class Description:
    """A model in numbers.

    Attributes:
        encoder, decoder: Their ``model_type``.
        workload: What was asked.
        vocabulary: Tokens that it knows.
        newest_grid, older_grid: Rows and columns of the tokens of an image; None without older.
        visual_tokens: Of all images together.
        context_tokens, most_context_tokens: That are used, and that there may be.
        parts: With adapters as one more part.
        stages: In order.
        memory: What it takes.
    """

    encoder: str
    decoder: str
    workload: Workload
    vocabulary: int
    newest_grid: tuple[int, int]
    older_grid: tuple[int, int] | None
    visual_tokens: int
    context_tokens: int
    most_context_tokens: int
    parts: tuple[PartSize, ...]
    stages: tuple[Stage, ...]
    memory: Memory
