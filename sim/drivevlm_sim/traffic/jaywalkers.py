"""People who cross roads off crossings, in traffic that by itself knows none.

They wait at kerbs until a vehicle comes at a distance at which it can still stop with ease; then
they walk. Some wait in vain and turn away: not everybody at a kerb crosses. They come and go while
no vehicle is near.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from shapely import LineString, Point

from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.demand import Parked
from drivevlm_sim.traffic.jaywalker import (
    GHOST_M,
    JAYWALKER,
    NEVER,
    Jaywalker,
    Oncoming,
    jaywalker,
    without_ghosts,
)
from drivevlm_sim.traffic.roads import Lane, Roads
from drivevlm_sim.traffic.sumo import Simulation, Snapshot

WAIT_STEPS = 300
"""Who has waited so long turns away."""
STAY_STEPS = 80
"""Who has crossed is still seen for so long."""
NEXT_STEPS = (10, 60)
"""Until somebody else comes to another kerb."""
FASTEST_MPS, SLOWEST_MPS = 15.0, 5.0
"""Vehicles before which people cross."""
_FROM_START_M, _FROM_END_M = 25.0, 10.0
_LOOKS = 3  # steps between two looks for traffic
_ALONE_M = 25.0  # who comes or goes has no vehicle so near
_FAR_M = 100.0  # so far one looks for traffic
_PAST_M = 8.0  # who is so far beyond a place is no longer there
_PLACES = 20  # how many are tried until one is free of parked vehicles


@dataclass(slots=True)
class _Pedestrian:
    """One of them.

    Attributes:
        walker: The person.
        lane: Before whose vehicles to walk.
        came: In which step.
        spare_m: More than it takes to stop: how near a vehicle is before which to walk.
    """

    walker: Jaywalker
    lane: Lane
    came: int
    spare_m: float


class Jaywalkers:
    """All of a run.

    Args:
        town, roads: Where.
        parked: Vehicles that nobody walks into.
        seed: Of the run.
        count: How many there are at once.
    """

    def __init__(
        self, town: Town, roads: Roads, parked: tuple[Parked, ...], *, seed: int, count: int
    ) -> None:
        self._rng = Random(f"jaywalkers {seed}")
        self._roads, self._parked, self._left_hand = roads, parked, town.left_hand
        self._edges: dict[str, list[Lane]] = {}
        for lane in roads.lanes.values():
            if not lane.junction:
                self._edges.setdefault(lane.edge, []).append(lane)
        for lanes in self._edges.values():
            lanes.sort(key=lambda lane: lane.index)
        drivable = (name for edge in sorted(roads.edges) for name in roads.edges[edge])
        shortest_m = _FROM_START_M + _FROM_END_M + 5.0
        self._lanes = [
            lane
            for name in drivable
            for lane in [roads.lanes[name]]
            if lane.length_m > shortest_m and self._edges[lane.edge][0].name != name
        ]
        self._there: dict[str, _Pedestrian] = {}
        self._due = [self._rng.randrange(*NEXT_STEPS) for _ in range(count if self._lanes else 0)]
        self._named = 0

    def act(self, simulation: Peopled, step: int) -> None:
        """Do what is due before the step after ``step`` steps."""
        due = [at for at in self._due if at <= step]
        self._due = [at for at in self._due if at > step]
        for _ in due:
            self._come(simulation, step)
        for name, person in list(self._there.items()):
            elapsed = step - person.came
            if person.walker.wait_steps == NEVER and elapsed % _LOOKS == 0:
                self._look(simulation, person, elapsed)
            person.walker.act(simulation.api, elapsed, {})
            if _is_over(person.walker, elapsed) and _alone(simulation, person.walker, elapsed):
                del self._there[name]
                self._due.append(step + self._rng.randrange(*NEXT_STEPS))

    def seen(self, snapshot: Snapshot) -> Snapshot:
        """The people instead of what stands for them."""
        for person in self._there.values():
            snapshot = person.walker.seen(snapshot, snapshot.step - 1 - person.came)
        return snapshot

    def take_away(self, simulation: Peopled, name: str) -> bool:
        """Whether somebody of that name was there; now nobody is."""
        person = self._there.pop(name, None)
        if person is not None:
            person.walker.leave(simulation.api)
        return person is not None

    def _come(self, simulation: Peopled, step: int) -> None:
        """Somebody comes to a kerb where no vehicle is parked in the way."""
        rng = self._rng
        for _ in range(_PLACES):
            lane = rng.choice(self._lanes)
            edge = self._edges[lane.edge]
            walker = jaywalker(
                f"{JAYWALKER}-{self._named}",
                lane,
                rng.uniform(_FROM_START_M, lane.length_m - _FROM_END_M),
                edge=edge,
                drivable=self._roads.edges[lane.edge],
                pace_mps=rng.uniform(1.2, 2.0),
                left_hand=self._left_hand,
            )
            back = self._back(lane)
            walker = replace(
                walker,
                until_m=self._far_kerb_m(lane, back, walker),
                oncoming=tuple(self._oncoming(back, walker)),
            )
            on_way = (walker.parked_on(p.xy_m, SIZES[p.body].length_m) for p in self._parked)
            if not any(on_way) and _alone(simulation, walker, 0):
                self._named += 1
                self._there[walker.name] = _Pedestrian(walker, lane, step, rng.uniform(2.0, 14.0))
                return
        self._due.append(step + rng.randrange(*NEXT_STEPS))

    def _back(self, lane: Lane) -> str:
        """The edge that leads the other way; "" where there is none."""
        here, there = self._roads.begins_at[lane.edge], self._roads.ends_at[lane.edge]
        for edge in self._roads.edges:
            if (self._roads.begins_at[edge], self._roads.ends_at[edge]) == (there, here):
                return edge
        return ""

    def _far_kerb_m(self, lane: Lane, back: str, walker: Jaywalker) -> float:
        """From the lane's middle to the far side of the road, with the lanes that come towards."""
        own_m = max(walker.lanes_m.values()) + lane.width_m / 2
        towards_m = sum(one.width_m for one in self._edges.get(back, ()))
        return own_m + (towards_m - 1.0 if back else 1.0)

    def _oncoming(self, back: str, walker: Jaywalker) -> Iterator[Oncoming]:
        """The lanes for vehicles that lead the other way."""
        for name in self._roads.edges.get(back, ()):
            lane = self._roads.lanes[name]
            line = LineString(lane.centre_m)
            along_m = line.project(Point(walker.middle_m))
            off_m = np.asarray(line.interpolate(along_m).coords[0]) - walker.middle_m
            at_m = min(along_m / line.length * lane.length_m, lane.length_m - GHOST_M)
            yield Oncoming(back, lane.index, at_m, float(off_m @ walker.across))

    def _look(self, simulation: Peopled, person: _Pedestrian, elapsed: int) -> None:
        """Walk if a vehicle comes at the right distance and nobody else is in the way."""
        walker, vehicles = person.walker, simulation.raw().vehicles
        coming = _coming(simulation, walker, walker.edge, person.lane.index, walker.at_m)
        if not coming:
            return
        away_m, row = min(coming)
        first, speed_mps = vehicles.names[row], float(vehicles.speed_mps[row])
        if not SLOWEST_MPS < speed_mps < FASTEST_MPS:
            return
        away_m -= walker.steps_to_lane * STEP_S * speed_mps
        stops_m = _stops_m(speed_mps) + person.spare_m
        if not stops_m < away_m < stops_m + 8.0:
            return
        stop = {first}
        for lane in walker.oncoming:
            later_s = walker.steps_to(lane.from_m) * STEP_S
            for away_m, row in _coming(simulation, walker, lane.edge, lane.index, lane.at_m):
                speed_mps = float(vehicles.speed_mps[row])
                then_m = away_m - later_s * speed_mps
                if -_PAST_M < then_m < _stops_m(speed_mps) + person.spare_m:
                    return
                stop.add(vehicles.names[row])
        walks = replace(walker, wait_steps=elapsed)
        crossing = walker.steps_to(walker.until_m)
        for later in range(0, crossing, 4):
            if walks.touches(vehicles, elapsed + later, later * STEP_S) - stop:
                return
        person.walker = walks


