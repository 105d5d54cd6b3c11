"""The changes that make twins, beside the jaywalker; steps count from the fork."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.intervention import Intervention, put_standing

AMBER_STEPS = 30
"""How long a light that was green shows amber before red."""
SPEED_BY_US = 32
"""SUMO's speed mode of a vehicle that does what it is told and checks nothing."""


@dataclass(frozen=True, slots=True)
class ForcedRed(Intervention):
    """Some links of a signal turn red, or stay so; all other links do what they would.

    Attributes:
        signal, links: Which.
        amber_steps: Amber comes first for so long; 0 where the light was red.
    """

    signal: str
    links: tuple[int, ...]
    amber_steps: int

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Set the whole state anew."""
        state = list(signals[self.signal])
        for link in self.links:
            state[link] = "y" if elapsed < self.amber_steps else "r"
        api.trafficlight.setRedYellowGreenState(self.signal, "".join(state))


@dataclass(frozen=True, slots=True)
class Obstacle(Intervention):
    """A vehicle stands in a lane from the first step on.

    Attributes:
        name: Its own.
        kind: Its vehicle type.
        edge, index, front_m: Where its front bumper is.
    """

    name: str
    kind: str
    edge: str
    index: int
    front_m: float

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Put it there; it never moves."""
        if elapsed == 0:
            put_standing(api, self.name, self.kind, self.edge, self.index, self.front_m)


@dataclass(frozen=True, slots=True)
class HardBraking(Intervention):
    """A vehicle brakes to a stand and stays.

    Attributes:
        name: Whose.
        speed_mps: It has now.
        braking_mps2: How hard it brakes.
    """

    name: str
    speed_mps: float
    braking_mps2: float

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Slow it down once, then hold it."""
        if elapsed == 0:
            api.vehicle.setSpeedMode(self.name, SPEED_BY_US)
            api.vehicle.setDecel(self.name, self.braking_mps2)
        if self.name in api.vehicle.getIDList():
            left_mps = self.speed_mps - (elapsed + 1) * STEP_S * self.braking_mps2
            api.vehicle.setSpeed(self.name, max(left_mps, 0.0))


@dataclass(frozen=True, slots=True)
class Removal(Intervention):
    """A vehicle or a pedestrian is taken away."""

    name: str
    walks: bool

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Take it away once."""
        if elapsed:
            return
        if self.walks:
            api.person.removeStages(self.name)
        else:
            api.vehicle.remove(self.name)
