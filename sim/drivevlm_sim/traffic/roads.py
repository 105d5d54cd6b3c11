"""What traffic needs of a net: lanes with lengths, the ways across junctions, and who goes first.

It is read from the net alone, so SUMO need not be there.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.town.town import Turn

# N: points of a line; town axes.


class Duty(str, Enum):
    """What a driver owes at a junction, seen from the lane that leads to it."""

    SIGNALS = "signals"
    PRIORITY = "priority"
    YIELD = "yield"
    STOP = "stop"
    ALL_WAY_STOP = "all_way_stop"
    RIGHT_BEFORE_LEFT = "right_before_left"
    NONE = "none"


_DUTIES = {
    "M": Duty.PRIORITY,
    "m": Duty.YIELD,
    "s": Duty.STOP,
    "w": Duty.ALL_WAY_STOP,
    "=": Duty.RIGHT_BEFORE_LEFT,
    "Z": Duty.YIELD,
}
_TURNS = {"s": Turn.STRAIGHT, "l": Turn.LEFT, "r": Turn.RIGHT, "t": Turn.BACK}


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A lane of the net, also those inside junctions.

    Attributes:
        name, edge, index: SUMO's.
        length_m: SUMO's; the line may be a little longer or shorter.
        speed_mps: Limit.
        centre_m: (N, 2) in driving direction.
        junction: The junction that it lies in; "" where it is a road's.
    """

    name: str
    edge: str
    index: int
    length_m: float
    width_m: float
    speed_mps: float
    centre_m: Floats
    junction: str


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A way from one road lane to the next.

    Attributes:
        via: The lanes inside the junction that it takes, in order.
        turn: Which way it leads.
        junction: Where.
        number: Its place in the junction's table of who goes first.
        yields_to, foes: Places that go first, and all that cross or join its way.
        signal, signal_link: Its place in a signal plan; "" and -1 where there is none.
        duty: What a driver owes here.
    """

    from_lane: str
    to_lane: str
    via: tuple[str, ...]
    turn: Turn
    junction: str
    number: int
    yields_to: frozenset[int]
    foes: frozenset[int]
    signal: str
    signal_link: int
    duty: Duty


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A junction.

    Attributes:
        links: By number.
        crossings: Names of the crossings' lanes by number.
        real: Whether roads meet here; where a turn lane only begins, they do not.
        choices: By edge that leads to it, how many edges one may take.
    """

    name: str
    links: Mapping[int, Link]
    crossings: Mapping[int, str]
    real: bool
    choices: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Roads:
    """A net.

    Attributes:
        lanes: By name, internal ones and crossings included.
        links: By name of the lane they leave.
        inside: By name of an internal lane, its link and its place in the link's ``via``.
        edges: By name of an edge, its lanes for vehicles from the right.
        walkable: Edges with a sidewalk.
        nodes: By name.
        ends_at: By edge, the junction that it leads to.
        begins_at: By edge, the junction that it comes from.
        roundabouts: Edges that are part of one.
    """

    lanes: Mapping[str, Lane]
    links: Mapping[str, tuple[Link, ...]]
    inside: Mapping[str, tuple[Link, int]]
    edges: Mapping[str, tuple[str, ...]]
    walkable: tuple[str, ...]
    nodes: Mapping[str, Node]
    ends_at: Mapping[str, str]
    begins_at: Mapping[str, str]
    roundabouts: frozenset[str]


def read_roads(net_xml: str, offset_m: tuple[float, float]) -> Roads:
    """The net as roads, in town coordinates."""
    net = ET.fromstring(net_xml)
    edges = {edge.attrib["id"]: edge for edge in net.iter("edge")}
    lanes = {
        lane.name: lane
        for edge in edges.values()
        for lane in (_lane(element, edge, offset_m) for element in edge.iter("lane"))
    }
    roads = {name: edge for name, edge in edges.items() if "function" not in edge.attrib}
    drivable = {
        name: tuple(lane.attrib["id"] for lane in edge.iter("lane") if _drivable(lane))
        for name, edge in roads.items()
    }
    junctions = {
        junction.attrib["id"]: junction
        for junction in net.iter("junction")
        if junction.attrib["type"] != "internal"
    }
    found = tuple(_links(net, junctions, drivable))
    return Roads(
        lanes=lanes,
        links=_grouped(found),
        inside={lane: (link, place) for link in found for place, lane in enumerate(link.via)},
        edges={name: names for name, names in drivable.items() if names},
        walkable=tuple(
            sorted(
                name
                for name, edge in roads.items()
                if any("pedestrian" in lane.attrib.get("allow", "") for lane in edge.iter("lane"))
            )
        ),
        nodes={name: _node(name, junction, found) for name, junction in junctions.items()},
        ends_at={name: edge.attrib["to"] for name, edge in roads.items()},
        begins_at={name: edge.attrib["from"] for name, edge in roads.items()},
        roundabouts=frozenset(
            edge for ring in net.iter("roundabout") for edge in ring.attrib["edges"].split()
        ),
    )


