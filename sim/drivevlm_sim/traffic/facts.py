"""What the traffic model knows of an ego in each step, from its route and the present alone.

The facts of a scene's log, each of length S. Distances are from the ego's front bumper along its
way; those of things that are not there within ``AHEAD_M`` are NaN, and names are "".

- ``leader``, ``leader_body``, ``leader_gap_m``, ``leader_speed_mps``,
  ``leader_acceleration_mps2``: who is nearest ahead on the way (its tail may be all that is on
  it, or a side that is in the way), and its ``Body``; the gap is how far the ego could drive on
  until its body, as wide as it is along the middle of the way, touches the leader's.
- ``signal``, ``signal_link``, ``signal_state``, ``signal_m``: the next signal on the way: its
  plan, the ego's place in the plan's state (-1 if none), the letter shown there, and the distance
  of the line. Who has crossed the line is past the signal.
- ``junction``, ``junction_m``, ``junction_duty``, ``junction_turn``: the next place where roads
  meet: who goes first there (words of ``Duty``) and which way the route leads (words of ``Turn``).
  Inside a junction it is that one, at 0.
- ``stop_line_m``: the line of the next junction at which one may have to wait.
- ``foes``, ``foe_m``: vehicles that go first at ``junction`` and are within ``FOE_M`` of its line
  or on it, nearest first, with blanks between their names; how far the nearest still has to its
  line. With signals only those count that are shown green; where all stop, those at their line
  before the ego.
- ``crossing``, ``crossing_m``, ``walkers``: the next crossing on the way with somebody on it, the
  distance of its middle, and their names.
- ``walker``, ``walker_m``: the nearest pedestrian, on a crossing or not, within ``IN_WAY_M`` of the
  middle of the way ahead.
- ``blocker``, ``blocked_m``: a vehicle ahead in the ego's lane that stands with hazard lamps.
- ``speed_limit_mps``: of the lane.
- ``lane_change``: ``left`` or ``right`` while the ego moves sideways in its road, else "".
- ``roundabout``: whether the ego is on one or its next junction lies on one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.scene_log_file import on_grid
from drivevlm_sim.traffic.beside import Bodies, Middle, left_m
from drivevlm_sim.traffic.demand import BLOCKER
from drivevlm_sim.traffic.path import AHEAD_M, Occupants, Way, Ways, leader, rest_of_route
from drivevlm_sim.traffic.record import Mover, Recording
from drivevlm_sim.traffic.roads import Duty, Link, edge_of

FOE_M = 50.0
"""How far from their line vehicles that go first matter."""
IN_WAY_M = 1.8
"""Who is this near to the middle of the way is in the way."""
_CROSSING_AHEAD_M = 60.0
_WALKER_AHEAD_M = _VEHICLE_AHEAD_M = 45.0
_SIDEWAYS_MPS = 0.25
_LINE_M = 12.0  # who is within this of the line of an all-way stop has arrived
_WAIT = frozenset({Duty.SIGNALS, Duty.YIELD, Duty.STOP, Duty.ALL_WAY_STOP, Duty.RIGHT_BEFORE_LEFT})
_TEXTS = (
    *(
        "leader",
        "leader_body",
        "signal",
        "signal_state",
        "junction",
        "junction_duty",
        "junction_turn",
        "foes",
    ),
    *("crossing", "walkers", "walker", "blocker", "lane_change"),
)
Facts = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class _Approach:
    """A vehicle on its way to a link, or on it (0 m)."""

    name: str
    line_m: float
    speed_mps: float


class Witness:
    """A recording seen by those who drive in it."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.ways = Ways(recording.roads, left_hand=recording.left_hand)
        self._known: dict[tuple[str, str, int], Way] = {}
        self._occupants = Occupants(recording)
        self._approaches: dict[int, dict[tuple[str, int], list[_Approach]]] = {}
        self._crossings: dict[int, tuple[tuple[str, float], ...]] = {}
        self._on_crossing: dict[int, dict[str, list[str]]] = {}
        self._on_foot: dict[int, tuple[list[str], Floats]] = {}
        self._driving: dict[int, Bodies] = {}
        self._middles: dict[int, tuple[Way, Middle]] = {}

    def way(self, mover: Mover, row: int) -> Way:
        """A vehicle's way ahead in one of its rows."""
        key = (mover.track.name, mover.track.lane[row], int(mover.route_index[row]))
        if key not in self._known:
            self._known[key] = self.ways.ahead(key[1], rest_of_route(mover, row))
        return self._known[key]

    def facts(self, ego: str) -> dict[str, NDArray[np.generic]]:
        """The facts of an ego over all the steps in which it is there."""
        mover = self.recording.vehicles[ego]
        rows = [self._row(mover, row) for row in range(len(mover.track))]
        facts: dict[str, NDArray[np.generic]] = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            if name in _TEXTS:
                facts[name] = np.array(values, dtype=np.str_)
            elif name == "signal_link":
                facts[name] = np.array(values, dtype=np.int64)
            elif name == "roundabout":
                facts[name] = np.array(values, dtype=np.bool_)
            else:
                facts[name] = on_grid(np.array(values, dtype=np.float64))
        facts["lane_change"] = self._lane_changes(mover)
        return facts

    def _row(self, mover: Mover, row: int) -> dict[str, Any]:
        step, lane_m = mover.track.first + row, float(mover.lane_m[row])
        way = self.way(mover, row)
        lane = self.recording.roads.lanes.get(mover.track.lane[row])
        return {
            **self._leader(mover, way, lane_m, step),
            **self._signal(way, lane_m, mover.track.lane[row], step),
            **self._junction(mover, way, lane_m, row, step),
            **self._crossing(way, lane_m, step),
            **self._in_way(way, lane_m, step),
            "speed_limit_mps": lane.speed_mps if lane else np.nan,
        }

    def _leader(self, mover: Mover, way: Way, lane_m: float, step: int) -> dict[str, Any]:
        found = self._nearest(mover, way, lane_m, step)
        if found is None:
            empty = dict.fromkeys(("leader_gap_m", "leader_speed_mps", "blocked_m"), np.nan)
            return {
                "leader": "",
                "leader_body": "",
                **empty,
                "leader_acceleration_mps2": np.nan,
                "blocker": "",
            }
        name, gap_m = found
        ahead = self.recording.vehicles[name].track
        row = step - ahead.first
        speed_mps = float(ahead.speed_mps[row])
        blocked = name.startswith(BLOCKER) and speed_mps < 0.05
        return {
            "leader": name,
            "leader_body": ahead.body.value,
            "leader_gap_m": gap_m,
            "leader_speed_mps": speed_mps,
            "leader_acceleration_mps2": float(ahead.acceleration_mps2[row]),
            "blocker": name if blocked else "",
            "blocked_m": gap_m if blocked else np.nan,
        }

    def _nearest(
        self, mover: Mover, way: Way, lane_m: float, step: int
    ) -> tuple[str, float] | None:
        """Who is nearest on the way ahead or in it, and how far the ego could drive on."""
        middle, own = self._middle(way), mover.track.name
        front_m = middle.front_m(lane_m)
        vehicles = self._vehicles(step)
        rows = self._aside(middle, front_m, vehicles)
        on_way = leader(way, lane_m, self._occupants, step, own)
        if on_way is not None:
            rows.add(vehicles.names.index(on_way[0]))
        within_m = (SIZES[mover.track.body].width_m / 2, IN_WAY_M)
        gap_m, nearest = min(
            (
                (middle.meets_m(vehicles.outlines[row], *within_m) - front_m, vehicles.names[row])
                for row in rows
                if vehicles.names[row] != own
            ),
            default=(np.inf, ""),
        )
        return (nearest, gap_m) if nearest else None

    def _aside(self, middle: Middle, front_m: float, vehicles: Bodies) -> set[int]:
        """Rows of those who go the same way and are in the way ahead, from whatever lane.

        Such as who changes lanes, or waits in a junction to turn off.
        """
        line = middle.line
        away_m = np.hypot(*(vehicles.middles_m - middle.xy_m(front_m)).T)
        near = np.flatnonzero(away_m < _VEHICLE_AHEAD_M)
        near = near[shapely.dwithin(line, vehicles.lines[near], IN_WAY_M)]
        half_m = vehicles.halves_m[near]
        tails = shapely.points(vehicles.middles_m[near] - half_m)
        at_m = np.asarray(shapely.line_locate_point(line, tails))
        ends = (shapely.line_interpolate_point(line, at_m + ahead_m) for ahead_m in (1.0, 0.0))
        along = np.subtract(*(shapely.get_coordinates(end) for end in ends))
        same_way = (along * half_m).sum(axis=1) > np.hypot(*half_m.T) / 2
        return set(near[same_way & (at_m > front_m)].tolist())

    def _vehicles(self, step: int) -> Bodies:
        if step not in self._driving:
            tracks = (mover.track for mover in self.recording.vehicles.values())
            self._driving[step] = Bodies.there(tracks, step)
        return self._driving[step]

    def _signal(self, way: Way, lane_m: float, lane: str, step: int) -> dict[str, Any]:
        for link, line_m in way.links:
            if link.signal and lane not in link.via and line_m - lane_m < AHEAD_M:
                return {
                    "signal": link.signal,
                    "signal_link": link.signal_link,
                    "signal_state": self._letter(link, step),
                    "signal_m": line_m - lane_m,
                }
        return {"signal": "", "signal_link": -1, "signal_state": "", "signal_m": np.nan}

    def _junction(
        self, mover: Mover, way: Way, lane_m: float, row: int, step: int
    ) -> dict[str, Any]:
        roads, lane = self.recording.roads, mover.track.lane[row]
        for link, line_m in way.links:
            inside = lane in link.via
            if not roads.nodes[link.junction].real or line_m - lane_m > AHEAD_M:
                continue
            away_m = 0.0 if inside else max(line_m - lane_m, 0.0)
            foes = self._foes(link, mover.track.name, away_m, inside, step)
            waits = link.duty in _WAIT and not inside
            ring = {edge_of(link.from_lane), edge_of(link.to_lane)} & roads.roundabouts
            return {
                "junction": link.junction,
                "junction_m": away_m,
                "junction_duty": link.duty.value,
                "junction_turn": link.turn.value,
                "stop_line_m": away_m if waits else np.nan,
                "foes": " ".join(foe.name for foe in foes),
                "foe_m": foes[0].line_m if foes else np.nan,
                "roundabout": bool(ring),
            }
        return {
            **dict.fromkeys(("junction", "junction_duty", "junction_turn", "foes"), ""),
            **dict.fromkeys(("junction_m", "stop_line_m", "foe_m"), np.nan),
            "roundabout": edge_of(lane) in roads.roundabouts,
        }

    def _foes(
        self, link: Link, own: str, away_m: float, inside: bool, step: int
    ) -> list[_Approach]:
        if away_m > FOE_M or not link.yields_to:
            return []
        node, coming = self.recording.roads.nodes[link.junction], self._coming(step)
        found = []
        for number in sorted(link.yields_to):
            theirs = node.links.get(number)
            if theirs is None:
                continue
            green = not theirs.signal or self._letter(theirs, step) in "gG"
            for foe in coming.get((link.junction, number), ()):
                first = foe.line_m == 0 or (green and foe.speed_mps > 0.5)
                if link.duty == Duty.ALL_WAY_STOP and foe.line_m > 0:
                    first = not inside and foe.line_m < min(away_m, _LINE_M)
                if foe.name != own and first:
                    found.append(foe)
        return sorted(found, key=lambda foe: (foe.line_m, foe.name))

    def _coming(self, step: int) -> dict[tuple[str, int], list[_Approach]]:
        """Vehicles by the junction and link that they come to or are on."""
        if step not in self._approaches:
            coming: dict[tuple[str, int], list[_Approach]] = {}
            for name, mover in self.recording.vehicles.items():
                row = mover.track.at(step)
                if row is None:
                    continue
                lane, speed_mps = mover.track.lane[row], float(mover.track.speed_mps[row])
                for link, line_m in self.way(mover, row).links[:3]:
                    away_m = line_m - float(mover.lane_m[row])
                    here = 0.0 if lane in link.via else max(away_m, 0.01)
                    if here <= FOE_M:
                        approach = _Approach(name, here, speed_mps)
                        coming.setdefault((link.junction, link.number), []).append(approach)
            self._approaches[step] = coming
        return self._approaches[step]

    def _crossing(self, way: Way, lane_m: float, step: int) -> dict[str, Any]:
        walkers = self._walkers(step)
        for link, line_m in way.links:
            if not walkers or line_m - lane_m > _CROSSING_AHEAD_M:
                break
            # Inside a junction the first piece may be a later part of the link.
            passed_m = self._passed_m(way, link) if line_m == 0 else 0.0
            for edge, middle_m in self._crossed(link):
                away_m = line_m - passed_m + middle_m - lane_m
                if edge in walkers and -1.0 < away_m < _CROSSING_AHEAD_M:
                    names = " ".join(walkers[edge])
                    return {"crossing": edge, "crossing_m": away_m, "walkers": names}
        return {"crossing": "", "crossing_m": np.nan, "walkers": ""}

    def _in_way(self, way: Way, lane_m: float, step: int) -> dict[str, Any]:
        names, xy_m = self._walkers_m(step)
        middle = self._middle(way)
        front_m = middle.front_m(lane_m)
        near = np.flatnonzero(np.hypot(*(xy_m - middle.xy_m(front_m)).T) < _WALKER_AHEAD_M)
        points = shapely.points(xy_m[near])
        away_m = middle.driven_m(xy_m[near]) - front_m
        ahead = np.flatnonzero(shapely.dwithin(middle.line, points, IN_WAY_M) & (away_m > 0))
        if not len(ahead):
            return {"walker": "", "walker_m": np.nan}
        nearest = ahead[np.argmin(away_m[ahead])]
        return {"walker": names[near[nearest]], "walker_m": float(away_m[nearest])}

    def _walkers_m(self, step: int) -> tuple[list[str], Floats]:
        """Names and (N, 2) places of all on foot in a step."""
        if step not in self._on_foot:
            here = [
                (name, track.xy_m[row])
                for name, track in self.recording.walkers.items()
                if (row := track.at(step)) is not None
            ]
            places = np.array([xy_m for _, xy_m in here]).reshape(-1, 2)
            self._on_foot[step] = ([name for name, _ in here], places)
        return self._on_foot[step]

    def _middle(self, way: Way) -> Middle:
        if id(way) not in self._middles:
            lanes = self.recording.roads.lanes
            self._middles[id(way)] = (way, Middle([lanes[piece.lane] for piece in way.pieces]))
        return self._middles[id(way)][1]

    def _passed_m(self, way: Way, link: Link) -> float:
        first = way.pieces[0].lane
        if first not in link.via:
            return 0.0
        before = link.via[: link.via.index(first)]
        return sum(self.recording.roads.lanes[lane].length_m for lane in before)

    def _crossed(self, link: Link) -> tuple[tuple[str, float], ...]:
        """Crossings on a link, with the distance of their middles from its line, in order."""
        if id(link) not in self._crossings:
            roads = self.recording.roads
            node = roads.nodes[link.junction]
            parts = [roads.lanes[lane].centre_m for lane in link.via]
            points = np.concatenate([*parts, roads.lanes[link.to_lane].centre_m[:1]])
            apart = np.hypot(*np.diff(points, axis=0).T) > 1e-6  # shapely dislikes equal points
            line = LineString(points[np.append(apart, True)])
            found = []
            for number in link.foes & set(node.crossings):
                name = node.crossings[number]
                meets = line.intersection(LineString(roads.lanes[name].centre_m))
                if not meets.is_empty:
                    found.append((edge_of(name), float(line.project(meets.centroid))))
            self._crossings[id(link)] = tuple(sorted(found, key=lambda one: one[1]))
        return self._crossings[id(link)]

    def _walkers(self, step: int) -> dict[str, list[str]]:
        """Names of those on crossings in a step, by crossing."""
        if step not in self._on_crossing:
            found: dict[str, list[str]] = {}
            for name, track in self.recording.walkers.items():
                row = track.at(step)
                if row is not None and "_c" in track.lane[row]:
                    found.setdefault(track.lane[row], []).append(name)
            self._on_crossing[step] = found
        return self._on_crossing[step]

    def _letter(self, link: Link, step: int) -> str:
        return self.recording.signals[link.signal][step][link.signal_link]

    def _lane_changes(self, mover: Mover) -> NDArray[np.str_]:
        """Which way the ego moves sideways against its lane, from the step just made."""
        lanes, track = self.recording.roads.lanes, mover.track
        reach_m = SIZES[track.body].rear_axle_from_front_m
        heading = np.stack([np.cos(track.yaw_rad), np.sin(track.yaw_rad)], axis=1)
        front_m = mover.rear_axle_m + reach_m * heading
        rates_mps = np.zeros(len(track))
        rows_on: dict[str, list[int]] = {}
        for row in range(1, len(track)):
            if edge_of(track.lane[row]) == edge_of(track.lane[row - 1]):
                rows_on.setdefault(track.lane[row], []).append(row)
        for name, rows in rows_on.items():
            lane, at = lanes.get(name), np.array(rows)
            if lane is not None and not lane.junction:
                now_m, before_m = (left_m(lane.centre_m, front_m[k]) for k in (at, at - 1))
                rates_mps[at] = (now_m - before_m) / STEP_S
        moving = np.abs(rates_mps) > _SIDEWAYS_MPS
        return np.where(moving, np.where(rates_mps > 0, "left", "right"), "")
