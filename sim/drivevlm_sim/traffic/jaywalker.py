"""Somebody who crosses a road where there is no crossing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.drivers import body_of
from drivevlm_sim.traffic.intervention import Intervention, put_standing
from drivevlm_sim.traffic.roads import Lane
from drivevlm_sim.traffic.sumo import Persons, Snapshot, Vehicles

JAYWALKER = "jaywalker"
"""What the names of those begin with who cross where there is no crossing."""
GHOST_M = 0.6
"""Length and width of the vehicle that stands in for a walker."""
NEAR_LANE_M = 2.0
"""How near to a lane's middle a walker is in drivers' way."""
AHEAD_OF_LANE_M = 5.5
"""From here on those who come towards the ego see who is about to cross their lane."""
STEP_OFF_M = 0.5
"""From the road's edge to where a walker waits."""
NEVER = 10**9
"""Steps that a walker waits who has seen no reason to walk."""
_GHOST = "-ghost-"
_CLEAR_M = (1.9, 4.0, 1.0)  # beside a vehicle's middle line, before it and behind it
_ROAD_M = 12.0  # a parked vehicle further away than this is on no walker's way


@dataclass(frozen=True, slots=True)
class Oncoming:
    """A lane of those who come towards the ego.

    Attributes:
        edge, index: SUMO's.
        at_m: The walker's place along it.
        off_m: How far its middle is beyond that of the ego's lane.
    """

    edge: str
    index: int
    at_m: float
    off_m: float

    @property
    def from_m(self) -> float:
        """How far beyond the middle of the ego's lane a walker is whom its drivers see."""
        return max(self.off_m - AHEAD_OF_LANE_M, -NEAR_LANE_M)


@dataclass(frozen=True, slots=True)
class _Ghost:
    """Stands in a lane while the walker is between two distances from the ego's lane's middle."""

    name: str
    edge: str
    index: int
    at_m: float
    from_m: float
    to_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Jaywalker(Intervention):
    """Somebody stands at the kerb, then walks across the road.

    SUMO's vehicles ignore pedestrians off crossings. So once the walker is near the ego's lane, a
    ghost, a short vehicle that no picture shows, stands for drivers to see in that lane and in
    each lane that is still to be crossed; it goes when the walker has crossed the lane. Those who
    come towards the ego see one when the walker is about to cross their lane.

    Attributes:
        name: The walker's.
        edge, at_m: Of the ego's lane, and the place along it.
        lanes_m: By index of a lane of the edge, how far its middle is beyond that of the ego's.
        middle_m: (2,) the place in the ego's lane, town axes.
        across: (2,) unit vector from the walker's kerb across the road.
        kerb_m: From the middle of the ego's lane to where the walker waits.
        wait_steps: Before the first stride.
        pace_mps: Of the walker.
        until_m: Beyond the middle of the ego's lane, where the walk ends.
        oncoming: Lanes of those who come towards the ego.
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
    until_m: float = math.inf
    oncoming: tuple[Oncoming, ...] = ()

    def off_m(self, elapsed: int) -> float:
        """How far beyond the middle of the ego's lane the walker is after that step."""
        walked_m = max(elapsed - self.wait_steps, 0) * STEP_S * self.pace_mps
        return min(walked_m - self.kerb_m, self.until_m)

    def walks(self, elapsed: int) -> bool:
        """Whether the walker is on the way in that step."""
        return elapsed > self.wait_steps and self.off_m(elapsed) < self.until_m

    @property
    def steps_to_lane(self) -> int:
        """From the first stride until the walker is in the way of the ego's lane."""
        return self.steps_to(-NEAR_LANE_M)

    def steps_to(self, off_m: float) -> int:
        """From the first stride until the walker is so far beyond the middle of the ego's lane."""
        return round(max(self.kerb_m + off_m, 0.0) / self.pace_mps / STEP_S)

    def place_m(self, elapsed: int) -> Floats:
        """Where the walker is after that step: (2,), town axes."""
        return np.asarray(self.middle_m + self.off_m(elapsed) * self.across)

    def blocks(self, index: int, elapsed: int) -> bool:
        """Whether a ghost stands in a lane."""
        ghost = self._ghost(index)
        return ghost.from_m < self.off_m(elapsed) < ghost.to_m

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Put ghosts into lanes and take them away."""
        off_m, before_m = self.off_m(elapsed), self.off_m(elapsed - 1)
        for ghost in self._ghosts():
            now = ghost.from_m < off_m < ghost.to_m
            before = elapsed > 0 and ghost.from_m < before_m < ghost.to_m
            if now and not before:
                api.vehicletype.copy("sedan_0", ghost.name)
                api.vehicletype.setLength(ghost.name, GHOST_M)
                api.vehicletype.setWidth(ghost.name, GHOST_M)
                front_m = ghost.at_m + GHOST_M / 2
                put_standing(api, ghost.name, ghost.name, ghost.edge, ghost.index, front_m)
            if before and not now:
                _take_out(api, ghost.name)

    def leave(self, api: Any) -> None:
        """Take all ghosts out, as if nobody had come."""
        for ghost in self._ghosts():
            _take_out(api, ghost.name)

    def _ghosts(self) -> Iterator[_Ghost]:
        yield from (self._ghost(index) for index in self.lanes_m)
        for lane in self.oncoming:
            name = f"{self.name}{_GHOST}{lane.edge}_{lane.index}"
            to_m = lane.off_m + NEAR_LANE_M
            yield _Ghost(name, lane.edge, lane.index, lane.at_m, lane.from_m, to_m)

    def _ghost(self, index: int) -> _Ghost:
        """Of a lane of the ego's edge."""
        lane_m, name = self.lanes_m[index], f"{self.name}{_GHOST}{index}"
        from_m = min(lane_m, 0.0) - NEAR_LANE_M
        return _Ghost(name, self.edge, index, self.at_m, from_m, lane_m + NEAR_LANE_M)

    def seen(self, snapshot: Snapshot, elapsed: int) -> Snapshot:
        """The walker, and no ghosts."""
        persons = _with_walker(
            snapshot.persons,
            name=self.name,
            xy_m=self.place_m(elapsed),
            yaw_rad=float(np.arctan2(self.across[1], self.across[0])),
            speed_mps=self.pace_mps if self.walks(elapsed) else 0.0,
            edge=self.edge,
        )
        return without_ghosts(replace(snapshot, persons=persons))

    def touches(self, vehicles: Vehicles, elapsed: int, later_s: float = 0.0) -> set[str]:
        """Vehicles about whose bodies the walker is in a step.

        Args:
            vehicles: As they are.
            elapsed: Of the walker's step.
            later_s: Vehicles go on at their speeds for so long until then.
        """
        beside_m, before_m, behind_m = _CLEAR_M
        yaw_rad = vehicles.yaw_rad
        along = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1)
        fronts_m = vehicles.front_xy_m + later_s * vehicles.speed_mps[:, None] * along
        off_m = self.place_m(elapsed) - fronts_m
        ahead_m = (off_m * along).sum(axis=1)
        left_m = off_m[:, 1] * along[:, 0] - off_m[:, 0] * along[:, 1]
        near = np.flatnonzero((np.abs(left_m) < beside_m) & (ahead_m < before_m))
        lengths_m = {row: SIZES[body_of(vehicles.types[row])].length_m for row in near}
        return {vehicles.names[k] for k in near if ahead_m[k] > -lengths_m[k] - behind_m}

    def parked_on(self, xy_m: tuple[float, float], length_m: float) -> bool:
        """Whether a vehicle parked there is on the walker's way."""
        off_m = np.asarray(xy_m) - self.middle_m
        along_m = abs(off_m[0] * self.across[1] - off_m[1] * self.across[0])
        return bool(np.hypot(*off_m) < _ROAD_M and along_m < length_m / 2 + 0.6)


