"""The navigation route of a scene as a line: from the route's edges alone, not from the drive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.town.town import Connector, Town, TownLane

# N: points of a line.
SPACING_M = 0.5
BEHIND_M, LONGEST_M = 5.0, 400.0


def route_line_m(town: Town, log: SceneLog) -> Floats:
    """(N, 2) evenly spaced, town axes, from a little behind the ego's first place.

    Raises ValueError where the route leads along edges that the town does not have.
    """
    pieces = _pieces(town, log.route, log.ego.lane[0])
    line = _even(np.vstack(pieces))
    nearest = int(np.argmin(np.hypot(*(line - log.rear_axle_m[0]).T)))
    first = max(0, nearest - round(BEHIND_M / SPACING_M))
    return line[first : first + round(LONGEST_M / SPACING_M)]


def _pieces(town: Town, route: Sequence[str], first_lane: str) -> list[Floats]:
    lanes: dict[str, list[TownLane]] = {}
    for lane in town.lanes.values():
        lanes.setdefault(lane.edge, []).append(lane)
    ways: dict[str, list[Connector]] = {}
    for way in town.connectors.values():
        ways.setdefault(way.from_lane, []).append(way)
    pieces: list[Floats] = []
    edges = [edge for edge in route if edge in lanes]
    if not edges:
        raise ValueError(f"the route {list(route)} has no edge of town {town.name}")
    here = town.lanes.get(first_lane)
    if here is None or here.edge != edges[0]:
        here = lanes[edges[0]][0]
        came = town.connectors.get(first_lane)
        if came is not None:
            pieces.append(came.centre_m)
            here = town.lanes[came.to_lane]
            edges = edges if edges[0] == here.edge else [here.edge, *edges]
    for after in edges[1:]:
        here, turn = _turn(here, lanes[here.edge], ways, town, after)
        pieces.append(here.centre_m)
        if turn is None:
            return pieces
        pieces.append(turn.centre_m)
        here = town.lanes[turn.to_lane]
    return [*pieces, here.centre_m]


def _turn(
    here: TownLane,
    beside: Sequence[TownLane],
    ways: dict[str, list[Connector]],
    town: Town,
    after: str,
) -> tuple[TownLane, Connector | None]:
    """The lane from which one comes to the edge ``after``, the nearest such, and the way."""
    for lane in sorted(beside, key=lambda lane: (abs(lane.index - here.index), lane.index)):
        for way in ways.get(lane.name, ()):
            if town.lanes[way.to_lane].edge == after:
                return lane, way
    return here, None


def _even(line: Floats) -> Floats:
    kept = np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-6])
    line = line[kept]
    run_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    even_m = np.arange(0.0, run_m[-1], SPACING_M)
    return np.stack([np.interp(even_m, run_m, line[:, 0]), np.interp(even_m, run_m, line[:, 1])], 1)
