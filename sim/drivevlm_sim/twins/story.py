"""A town's traffic as it went by itself, kept whole: foresight for whoever wants to change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from drivevlm_sim.bodies import CARS, SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.demand import BLOCKER, Demand
from drivevlm_sim.traffic.drivers import ACTION_S, body_of
from drivevlm_sim.traffic.jaywalkers import Peopled
from drivevlm_sim.traffic.record import (
    DEPARTURES_S,
    Recorder,
    Recording,
    recording,
    simulate,
)
from drivevlm_sim.traffic.roads import Lane, Link, Roads, edge_of, read_roads
from drivevlm_sim.traffic.sumo import Simulation, Snapshot

BUSY = Demand(vehicles_per_s=0.8, walkers=120, blockers_per_min=2.0)
"""Enough traffic for twins."""
ACTION_STEPS = round(ACTION_S / STEP_S)


@dataclass(frozen=True, slots=True)
class Spot:
    """A car that may be an ego, in one step, on a lane between junctions.

    Attributes:
        step, name: When and who.
        row: Its row among the vehicles of the step.
        lane: It is on.
        lane_m: Of its front bumper from the lane's start.
        speed_mps: Along the lane.
        link: The way that it takes at the lane's end; None where its route ends.
        ahead, gap_m: Who is next before it on the lane, and the free metres between; "" and
            infinite where the lane is free to its end.
    """

    step: int
    name: str
    row: int
    lane: Lane
    lane_m: float
    speed_mps: float
    link: Link | None
    ahead: str
    gap_m: float

    @property
    def rest_m(self) -> float:
        """From the front bumper to the lane's end."""
        return self.lane.length_m - self.lane_m


