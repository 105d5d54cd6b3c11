"""People who cross off crossings: drivers see them, and no picture shows how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import shapely
import traffic_cases
from traffic_cases import cars, needs_sumo

from drivevlm_sim.scene_log import STEP_S, Track
from drivevlm_sim.traffic.demand import Demand
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.families import Family, moments
from drivevlm_sim.traffic.faults import footprint
from drivevlm_sim.traffic.intervention import Intervention, put_standing
from drivevlm_sim.traffic.jaywalker import JAYWALKER, Jaywalker, Oncoming
from drivevlm_sim.traffic.jaywalkers import Peopled
from drivevlm_sim.traffic.record import (
    DEPARTURES_S,
    Recorder,
    Recording,
    recording,
    run,
    simulate,
)
from drivevlm_sim.traffic.roads import read_roads
from drivevlm_sim.traffic.scene import Scenes, Sky
from drivevlm_sim.traffic.sumo import Persons, Snapshot
from drivevlm_sim.traffic.windows import at_random

CROWDED = Demand(vehicles_per_s=0.6, walkers=10, blockers_per_min=0.0, jaywalkers=12)
SECONDS, SEED = 100.0, 6
ALONE_M = 25.0


@dataclass(frozen=True)
class Run:
    """A run, and the names of the ghosts that SUMO has after each step."""

    snapshots: list[Snapshot]
    ghosts: list[set[str]]
    recording: Recording


def started(demand: Demand = CROWDED) -> Peopled:
    town = traffic_cases.town()
    roads = read_roads(town.net_xml, town.offset_m)
    return simulate(town, roads, seed=SEED, seconds=DEPARTURES_S, demand=demand)


@cache
def watched() -> Run:
    town = traffic_cases.town()
    ghosts = []
    with started() as simulation:
        recorder = Recorder(simulation)
        for _ in range(round(SECONDS / STEP_S)):
            recorder.step()
            ghosts.append(ghosts_in(simulation))
    roads = read_roads(town.net_xml, town.offset_m)
    made = recording(town, roads, recorder.snapshots, recorder.routes, seed=SEED)
    return Run(recorder.snapshots, ghosts, made)


def ghosts_in(simulation: Peopled) -> set[str]:
    return {name for name in simulation.api.vehicle.getIDList() if "-ghost-" in name}


def owner(ghost: str) -> str:
    return ghost.partition("-ghost-")[0]


def jaywalkers(made: Recording) -> dict[str, Track]:
    return {name: track for name, track in made.walkers.items() if name.startswith(JAYWALKER)}


def crossed(made: Recording) -> dict[str, Track]:
    return {name: one for name, one in jaywalkers(made).items() if (one.speed_mps > 0).any()}


def places_m(persons: Persons) -> dict[str, np.ndarray]:
    there = zip(persons.names, persons.xy_m, strict=True)
    return {name: xy_m for name, xy_m in there if name.startswith(JAYWALKER)}


def by_hand(**changes: object) -> Jaywalker:
    """Somebody who walks north at 1.5 m/s over an eastbound lane 3.4 m wide, from 3 m beside it."""
    values: dict[str, object] = {
        "name": "anna",
        "edge": "east",
        "at_m": 50.0,
        "lanes_m": {1: 0.0},
        "middle_m": np.array([50.0, 0.0]),
        "across": np.array([0.0, 1.0]),
        "kerb_m": 3.0,
        "wait_steps": 40,
        "pace_mps": 1.5,
    }
    return Jaywalker(**{**values, **changes})  # type: ignore[arg-type]


@needs_sumo
def test_the_same_seed_gives_the_same_people():
    one, other = (run(traffic_cases.town(), seed=SEED, seconds=50.0, demand=CROWDED) for _ in "ab")
    assert len(jaywalkers(one)) > 10
    assert one.walkers.keys() == other.walkers.keys()
    for name, track in one.walkers.items():
        np.testing.assert_array_equal(track.xy_m, other.walkers[name].xy_m)
    assert one.vehicles.keys() == other.vehicles.keys()
    for name, mover in one.vehicles.items():
        np.testing.assert_array_equal(mover.rear_axle_m, other.vehicles[name].rear_axle_m)


@needs_sumo
def test_some_cross_and_some_do_not():
    there, walked = jaywalkers(watched().recording), crossed(watched().recording)
    assert len(walked) >= 5
    assert len(there) - len(walked) >= 5
    for track in walked.values():  # at one pace, straight on, and over the whole of the road
        paces_mps = np.unique(np.round(track.speed_mps[track.speed_mps > 0], 3))
        assert len(paces_mps) == 1
        assert 1.2 <= paces_mps[0] <= 2.0
    whole = [t for t in walked.values() if t.speed_mps[0] == t.speed_mps[-1] == 0]
    assert whole
    assert all(np.hypot(*(t.xy_m[-1] - t.xy_m[0])) > 6.0 for t in whole)


@needs_sumo
def test_nobody_comes_or_goes_while_a_vehicle_is_near():
    changes = 0
    for before, after in zip(watched().snapshots, watched().snapshots[1:], strict=False):
        here, there = places_m(before.persons), places_m(after.persons)
        for name in here.keys() ^ there.keys():
            xy_m = here[name] if name in here else there[name]
            away_m = np.hypot(*(before.vehicles.front_xy_m - xy_m).T)
            assert away_m.min(initial=np.inf) > ALONE_M
            changes += 1
    assert changes > 20


@needs_sumo
def test_nobody_sees_the_ghosts():
    assert any(watched().ghosts)
    for snapshot in watched().snapshots:
        assert not any("ghost" in name for name in snapshot.vehicles.names)
        assert not any("ghost" in name for name in snapshot.persons.names)
    assert not any("ghost" in name for name in watched().recording.vehicles)
    assert not any("ghost" in name for name in watched().recording.walkers)


@needs_sumo
def test_a_ghost_is_there_only_while_its_walker_walks():
    had: set[str] = set()
    for snapshot, ghosts in zip(watched().snapshots, watched().ghosts, strict=True):
        persons = snapshot.persons
        speeds_mps = dict(zip(persons.names, persons.speed_mps, strict=True))
        assert all(speeds_mps[owner(ghost)] > 0 for ghost in ghosts)
        had |= {owner(ghost) for ghost in ghosts}
    whole = {name for name, t in crossed(watched().recording).items() if t.speed_mps[-1] == 0}
    assert whole  # they are across, and each was seen by drivers
    assert whole <= had
    assert not whole & {owner(ghost) for ghost in watched().ghosts[-1]}


@needs_sumo
def test_nobody_is_run_over():
    least_m = []
    for walker in crossed(watched().recording).values():
        for mover in watched().recording.vehicles.values():
            car = mover.track
            steps = np.arange(
                max(walker.first, car.first),
                min(walker.first + len(walker), car.first + len(car)),
            )
            xy_m = walker.xy_m[steps - walker.first]
            near = np.hypot(*(car.xy_m[steps - car.first] - xy_m).T) < 10.0
            if near.any():
                bodies = shapely.polygons(footprint(car, (steps - car.first)[near]))
                least_m.append(shapely.distance(bodies, shapely.points(xy_m[near])).min())
    assert len(least_m) > 10
    assert min(least_m) > 0.25


@needs_sumo
def test_those_who_come_towards_see_them_too():
    lanes = watched().recording.roads.lanes
    towards = {ghost.partition("-ghost-")[2] for ghosts in watched().ghosts for ghost in ghosts}
    towards &= lanes.keys()  # a ghost in the ego's edge is named by its lane's number alone
    assert towards


def test_drivers_who_come_towards_see_a_walker_one_lane_ahead_of_theirs():
    near, far = Oncoming("west", 1, at_m=20.0, off_m=3.4), Oncoming("west", 0, 20.0, off_m=6.8)
    assert near.from_m == -2.0  # never before the walker is in the way of the ego's lane
    assert far.from_m == pytest.approx(1.3)
    walker = by_hand(oncoming=(near, far))
    assert walker.steps_to(-2.0) == walker.steps_to_lane == 7  # 1 m at 0.15 m a step
    assert walker.steps_to(far.from_m) == 29


def test_a_walk_ends_at_the_far_kerb():
    walker = by_hand(until_m=6.0)
    assert not walker.walks(40)
    assert walker.walks(41)
    assert walker.walks(99)  # 8.85 of 9 m
    assert not walker.walks(100)
    np.testing.assert_allclose(walker.place_m(300), [50.0, 6.0])


def test_a_parked_vehicle_is_on_the_way_or_is_not():
    walker = by_hand()
    assert walker.parked_on((50.0, -4.0), 4.6)
    assert walker.parked_on((52.8, -4.0), 4.6)  # its end is 0.5 m from the way
    assert not walker.parked_on((53.0, -4.0), 4.6)
    assert not walker.parked_on((50.0, -13.0), 4.6)


@needs_sumo
def test_who_is_taken_away_leaves_nothing():
    with started() as simulation:
        while not ghosts_in(simulation):
            simulation.advance()
            assert simulation.steps_made < SECONDS / STEP_S
        name = owner(min(ghosts_in(simulation)))
        assert name in simulation.snapshot().persons.names
        assert simulation.people.take_away(simulation, name)
        assert not simulation.people.take_away(simulation, name)
        for _ in range(50):
            assert name not in simulation.step().persons.names
            assert name not in {owner(ghost) for ghost in ghosts_in(simulation)}


@needs_sumo
def test_without_jaywalkers_there_are_none():
    nobody = Demand(vehicles_per_s=0.6, walkers=10, blockers_per_min=0.0, jaywalkers=0)
    with started(nobody) as simulation:
        for _ in range(400):
            assert not places_m(simulation.step().persons)
            assert not ghosts_in(simulation)


@needs_sumo
def test_what_is_put_into_a_lane_stands_there_for_good():
    with started() as simulation:
        for _ in range(200):
            snapshot = simulation.step()
        roads = watched().recording.roads
        edge = next(edge for edge in sorted(roads.edges) if len(roads.edges[edge]) > 1)
        lane = roads.lanes[roads.edges[edge][0]]
        kind = snapshot.vehicles.types[0]
        # The second one is closer behind the first than anybody would stop.
        for name, front_m in (("first", 40.0), ("second", 34.5)):
            put_standing(simulation.api, name, kind, edge, lane.index, front_m)
        for _ in range(60):
            simulation.advance()
        ask = simulation.api.vehicle
        for name, front_m in (("first", 40.0), ("second", 34.5)):
            assert ask.getLaneID(name) == lane.name
            assert ask.getLanePosition(name) == pytest.approx(front_m)
            assert ask.getSpeed(name) == 0.0


@needs_sumo
def test_an_intervention_by_itself_changes_nothing():
    snapshot = watched().snapshots[-1]
    assert Intervention().seen(snapshot, 0) is snapshot


@needs_sumo
def test_cars_brake_for_them_in_windows_of_their_own_family():
    scenes = Scenes(Witness(watched().recording))
    found = [
        (life, moment)
        for life in map(scenes.life, cars(watched().recording))
        for moment in moments(life)
        if moment.family is Family.JAYWALKER
    ]
    assert len(found) >= 2
    for life, moment in found:
        assert str(life.facts["walker"][moment.step]).startswith(JAYWALKER)
        assert life.ego.acceleration_mps2[moment.step] >= -0.7  # it has not reacted yet
    slowed_mps = [
        life.ego.speed_mps[moment.step] - life.ego.speed_mps[moment.step :][:40].min()
        for life, moment in found
    ]
    assert max(slowed_mps) > 3.0
    choice = at_random(scenes, per_family=2, steps=80, seed=1, families=(Family.JAYWALKER,))
    assert choice.windows
    window = choice.windows[0]
    scene = scenes.scene(window.ego, first=window.first, steps=window.steps, sky=Sky())
    assert str(scene.facts["walker"][window.moment]) in scene.others
