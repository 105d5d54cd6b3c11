"""From SUMO's net to lanes, connectors, junctions, crossings, areas of road and sidewalk."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml import sax

import numpy as np
import shapely
from shapely import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from drivevlm.world.pose import Floats
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.town.net import MISSING, SIDEWALK_M
from drivevlm_sim.town.town import Connector, Control, Crossing, Junction, TownLane, Turn

MARGIN_M = 40.0
"""Free space around the outermost points of the net."""
NEAREST_M = 0.02
"""Points of a line nearer than this are one."""
ROW_BEGINS_M, ROW_ENDS_M, SHORTEST_ROW_M = 8.0, 16.0, 14.0
"""A parking row keeps so far from the junctions behind and before it."""

_TURNS = {"s": Turn.STRAIGHT, "l": Turn.LEFT, "L": Turn.LEFT, "r": Turn.RIGHT, "R": Turn.RIGHT}
_CONTROLS = {
    "traffic_light": Control.SIGNALS,
    "priority_stop": Control.PRIORITY,
    "allway_stop": Control.ALL_WAY_STOP,
    "right_before_left": Control.RIGHT_BEFORE_LEFT,
    "left_before_right": Control.RIGHT_BEFORE_LEFT,
    "dead_end": Control.DEAD_END,
}


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A sidewalk or a parking row along an edge: (N, 2) centre in the edge's direction."""

    edge: str
    centre_m: Floats
    width_m: float


@dataclass(frozen=True, slots=True, eq=False)
class NetGeometry:
    """What the net says, in town axes.

    Attributes:
        offset_m: Town coordinates are SUMO's plus this.
        size_m: Of the town.
        states: By connector, SUMO's link state: ``s`` and ``w`` for a stop sign, ``m`` where
            vehicles or walkers go first, ...
        ends: By edge, the junctions at which it begins and ends.
        sidewalks, parking: Strips along edges.
        road, sidewalk: Areas that do not overlap.
    """

    left_hand: bool
    offset_m: tuple[float, float]
    size_m: tuple[float, float]
    lanes: Mapping[str, TownLane]
    connectors: Mapping[str, Connector]
    states: Mapping[str, str]
    ends: Mapping[str, tuple[str, str]]
    junctions: Mapping[str, Junction]
    crossings: Mapping[str, Crossing]
    sidewalks: tuple[Strip, ...]
    parking: tuple[Strip, ...]
    road: MultiPolygon
    sidewalk: MultiPolygon

    def lanes_of_edges(self) -> dict[str, list[TownLane]]:
        """Lanes by edge, from the kerb inward."""
        edges: dict[str, list[TownLane]] = {}
        for lane in sorted(self.lanes.values(), key=lambda one: (one.edge, one.index)):
            edges.setdefault(lane.edge, []).append(lane)
        return edges

    def inward(self) -> float:
        """1 where the middle of the street is to the left of a lane, -1 where to the right."""
        return -1.0 if self.left_hand else 1.0


def net_geometry(net_xml: str, *, left_hand: bool) -> NetGeometry:
    """Read a net.

    Raises:
        WorldError: SUMO's Python side is missing.
    """
    net = _net(net_xml)
    low_x, low_y, high_x, high_y = (float(v) for v in net.getBoundary())
    offset_m = (round(MARGIN_M - low_x, 3), round(MARGIN_M - low_y, 3))
    size_m = (high_x - low_x + 2 * MARGIN_M, high_y - low_y + 2 * MARGIN_M)
    reader = _Reader(net, np.array(offset_m))
    lanes, sidewalks, strips = reader.edges()
    connectors, states = reader.connectors()
    junctions = reader.junctions(connectors)
    crossings = reader.crossings()
    parking, bare = _parking(strips)
    road, sidewalk = _areas(
        [(one.centre_m, one.width_m) for one in lanes.values()]
        + [(one.centre_m, one.width_m) for one in connectors.values()],
        junctions=[one.polygon for one in junctions.values()],
        crossings=[one.polygon for one in crossings.values()],
        strips=[area(one.centre_m, one.width_m) for one in (*bare, *parking)],
        sidewalks=[*(area(one.centre_m, one.width_m) for one in sidewalks), *reader.corners()],
        bends=[junctions[name].polygon for name in reader.bends() if name in junctions],
    )
    rows = shapely.union_all([area(one.centre_m, one.width_m) for one in parking])
    return NetGeometry(
        left_hand=left_hand,
        offset_m=offset_m,
        size_m=(round(size_m[0], 3), round(size_m[1], 3)),
        lanes=lanes,
        connectors=connectors,
        states=states,
        ends=reader.ends(),
        junctions=junctions,
        crossings=crossings,
        sidewalks=tuple(sidewalks),
        parking=tuple(parking),
        road=many(road.difference(rows)),
        sidewalk=many(sidewalk),
    )


