"""Trains the ego MLP and its kin on the recorded futures of scenes that nobody scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.baselines.ego_mlp import (
    NAMES,
    STEPS,
    Layers,
    Reader,
    constant_velocity_m,
    mirror,
    moving,
    seen,
)
from drivevlm.baselines.motions import NoPastError
from drivevlm.data.recording import DataError, Recording, twins_of
from drivevlm.world.pose import Floats

# N: clips. F: features. T: waypoints.
EDITION = 1
"""Raised whenever the same drives and settings give other weights than before."""
BATCH = 256
HIGHEST_RATE = 2e-3
DECAY = (0.9, 0.999)
"""Of Adam's two running means."""
TINY_M = 1e-3
"""Distances below this pull no harder than those at it: the loss has no kink."""


@dataclass(frozen=True, slots=True)
class MlpSettings:
    """The training of planner ``ego_mlp`` and its kin; none learns from a scene that is scored.

    Attributes:
        train_root: Folder of the nuScenes-format data that they learn from: the train split where
            there is one, else every scene. "" is the scored data's own.
        train_version: Its version folder; "" is the scored data's. ``blind_mlp`` and
            ``oracle_mlp`` then learn from the labelled versions beside it too, twins among them,
            where ``train_root`` is another one than the scored data's.
        hidden: Units of each of its two hidden layers.
        epochs: How often it sees every clip, as it was driven and mirrored.
        seed: Of its first weights and of the order.
        cache: Folder of its weights; "" is the user's cache folder.
    """

    train_root: str = ""
    train_version: str = ""
    hidden: int = 128
    epochs: int = 40
    seed: int = 0
    cache: str = ""

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.epochs < 1 or self.seed < 0:
            raise ValueError(
                "hidden and epochs are at least 1 and seed not negative, got "
                f"{self.hidden}, {self.epochs} and {self.seed}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What there is to learn from.

    Attributes:
        features: (N, F), NaN where unknown.
        speed_mps, moved_m: (N,) as in ``Seen``.
        future_m: (N, T, 2) what was driven, in the ego frame of decision time.
    """

    features: Floats
    speed_mps: Floats
    moved_m: Floats
    future_m: Floats

    def __len__(self) -> int:
        return len(self.features)

    def with_mirrored(self, names: tuple[str, ...]) -> Lessons:
        """Every drive and its mirror image; ``names`` are those of the features."""
        return Lessons(
            np.concatenate([self.features, self.features * mirror(names)]),
            np.tile(self.speed_mps, 2),
            np.tile(self.moved_m, 2),
            np.concatenate([self.future_m, self.future_m * [1.0, -1.0]]),
        )


def teaching_clips(recording: Recording) -> tuple[str, ...]:
    """The clips with a past and with a whole recorded future; of twins both sides of each pair."""
    if twins_of(recording):
        return tuple(token for scene in recording.scenes() for token in scene.tokens)
    return tuple(token for scene in recording.scenes() for token in scene.tokens[1:-STEPS])


def lessons_from(recording: Recording, tokens: Sequence[str], read: Reader = seen) -> Lessons:
    """Read them. Raises DataError for a clip without a past, or without a recorded future."""
    rows, futures = [], []
    for token in tokens:
        truth = recording.truth(token)
        if truth is None or not truth.future_valid.all():
            raise DataError(f"{recording.name}: {token} has no recorded future to learn from")
        try:
            rows.append(read(recording.clip(token)))
        except NoPastError as error:
            raise DataError(f"{recording.name}: {token}: {error}") from None
        futures.append(truth.future_path()[0])
    features, speeds, moved = zip(*rows, strict=True)
    return Lessons(np.stack(features), np.array(speeds), np.array(moved), np.stack(futures))


def joined(parts: Sequence[Lessons]) -> Lessons:
    """All of them, one after the other."""
    columns = ("features", "speed_mps", "moved_m", "future_m")
    return Lessons(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def fit(lessons: Lessons, settings: MlpSettings, names: tuple[str, ...] = NAMES) -> Layers:
    """The weights with a small mean distance to what was driven. The same seed gives the same.

    ``names`` are those of the features.
    """
    both = lessons.with_mirrored(names)
    rng = np.random.default_rng(settings.seed)
    layers = _first_layers(both, settings.hidden, rng)
    z = layers.standardised(both.features)
    wanted_m = both.future_m - constant_velocity_m(both.speed_mps)
    scale_m = moving(both.moved_m)[:, None] * layers.reach_m
    weights = [array.copy() for array in layers[2:8]]
    adam = _Adam(weights)
    batches = -(-len(both) // BATCH)
    for epoch in range(settings.epochs):
        order = rng.permutation(len(both))
        for number, rows in enumerate(np.array_split(order, batches)):
            done = (epoch + number / batches) / settings.epochs
            now = layers._replace(**dict(zip(WEIGHTS, weights, strict=True)))
            _, slopes = loss_m(now, z[rows], wanted_m[rows], scale_m[rows])
            adam.step(slopes, rate=HIGHEST_RATE * (1 + np.cos(np.pi * done)) / 2)
    return layers._replace(**dict(zip(WEIGHTS, weights, strict=True)))


WEIGHTS = Layers._fields[2:8]
"""What is learned; the rest is measured."""


def loss_m(
    layers: Layers, z: Floats, wanted_m: Floats, scale_m: Floats
) -> tuple[float, list[Floats]]:
    """Mean distance of the corrections to the wanted ones, and its slope by each of ``WEIGHTS``.

    ``z`` are (N, F) standardised features, ``wanted_m`` (N, T, 2), ``scale_m`` (N, T).
    """
    first, second = layers.hidden(z)
    miss_m = scale_m[:, :, None] * layers.corrections(second) - wanted_m
    distance_m = np.sqrt((miss_m**2).sum(axis=2) + TINY_M**2)
    pull = miss_m / distance_m[:, :, None] * scale_m[:, :, None] / distance_m.size
    d3 = pull.reshape(len(z), -1)
    d2 = (d3 @ layers.w3.T) * (second > 0)
    d1 = (d2 @ layers.w2.T) * (first > 0)
    slopes = [z.T @ d1, d1.sum(0), first.T @ d2, d2.sum(0), second.T @ d3, d3.sum(0)]
    return float(distance_m.mean()), slopes


def _first_layers(lessons: Lessons, hidden: int, rng: np.random.Generator) -> Layers:
    """Random hidden layers and no correction yet: training starts at constant velocity."""
    known = np.isfinite(lessons.features)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, lessons.features, 0.0).sum(axis=0) / count
    variance = (np.where(known, lessons.features - mean, 0.0) ** 2).sum(axis=0) / count
    spread = np.sqrt(variance)
    wanted_m = lessons.future_m - constant_velocity_m(lessons.speed_mps)

    def drawn(fan_in: int) -> Floats:
        return rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, hidden))

    return Layers(
        mean=mean,
        # A feature that never varies tells nothing; where it does later, it is no surprise.
        spread=np.where(spread > 1e-6, spread, np.inf),
        w1=drawn(lessons.features.shape[1]),
        b1=np.zeros(hidden),
        w2=drawn(hidden),
        b2=np.zeros(hidden),
        w3=np.zeros((hidden, 2 * STEPS)),
        b3=np.zeros(2 * STEPS),
        reach_m=np.sqrt((wanted_m**2).sum(axis=2).mean(axis=0)),
    )


class _Adam:
    """Adam (Kingma and Ba, 2015), on arrays that it changes in place."""

    def __init__(self, weights: list[Floats]) -> None:
        self._weights = weights
        self._mean = [np.zeros_like(w) for w in weights]
        self._square = [np.zeros_like(w) for w in weights]
        self._steps = 0

    def step(self, slopes: list[Floats], *, rate: float) -> None:
        self._steps += 1
        fade, fade_square = (1 - decay**self._steps for decay in DECAY)
        for weight, mean, square, slope in zip(
            self._weights, self._mean, self._square, slopes, strict=True
        ):
            mean += (1 - DECAY[0]) * (slope - mean)
            square += (1 - DECAY[1]) * (slope**2 - square)
            weight -= rate * (mean / fade) / (np.sqrt(square / fade_square) + 1e-8)
