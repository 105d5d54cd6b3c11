"""The streets of the flat town as a map: one main road, one side road, a junction, a crossing."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from drivevlm.world.pose import Floats, Pose2, wrap_rad
from drivevlm_sim.curve import Curve
from drivevlm_sim.map_layers import Lane, MapLayers, RoadSegment, StopKind, StopLine

LOCATION = "boston-seaport"
SIZE_M = (460.0, 360.0)
LANE_M = 3.5
CENTER_M = (230.0, 180.0)
"""Where the main road (west to east, two lanes each way) and the side road (one) meet."""
CORNER_M = 6.0
MARGIN_M = 20.0
"""The roads end so far from the edge of the map."""
MAIN_M, SIDE_M = 2 * LANE_M, LANE_M
"""Half widths of both roads."""
CROSSING_X_M = (128.0, 131.6)
"""A crossing for pedestrians over the western arm of the main road."""
BAY_M = (285.0, 375.0, 2.4)
"""Parking bay south of the eastern arm: from x, to x, width."""
WALKWAY_M = 3.2

EAST, NORTH, WEST, SOUTH = 0.0, np.pi / 2, np.pi, -np.pi / 2
ARMS = {"west": WEST, "east": EAST, "north": NORTH, "south": SOUTH}
"""Direction in which each arm leaves the junction."""


def street_layers() -> MapLayers:
    """The true map of the town.

    Lanes are called ``ARM in K`` towards the junction and ``ARM out K`` away from it, lane 0 next
    to the middle; connectors ``ARM K to ARM``.
    """
    road, lanes, bay = _road(), _lanes(), _bay()
    crossing = box(CROSSING_X_M[0], CENTER_M[1] - MAIN_M, CROSSING_X_M[1], CENTER_M[1] + MAIN_M)
    paved = paved_area(road, bay)
    return MapLayers(
        location=LOCATION,
        size_m=SIZE_M,
        drivable_area=(road,),
        road_segments=_segments(road),
        lanes=lanes,
        ped_crossings=(crossing,),
        walkways=parts_of(widened(paved, WALKWAY_M).difference(paved)),
        carparks=(bay,),
        stop_lines=_stop_lines(),
        lane_dividers=_dividers(lanes),
        road_dividers=tuple(_arm_line(name, 0.0) for name in ARMS),
    )


def paved_area(road: Polygon, bay: Polygon) -> Polygon:
    """Where no kerb lies between."""
    return one_part(unary_union([road, bay]))


def widened(area: Polygon, by_m: float) -> Polygon:
    """An area with its sides moved outward, its corners kept."""
    return one_part(area.buffer(by_m, join_style="mitre"))


def half_width_m(arm: str) -> float:
    """From the middle of an arm's road to its kerb."""
    return MAIN_M if arm in ("west", "east") else SIDE_M


def reach_m(arm: str) -> float:
    """From the junction's centre to where the arm begins."""
    return CORNER_M + (SIDE_M if arm in ("west", "east") else MAIN_M)


def arm_frame(arm: str) -> Pose2:
    """At the junction's centre, looking along the arm."""
    return Pose2(*CENTER_M, ARMS[arm])


def far_m(arm: str) -> float:
    """From the junction's centre to where the arm ends."""
    across = SIZE_M[0] if arm in ("west", "east") else SIZE_M[1]
    return across / 2 - MARGIN_M


def _arm_line(arm: str, left_m: float) -> Floats:
    """(2, 2) from the junction to the arm's end, ``left_m`` left of its middle."""
    return arm_frame(arm).apply(np.array([[reach_m(arm), left_m], [far_m(arm), left_m]]))


def strip(arm: str, along_m: tuple[float, float], left_m: tuple[float, float]) -> Floats:
    """(4, 2) corners of a rectangle in the frame of an arm."""
    (a, b), (c, d) = along_m, left_m
    return arm_frame(arm).apply(np.array([[a, c], [b, c], [b, d], [a, d]], dtype=np.float64))


def _arm_lanes(arm: str) -> int:
    return 2 if arm in ("west", "east") else 1


def _lanes() -> tuple[Lane, ...]:
    lanes: list[Lane] = []
    ways: list[tuple[str, int, str]] = []
    for arm in ARMS:
        length = far_m(arm) - reach_m(arm)
        for k in range(_arm_lanes(arm)):
            left = (k + 0.5) * LANE_M
            outward = arm_frame(arm) @ Pose2(reach_m(arm), -left, 0.0)
            inward = arm_frame(arm) @ Pose2(far_m(arm), left, np.pi)
            lanes.append(Lane(f"{arm} out {k}", Curve.of(outward, (length, 0.0)), LANE_M))
            to = [f"{arm} {k} to {other}" for other in ARMS if _leads(arm, k, other)]
            lanes.append(Lane(f"{arm} in {k}", Curve.of(inward, (length, 0.0)), LANE_M, tuple(to)))
            ways.extend((arm, k, other) for other in ARMS if _leads(arm, k, other))
    by_name = {lane.name: lane for lane in lanes}
    return (*lanes, *(_connector(by_name, *way) for way in ways))