def _coming(
    simulation: Peopled, walker: Jaywalker, edge: str, index: int, at_m: float
) -> list[tuple[float, int]]:
    """How far vehicles still are from a place on their routes near the walker, and their rows."""
    vehicles = simulation.raw().vehicles
    found = []
    for row in np.flatnonzero(np.hypot(*(vehicles.front_xy_m - walker.middle_m).T) < _FAR_M):
        away_m = simulation.api.vehicle.getDrivingDistance(vehicles.names[row], edge, at_m, index)
        if 0 < away_m < _FAR_M:  # SUMO tells of others, who do not come, by a negative number
            found.append((away_m, int(row)))
    return found


def _stops_m(speed_mps: float) -> float:
    """In which a driver stops with ease."""
    return 1.3 * speed_mps + speed_mps * speed_mps / 6


def _is_over(walker: Jaywalker, elapsed: int) -> bool:
    """Whether somebody has waited in vain for long, or crossed a while ago."""
    if walker.wait_steps == NEVER:
        return elapsed > WAIT_STEPS
    across_s = (walker.until_m + walker.kerb_m) / walker.pace_mps
    return elapsed > walker.wait_steps + across_s / STEP_S + STAY_STEPS


def _alone(simulation: Peopled, walker: Jaywalker, elapsed: int) -> bool:
    fronts_m = simulation.raw().vehicles.front_xy_m
    return not (np.hypot(*(fronts_m - walker.place_m(elapsed)).T) < _ALONE_M).any()


class Peopled(Simulation):
    """A simulation with people who cross roads off crossings."""

    def __init__(
        self,
        people: Jaywalkers,
        *,
        net_xml: str,
        routes_xml: str,
        offset_m: tuple[float, float],
        seed: int,
    ) -> None:
        super().__init__(net_xml=net_xml, routes_xml=routes_xml, offset_m=offset_m, seed=seed)
        self.people = people
        self._raw: Snapshot | None = None

    def advance(self) -> None:
        """Make one step without looking."""
        self.people.act(self, self.steps_made)
        super().advance()

    def snapshot(self) -> Snapshot:
        """What is there now."""
        return self.people.seen(self.raw())

    def raw(self) -> Snapshot:
        """What SUMO knows is there now, without the people and what stands for them."""
        if self._raw is None or self._raw.step != self.steps_made:
            self._raw = without_ghosts(super().snapshot())
        return self._raw
