"""What a model costs: the question, and the answer in numbers. Nothing here wakes torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_FRONT_LEFT",
    "CAM_BACK_RIGHT",
    "CAM_BACK_LEFT",
    "CAM_BACK",
)
"""Those of nuScenes as prompts send them, front ones first; more cameras are numbered."""
NOW_S = 0.11
"""Younger images are labelled "now", as ``prompts/native/parts/picture.jinja`` has it."""


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
        cameras: Those of nuScenes, front ones first.
        frames: Images of a camera; only the newest are of age 0.
        past_cameras: Older images are sent of the first so many cameras alone; 0 sends all's.
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
    past_cameras: int = 1
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
        if self.past_cameras < 0:
            raise ValueError(f"past_cameras is not negative, got {self.past_cameras}")
        for name in ("step_s", "gflops", "memory_gb_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is positive, got {getattr(self, name):g}")

    @property
    def images(self) -> tuple[tuple[str, float], ...]:
        """Label and age (s) of all that are sent: oldest first, front ones first of one age."""
        names = [f"CAM_{k + 1}" if k >= len(CAMERAS) else CAMERAS[k] for k in range(self.cameras)]
        past = names[: self.past_cameras or None]
        sent = []
        for back in reversed(range(self.frames)):
            age_s = self.step_s * back
            moment = "now" if age_s < NOW_S else f"{age_s:.1f}"
            sent += [(f"{name} {moment}", age_s) for name in (past if back else names)]
        return tuple(sent)


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """Rows and columns of the tokens of one image.

    Attributes:
        label: The words before it.
        rows, columns: One token each.
    """

    label: str
    rows: int
    columns: int


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
        images: What each of them takes.
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
    images: tuple[ImageGrid, ...]
    visual_tokens: int
    context_tokens: int
    most_context_tokens: int
    parts: tuple[PartSize, ...]
    stages: tuple[Stage, ...]
    memory: Memory
