"""A town as geometry: what a renderer draws, a map lists and traffic drives on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from shapely import MultiPolygon, Polygon

from drivevlm.world.pose import Floats

# N: points of a line. Town axes: x east, y north, z up, in metres; the road's surface is z = 0.


class Turn(str, Enum):
    """Which way a connector leads."""

    STRAIGHT = "straight"
    LEFT = "left"
    RIGHT = "right"
    BACK = "back"


class Control(str, Enum):
    """Who goes first at a junction.

    At ``PRIORITY`` the side street has stop signs (or nobody ever meets), at ``YIELD`` it has
    yield signs; so have the arms of roundabouts.
    """

    SIGNALS = "signals"
    PRIORITY = "priority"
    YIELD = "yield"
    ALL_WAY_STOP = "all_way_stop"
    RIGHT_BEFORE_LEFT = "right_before_left"
    DEAD_END = "dead_end"


@dataclass(frozen=True, slots=True, eq=False)
class TownLane:
    """A lane for vehicles, between junctions.

    Attributes:
        name: SUMO's, e.g. ``A0B0_0``.
        edge, index: Its edge, and SUMO's number of it, from the kerb; sidewalks and parking rows
            are counted, so that the first lane for vehicles is 1 or 2.
        centre_m: (N, 2) in driving direction.
        width_m: Constant along it.
        speed_mps: Limit.
        successors: Names of the connectors that begin at its end.
    """

    name: str
    edge: str
    index: int
    centre_m: Floats
    width_m: float
    speed_mps: float
    successors: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Connector:
    """The way across a junction from one lane to another.

    Attributes:
        name: SUMO's internal lane, e.g. ``:B0_3_0``.
        from_lane, to_lane: Names of the lanes that it joins.
        junction: It lies on.
        centre_m: (N, 2) in driving direction.
        width_m: Constant along it.
        turn: Which way it leads.
        signal, link: The signal plan that rules it and its place in the plan's state; "" and -1
            where there is none.
        yields: Whether other traffic goes first here; at signals, in one of its green phases.
        parts: SUMO's internal lanes along it, the first one its name: where one waits for
            oncoming traffic in the middle of a junction, another one begins.
    """

    name: str
    from_lane: str
    to_lane: str
    junction: str
    centre_m: Floats
    width_m: float
    turn: Turn
    signal: str = ""
    link: int = -1
    yields: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Junction:
    """Where edges meet."""

    name: str
    polygon: Polygon
    control: Control


@dataclass(frozen=True, slots=True, eq=False)
class StopMark:
    """A line at which one stops or gives way; ``control`` says why."""

    lane: str
    polygon: Polygon
    control: Control


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """A zebra crossing: its polygon, and (N, 2) the way a walker takes."""

    name: str
    junction: str
    polygon: Polygon
    centre_m: Floats


@dataclass(frozen=True, slots=True)
class SignalHead:
    """One lamp box with three lamps.

    Attributes:
        xyz_m: Its middle.
        yaw_rad: The way its lamps look.
        signal, link: Which place of which plan's state it shows.
        approach: The edge whose drivers it is for.
        turn: The movement that it rules.
    """

    xyz_m: tuple[float, float, float]
    yaw_rad: float
    signal: str
    link: int
    approach: str
    turn: Turn


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """A block with a flat roof."""

    polygon: Polygon
    height_m: float
    colour_rgb: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Prop:
    """Something that stands about.

    Attributes:
        kind: ``tree``, ``lamp``, ``pole`` (of a signal), ``stop_sign``, ``yield_sign``,
            ``speed_sign``, ``hydrant``, ``bench``, ...: a mesh of the renderer.
        xyz_m, yaw_rad: Its foot and heading: a sign's face looks along it, a lamp's arm points
            along it, a pole has it from the drivers whom its heads are for.
        scale: Of the mesh.
        variant: Which of the kind; the limit in km/h of a ``speed_sign``.
        reach_m: Length of the arm of a ``pole``, at a height of 5.6 m: to the left of its heading
            where positive, to the right where negative, none where 0.
    """

    kind: str
    xyz_m: tuple[float, float, float]
    yaw_rad: float
    scale: float = 1.0
    variant: int = 0
    reach_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """A painted area on the road: lane lines, arrows, zebra stripes, stop lines."""

    polygon: Polygon
    colour_rgb: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """One town.

    Attributes:
        name: Unique among the towns of a dataset, e.g. ``grid-17``.
        left_hand: Whether one drives on the left.
        size_m: Of the canvas; everything lies between 0 and this.
        net_xml: SUMO's net, whose axes are the town's minus ``offset_m``.
        offset_m: Town coordinates are SUMO's plus this.
        road: What vehicles may drive on, without parking.
        sidewalk: Raised by 0.13 m.
        parking: Rows of parking places beside the road.
    """

    name: str
    left_hand: bool
    size_m: tuple[float, float]
    net_xml: str
    offset_m: tuple[float, float]
    lanes: Mapping[str, TownLane]
    connectors: Mapping[str, Connector]
    junctions: Mapping[str, Junction]
    crossings: Mapping[str, Crossing]
    stop_marks: tuple[StopMark, ...]
    signal_heads: tuple[SignalHead, ...]
    road: MultiPolygon
    sidewalk: MultiPolygon
    parking: tuple[Polygon, ...]
    buildings: tuple[Building, ...]
    props: tuple[Prop, ...]
    paint: tuple[Paint, ...]
    lane_dividers: tuple[Floats, ...]
    road_dividers: tuple[Floats, ...]