def _turn_rad(arm: str, other: str) -> float:
    """0 straight on, positive left, for one who comes from ``arm`` and leaves by ``other``."""
    return float(wrap_rad(ARMS[other] - ARMS[arm] - np.pi))


def _leads(arm: str, k: int, other: str) -> bool:
    """Left turns start from the inner lane, right turns from the outer one; nobody turns round."""
    turn = _turn_rad(arm, other)
    if arm == other:
        return False
    if abs(turn) < 0.1:
        return k < _arm_lanes(other)
    return k == 0 if turn > 0 else k == _arm_lanes(arm) - 1


def _connector(lanes: dict[str, Lane], arm: str, k: int, other: str) -> Lane:
    turn = _turn_rad(arm, other)
    if abs(turn) < 0.1:
        target = min(k, _arm_lanes(other) - 1)
    else:
        target = 0 if turn > 0 else _arm_lanes(other) - 1
    start = lanes[f"{arm} in {k}"].curve.end
    after = f"{other} out {target}"
    end = start.inverse() @ lanes[after].curve.arcs[0].start
    if abs(turn) < 0.1:
        pieces = [(end.x_m, 0.0)]
    else:
        radius = min(end.x_m, abs(end.y_m))
        bend = (radius * np.pi / 2, float(np.sign(turn)) / radius)
        pieces = [(end.x_m - radius, 0.0), bend, (abs(end.y_m) - radius, 0.0)]
    return Lane(f"{arm} {k} to {other}", Curve.of(start, *pieces), LANE_M, (after,), connector=True)


def _road() -> Polygon:
    """The arms, with kerbs rounded at the junction's corners."""
    arms = []
    for name in ARMS:
        half = half_width_m(name)
        arms.append(Polygon(strip(name, (0.0, far_m(name)), (-half, half))))
    cross = unary_union(arms)
    return one_part(cross.buffer(CORNER_M, join_style="mitre").buffer(-CORNER_M, quad_segs=8))


def _segments(road: Polygon) -> tuple[RoadSegment, ...]:
    """The arms, and the junction with the lanes' corners on its sides."""
    segments, ring = [], []
    for name in ("east", "north", "west", "south"):
        half = half_width_m(name)
        arm = Polygon(strip(name, (reach_m(name), far_m(name)), (-half, half)))
        segments.append(RoadSegment(arm, is_intersection=False))
        lefts = np.arange(-half, half + 0.1, LANE_M)
        side = np.column_stack([np.full(len(lefts), reach_m(name)), lefts])
        ring.append(arm_frame(name).apply(side))
    junction = one_part(Polygon(np.vstack(ring)).intersection(road))
    return (*segments, RoadSegment(junction, is_intersection=True))


def _stop_lines() -> tuple[StopLine, ...]:
    """Stop signs on the side road; yielding to pedestrians at the crossing."""
    lines = []
    for arm in ("north", "south"):
        area = strip(arm, (reach_m(arm), reach_m(arm) + 0.5), (0.0, LANE_M))
        lines.append(StopLine(Polygon(area), StopKind.STOP_SIGN))
    low, middle, high = (CENTER_M[1] + offset for offset in (-MAIN_M, 0.0, MAIN_M))
    east = box(CROSSING_X_M[0] - 1.5, low, CROSSING_X_M[0] - 1.0, middle)
    west = box(CROSSING_X_M[1] + 1.0, middle, CROSSING_X_M[1] + 1.5, high)
    lines.extend(StopLine(line, StopKind.PED_CROSSING) for line in (east, west))
    return tuple(lines)


def _dividers(lanes: tuple[Lane, ...]) -> tuple[Floats, ...]:
    return tuple(lane.left_m for lane in lanes if lane.name.endswith(" 1"))


def _bay() -> Polygon:
    return box(BAY_M[0], CENTER_M[1] - MAIN_M - BAY_M[2], BAY_M[1], CENTER_M[1] - MAIN_M)


def parts_of(area: BaseGeometry) -> tuple[Polygon, ...]:
    """Its polygons."""
    return tuple(part for part in shapely.get_parts(area) if isinstance(part, Polygon))


def one_part(area: BaseGeometry) -> Polygon:
    """An area that must be in one piece."""
    (part,) = parts_of(area)
    return part
