"""What a twin pair is: two scenes, the last moment in which they are one, and what parts them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm_sim.scene_log import STEP_S, SceneLog

# Steps of a pair's logs before and after t0.
BEFORE_STEPS = 40
AFTER_STEPS = 40


class Family(str, Enum):
    """What is changed between the scenes of a pair."""

    SIGNAL_APPROACH = "approaching_signal"
    SIGNAL_HELD = "waiting_signal"
    STOPPED_VEHICLE = "stopped_vehicle"
    JAYWALKER = "jaywalker"
    LEADER_BRAKES = "leader_brakes"
    OPPONENT = "priority_opponent"
    PEDESTRIAN = "crosswalk_pedestrian"


class CauseKind(str, Enum):
    """What the visible cause is."""

    SIGNAL = "signal"
    VEHICLE = "vehicle"
    PEDESTRIAN = "pedestrian"


@dataclass(frozen=True, slots=True)
class Cause:
    """The one thing in which the scenes of a pair differ at t0.

    Attributes:
        kind: What it is.
        instance: Name of its track; "" for a signal.
        signal, link: Plan and place of the ego's own signal; "" and -1 for a road user.
        links: All places of the plan that show the ego's movement, and are changed together.
        distance_m: From the ego's rear axle at t0: to the middle of the body, or to the stop line.
    """

    kind: CauseKind
    instance: str = ""
    signal: str = ""
    link: int = -1
    links: tuple[int, ...] = ()
    distance_m: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.instance) == bool(self.signal):
            raise ValueError(f"a cause is a road user or a signal, got {self!r}")
        if self.signal and self.link not in self.links:
            raise ValueError(f"the ego's own link is not among the changed ones: {self!r}")


@dataclass(frozen=True, slots=True, eq=False)
class TwinPair:
    """Two scenes that are one until t0.

    Attributes:
        name: Unique in a dataset, e.g. ``grid-17/stopped_vehicle/0412-v31``.
        family: What was changed.
        town: Both play in it.
        a: As the traffic went by itself.
        b: With the one change.
        t0: The last step, of either log, in which the ego of both is the same.
        cause: What was changed.
    """

    name: str
    family: Family
    town: str
    a: SceneLog
    b: SceneLog
    t0: int
    cause: Cause

    def __post_init__(self) -> None:
        for log in (self.a, self.b):
            if not 0 <= self.t0 < log.steps:
                raise ValueError(f"{self.name}: t0 is step {self.t0} of {log.steps}")

    def gap_m(self, after_s: float) -> float:
        """How far the rear axles of both scenes are apart, that long after t0; NaN past the end."""
        step = self.t0 + round(after_s / STEP_S)
        if step >= min(self.a.steps, self.b.steps):
            return float("nan")
        return float(np.linalg.norm(self.a.rear_axle_m[step] - self.b.rear_axle_m[step]))
