"""Where towns lie on the four maps that the devkit knows, and their layers moved there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from shapely import Polygon, affinity

from drivevlm.world.pose import Pose2
from drivevlm_sim.curve import Arc, Curve
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.map_layers import Lane, MapLayers, RoadSegment, StopLine, TrafficLight
from drivevlm_sim.nuscenes_names import LOCATIONS, MAP_SIZES_M

GAP_M = 20.0
"""Between towns, so that nothing of one is near another."""
RIGHT_HAND = ("boston-seaport",)
LEFT_HAND = tuple(name for name in LOCATIONS if name.startswith("singapore"))


@dataclass(frozen=True, slots=True)
class Place:
    """A town's map, and what is added to its coordinates there."""

    location: str
    offset_m: tuple[float, float]


def placed(towns: Sequence[tuple[str, bool, tuple[float, float]]]) -> dict[str, Place]:
    """A place for each town of name, left-hand traffic, and size; rows fill from the south west.

    Raises:
        WorldError: They do not fit on the maps.
    """
    places = {}
    for left_hand, locations in ((False, RIGHT_HAND), (True, LEFT_HAND)):
        rows = [_Rows(location) for location in locations]
        for name, keeps_left, size_m in towns:
            if keeps_left != left_hand:
                continue
            found = next((place for row in rows if (place := row.place(size_m))), None)
            if found is None:
                side = "left" if left_hand else "right"
                raise WorldError(
                    f"town {name} of {size_m[0]:.0f} x {size_m[1]:.0f} m does not fit on the maps "
                    f"with {side}-hand traffic any more ({', '.join(locations)}): fewer towns, or "
                    "a second data root"
                )
            places[name] = found
    return places


class _Rows:
    """One canvas, filled row by row, in whole metres: corners that meet still do there."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._size_m = MAP_SIZES_M[location]
        self._x_m = self._y_m = self._row_m = 0.0

    def place(self, size_m: tuple[float, float]) -> Place | None:
        width, height = self._size_m
        if self._x_m + size_m[0] > width:
            self._x_m, self._y_m = 0.0, self._y_m + self._row_m + GAP_M
            self._row_m = 0.0
        if size_m[0] > width or self._y_m + size_m[1] > height:
            return None
        place = Place(self._location, (self._x_m, self._y_m))
        self._x_m += float(np.ceil(size_m[0] + GAP_M))
        self._row_m = max(self._row_m, float(np.ceil(size_m[1])))
        return place


def joined(location: str, towns: Sequence[tuple[str, MapLayers, Place]]) -> MapLayers:
    """One map of several towns' layers; lanes are renamed ``TOWN/LANE``."""
    parts = [_moved(name, layers, place) for name, layers, place in towns]
    return MapLayers(
        location,
        (max(part.size_m[0] for part in parts), max(part.size_m[1] for part in parts)),
        drivable_area=tuple(p for part in parts for p in part.drivable_area),
        road_segments=tuple(s for part in parts for s in part.road_segments),
        lanes=tuple(lane for part in parts for lane in part.lanes),
        ped_crossings=tuple(p for part in parts for p in part.ped_crossings),
        walkways=tuple(p for part in parts for p in part.walkways),
        carparks=tuple(p for part in parts for p in part.carparks),
        stop_lines=tuple(line for part in parts for line in part.stop_lines),
        lane_dividers=tuple(line for part in parts for line in part.lane_dividers),
        road_dividers=tuple(line for part in parts for line in part.road_dividers),
        traffic_lights=tuple(light for part in parts for light in part.traffic_lights),
    )


def _moved(town: str, layers: MapLayers, place: Place) -> MapLayers:
    x_m, y_m = place.offset_m

    def area(polygon: Polygon) -> Polygon:
        return affinity.translate(polygon, x_m, y_m)

    return MapLayers(
        place.location,
        (layers.size_m[0] + x_m, layers.size_m[1] + y_m),
        drivable_area=tuple(map(area, layers.drivable_area)),
        road_segments=tuple(
            RoadSegment(area(s.polygon), s.is_intersection) for s in layers.road_segments
        ),
        lanes=tuple(_lane(town, lane, place.offset_m) for lane in layers.lanes),
        ped_crossings=tuple(map(area, layers.ped_crossings)),
        walkways=tuple(map(area, layers.walkways)),
        carparks=tuple(map(area, layers.carparks)),
        stop_lines=tuple(
            StopLine(area(s.polygon), s.kind, tuple(f"{town}/{name}" for name in s.lights))
            for s in layers.stop_lines
        ),
        lane_dividers=tuple(line + place.offset_m for line in layers.lane_dividers),
        road_dividers=tuple(line + place.offset_m for line in layers.road_dividers),
        traffic_lights=tuple(
            TrafficLight(
                f"{town}/{light.name}",
                (light.xyz_m[0] + x_m, light.xyz_m[1] + y_m, light.xyz_m[2]),
                light.yaw_rad,
            )
            for light in layers.traffic_lights
        ),
    )


def _lane(town: str, lane: Lane, offset_m: tuple[float, float]) -> Lane:
    return replace(
        lane,
        name=f"{town}/{lane.name}",
        curve=Curve(tuple(_arc(arc, offset_m) for arc in lane.curve.arcs)),
        successors=tuple(f"{town}/{name}" for name in lane.successors),
    )


def _arc(arc: Arc, offset_m: tuple[float, float]) -> Arc:
    start = arc.start
    there = Pose2(start.x_m + offset_m[0], start.y_m + offset_m[1], start.yaw_rad)
    return replace(arc, start=there)