@dataclass(frozen=True, eq=False)
class Story:
    """Run A.

    Attributes:
        town, roads: Where.
        seed, demand: Of the traffic.
        snapshots: One a step; step ``s`` of all twins code is the one after ``s + 1`` of SUMO's.
        routes: By vehicle.
        acts: By car, the remainder of the steps in which its driver decides.
        recording: The same as tracks.
    """

    town: Town
    roads: Roads
    seed: int
    demand: Demand
    snapshots: Sequence[Snapshot]
    routes: dict[str, tuple[str, ...]]
    acts: dict[str, int]
    recording: Recording
    _rows: dict[int, dict[str, int]] = field(default_factory=dict)
    _lanes: dict[int, dict[str, list[tuple[float, int]]]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.snapshots)

    def again(self) -> Peopled:
        """The same traffic, ready to make its first step."""
        return simulate(
            self.town, self.roads, seed=self.seed, seconds=DEPARTURES_S, demand=self.demand
        )

    def row(self, step: int, name: str) -> int | None:
        """A vehicle's row in a step; None where it is not there."""
        if step not in self._rows:
            names = self.snapshots[step].vehicles.names
            self._rows[step] = {name: row for row, name in enumerate(names)}
        return self._rows[step].get(name)

    def on_lane(self, step: int, lane: str) -> list[tuple[float, int]]:
        """Front bumpers' places and rows of the vehicles on a lane, from its start on."""
        if step not in self._lanes:
            vehicles = self.snapshots[step].vehicles
            found: dict[str, list[tuple[float, int]]] = {}
            for row, (name, at_m) in enumerate(zip(vehicles.lanes, vehicles.lane_m, strict=True)):
                found.setdefault(name, []).append((float(at_m), row))
            self._lanes[step] = {name: sorted(line) for name, line in found.items()}
        return self._lanes[step].get(lane, [])

    def speed_mps(self, step: int, name: str) -> float | None:
        """A vehicle's speed in a step; None where it is not there."""
        row = self.row(step, name) if 0 <= step < self.steps else None
        return None if row is None else float(self.snapshots[step].vehicles.speed_mps[row])

    def slowest_mps(self, name: str, first: int, last: int) -> float:
        """A vehicle's least speed over some steps; infinite where it is not there."""
        speeds = (self.speed_mps(step, name) for step in range(first, last + 1))
        return min((speed for speed in speeds if speed is not None), default=np.inf)

    def leaves_lane(self, spot: Spot, within: int) -> int | None:
        """The first step in which a car is no longer on its lane; None if later than ``within``."""
        for step in range(spot.step + 1, min(spot.step + within, self.steps)):
            row = self.row(step, spot.name)
            if row is None or self.snapshots[step].vehicles.lanes[row] != spot.lane.name:
                return step
        return None

    def comes_to(self, spot: Spot, rest_m: float) -> int:
        """The first step in which a car is so near to its lane's end, or has left the lane."""
        for step in range(spot.step, self.steps):
            row = self.row(step, spot.name)
            vehicles = self.snapshots[step].vehicles
            if row is None or vehicles.lanes[row] != spot.lane.name:
                return step
            if spot.lane.length_m - vehicles.lane_m[row] < rest_m:
                return step
        return self.steps - 1

    def crosses(self, name: str, link: Link, step: int, within: int) -> tuple[int, int] | None:
        """The steps in which a vehicle enters a junction's way and leaves it, looked for onwards.

        None where it does not do both so soon.
        """
        enters = None
        for at in range(step, min(step + within, self.steps)):
            row = self.row(at, name)
            inside = row is not None and self.snapshots[at].vehicles.lanes[row] in link.via
            if inside and enters is None:
                enters = at
            if enters is not None and not inside:
                return enters, at
        return None

    def next_link(self, step: int, row: int) -> Link | None:
        """The way that a vehicle is on, or takes next at the end of its lane."""
        vehicles = self.snapshots[step].vehicles
        lane = vehicles.lanes[row]
        if lane in self.roads.inside:
            return self.roads.inside[lane][0]
        route, index = self.routes[vehicles.names[row]], int(vehicles.route_index[row]) + 1
        if index >= len(route):
            return None
        links = self.roads.links.get(lane, ())
        return next((link for link in links if edge_of(link.to_lane) == route[index]), None)

    def spots(self, step: int) -> Iterator[Spot]:
        """All cars between junctions in a step, by name."""
        vehicles = self.snapshots[step].vehicles
        for row, name in enumerate(vehicles.names):
            lane = self.roads.lanes.get(vehicles.lanes[row])
            if lane is None or lane.junction or not is_ego(name, vehicles.types[row]):
                continue
            line = self.on_lane(step, lane.name)
            place = line.index((float(vehicles.lane_m[row]), row))
            ahead, gap_m = "", np.inf
            if place + 1 < len(line):
                at_m, other = line[place + 1]
                ahead = vehicles.names[other]
                length_m = SIZES[body_of(vehicles.types[other])].length_m
                gap_m = at_m - length_m - line[place][0]
            yield Spot(
                step=step,
                name=name,
                row=row,
                lane=lane,
                lane_m=line[place][0],
                speed_mps=float(vehicles.speed_mps[row]),
                link=self.next_link(step, row),
                ahead=ahead,
                gap_m=gap_m,
            )

    @cached_property
    def edge_lanes(self) -> dict[str, list[Lane]]:
        """All lanes of an edge, sidewalks and parking rows too, from the kerb on."""
        found: dict[str, list[Lane]] = {}
        for lane in self.roads.lanes.values():
            if not lane.junction:
                found.setdefault(lane.edge, []).append(lane)
        return {edge: sorted(lanes, key=lambda lane: lane.index) for edge, lanes in found.items()}


def is_ego(name: str, type_name: str) -> bool:
    """Whether a vehicle may be an ego: a car that does not stop on purpose."""
    return body_of(type_name) in CARS and not name.startswith(BLOCKER)


def tell(town: Town, *, seed: int, seconds: float, demand: Demand | None = None) -> Story:
    """Run a town's traffic for so long and keep it.

    Raises:
        WorldError: SUMO is missing.
    """
    demand = demand or BUSY
    roads = read_roads(town.net_xml, town.offset_m)
    acts: dict[str, int] = {}
    with simulate(town, roads, seed=seed, seconds=DEPARTURES_S, demand=demand) as simulation:
        recorder = Recorder(simulation)
        for step in range(round(seconds / STEP_S)):
            vehicles = recorder.step().vehicles
            if step % ACTION_STEPS == 0:
                _note_acts(simulation, vehicles.names, acts)
    return Story(
        town=town,
        roads=roads,
        seed=seed,
        demand=demand,
        snapshots=recorder.snapshots,
        routes=recorder.routes,
        acts=acts,
        recording=recording(
            town, roads, recorder.snapshots, recorder.routes, seed=seed, parked=demand.parked
        ),
    )


def _note_acts(simulation: Simulation, names: Sequence[str], acts: dict[str, int]) -> None:
    """When drivers decide: SUMO tells the time at the beginning of that step."""
    for name in names:
        if name not in acts:
            step = round(simulation.api.vehicle.getLastActionTime(name) / STEP_S)
            if step > 0:
                acts[name] = step % ACTION_STEPS
