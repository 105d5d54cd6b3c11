"""A run of a town's traffic, as tracks of everybody in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S, Body, Lamps, Track
from drivevlm_sim.scene_log_file import on_grid
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.demand import (
    BLOCKER,
    Demand,
    Parked,
    colour_of,
    parked_vehicles,
    routes_xml,
)
from drivevlm_sim.traffic.drivers import body_of
from drivevlm_sim.traffic.jaywalkers import Jaywalkers, Peopled
from drivevlm_sim.traffic.roads import Roads, read_roads
from drivevlm_sim.traffic.signals import SHOWN_EARLY_STEPS, shown
from drivevlm_sim.traffic.sumo import Simulation, Snapshot, Vehicles
from drivevlm_sim.traffic.tractrix import follow

# K: steps in which a road user is there. S: steps of the recording.
DEPARTURES_S = 600.0
"""Departures are drawn for this long whatever is recorded of them, so a longer run begins like a
shorter one."""


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """A vehicle of a recording.

    Attributes:
        track: Its steps are those of the recording.
        rear_axle_m: (K, 2).
        lane_m: (K,) of the front bumper from its lane's start.
        route: The edges of its whole way.
        route_index: (K,) the edge of it that it is on.
    """

    track: Track
    rear_axle_m: Floats
    lane_m: Floats
    route: tuple[str, ...]
    route_index: NDArray[np.int64]

    @property
    def length_m(self) -> float:
        """From bumper to bumper."""
        return SIZES[self.track.body].length_m


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All that happened in a run.

    Attributes:
        town: Its town's name.
        left_hand: Whether one drives on the left.
        roads: Its town's net.
        seed: Of the run.
        steps: S; the first is the one after the simulation's first step.
        vehicles, walkers: By name.
        parked: Who never moves.
        signals: By signal plan, S states as shown to drivers.
    """

    town: str
    left_hand: bool
    roads: Roads
    seed: int
    steps: int
    vehicles: Mapping[str, Mover]
    walkers: Mapping[str, Track]
    parked: tuple[Parked, ...]
    signals: Mapping[str, tuple[str, ...]]


@dataclass(slots=True, eq=False)
class Recorder:
    """Steps of a running simulation as they are made.

    Attributes:
        simulation: Must not have made a step before.
        snapshots: One a step.
        routes: By vehicle.
    """

    simulation: Simulation
    snapshots: list[Snapshot] = field(default_factory=list)
    routes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def step(self) -> Snapshot:
        """Make one step and keep it."""
        snapshot = self.simulation.step()
        for name in snapshot.vehicles.names:
            if name not in self.routes:
                self.routes[name] = self.simulation.route(name)
        self.snapshots.append(snapshot)
        return snapshot


def simulate(town: Town, roads: Roads, *, seed: int, seconds: float, demand: Demand) -> Peopled:
    """The town's traffic, ready to make its first step; vehicles depart for ``seconds``."""
    routes = routes_xml(roads, seed=seed, seconds=seconds, demand=demand)
    parked = parked_vehicles(town, seed=seed, share=demand.parked)
    people = Jaywalkers(town, roads, parked, seed=seed, count=demand.jaywalkers)
    return Peopled(
        people, net_xml=town.net_xml, routes_xml=routes, offset_m=town.offset_m, seed=seed
    )


def run(town: Town, *, seed: int, seconds: float, demand: Demand | None = None) -> Recording:
    """Record ``seconds`` of traffic, of which the first ``FILL_S`` fill the town.

    The same town, seed and demand give the same recording in any process, and a shorter one is
    the beginning of a longer one.

    Raises:
        WorldError: SUMO is missing.
    """
    demand = demand or Demand()
    roads = read_roads(town.net_xml, town.offset_m)
    steps = round(seconds / STEP_S)
    with simulate(town, roads, seed=seed, seconds=DEPARTURES_S, demand=demand) as simulation:
        recorder = Recorder(simulation)
        for _ in range(steps + SHOWN_EARLY_STEPS):
            recorder.step()
    return recording(
        town, roads, recorder.snapshots, recorder.routes, seed=seed, parked=demand.parked
    )


def recording(
    town: Town,
    roads: Roads,
    snapshots: Sequence[Snapshot],
    routes: Mapping[str, tuple[str, ...]],
    *,
    seed: int,
    parked: float = 0.6,
    among: Collection[str] | None = None,
) -> Recording:
    """Snapshots of all steps from the first as a recording, of everybody or of some by name.

    It is ``SHOWN_EARLY_STEPS`` shorter: what is shown in the last steps is not known yet.
    """
    steps = len(snapshots) - SHOWN_EARLY_STEPS
    if steps < 1:
        raise ValueError(f"{len(snapshots)} snapshots are too few to know what signals show")
    kept = snapshots[:steps]
    return Recording(
        town=town.name,
        left_hand=town.left_hand,
        roads=roads,
        seed=seed,
        steps=steps,
        vehicles=_movers(kept, routes, seed, among),
        walkers=_walkers(kept, seed, among),
        parked=parked_vehicles(town, seed=seed, share=parked),
        signals={
            name: shown([snapshot.signals[name] for snapshot in snapshots])
            for name in snapshots[0].signals
        },
    )


