"""The changes that make twins: what each does to a running simulation, step by step.

An intervention is handed the simulation before each step after the fork. ``elapsed`` counts
these steps from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.sumo import Persons, Snapshot, Vehicles

AMBER_STEPS = 30
"""How long a light that was green shows amber before red."""
SPEED_BY_US = 32
"""SUMO's speed mode of a vehicle that does what it is told and checks nothing."""

GHOST_M = 0.6
"""Length and width of the vehicle that stands in for a walker."""
NEAR_LANE_M = 2.0
"""How near to a lane's middle a walker is in drivers' way."""


class Intervention:
    """One change; by itself it changes nothing, so a run forked with it goes on like run A."""

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Do what is due before a step; ``signals`` is what run A obeys in it."""

    def seen(self, snapshot: Snapshot, elapsed: int) -> Snapshot:
        """The step just made as a camera would see it."""
        return snapshot


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


@dataclass(frozen=True, slots=True, eq=False)
class Jaywalker(Intervention):
    """Somebody stands at the kerb, then walks across the road.

    SUMO's vehicles ignore pedestrians off crossings. So once the walker is near the ego's lane, a
    ghost, a short vehicle that no picture shows, stands for drivers to see in that lane and in
    each lane that is still to be crossed; it goes when the walker has crossed the lane.

    Attributes:
        name: The walker's.
        edge, at_m: Of the ego's lane, and the place along it.
        lanes_m: By index of a lane of the edge, how far its middle is beyond that of the ego's.
        middle_m: (2,) the place in the ego's lane, town axes.
        across: (2,) unit vector from the walker's kerb across the road.
        kerb_m: From the middle of the ego's lane to where the walker waits.
        wait_steps: Before the first stride.
        pace_mps: Of the walker.
    """

    name: str
    edge: str
    at_m: float
    lanes_m: Mapping[int, float]
    middle_m: Floats
    across: Floats
    kerb_m: float
    wait_steps: int
    pace_mps: float

    def ghost(self, index: int) -> str:
        """Name of the vehicle that drivers see in a lane."""
        return f"{self.name}-ghost-{index}"

    def off_m(self, elapsed: int) -> float:
        """How far beyond the middle of the ego's lane the walker is after that step."""
        return max(elapsed - self.wait_steps, 0) * STEP_S * self.pace_mps - self.kerb_m

    def place_m(self, elapsed: int) -> Floats:
        """Where the walker is after that step: (2,), town axes."""
        return np.asarray(self.middle_m + self.off_m(elapsed) * self.across)

    def blocks(self, index: int, elapsed: int) -> bool:
        """Whether a ghost stands in a lane."""
        lane_m, off_m = self.lanes_m[index], self.off_m(elapsed)
        return min(lane_m, 0.0) - NEAR_LANE_M < off_m < lane_m + NEAR_LANE_M

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Put ghosts into lanes and take them away."""
        for index in self.lanes_m:
            now = self.blocks(index, elapsed)
            before = elapsed > 0 and self.blocks(index, elapsed - 1)
            name = self.ghost(index)
            if now and not before:
                api.vehicletype.copy("sedan_0", name)
                api.vehicletype.setLength(name, GHOST_M)
                api.vehicletype.setWidth(name, GHOST_M)
                put_standing(api, name, name, self.edge, index, self.at_m + GHOST_M / 2)
            if before and not now and name in api.vehicle.getIDList():
                api.vehicle.remove(name)

    def seen(self, snapshot: Snapshot, elapsed: int) -> Snapshot:
        """The walker instead of the ghosts."""
        persons = with_walker(
            snapshot.persons,
            name=self.name,
            xy_m=self.place_m(elapsed),
            yaw_rad=float(np.arctan2(self.across[1], self.across[0])),
            speed_mps=self.pace_mps if elapsed > self.wait_steps else 0.0,
            edge=self.edge,
        )
        ghosts = {self.ghost(index) for index in self.lanes_m}
        kept = np.array([name not in ghosts for name in snapshot.vehicles.names], dtype=np.bool_)
        vehicles = snapshot.vehicles if kept.all() else some_vehicles(snapshot.vehicles, kept)
        return replace(snapshot, persons=persons, vehicles=vehicles)


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


def put_standing(api: Any, name: str, kind: str, edge: str, index: int, front_m: float) -> None:
    """Put a vehicle into a lane where it stands for good, however tight the place is."""
    api.route.add(f"{name}-route", [edge])
    api.vehicle.add(
        name,
        f"{name}-route",
        kind,
        depart="now",
        departLane=str(index),
        departPos=str(front_m),
        departSpeed="0",
        arrivalPos="max",
    )
    api.vehicle.moveTo(name, f"{edge}_{index}", front_m)
    api.vehicle.setSpeedMode(name, 0)
    api.vehicle.setSpeed(name, 0)


def some_vehicles(vehicles: Vehicles, kept: NDArray[np.bool_]) -> Vehicles:
    """Those of a mask of shape (N,)."""

    def some(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word, keep in zip(words, kept, strict=True) if keep)

    return Vehicles(
        names=some(vehicles.names),
        types=some(vehicles.types),
        front_xy_m=vehicles.front_xy_m[kept],
        yaw_rad=vehicles.yaw_rad[kept],
        speed_mps=vehicles.speed_mps[kept],
        acceleration_mps2=vehicles.acceleration_mps2[kept],
        lamps=vehicles.lamps[kept],
        lanes=some(vehicles.lanes),
        lane_m=vehicles.lane_m[kept],
        route_index=vehicles.route_index[kept],
    )


def some_persons(persons: Persons, kept: NDArray[np.bool_]) -> Persons:
    """Those of a mask of shape (N,)."""

    def some(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word, keep in zip(words, kept, strict=True) if keep)

    return Persons(
        names=some(persons.names),
        xy_m=persons.xy_m[kept],
        yaw_rad=persons.yaw_rad[kept],
        speed_mps=persons.speed_mps[kept],
        edges=some(persons.edges),
    )


def with_walker(
    persons: Persons, *, name: str, xy_m: Floats, yaw_rad: float, speed_mps: float, edge: str
) -> Persons:
    """One pedestrian more, in the order of names."""
    row = sum(other < name for other in persons.names)

    def more(values: Floats, value: object) -> NDArray[np.float64]:
        return np.insert(values, row, value, axis=0)  # type: ignore[call-overload, no-any-return]

    return Persons(
        names=(*persons.names[:row], name, *persons.names[row:]),
        xy_m=more(persons.xy_m, xy_m),
        yaw_rad=more(persons.yaw_rad, yaw_rad),
        speed_mps=more(persons.speed_mps, speed_mps),
        edges=(*persons.edges[:row], edge, *persons.edges[row:]),
    )