def edge_of(lane: str) -> str:
    """The edge of a lane's name."""
    return lane.rsplit("_", 1)[0]


def _lane(element: ET.Element, edge: ET.Element, offset_m: tuple[float, float]) -> Lane:
    points = [point.split(",")[:2] for point in element.attrib["shape"].split()]
    internal = edge.attrib["id"].startswith(":")
    return Lane(
        name=element.attrib["id"],
        edge=edge.attrib["id"],
        index=int(element.attrib["index"]),
        length_m=float(element.attrib["length"]),
        width_m=float(element.attrib.get("width", 3.2)),
        speed_mps=float(element.attrib["speed"]),
        centre_m=np.array(points, dtype=np.float64) + np.asarray(offset_m),
        junction=edge.attrib["id"][1:].rsplit("_", 1)[0] if internal else "",
    )


def _drivable(lane: ET.Element) -> bool:
    if "allow" in lane.attrib:
        return "passenger" in lane.attrib["allow"].split()
    barred = lane.attrib.get("disallow", "").split()
    return "passenger" not in barred and "all" not in barred


def _links(
    net: ET.Element, junctions: Mapping[str, ET.Element], drivable: Mapping[str, tuple[str, ...]]
) -> Iterator[Link]:
    connections = list(net.iter("connection"))
    onward = {
        f"{one.attrib['from']}_{one.attrib['fromLane']}": one.attrib.get("via")
        for one in connections
        if one.attrib["from"].startswith(":")
    }
    ends = {edge.attrib["id"]: edge.attrib.get("to", "") for edge in net.iter("edge")}
    for one in connections:
        start, end = one.attrib["from"], one.attrib["to"]
        from_lane, to_lane = f"{start}_{one.attrib['fromLane']}", f"{end}_{one.attrib['toLane']}"
        if from_lane not in drivable.get(start, ()) or to_lane not in drivable.get(end, ()):
            continue
        via = []
        lane = one.attrib.get("via")
        while lane:
            via.append(lane)
            lane = onward.get(lane)
        junction = junctions[ends[start]]
        number, yields_to, foes = _request(junction, via[-1] if via else "")
        signal = one.attrib.get("tl", "")
        duty = _DUTIES.get(one.attrib["state"], Duty.NONE)
        yield Link(
            from_lane=from_lane,
            to_lane=to_lane,
            via=tuple(via),
            turn=_TURNS[one.attrib["dir"].lower()],
            junction=ends[start],
            number=number,
            yields_to=yields_to,
            foes=foes,
            signal=signal,
            signal_link=int(one.attrib["linkIndex"]) if signal else -1,
            duty=Duty.SIGNALS if signal else duty,
        )


def _request(junction: ET.Element, last_lane: str) -> tuple[int, frozenset[int], frozenset[int]]:
    """A way's number, those it yields to, and those that meet it; bits count from the right."""
    inside = junction.attrib["intLanes"].split()
    if last_lane not in inside:
        return -1, frozenset(), frozenset()
    number = inside.index(last_lane)
    for row in junction.iter("request"):
        if int(row.attrib["index"]) == number:
            return number, _bits(row.attrib["response"]), _bits(row.attrib["foes"])
    return number, frozenset(), frozenset()


def _bits(word: str) -> frozenset[int]:
    return frozenset(place for place, bit in enumerate(reversed(word)) if bit == "1")


def _grouped(links: tuple[Link, ...]) -> dict[str, tuple[Link, ...]]:
    grouped: dict[str, list[Link]] = {}
    for link in links:
        grouped.setdefault(link.from_lane, []).append(link)
    return {lane: tuple(group) for lane, group in grouped.items()}


def _node(name: str, junction: ET.Element, links: tuple[Link, ...]) -> Node:
    here = [link for link in links if link.junction == name]
    ways: dict[str, set[str]] = {}
    for link in here:
        if link.turn != Turn.BACK:
            ways.setdefault(edge_of(link.from_lane), set()).add(edge_of(link.to_lane))
    inside = junction.attrib["intLanes"].split()
    choices = {edge: len(ends) for edge, ends in ways.items()}
    return Node(
        name=name,
        links={link.number: link for link in here},
        crossings={
            number: lane for number, lane in enumerate(inside) if lane.startswith(f":{name}_c")
        },
        real=len(ways) > 1 or max(choices.values(), default=0) > 1,
        choices=choices,
    )