def area(line_m: Floats, width_m: float) -> Polygon:
    """The strip around a line."""
    strip = LineString(line_m).buffer(width_m / 2, cap_style="flat", join_style="mitre")
    return max(polygons(strip), key=lambda part: part.area)


def beside(line_m: Floats, left_m: float) -> Floats:
    """(N, 2) the line moved to its left, or right where negative."""
    if abs(left_m) < 1e-9:
        return line_m
    moved = shapely.offset_curve(LineString(line_m), left_m, join_style="mitre", mitre_limit=2.0)
    parts = [part for part in shapely.get_parts(moved) if len(part.coords) > 1]
    longest = max(parts, key=lambda part: part.length)
    return np.array(longest.coords)


def polygons(shape: BaseGeometry) -> list[Polygon]:
    """Its polygons."""
    parts = shapely.get_parts(shape)
    flat = [piece for part in parts for piece in getattr(part, "geoms", [part])]
    return [part for part in flat if isinstance(part, Polygon) and not part.is_empty]


def many(shape: BaseGeometry) -> MultiPolygon:
    """Its polygons as one shape, without slivers."""
    return MultiPolygon([part for part in polygons(shape) if part.area > 0.05])


class _Reader:
    """Takes a net's parts out in town axes."""

    def __init__(self, net: Any, offset_m: Floats) -> None:
        self._net = net
        self._offset_m = offset_m

    def _line(self, shape: Iterable[tuple[float, ...]]) -> Floats:
        points = np.array([point[:2] for point in shape], dtype=np.float64) + self._offset_m
        kept = [points[0]]
        for point in points[1:-1]:
            if min(np.hypot(*(point - kept[-1])), np.hypot(*(point - points[-1]))) > NEAREST_M:
                kept.append(point)
        return np.array([*kept, points[-1]])

    def edges(self) -> tuple[dict[str, TownLane], list[Strip], list[Strip]]:
        """Lanes for vehicles, sidewalks, and strips for nobody."""
        lanes: dict[str, TownLane] = {}
        sidewalks: list[Strip] = []
        strips: list[Strip] = []
        for edge in self._net.getEdges(withInternal=False):
            for lane in edge.getLanes():
                line, width = self._line(lane.getShape()), float(lane.getWidth())
                if not lane.allows("passenger"):
                    strip = Strip(edge.getID(), line, width)
                    (sidewalks if lane.allows("pedestrian") else strips).append(strip)
                    continue
                after = [one.getViaLaneID() for one in lane.getOutgoing() if one.getViaLaneID()]
                lanes[lane.getID()] = TownLane(
                    name=lane.getID(),
                    edge=edge.getID(),
                    index=lane.getIndex(),
                    centre_m=line,
                    width_m=width,
                    speed_mps=float(lane.getSpeed()),
                    successors=tuple(sorted(after)),
                )
        return lanes, sidewalks, strips

    def ends(self) -> dict[str, tuple[str, str]]:
        """By edge, the junctions at which it begins and ends."""
        return {
            edge.getID(): (edge.getFromNode().getID(), edge.getToNode().getID())
            for edge in self._net.getEdges(withInternal=False)
        }

    def connectors(self) -> tuple[dict[str, Connector], dict[str, str]]:
        """Ways across junctions, and their link states."""
        permissive = self._permissive()
        connectors: dict[str, Connector] = {}
        states: dict[str, str] = {}
        for node in self._net.getNodes():
            links = [one for one in node.getConnections() if self._for_vehicles(one)]
            for link in links:
                one = self._connector(node, link)
                waits = any(other is not link and node.forbids(other, link) for other in links)
                if one.signal:
                    waits = waits and (one.signal, one.link) in permissive
                connectors[one.name] = replace(one, yields=waits)
                states[one.name] = str(link.getState())
        return connectors, states

    def _for_vehicles(self, link: Any) -> bool:
        both = (link.getFromLane(), link.getToLane())
        inside = any(lane.getEdge().getFunction() for lane in both)
        return bool(link.getViaLaneID()) and not inside and both[0].allows("passenger")

    def _connector(self, node: Any, link: Any) -> Connector:
        signal = str(link.getTLSID() or "")
        parts = self._parts(link.getViaLaneID())
        return Connector(
            name=parts[0].getID(),
            from_lane=link.getFromLane().getID(),
            to_lane=link.getToLane().getID(),
            junction=node.getID(),
            centre_m=self._line([point for part in parts for point in part.getShape()]),
            width_m=float(parts[0].getWidth()),
            turn=_TURNS.get(link.getDirection(), Turn.BACK),
            signal=signal,
            link=int(link.getTLLinkIndex()) if signal else -1,
            parts=tuple(part.getID() for part in parts),
        )

    def _parts(self, via: str) -> list[Any]:
        parts = []
        while via:
            parts.append(self._net.getLane(via))
            after = parts[-1].getOutgoing()
            via = after[0].getViaLaneID() if after else ""
        return parts

    def _permissive(self) -> set[tuple[str, int]]:
        """Places in plans that are green for those who must let others pass in some phase."""
        return {
            (light.getID(), place)
            for light in self._net.getTrafficLights()
            for program in light.getPrograms().values()
            for phase in program.getPhases()
            for place, letter in enumerate(phase.state)
            if letter == "g"
        }

    def junctions(self, connectors: Mapping[str, Connector]) -> dict[str, Junction]:
        """Junctions by name; a dead end has no area and is left out."""
        waiting = {one.junction for one in connectors.values() if one.yields}
        junctions: dict[str, Junction] = {}
        for node in self._net.getNodes():
            shape = node.getShape()
            name, kind = node.getID(), str(node.getType())
            if len(shape) < 3 or kind == "internal":
                continue
            control = _CONTROLS.get(kind)
            if control is None:
                control = Control.YIELD if name in waiting else Control.PRIORITY
            polygon = Polygon(np.array(shape)[:, :2] + self._offset_m).buffer(0)
            parts = polygons(polygon)
            if parts:
                largest = max(parts, key=lambda part: part.area)
                junctions[name] = Junction(name, largest, control)
        return junctions

    def crossings(self) -> dict[str, Crossing]:
        """Zebra crossings by SUMO's name of their lane."""
        crossings: dict[str, Crossing] = {}
        for edge in self._net.getEdges(withInternal=True):
            if edge.getFunction() != "crossing":
                continue
            (lane,) = edge.getLanes()
            line = self._line(lane.getShape())
            junction = edge.getID()[1:].rsplit("_", 1)[0]
            crossings[lane.getID()] = Crossing(
                lane.getID(), junction, area(line, float(lane.getWidth())), line
            )
        return crossings

    def bends(self) -> list[str]:
        """Junctions at which a street goes on as one other street."""
        return [
            node.getID()
            for node in self._net.getNodes()
            if len(node.getOutgoing()) == len(node.getIncoming()) == 2
            and {edge.getFromNode().getID() for edge in node.getIncoming()}
            == {edge.getToNode().getID() for edge in node.getOutgoing()}
        ]

    def corners(self) -> list[Polygon]:
        """Where sidewalks meet at junctions."""
        found = []
        for edge in self._net.getEdges(withInternal=True):
            if edge.getFunction() == "walkingarea":
                shape = np.array(edge.getLanes()[0].getShape())[:, :2] + self._offset_m
                if len(shape) > 2:
                    found.extend(polygons(Polygon(shape).buffer(0)))
        return found


