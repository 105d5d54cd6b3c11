"""How a training goes. Nothing here wakes torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from drivevlm.dialogue.sections import SectionName


class TrainError(Exception):
    """A training cannot go on; the message is one clear line."""


class Stage(str, Enum):
    """What learns."""

    PERCEIVE = (
        "perceive"  # the projector: its tokens must tell what is seen, nobody reads or writes
    )
    ALIGN = "align"  # the projector alone: it meets a language model that stays as it is
    SFT = "sft"  # all that ``train.rates`` gives a rate


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of the parts; 0 freezes one.

    Attributes:
        encoder, projector, decoder: Of their weights; adapters count as the decoder.
    """

    encoder: float = 0.0
    projector: float = 1e-3
    decoder: float = 1e-3

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)


@dataclass(frozen=True, slots=True)
class SectionWeights:
    """What a token counts in the loss, by the section of the answer that it stands in."""

    detect: float = 0.3
    scene: float = 1.0
    spatial: float = 1.0
    decide: float = 2.0
    plan: float = 2.0

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)

    def of(self, section: SectionName) -> float:
        """The weight of a section's tokens."""
        weight: float = getattr(self, section.value.lower())
        return weight


@dataclass(frozen=True, slots=True)
class Dropout:
    """How often a block of the prompt is left out, each by itself.

    Attributes:
        ego_status: So that the model cannot lean on it.
        block: Any other block but the cameras.
        camera: A camera with all its images.
    """

    ego_status: float = 0.15
    block: float = 0.1
    camera: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)
        if max(self.ego_status, self.block, self.camera) >= 1:
            raise ValueError(f"a chance of dropout is below 1, got {self}")


@dataclass(frozen=True, slots=True)
class EgoNoise:
    """Deviations of the noise that is added to ego status and past poses; both twins get the same.

    Attributes:
        speed_mps, acceleration_mps2, yaw_rate_radps: Of the status.
        position_m: Of each past pose.
    """

    speed_mps: float = 0.05
    acceleration_mps2: float = 0.1
    yaw_rate_radps: float = 0.005
    position_m: float = 0.03

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)


@dataclass(frozen=True, slots=True)
class Augment:
    """How much pictures are changed, each clip in its own way; cached features never are.

    Attributes:
        on: Whether at all.
        colour: Share by which each colour grows or shrinks at most.
        light: Share of the brightness' gamma, either way.
        noise: Largest deviation of the noise, of 255.
        blur_px: Largest deviation of the blur.
        jpeg: Lowest quality of half of the pictures; 95 and more compresses none.
        zoom: Of the windows that ``reframed`` takes of pictures, at most.
    """

    on: bool = False
    colour: float = 0.15
    light: float = 0.3
    noise: float = 6.0
    blur_px: float = 0.8
    jpeg: int = 40
    zoom: float = 1.35

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)
        if self.colour >= 1 or not 1 <= self.jpeg <= 100:
            raise ValueError(f"colour is below 1 and jpeg from 1 to 100, got {self}")
        if self.zoom < 1:
            raise ValueError(f"zoom is at least 1, got {self.zoom}")


FORMS: Mapping[str, tuple[SectionName, ...]] = {
    "full": tuple(SectionName),
    "plan_first": (SectionName.PLAN, *(s for s in SectionName if s is not SectionName.PLAN)),
    "plan_only": (SectionName.PLAN,),
    "brief": tuple(s for s in SectionName if s is not SectionName.DETECT),
}
"""Answers that a model can be taught, by name."""


