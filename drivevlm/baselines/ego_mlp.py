"""A small network that plans from past ego motion alone: no image, no label, no command.

It says how much of an open-loop score a planner gets for knowing how the ego moved so far. Its
layers also serve planners that read more (see ``blind_mlp``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from drivevlm.baselines.motions import NoPastError
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.ego import EgoHistory, EgoStatus, status_from_history
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, wrap_rad
from drivevlm.world.sets import FailureKind

# N: clips. F: features of a clip. T: waypoints. H: hidden units.
LAGS_S = (0.5, 1.0, 1.5, 2.0)
"""The past is read at these ages."""
LAG_SLACK_S = 0.1
"""The oldest pose stands in for a lag that is older by at most so much: keyframes jitter."""
STEPS, STEP_S = 6, 0.5
AHEAD_S: Floats = np.arange(1, STEPS + 1) * STEP_S
MOVING_M = 1.0
"""An ego that moved less than this is corrected by less, and one that stood not at all."""
PER_LAG = ("ahead", "left", "yaw", "known")
NAMES = (
    *(f"{word} {lag:g} s ago" for lag in LAGS_S for word in PER_LAG),
    *("speed", "yaw rate", "acceleration", "acceleration known"),
)
"""Of the F features."""


def mirror(names: tuple[str, ...]) -> Floats:
    """(F,) times the features gives those of the mirrored drive: ``left`` and ``yaw`` turn."""
    return np.array([-1.0 if name.startswith(("left", "yaw")) else 1.0 for name in names])


class Seen(NamedTuple):
    """What the network reads of one clip.

    Attributes:
        features: (F,), NaN where unknown.
        speed_mps: Of the constant-velocity path that the network corrects.
        moved_m: How far the ego was at most from here, in the past that is read.
    """

    features: Floats
    speed_mps: float
    moved_m: float


def seen(clip: Clip) -> Seen:
    """The features of a clip, from its past poses alone. Raises NoPastError with fewer than two.

    Speed, acceleration and yaw rate are backward differences of the poses, whatever the source of
    the clip's own status, so that the network reads in every recording what it was trained on.
    Past poses are told as their distance from where constant velocity would have put them.
    """
    history = clip.history
    status = None if history is None else status_from_history(history)
    if history is None or status is None:
        raise NoPastError("the network needs two past poses")
    lags = np.array([_lag(history, status, lag_s) for lag_s in LAGS_S])
    acceleration = status.acceleration_mps2
    rest = [
        status.speed_mps,
        np.nan if status.yaw_rate_radps is None else status.yaw_rate_radps,
        np.nan if acceleration is None else acceleration,
        float(acceleration is not None),
    ]
    recent = history.stamp_us >= history.stamp_us[-1] - 1e6 * (LAGS_S[-1] + LAG_SLACK_S)
    moved_m = float(np.linalg.norm(history.xy_ego_m[recent], axis=1).max())
    return Seen(np.concatenate([lags.ravel(), rest]), status.speed_mps, moved_m)


def _lag(history: EgoHistory, status: EgoStatus, lag_s: float) -> tuple[float, ...]:
    """The ``PER_LAG`` features of one age."""
    now_us = int(history.stamp_us[-1])
    oldest_s = (now_us - int(history.stamp_us[0])) / 1e6
    if oldest_s < lag_s - LAG_SLACK_S:
        return (np.nan, np.nan, np.nan, 0.0)
    age_s = min(lag_s, oldest_s)
    pose = history.pose_at(now_us - round(1e6 * age_s))
    if pose is None:
        raise ValueError(f"an age of {age_s} s lies outside of a history of {oldest_s} s")
    return (pose.x_m + status.speed_mps * age_s, pose.y_m, float(wrap_rad(pose.yaw_rad)), 1.0)


def constant_velocity_m(speed_mps: Floats) -> Floats:
    """(N, T, 2) paths straight ahead at speeds (N,)."""
    x_m = speed_mps[:, None] * AHEAD_S
    return np.stack([x_m, np.zeros_like(x_m)], axis=2)


class Layers(NamedTuple):
    """The numbers of the network, all float64.

    Attributes:
        mean, spread: (F,) of the features in training.
        w1, b1, w2, b2, w3, b3: (F, H), (H,), (H, H), (H,), (H, 2 T), (2 T,).
        reach_m: (T,) root mean square of the corrections in training.
    """

    mean: Floats
    spread: Floats
    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats
    w3: Floats
    b3: Floats
    reach_m: Floats

    def standardised(self, features: Floats) -> Floats:
        """(N, F) in units of their spread in training; what is unknown is the mean."""
        return np.nan_to_num((features - self.mean) / self.spread)

    def hidden(self, z: Floats) -> tuple[Floats, Floats]:
        """(N, H) activations of both hidden layers for standardised features (N, F)."""
        first = np.maximum(z @ self.w1 + self.b1, 0.0)
        return first, np.maximum(first @ self.w2 + self.b2, 0.0)

    def corrections(self, second: Floats) -> Floats:
        """(N, T, 2) in units of ``reach_m``, from the second layer's activations."""
        return (second @ self.w3 + self.b3).reshape(-1, STEPS, 2)

    def paths_m(self, features: Floats, speed_mps: Floats, moved_m: Floats) -> Floats:
        """(N, T, 2) planned paths."""
        _, second = self.hidden(self.standardised(features))
        scale = moving(moved_m)[:, None] * self.reach_m
        paths = constant_velocity_m(speed_mps) + scale[:, :, None] * self.corrections(second)
        return np.asarray(paths)


def moving(moved_m: Floats) -> Floats:
    """By how much a path is corrected, 0 to 1."""
    return np.minimum(moved_m / MOVING_M, 1.0)


Reader = Callable[[Clip], Seen]
"""What a network reads of a clip. Raises NoPastError where there is too little."""


@dataclass(frozen=True, slots=True, eq=False)
class EgoMlp:
    """A network as a planner; a missing past is a counted failure.

    Its plans have ``STEPS`` waypoints of ``STEP_S``, which is the recorded future it learned.
    """

    layers: Layers
    name: str = "ego_mlp"
    read: Reader = seen

    def recall(self, clip: Clip) -> Clip:
        """The clip as it is."""
        return clip

    def decide(self, clip: Clip) -> Decision:
        """The network's plan, or a NO_PAST failure."""
        try:
            features, speed_mps, moved_m = self.read(clip)
        except NoPastError as error:
            return Decision.failed(FailureKind.NO_PAST, str(error))
        paths_m = self.layers.paths_m(features[None], np.array([speed_mps]), np.array([moved_m]))
        return Decision(plan=Plan(paths_m[0], dt_s=STEP_S))

    def remember(self, clip: Clip, decision: Decision) -> None:
        """Keep nothing."""


def write_layers(path: Path, layers: Layers, recipe: str) -> None:
    """Keep the numbers as safetensors, with what made them; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(save(layers._asdict(), {"recipe": recipe}))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_layers(path: Path, recipe: str) -> Layers | None:
    """The kept numbers; None where there are none that this recipe made, or a damaged file."""
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("recipe") != recipe:
                return None
            return Layers(**{name: file.get_tensor(name) for name in Layers._fields})
    except (OSError, SafetensorError):
        return None
