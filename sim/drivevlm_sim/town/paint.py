"""What is painted on the road."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from shapely import LineString, Polygon
from shapely.ops import substring

from drivevlm.world.pose import Floats, Pose2
from drivevlm_sim.town.geometry import NetGeometry, Strip, beside
from drivevlm_sim.town.street import Approach, end_of, rectangle
from drivevlm_sim.town.town import Control, Crossing, Paint, StopMark, Turn

Colour = tuple[float, float, float]

WHITE: Colour = (0.85, 0.85, 0.82)
YELLOW: Colour = (0.85, 0.65, 0.12)
LINE_M, EDGE_LINE_M = 0.13, 0.10
DASH_M, GAP_M = 3.0, 5.0
SOLID_M = 22.0
"""Lane lines are solid so far before a junction where one waits."""
STRIPE_M, STRIPE_GAP_M = 0.5, 0.6
PLACE_M = 6.0
"""Length of a parking place."""
ARROW_FROM_END_M = 9.0
TOOTH_M = 0.5
"""Base of the triangles of a yield line."""


def paints(
    net: NetGeometry, streets: tuple[Approach, ...], marks: Iterable[StopMark]
) -> tuple[Paint, ...]:
    """Everything painted, in a fixed order."""
    found: list[Paint] = []
    for street in streets:
        found.extend(_lines(street, left_hand=net.left_hand))
        found.extend(_arrows(street))
    for crossing in net.crossings.values():
        found.extend(_stripes(crossing))
    lanes = {lane.name: lane for street in streets for lane in street.lanes}
    for mark in marks:
        if mark.control is Control.YIELD:
            lane = lanes[mark.lane]
            found.extend(_teeth(end_of(lane.centre_m), lane.width_m))
        else:
            found.append(Paint(mark.polygon, WHITE))
    for row in net.parking:
        found.extend(_places(row))
    return tuple(found)


def _lines(street: Approach, *, left_hand: bool) -> Iterator[Paint]:
    """Between lanes, along the kerb, and in the middle of the street.

    Each direction paints its own line in the middle, so that two of them run side by side.
    """
    for index in range(len(street.lanes) - 1):
        yield from _lane_line(street, index)
    last = len(street.lanes) - 1
    inset = -street.inward * (0.12 if street.reverse else 0.15)
    colour = YELLOW if street.reverse and not left_hand else WHITE
    yield from _strip(beside(street.border_m(last), inset), LINE_M, colour)
    yield from _strip(beside(street.border_m(-1), street.inward * 0.15), EDGE_LINE_M, WHITE)


def _lane_line(street: Approach, index: int) -> Iterator[Paint]:
    line = LineString(street.border_m(index))
    solid_m = min(SOLID_M, line.length / 2) if street.control is not None else 0.0
    begin_m, until_m = 0.5, line.length - solid_m
    while begin_m + 0.5 < until_m:
        end_m = min(begin_m + DASH_M, until_m)
        yield from _strip(np.array(substring(line, begin_m, end_m).coords), LINE_M, WHITE)
        begin_m = end_m + GAP_M
    if solid_m:
        piece = substring(line, line.length - solid_m, line.length)
        yield from _strip(np.array(piece.coords), LINE_M, WHITE)


def _strip(line_m: Floats, width_m: float, colour: Colour) -> Iterator[Paint]:
    shape = LineString(line_m).buffer(width_m / 2, cap_style="flat", join_style="mitre")
    if isinstance(shape, Polygon) and shape.area > 0.01:
        yield Paint(shape, colour)


def _arrows(street: Approach) -> Iterator[Paint]:
    """One on each lane, where there is a choice of lanes."""
    if len(street.lanes) < 2 or street.control is None or street.length_m < 30:
        return
    for lane in street.lanes:
        at = end_of(lane.centre_m) @ Pose2(-ARROW_FROM_END_M, 0.0, 0.0)
        for corners in _arrow(street.turns(lane)):
            yield Paint(Polygon(at.apply(corners)), WHITE)


def _arrow(turns: set[Turn]) -> Iterator[Floats]:
    """Corners of its pieces: x along the lane, y to the left."""
    yield rectangle(-2.2, 0.6, -0.08, 0.08)
    if Turn.STRAIGHT in turns:
        yield np.array([[0.6, -0.3], [2.0, 0.0], [0.6, 0.3]])
    for turn, side in ((Turn.LEFT, 1.0), (Turn.RIGHT, -1.0)):
        if turn in turns:
            begin = 0.6 if Turn.STRAIGHT not in turns else -0.4
            yield rectangle(begin - 0.2, begin, 0.0, 0.7) * (1.0, side)
            yield np.array([[begin - 0.5, 0.7], [begin + 0.3, 0.7], [begin - 0.1, 1.3]]) * (1, side)


def _stripes(crossing: Crossing) -> Iterator[Paint]:
    """Bars along the driving direction, one after the other over the walker's way."""
    line = LineString(crossing.centre_m)
    half_m = crossing.polygon.area / line.length / 2 - 0.3
    count = int((line.length - 0.4) / (STRIPE_M + STRIPE_GAP_M))
    first_m = (line.length - count * (STRIPE_M + STRIPE_GAP_M) + STRIPE_GAP_M) / 2
    for k in range(count):
        begin_m = first_m + k * (STRIPE_M + STRIPE_GAP_M)
        piece = substring(line, begin_m, begin_m + STRIPE_M)
        yield from _strip(np.array(piece.coords), 2 * half_m, WHITE)


def _teeth(end: Pose2, width_m: float) -> Iterator[Paint]:
    """Triangles that point at the driver."""
    count = int((width_m - 0.3) / (TOOTH_M * 1.4))
    first_m = -(count - 1) / 2 * TOOTH_M * 1.4
    for k in range(count):
        y = first_m + k * TOOTH_M * 1.4
        half = TOOTH_M / 2
        corners = np.array([[-0.15, y - half], [-0.15, y + half], [-0.8, y]])
        yield Paint(Polygon(end.apply(corners)), WHITE)


def _places(row: Strip) -> Iterator[Paint]:
    """Short lines between parking places."""
    line = LineString(row.centre_m)
    count = int(line.length / PLACE_M)
    for k in range(count + 1):
        run_m = (line.length - count * PLACE_M) / 2 + k * PLACE_M
        run_m = min(max(run_m, 0.1), line.length - 0.1)
        piece = substring(line, run_m - 0.05, run_m + 0.05)
        yield from _strip(np.array(piece.coords), row.width_m - 0.2, WHITE)
