"""Who is on the road, by seed: vehicles of all bodies, walkers, and who stands in the way.

Nobody pops up in front of a camera: after the first ``FILL_S`` seconds vehicles come and go only
where roads leave the town, walkers are all there by then and walk on for the whole run, and who
double-parks has driven there.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import shapely
from shapely import Polygon

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import Body
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.drivers import DRIVERS, types_xml
from drivevlm_sim.traffic.roads import Roads, edge_of

FILL_S = 35.0
"""How long a town fills before anything is shown."""
BLOCKER = "blocker"
"""What the names of double-parked vehicles begin with."""
_SHARES = {
    Body.SEDAN: 0.40,
    Body.SUV: 0.27,
    Body.VAN: 0.10,
    Body.TRUCK: 0.06,
    Body.BUS: 0.03,
    Body.MOTORCYCLE: 0.05,
    Body.BICYCLE: 0.09,
}
_PARKED_SHARES = {Body.SEDAN: 0.5, Body.SUV: 0.35, Body.VAN: 0.15}
_BLOCKERS = (Body.SEDAN, Body.VAN, Body.TRUCK)
_DETOURS = 0.35  # share of the trips that lead over some street: others keep to the short ways
_PLACE_M = 6.4  # of a parking place, along the kerb
_FREE_M = 35.0  # before and behind a double-parked vehicle, to the ends of its lane
_WALK_M = 200.0  # about how far apart a walker's goals are
COLOURS = 12
"""Numbers of colours run below this; a renderer folds them into what it has."""


@dataclass(frozen=True, slots=True)
class Demand:
    """How busy a town is.

    Attributes:
        vehicles_per_s: That drive off.
        walkers: That are there all the time.
        blockers_per_min: Vehicles that stop in their lane.
        parked: Share of the parking places that are taken.
        jaywalkers: People who wait at kerbs to cross where there is no crossing.
    """

    vehicles_per_s: float = 0.4
    walkers: int = 120
    blockers_per_min: float = 4.0
    parked: float = 0.6
    jaywalkers: int = 6


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """A vehicle that never moves; ``xy_m`` is its middle."""

    name: str
    body: Body
    xy_m: tuple[float, float]
    yaw_rad: float


def routes_xml(roads: Roads, *, seed: int, seconds: float, demand: Demand) -> str:
    """A routes file for SUMO, sorted by departure."""
    rng = Random(f"routes {seed}")
    lines = types_xml(Random(f"drivers {seed}"))
    departures = [
        *_vehicles(roads, rng, seconds, demand),
        *_blockers(roads, rng, seconds, demand),
        *_walkers(roads, rng, seconds, demand),
    ]
    lines += [line for _, line in sorted(departures, key=lambda one: one[0])]
    return "\n".join(["<routes>", *lines, "</routes>"])


def colour_of(name: str, seed: int) -> int:
    """Which colour a vehicle has, by its name."""
    return zlib.crc32(f"{seed} {name}".encode()) % COLOURS


def parked_vehicles(town: Town, *, seed: int, share: float) -> tuple[Parked, ...]:
    """Vehicles in a town's parking rows, heading as the lane beside them."""
    rng = Random(f"parked {seed}")
    lanes = [lane.centre_m for lane in town.lanes.values()]
    found: list[Parked] = []
    for row in town.parking:
        for xy_m, yaw_rad in _places(row):
            body = _drawn(rng, _PARKED_SHARES)
            off_m, turn_rad, taken = rng.gauss(0, 0.12), rng.gauss(0, 0.02), rng.random()
            if taken >= share:
                continue
            if math.cos(_lane_yaw_rad(lanes, xy_m) - yaw_rad) < 0:
                yaw_rad += math.pi
            place = xy_m + off_m * np.array([math.cos(yaw_rad), math.sin(yaw_rad)])
            name = f"parked_{len(found)}"
            found.append(Parked(name, body, (place[0], place[1]), yaw_rad + turn_rad))
    return tuple(found)


def _vehicles(roads: Roads, rng: Random, seconds: float, demand: Demand) -> list[tuple[float, str]]:
    inner, onward = sorted(roads.edges), _onward(roads)
    sources, goals = _gates(roads)
    trips = []
    for number in range(round(seconds * demand.vehicles_per_s)):
        depart_s = number / demand.vehicles_per_s
        start = rng.choice(inner if depart_s < FILL_S * 0.6 and rng.random() < 0.5 else sources)
        goal, body = rng.choice(goals), _drawn(rng, _SHARES)
        name, kind = f"v{number}", f"{body.value}_{rng.randrange(DRIVERS)}"
        ways = [edge for edge in inner if edge in onward[start] and goal in onward[edge]]
        over = f' via="{rng.choice(ways)}"' if ways and rng.random() < _DETOURS else ""
        back = roads.begins_at[start] == roads.ends_at[goal]
        if start != goal and not back and goal in onward[start]:
            trips.append((depart_s, _trip(name, kind, depart_s, start, goal) + over + "/>"))
    return trips


def _blockers(roads: Roads, rng: Random, seconds: float, demand: Demand) -> list[tuple[float, str]]:
    sources, goals = _gates(roads)
    onward = _onward(roads)
    places = [
        lane
        for lane in (roads.lanes[names[0]] for _, names in sorted(roads.edges.items()))
        if lane.length_m > 2 * _FREE_M
    ]
    trips = []
    for number in range(round(demand.blockers_per_min * seconds / 60) if places else 0):
        depart_s = rng.uniform(0, seconds)
        lane, kind = rng.choice(places), f"{rng.choice(_BLOCKERS).value}_{rng.randrange(DRIVERS)}"
        at_m = rng.uniform(_FREE_M, lane.length_m - _FREE_M)
        # Nobody gets past one on a single lane, so there it soon drives on.
        stays_s = rng.uniform(20, 45) if len(roads.edges[lane.edge]) > 1 else rng.uniform(10, 20)
        stop = f'<stop lane="{lane.name}" endPos="{at_m:.1f}" duration="{stays_s:.0f}"/>'
        start, goal = rng.choice(sources), rng.choice(goals)
        trip = _trip(f"{BLOCKER}_{number}", kind, depart_s, start, goal)
        if lane.edge in onward[start] and goal in onward[lane.edge]:
            trips.append((depart_s, f"{trip}>{stop}</trip>"))
    return trips


