"""What happened in a scene, at 10 Hz: small enough to carry anywhere and render there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats

# S: steps of STEP_S of the whole scene. K: steps in which a track is there.
STEP_S = 0.1


class Weather(str, Enum):
    """Sky and road."""

    DAY = "day"
    OVERCAST = "overcast"
    DUSK = "dusk"
    RAIN = "rain"
    NIGHT = "night"


class Body(str, Enum):
    """Shapes that move; each has a mesh, a size and a nuScenes category."""

    SEDAN = "sedan"
    SUV = "suv"
    VAN = "van"
    TRUCK = "truck"
    BUS = "bus"
    MOTORCYCLE = "motorcycle"
    BICYCLE = "bicycle"
    PEDESTRIAN = "pedestrian"


class Lamps(int, Enum):
    """Bits of a track's lamps."""

    BRAKE = 1
    LEFT = 2
    RIGHT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One road user.

    Attributes:
        name: Unique in the scene; the same in both scenes of a twin pair.
        body: Its shape.
        first: The step in which it appears.
        xy_m: (K, 2) middle of the body on the ground, town axes.
        yaw_rad: (K,).
        speed_mps: (K,) along the body.
        acceleration_mps2: (K,).
        lamps: (K,) bits of ``Lamps``.
        lane: K names of the lane, connector, crossing or sidewalk it is on; "" where off all.
        colour: Which of its body's colours.
    """

    name: str
    body: Body
    first: int
    xy_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    acceleration_mps2: Floats
    lamps: NDArray[np.uint8]
    lane: tuple[str, ...]
    colour: int = 0

    def __len__(self) -> int:
        return len(self.yaw_rad)

    def at(self, step: int) -> int | None:
        """The track's row in a step of the scene; None where it is not there."""
        row = step - self.first
        return row if 0 <= row < len(self) else None


@dataclass(frozen=True, slots=True, eq=False)
class SceneLog:
    """A scene.

    Attributes:
        name: E.g. ``grid-17/042``.
        town: The town's name; it is made again from the recipe's seed.
        steps: S.
        ego: The ego's track, of the middle of its body; its rear axle follows from a causal
            tractrix.
        rear_axle_m: (S, 2) the ego's origin.
        others: By name.
        signals: By signal plan, S states as shown to drivers (SUMO's letters ``GgyYruOo``).
        route: Names of the edges that the ego still has before it, first the one it is on.
        command: (S,) what the router says, from the route alone: words of ``world.sets.Command``.
        command_m: (S,) how far the commanded turn is; NaN where there is none.
        weather, sun: The sky; azimuth and elevation in radians.
        family: What the scene is for, e.g. ``red_light``.
        seed: Of all that varies in it.
        facts: What the traffic model knows and pictures show, by name, each of length S: e.g.
            ``leader`` (names), ``leader_gap_m``, ``stop_line_m``; documented where they are made.
    """

    name: str
    town: str
    steps: int
    ego: Track
    rear_axle_m: Floats
    others: Mapping[str, Track]
    signals: Mapping[str, tuple[str, ...]]
    route: tuple[str, ...]
    command: tuple[str, ...]
    command_m: Floats
    weather: Weather
    sun: tuple[float, float]
    family: str
    seed: int
    facts: Mapping[str, NDArray[np.generic]]

    def __post_init__(self) -> None:
        lengths = {len(self.ego), len(self.rear_axle_m), len(self.command), len(self.command_m)}
        lengths |= {len(states) for states in self.signals.values()}
        lengths |= {len(values) for values in self.facts.values()}
        if lengths != {self.steps}:
            raise ValueError(f"{self.name}: {self.steps} steps, but columns of {sorted(lengths)}")