def _rows(names: Sequence[tuple[str, ...]]) -> dict[str, tuple[int, NDArray[np.int64]]]:
    """By name, the first step in which it is there, and its rows among those of all steps."""
    first: dict[str, int] = {}
    rows: dict[str, list[int]] = {}
    place = 0
    for step, here in enumerate(names):
        for name in here:
            if name not in rows:
                first[name], rows[name] = step, []
            rows[name].append(place)
            place += 1
    return {name: (first[name], np.array(places)) for name, places in rows.items()}


def _movers(
    snapshots: Sequence[Snapshot],
    routes: Mapping[str, tuple[str, ...]],
    seed: int,
    among: Collection[str] | None,
) -> dict[str, Mover]:
    steps = [snapshot.vehicles for snapshot in snapshots]
    whole = Vehicles(
        names=tuple(name for one in steps for name in one.names),
        types=tuple(kind for one in steps for kind in one.types),
        front_xy_m=np.concatenate([one.front_xy_m for one in steps]),
        yaw_rad=np.concatenate([one.yaw_rad for one in steps]),
        speed_mps=np.concatenate([one.speed_mps for one in steps]),
        acceleration_mps2=np.concatenate([one.acceleration_mps2 for one in steps]),
        lamps=np.concatenate([one.lamps for one in steps]),
        lanes=tuple(lane for one in steps for lane in one.lanes),
        lane_m=np.concatenate([one.lane_m for one in steps]),
        route_index=np.concatenate([one.route_index for one in steps]),
    )
    return {
        name: _mover(name, whole, first, rows, routes[name], seed)
        for name, (first, rows) in _rows([one.names for one in steps]).items()
        if among is None or name in among
    }


def _mover(
    name: str,
    vehicles: Vehicles,
    first: int,
    rows: NDArray[np.int64],
    route: tuple[str, ...],
    seed: int,
) -> Mover:
    """One vehicle, from its rows among those of all steps."""
    body = body_of(vehicles.types[rows[0]])
    size = SIZES[body]
    along_mps = vehicles.speed_mps[rows]
    rear_m, yaw_rad = follow(
        vehicles.front_xy_m[rows],
        yaw_rad=float(vehicles.yaw_rad[rows[0]]),
        length_m=size.rear_axle_from_front_m,
    )
    heading = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1)
    speed_mps = on_grid(_speed_mps(rear_m, heading, float(along_mps[0])))
    lamps = vehicles.lamps[rows]
    if name.startswith(BLOCKER):
        lamps[along_mps < 0.05] |= Lamps.LEFT | Lamps.RIGHT
    track = Track(
        name=name,
        body=body,
        first=first,
        xy_m=on_grid(rear_m + (size.length_m / 2 - size.rear_overhang_m) * heading),
        yaw_rad=on_grid(wrap_rad(yaw_rad)),
        speed_mps=speed_mps,
        acceleration_mps2=on_grid(np.diff(speed_mps, prepend=speed_mps[:1]) / STEP_S),
        lamps=lamps,
        lane=tuple(vehicles.lanes[row] for row in rows),
        colour=colour_of(name, seed),
    )
    return Mover(
        track=track,
        rear_axle_m=on_grid(rear_m),
        lane_m=vehicles.lane_m[rows],
        route=route,
        route_index=vehicles.route_index[rows],
    )


def _speed_mps(rear_m: Floats, heading: Floats, first_mps: float) -> Floats:
    """Of the rear axle along the body, from the step just made."""
    moved = (np.diff(rear_m, axis=0) * heading[1:]).sum(axis=1) / STEP_S
    return np.concatenate([[first_mps], moved])


def _walkers(
    snapshots: Sequence[Snapshot], seed: int, among: Collection[str] | None
) -> dict[str, Track]:
    steps = [snapshot.persons for snapshot in snapshots]
    xy_m = on_grid(np.concatenate([one.xy_m for one in steps]))
    yaw_rad = on_grid(np.concatenate([one.yaw_rad for one in steps]))
    speeds_mps = on_grid(np.concatenate([one.speed_mps for one in steps]))
    edges = [edge for one in steps for edge in one.edges]
    found = {}
    for name, (first, rows) in _rows([one.names for one in steps]).items():
        if among is not None and name not in among:
            continue
        speed_mps = speeds_mps[rows]
        found[name] = Track(
            name=name,
            body=Body.PEDESTRIAN,
            first=first,
            xy_m=xy_m[rows],
            yaw_rad=yaw_rad[rows],
            speed_mps=speed_mps,
            acceleration_mps2=on_grid(np.diff(speed_mps, prepend=speed_mps[:1]) / STEP_S),
            lamps=np.zeros(len(rows), dtype=np.uint8),
            lane=tuple(edges[row] for row in rows),
            colour=colour_of(name, seed),
        )
    return found