def _trip(name: str, kind: str, depart_s: float, start: str, goal: str) -> str:
    return (
        f'<trip id="{name}" type="{kind}" depart="{depart_s:.1f}" from="{start}" to="{goal}" '
        'departLane="best" departSpeed="max" departPos="base"'
    )


def _walkers(roads: Roads, rng: Random, seconds: float, demand: Demand) -> list[tuple[float, str]]:
    edges = roads.walkable
    middles = {edge: _middle(roads, edge) for edge in edges}
    walks = max(2, math.ceil(seconds * 1.3 / (0.5 * _WALK_M)))
    found = []
    for number in range(demand.walkers if len(edges) > 1 else 0):
        depart_s = rng.uniform(0, FILL_S * 0.6)
        legs, edge = [rng.choice(edges)], ""
        for _ in range(walks):
            here = middles[legs[-1]]
            near = [name for name in edges if 0 < math.dist(middles[name], here) < _WALK_M]
            edge = rng.choice(near or edges)
            legs.append(edge)
        stages = f'<walk from="{legs[0]}" to="{legs[1]}"/>' + "".join(
            f'<walk to="{edge}"/>' for edge in legs[2:]
        )
        head = f'<person id="p{number}" type="pedestrian_0" depart="{depart_s:.1f}">'
        found.append((depart_s, f"{head}{stages}</person>"))
    return found


def _gates(roads: Roads) -> tuple[list[str], list[str]]:
    """Edges by which one enters and leaves the town; all of them where it has no way out."""
    edges = sorted(roads.edges)
    ends = {name for name, node in roads.nodes.items() if not node.choices}
    sources = [edge for edge in edges if roads.begins_at[edge] in ends]
    goals = [edge for edge in edges if roads.ends_at[edge] in ends]
    return sources or edges, goals or edges


def _onward(roads: Roads) -> dict[str, set[str]]:
    """By edge, those that one can get to from it.

    SUMO leaves whom it sends elsewhere at the end of a road for good.
    """
    next_to = {
        edge: {edge_of(link.to_lane) for lane in lanes for link in roads.links.get(lane, ())}
        for edge, lanes in roads.edges.items()
    }
    onward: dict[str, set[str]] = {}
    for edge, seen in next_to.items():
        found, due = set(seen), sorted(seen)
        while due:
            more = next_to.get(due.pop(), set()) - found
            found |= more
            due.extend(more)
        onward[edge] = found
    return onward


def _middle(roads: Roads, edge: str) -> tuple[float, float]:
    names = roads.edges.get(edge) or (f"{edge}_0",)
    x_m, y_m = roads.lanes[names[0]].centre_m.mean(axis=0)
    return float(x_m), float(y_m)


def _drawn(rng: Random, shares: dict[Body, float]) -> Body:
    return rng.choices(list(shares), list(shares.values()))[0]


def _places(row: Polygon) -> list[tuple[Floats, float]]:
    """Middles and directions of the places of a parking row."""
    corners = shapely.get_coordinates(row.minimum_rotated_rectangle)[:4]
    sides = np.diff(corners, axis=0, append=corners[:1])
    lengths_m = np.hypot(*sides.T)
    longest = int(np.argmax(lengths_m[:2]))
    along = sides[longest] / lengths_m[longest]
    start = (corners[longest] + corners[longest - 1]) / 2
    count = int(lengths_m[longest] // _PLACE_M)
    spare_m = lengths_m[longest] - count * _PLACE_M
    yaw_rad = math.atan2(along[1], along[0])
    return [
        (start + along * (spare_m / 2 + (place + 0.5) * _PLACE_M), yaw_rad)
        for place in range(count)
        if row.buffer(0.3).contains(
            _box(start + along * (spare_m / 2 + (place + 0.5) * _PLACE_M), yaw_rad)
        )
    ]


def _box(xy_m: Floats, yaw_rad: float) -> Polygon:
    size = SIZES[Body.SEDAN]
    along = np.array([math.cos(yaw_rad), math.sin(yaw_rad)]) * size.length_m / 2
    across = np.array([-along[1], along[0]]) * size.width_m / size.length_m
    return Polygon(
        [xy_m + along + across, xy_m + along - across, xy_m - along - across, xy_m - along + across]
    )


def _lane_yaw_rad(lanes: Sequence[Floats], xy_m: Floats) -> float:
    """The direction of the nearest lane."""
    best_m, yaw_rad = math.inf, 0.0
    for line in lanes:
        middles = (line[1:] + line[:-1]) / 2
        start, step = line[:-1], line[1:] - line[:-1]
        share = np.clip(
            ((xy_m - start) * step).sum(axis=1) / np.maximum((step**2).sum(axis=1), 1e-9), 0, 1
        )
        away_m = np.hypot(*(start + share[:, None] * step - xy_m).T)
        nearest = int(np.argmin(away_m))
        if len(middles) and away_m[nearest] < best_m:
            best_m = float(away_m[nearest])
            yaw_rad = math.atan2(step[nearest][1], step[nearest][0])
    return yaw_rad