@dataclass(frozen=True, slots=True)
class FormShares:
    """How often each form of the answer is asked for; ``brief`` is the full one without DETECT.

    The prompt's own sections do not count. Validations that plan ask for the longest form that is
    taught.
    """

    full: float = 0.6
    plan_first: float = 0.2
    plan_only: float = 0.2
    brief: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, at_least=0.0)
        if not self.full + self.plan_first + self.plan_only + self.brief:
            raise ValueError("some form of the answer must have a share")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a training goes.

    Attributes:
        steps: Of the optimiser, in each stage.
        stop_after: End after so many steps of this stage, the schedule being that of all; 0 does
            not.
        batch: Clips that are learned from at once, in a process; even, since twins come in twos.
        accumulate: Batches to a step of the optimiser.
        rates: Highest learning rates.
        warmup: Steps until they are reached; then they fall as a cosine to a twentieth.
        weight_decay: Of matrices, none of norms and biases.
        clip: Longest gradient.
        betas: Of AdamW.
        precision: ``float32``, or ``bfloat16`` by autocast, kept features too.
        checkpointing: Forget activations and make them again, for less memory.
        weights: Of the sections in the loss.
        perception: Weight of what heads on the visual tokens say of signal, vehicle and path ahead
            and of objects; they are thrown away after. 0 is without, but in stage perceive.
        dropout: Of blocks.
        noise: On the ego's motion.
        augment: Of pictures.
        forms: Of the answer.
        spread_bins: Where a number is written as one word, as those of a plan are, its neighbours
            are wanted too, by a Gaussian of this deviation; 0 wants the very word.
        mixture: Shares of the data sets, in their order; empty takes them by their size.
        mirror: Learn as often from each clip's mirror image, where everything turns: pictures,
            cameras, motions, boxes and words. So twice as many clips, one side of the road as
            often as the other.
        reframed: Learn as often again, so many times, from windows of the pictures, recoloured
            by ``augment``, as other cameras might have taken them. Unlike ``augment.on``, these
            are few enough to be cached.
        vocabulary: Tokens of a new tokenizer, learned from the data.
        cached: Compute a frozen encoder's features once, and keep them on disk; 0 is no, and
            images are read and encoded anew each time.
        workers: Processes that read ahead.
        threads: CPU threads of torch; 0 leaves its own number.
        save_every: Steps between checkpoints.
        tell_every: Steps between lines of the protocol.
        val_every: Steps between validations; 0 validates at the end alone.
        val_clips: Clips of a validation that plans at most; 0 takes all. To see takes all: it is
            quick.
        seed: Of everything that varies.
    """

    steps: int = 2000
    stop_after: int = 0
    batch: int = 8
    accumulate: int = 1
    rates: Rates = field(default_factory=Rates)
    warmup: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    precision: str = "float32"
    checkpointing: bool = False
    weights: SectionWeights = field(default_factory=SectionWeights)
    perception: float = 0.0
    dropout: Dropout = field(default_factory=Dropout)
    noise: EgoNoise = field(default_factory=EgoNoise)
    augment: Augment = field(default_factory=Augment)
    forms: FormShares = field(default_factory=FormShares)
    spread_bins: float = 0.0
    mixture: tuple[float, ...] = ()
    mirror: bool = False
    reframed: int = 0
    vocabulary: int = 2048
    cached: bool = True
    workers: int = 0
    threads: int = 0
    save_every: int = 200
    tell_every: int = 10
    val_every: int = 0
    val_clips: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 2 or self.batch % 2:
            raise ValueError(f"batch is even, since twins come in twos, got {self.batch}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is float32 or bfloat16, got {self.precision!r}")
        counts = (self.steps, self.accumulate, self.save_every, self.tell_every, self.vocabulary)
        if min(counts) < 1:
            raise ValueError(
                "steps, accumulate, save_every, tell_every and vocabulary are positive, got "
                f"{', '.join(map(str, counts))}"
            )
        counts = (self.stop_after, self.warmup, self.workers, self.threads, self.val_every)
        if min(*counts, self.reframed) < 0:
            raise ValueError(
                "stop_after, warmup, workers, threads, val_every and reframed are not negative, "
                f"got {', '.join(map(str, (*counts, self.reframed)))}"
            )
        if not 0 <= self.spread_bins < math.inf:
            raise ValueError(f"spread_bins is not negative, got {self.spread_bins}")
        if self.augment.on and self.cached:
            raise ValueError("augment.on needs cached=false: what is cached was seen unchanged")
        if any(not share >= 0 for share in self.mixture) or (
            self.mixture and not sum(self.mixture)
        ):
            raise ValueError(f"mixture takes shares, not all of them 0, got {self.mixture}")

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the data sets and then of all that is made of them to learn from too."""
        return self.mixture * (1 + self.mirror) * (1 + self.reframed)


def _positive(values: object, *, at_least: float) -> None:
    for each in fields(values):  # type: ignore[arg-type]
        value = getattr(values, each.name)
        if not (math.isfinite(value) and value >= at_least):
            raise ValueError(f"{each.name} is at least {at_least:g}, got {value}")