def _net(net_xml: str) -> Any:
    try:
        reader = importlib.import_module("sumolib.net").NetReader(
            withInternal=True, withPedestrianConnections=True, withPrograms=True
        )
    except ModuleNotFoundError as error:
        raise WorldError(MISSING) from error
    sax.parseString(net_xml.encode(), reader)
    return reader.getNet()


def _parking(strips: Iterable[Strip]) -> tuple[list[Strip], list[Strip]]:
    """Parking rows, and what is left of their strips at both ends."""
    rows: list[Strip] = []
    bare: list[Strip] = []
    for strip in strips:
        line = LineString(strip.centre_m)
        if line.length - ROW_BEGINS_M - ROW_ENDS_M < SHORTEST_ROW_M:
            bare.append(strip)
            continue
        ends = (0.0, ROW_BEGINS_M, line.length - ROW_ENDS_M, line.length)
        for begin, end in itertools.pairwise(ends):
            piece = Strip(strip.edge, np.array(substring(line, begin, end).coords), strip.width_m)
            (rows if begin == ROW_BEGINS_M else bare).append(piece)
    return rows, bare


def _areas(
    ways: Iterable[tuple[Floats, float]],
    *,
    junctions: Iterable[Polygon],
    crossings: Iterable[Polygon],
    strips: Iterable[Polygon],
    sidewalks: Iterable[Polygon],
    bends: Iterable[Polygon],
) -> tuple[BaseGeometry, BaseGeometry]:
    """Road and sidewalk; where both are claimed, a lane wins over a sidewalk over a junction."""
    paved = shapely.union_all(list(sidewalks)).buffer(0.15).buffer(-0.15)
    driven = shapely.union_all([area(line, width + 0.04) for line, width in ways])
    open_junctions = shapely.union_all(list(junctions)).difference(paved)
    road = shapely.union_all([driven, open_junctions, *crossings, *strips])
    # Round joins: GEOS now and then fills a whole block when it shrinks with mitred ones.
    road = road.buffer(0.3).buffer(-0.3)
    road = shapely.union_all([road.simplify(0.02), driven])
    # Where a street only bends, SUMO leaves out the corners of its sidewalks.
    bend = shapely.union_all(list(bends))
    outer = road.buffer(SIDEWALK_M).intersection(bend.buffer(SIDEWALK_M + 0.5))
    paved = shapely.union_all([paved, outer]).buffer(0.15).buffer(-0.15)
    return road, paved.difference(road)
