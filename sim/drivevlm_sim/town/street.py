"""Streets as a driver meets them: an edge's lanes, its end, and who has to wait there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from shapely import LineString, Polygon

from drivevlm.world.pose import Floats, Pose2
from drivevlm_sim.town.geometry import NetGeometry, beside
from drivevlm_sim.town.town import Connector, Control, StopMark, TownLane, Turn

LINE_FROM_END_M, STOP_LINE_M = 0.15, 0.5
"""A stop line begins so far before the end of its lane, and is so wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Approach:
    """An edge and how it ends.

    Attributes:
        lanes: From the kerb inward; one at least.
        connectors: That begin at their ends.
        reverse: Name of the edge of the other direction; "" where there is none.
        junction: Where it ends.
        control: What rules its drivers there: ``PRIORITY`` for a stop sign, None for nothing.
        inward: 1 where the middle of the street is to the left, -1 where to the right.
    """

    edge: str
    lanes: tuple[TownLane, ...]
    connectors: tuple[Connector, ...]
    reverse: str
    junction: str
    control: Control | None
    inward: float

    @property
    def length_m(self) -> float:
        """Of its lane at the kerb."""
        return float(LineString(self.lanes[0].centre_m).length)

    @property
    def end(self) -> Pose2:
        """At the end of the lane at the kerb, heading along it."""
        return end_of(self.lanes[0].centre_m)

    def pose_at(self, run_m: float) -> Pose2:
        """On the lane at the kerb, ``run_m`` after its start."""
        line = LineString(self.lanes[0].centre_m)
        here, ahead = line.interpolate(run_m), line.interpolate(run_m + 0.5)
        if run_m + 0.5 > line.length:
            here, ahead = line.interpolate(line.length - 0.5), line.interpolate(line.length)
        yaw = float(np.arctan2(ahead.y - here.y, ahead.x - here.x))
        at = line.interpolate(run_m)
        return Pose2(at.x, at.y, yaw)

    def border_m(self, index: int) -> Floats:
        """(N, 2) the inner border of a lane, counted from the kerb; -1 is the kerb's side."""
        lane = self.lanes[max(index, 0)]
        side = self.inward if index >= 0 else -self.inward
        return beside(lane.centre_m, side * lane.width_m / 2)

    def turns(self, lane: TownLane) -> set[Turn]:
        """Ways on from a lane."""
        return {one.turn for one in self.connectors if one.from_lane == lane.name}


def approaches(net: NetGeometry) -> tuple[Approach, ...]:
    """All edges, by name."""
    by_ends = {ends: edge for edge, ends in net.ends.items()}
    found = []
    for edge, lanes in net.lanes_of_edges().items():
        names = {lane.name for lane in lanes}
        links = tuple(one for one in net.connectors.values() if one.from_lane in names)
        begin, end = net.ends[edge]
        found.append(
            Approach(
                edge=edge,
                lanes=tuple(lanes),
                connectors=links,
                reverse=by_ends.get((end, begin), ""),
                junction=end,
                control=_control(net, end, links),
                inward=net.inward(),
            )
        )
    return tuple(found)


def stop_marks(streets: tuple[Approach, ...]) -> Iterator[StopMark]:
    """A line across each lane whose drivers may have to wait."""
    for street in streets:
        if street.control is None:
            continue
        for lane in street.lanes:
            half, back = lane.width_m / 2 - 0.1, -LINE_FROM_END_M
            corners = rectangle(back - STOP_LINE_M, back, -half, half)
            line = Polygon(end_of(lane.centre_m).apply(corners))
            yield StopMark(lane.name, line, street.control)


def end_of(line_m: Floats) -> Pose2:
    """The last point of a line, heading along it."""
    way = line_m[-1] - line_m[-2]
    return Pose2(float(line_m[-1, 0]), float(line_m[-1, 1]), float(np.arctan2(way[1], way[0])))


def rectangle(x_from: float, x_to: float, y_from: float, y_to: float) -> Floats:
    """(4, 2) corners, counter-clockwise."""
    return np.array([[x_from, y_from], [x_to, y_from], [x_to, y_to], [x_from, y_to]])


def _control(net: NetGeometry, junction: str, links: tuple[Connector, ...]) -> Control | None:
    """Of an edge: on a main street there is a way on for which no vehicle waits."""
    there = net.junctions.get(junction)
    if there is None or not links:
        return None
    if there.control is Control.SIGNALS:
        return Control.SIGNALS
    states = {net.states[one.name] for one in links}
    if "w" in states:
        return Control.ALL_WAY_STOP
    if "s" in states:
        return Control.PRIORITY
    return Control.YIELD if all(one.yields for one in links) else None
