"""A town as the layers of a nuScenes map."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from shapely import Point, Polygon

from drivevlm.world.pose import Floats
from drivevlm_sim.map_layers import (
    Lane,
    MapLayers,
    RoadSegment,
    StopKind,
    StopLine,
    TrafficLight,
)
from drivevlm_sim.nuscenes_map import rounded
from drivevlm_sim.town.arcs import fitted, heading_rad
from drivevlm_sim.town.geometry import polygons
from drivevlm_sim.town.street import LINE_FROM_END_M, STOP_LINE_M, end_of, rectangle
from drivevlm_sim.town.town import Control, SignalHead, Town

CORNER_M = 1.2
"""A lane's corner is put into the outline of what lies next to it where it is nearer than this."""
SAME_M = 0.3
"""Corners of an outline nearer to a lane's corner than this give way to it."""

_KINDS = {
    Control.SIGNALS: StopKind.TRAFFIC_LIGHT,
    Control.PRIORITY: StopKind.STOP_SIGN,
    Control.ALL_WAY_STOP: StopKind.STOP_SIGN,
    Control.YIELD: StopKind.YIELD,
}


def town_layers(town: Town, location: str) -> MapLayers:
    """Everything that the map expansion holds, in town axes, valid when rounded to a millimetre.

    Lanes and connectors keep their SUMO names, traffic lights are ``APPROACH/NUMBER``.
    """
    lanes = _lanes(town)
    lights = _lights(town.signal_heads)
    return MapLayers(
        location,
        town.size_m,
        drivable_area=_valid(town.road.geoms),
        road_segments=_segments(town, {lane.name: lane for lane in lanes}),
        lanes=lanes,
        ped_crossings=_valid(crossing.polygon for crossing in town.crossings.values()),
        walkways=_valid(town.sidewalk.geoms),
        carparks=_valid(town.parking),
        stop_lines=(*_stop_lines(town, lights), *_walkers_lines(town)),
        lane_dividers=town.lane_dividers,
        road_dividers=town.road_dividers,
        traffic_lights=tuple(lights.values()),
    )


def _lanes(town: Town) -> tuple[Lane, ...]:
    """Curves along lanes and connectors that pass into each other without a kink."""
    found = []
    for lane in town.lanes.values():
        line = lane.centre_m
        start, end = heading_rad(line), heading_rad(line, at_end=True)
        curve = fitted(line, start_yaw_rad=start, end_yaw_rad=end)
        found.append(Lane(lane.name, curve, lane.width_m, lane.successors))
    for one in town.connectors.values():
        before, after = town.lanes[one.from_lane], town.lanes[one.to_lane]
        line = np.vstack([before.centre_m[-1], one.centre_m[1:-1], after.centre_m[0]])
        start, end = heading_rad(before.centre_m, at_end=True), heading_rad(after.centre_m)
        curve = fitted(line, start_yaw_rad=start, end_yaw_rad=end)
        found.append(Lane(one.name, curve, before.width_m, (one.to_lane,), connector=True))
    return tuple(found)


def _segments(town: Town, lanes: dict[str, Lane]) -> tuple[RoadSegment, ...]:
    """Edges and junctions, each with the corners of the lanes that meet there in its outline."""
    edges: dict[str, list[Lane]] = {}
    for name, lane in town.lanes.items():
        edges.setdefault(lane.edge, []).append(lanes[name])
    touching: dict[str, list[Floats]] = {name: [] for name in town.junctions}
    for one in town.connectors.values():
        before, after = lanes[one.from_lane], lanes[one.to_lane]
        touching[one.junction] += [before.left_m[-1], before.right_m[-1]]
        touching[one.junction] += [after.left_m[0], after.right_m[0]]
    segments = []
    for along in edges.values():
        strip = shapely.union_all([lane.polygon.buffer(0.02) for lane in along]).buffer(-0.02)
        corners = [
            line[k] for lane in along for line in (lane.left_m, lane.right_m) for k in (0, -1)
        ]
        segments += [
            RoadSegment(area, is_intersection=False)
            for area in _valid([with_corners(_largest(strip), corners)])
        ]
    for name, junction in town.junctions.items():
        area = _largest(junction.polygon.intersection(town.road))
        segments += [
            RoadSegment(part, is_intersection=True)
            for part in _valid([with_corners(area, touching[name])])
        ]
    return tuple(segments)


def with_corners(area: Polygon, corners: Iterable[Floats]) -> Polygon:
    """The area with nearby points as corners of its outline, which bends to them."""
    outline = area.exterior
    close = {(float(p[0]), float(p[1])) for p in corners if outline.distance(Point(p)) < CORNER_M}
    if not close:
        return area
    points = shapely.points(sorted(close))
    kept = [
        (outline.project(Point(p)), p)
        for p in list(outline.coords)[:-1]
        if shapely.distance(points, Point(p)).min() > SAME_M
    ]
    ring = sorted([*kept, *((outline.project(Point(p)), p) for p in close)])
    return Polygon([p for _, p in ring])


def _largest(shape: shapely.geometry.base.BaseGeometry) -> Polygon:
    return max(polygons(shape), key=lambda part: part.area)


def _valid(areas: Iterable[shapely.geometry.base.BaseGeometry]) -> tuple[Polygon, ...]:
    """Polygons with corners on the map's grid."""
    return tuple(part for area in areas for one in polygons(area) for part in rounded(one))


def _lights(heads: tuple[SignalHead, ...]) -> dict[tuple[str, int], TrafficLight]:
    """By approach and number."""
    counts: dict[str, int] = {}
    lights = {}
    for head in heads:
        number = counts.get(head.approach, 0)
        counts[head.approach] = number + 1
        lights[head.approach, number] = TrafficLight(
            f"{head.approach}/{number}", head.xyz_m, head.yaw_rad
        )
    return lights


def _stop_lines(town: Town, lights: dict[tuple[str, int], TrafficLight]) -> Iterable[StopLine]:
    for mark in town.stop_marks:
        edge = town.lanes[mark.lane].edge
        own = tuple(light.name for (approach, _), light in lights.items() if approach == edge)
        kind = _KINDS[mark.control]
        yield StopLine(mark.polygon, kind, lights=own if kind is StopKind.TRAFFIC_LIGHT else ())


def _walkers_lines(town: Town) -> Iterable[StopLine]:
    """Before zebra crossings at which nothing else makes one stop."""
    marked = {mark.lane for mark in town.stop_marks}
    crossings = [crossing.polygon for crossing in town.crossings.values()]
    for lane in town.lanes.values():
        if lane.name in marked:
            continue
        end = end_of(lane.centre_m)
        half = lane.width_m / 2 - 0.1
        ahead = Polygon(end.apply(rectangle(0.0, 6.0, -half, half)))
        if any(ahead.intersects(crossing) for crossing in crossings):
            back = -LINE_FROM_END_M
            line = Polygon(end.apply(rectangle(back - STOP_LINE_M, back, -half, half)))
            yield StopLine(line, StopKind.PED_CROSSING)