def without_ghosts(snapshot: Snapshot) -> Snapshot:
    """The vehicles that are there, not those that stand in for somebody on foot."""
    kept = np.array([_GHOST not in name for name in snapshot.vehicles.names], dtype=np.bool_)
    if kept.all():
        return snapshot
    return replace(snapshot, vehicles=_some_vehicles(snapshot.vehicles, kept))


def jaywalker(
    name: str,
    lane: Lane,
    at_m: float,
    *,
    edge: Sequence[Lane],
    drivable: Sequence[str],
    pace_mps: float,
    left_hand: bool,
) -> Jaywalker:
    """Somebody who waits at the kerb before a place of a lane, and so far does not walk.

    Args:
        name: The walker's.
        lane: The ego's.
        at_m: Along it.
        edge: All lanes of its edge, sidewalks and parking rows too, from the kerb on.
        drivable: Names of those for vehicles.
        pace_mps: Of the walker.
        left_hand: Whether one drives on the left.
    """
    ends_m = np.cumsum([one.width_m for one in edge])
    middles_m = {one.index: float(ends_m[k]) - one.width_m / 2 for k, one in enumerate(edge)}
    own_m = middles_m[lane.index]
    middle_m, along = place_on(lane.centre_m, at_m)
    side = -1.0 if left_hand else 1.0
    return Jaywalker(
        name=name,
        edge=lane.edge,
        at_m=at_m,
        lanes_m={one.index: middles_m[one.index] - own_m for one in edge if one.name in drivable},
        middle_m=middle_m,
        across=side * np.array([-along[1], along[0]]),
        kerb_m=own_m - edge[0].width_m + STEP_OFF_M,
        wait_steps=NEVER,
        pace_mps=pace_mps,
    )


def place_on(centre_m: Floats, at_m: float) -> tuple[Floats, Floats]:
    """The point so far along a line, and the unit vector along it there."""
    steps = np.diff(centre_m, axis=0)
    lengths = np.hypot(*steps.T)
    ends = np.cumsum(lengths)
    part = min(int(np.searchsorted(ends, at_m)), len(lengths) - 1)
    along = steps[part] / lengths[part]
    return centre_m[part + 1] + (at_m - ends[part]) * along, along


def _take_out(api: Any, name: str) -> None:
    if name in api.vehicle.getIDList():
        api.vehicle.remove(name)


def _some_vehicles(vehicles: Vehicles, kept: NDArray[np.bool_]) -> Vehicles:
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


def _with_walker(
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
