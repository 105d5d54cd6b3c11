"""The way ahead of a vehicle, from its route alone, and who is on it."""

from __future__ import annotations

from dataclasses import dataclass

from drivevlm_sim.traffic.record import Mover, Recording
from drivevlm_sim.traffic.roads import Link, Roads, edge_of

AHEAD_M = 120.0
"""How far one looks."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A lane of the way ahead.

    Attributes:
        lane: Its name.
        start_m: Its start from the start of the first piece.
        link: The way across a junction that it belongs to; None for a road's lane.
    """

    lane: str
    start_m: float
    link: Link | None


@dataclass(frozen=True, slots=True)
class Way:
    """Lanes ahead in order, the first the one the vehicle is on.

    Attributes:
        pieces: At least one.
        links: Each junction ahead with the distance of its line from the first piece's start; of a
            vehicle inside a junction, that one comes first, with the distance 0.
        change: -1 or 1 where the first lane does not lead on along the route, and the lane that
            does lies to the right or left of it; 0 otherwise.
        end_m: Where the route ends; None where that is farther than one looks.
    """

    pieces: tuple[Piece, ...]
    links: tuple[tuple[Link, float], ...]
    change: int
    end_m: float | None


class Ways:
    """Ways ahead on a net, remembered by lane and route."""

    def __init__(self, roads: Roads, *, left_hand: bool = False) -> None:
        self._roads = roads
        # Lanes count from the kerb, which is on the left where one drives on the left.
        self._towards_left = -1 if left_hand else 1
        self._known: dict[tuple[str, tuple[str, ...]], Way] = {}

    def ahead(self, lane: str, rest: tuple[str, ...]) -> Way:
        """The way from a lane along the edges ``rest``, first the one it is on or just left."""
        key = (lane, rest[:8])
        if key not in self._known:
            self._known[key] = self._walk(lane, rest[:8], whole=len(rest) <= 8)
        return self._known[key]

    def _walk(self, lane: str, rest: tuple[str, ...], *, whole: bool) -> Way:
        roads = self._roads
        pieces: list[Piece] = []
        links: list[tuple[Link, float]] = []
        at_m, change, place = 0.0, 0, 0
        if lane in roads.inside:
            link, first = roads.inside[lane]
            links.append((link, 0.0))
            for inner in link.via[first:]:
                pieces.append(Piece(inner, at_m, link))
                at_m += roads.lanes[inner].length_m
            lane, place = link.to_lane, 1
        if lane not in roads.lanes:
            return Way((Piece(lane, 0.0, None),), (), 0, None)
        while True:
            pieces.append(Piece(lane, at_m, None))
            at_m += roads.lanes[lane].length_m
            if place + 1 >= len(rest):
                return Way(tuple(pieces), tuple(links), change, at_m if whole else None)
            link_on, side = self._link_on(lane, rest, place)
            if link_on is None or at_m > AHEAD_M + roads.lanes[pieces[0].lane].length_m:
                return Way(tuple(pieces), tuple(links), change, None)
            if not links and len(pieces) == 1:
                change = side
            links.append((link_on, at_m))
            for inner in link_on.via:
                pieces.append(Piece(inner, at_m, link_on))
                at_m += roads.lanes[inner].length_m
            lane, place = link_on.to_lane, place + 1

    def _link_on(self, lane: str, rest: tuple[str, ...], place: int) -> tuple[Link | None, int]:
        """The link from a lane, or from the nearest lane beside it, to the next edge."""
        roads = self._roads
        index = roads.lanes[lane].index
        beside = sorted(
            roads.edges.get(edge_of(lane), ()),
            key=lambda name: abs(roads.lanes[name].index - index),
        )
        for name in beside:
            ways = [
                link
                for link in roads.links.get(name, ())
                if edge_of(link.to_lane) == rest[place + 1]
            ]
            if ways:
                beyond = rest[place + 2] if place + 2 < len(rest) else None
                best = max(
                    ways,
                    key=lambda link: (
                        self._leads(link.to_lane, beyond),
                        link.to_lane == ways[0].to_lane,
                    ),
                )
                step = roads.lanes[name].index - index
                return best, self._towards_left * ((step > 0) - (step < 0))
        return None, 0

    def _leads(self, lane: str, edge: str | None) -> bool:
        return edge is None or any(
            edge_of(link.to_lane) == edge for link in self._roads.links.get(lane, ())
        )


class Occupants:
    """Who is on which lane in each step, tails that reach back over the lane's start included."""

    def __init__(self, recording: Recording) -> None:
        roads = recording.roads
        self._steps: list[dict[str, list[tuple[float, float, str]]]] = [
            {} for _ in range(recording.steps)
        ]
        for name, mover in recording.vehicles.items():
            trail: list[str] = []
            for row, lane in enumerate(mover.track.lane):
                if not trail or trail[-1] != lane:
                    trail.append(lane)
                self._put(roads, mover.track.first + row, name, mover, row, trail)

    def on(self, step: int, lane: str) -> list[tuple[float, float, str]]:
        """(front, tail, name) along a lane; a front beyond its end counts on from there."""
        return self._steps[step].get(lane, [])

    def _put(
        self, roads: Roads, step: int, name: str, mover: Mover, row: int, trail: list[str]
    ) -> None:
        front_m = float(mover.lane_m[row])
        here = self._steps[step]
        here.setdefault(trail[-1], []).append((front_m, front_m - mover.length_m, name))
        for place in range(len(trail) - 2, -1, -1):
            ahead, lane = trail[place + 1], trail[place]
            if front_m >= mover.length_m or lane not in roads.lanes:
                return
            if edge_of(ahead) == edge_of(lane):  # it changed lanes and did not move on
                continue
            front_m += roads.lanes[lane].length_m
            here.setdefault(lane, []).append((front_m, front_m - mover.length_m, name))


def rest_of_route(mover: Mover, row: int) -> tuple[str, ...]:
    """The edges before a vehicle, first the one it is on or has just left."""
    return mover.route[int(mover.route_index[row]) :]


def leader(
    way: Way, lane_m: float, occupants: Occupants, step: int, own: str
) -> tuple[str, float] | None:
    """Who is nearest ahead on the way, and the distance from one's front bumper to its rear."""
    best: tuple[str, float] | None = None
    for piece in way.pieces:
        if piece.start_m - lane_m > AHEAD_M:
            break
        for front_m, tail_m, name in occupants.on(step, piece.lane):
            gap_m = piece.start_m + tail_m - lane_m
            ahead = piece.start_m + front_m > lane_m
            if name != own and ahead and gap_m < (best[1] if best else AHEAD_M):
                best = (name, gap_m)
        if best:
            return best
    return best
