"""The map of one location, as polygons and lanes in global metres."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from shapely import Polygon

from drivevlm.world.pose import Floats
from drivevlm_sim.curve import Curve
from drivevlm_sim.nuscenes_names import MAP_SIZES_M

# N: points of a line.


class StopKind(str, Enum):
    """Why one stops at a line."""

    STOP_SIGN = "STOP_SIGN"
    YIELD = "YIELD"
    PED_CROSSING = "PED_CROSSING"
    TURN_STOP = "TURN_STOP"
    TRAFFIC_LIGHT = "TRAFFIC_LIGHT"


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A lane, or the way across a junction from one lane to another.

    Attributes:
        name: Unique on its map.
        curve: Its centre, in driving direction.
        width_m: Constant along it.
        successors: Names of the lanes and connectors that follow.
        connector: Whether it lies inside a junction.
    """

    name: str
    curve: Curve
    width_m: float
    successors: tuple[str, ...] = ()
    connector: bool = False

    @property
    def left_m(self) -> Floats:
        """(N, 2) left border."""
        return self.curve.line_m(left_m=self.width_m / 2)

    @property
    def right_m(self) -> Floats:
        """(N, 2) right border."""
        return self.curve.line_m(left_m=-self.width_m / 2)

    @property
    def polygon(self) -> Polygon:
        """Between both borders."""
        return Polygon(np.vstack([self.left_m, self.right_m[::-1]]))


@dataclass(frozen=True, slots=True, eq=False)
class RoadSegment:
    """A stretch of road between junctions, or a junction.

    The devkit finds what follows a lane by shared corners: a junction's polygon needs the corners
    of the lanes that end at it among its own.
    """

    polygon: Polygon
    is_intersection: bool


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """One lamp box: its name on the map, its middle, and the way its lamps look."""

    name: str
    xyz_m: tuple[float, float, float]
    yaw_rad: float


@dataclass(frozen=True, slots=True, eq=False)
class StopLine:
    """The area in which one stops.

    Attributes:
        lights: Names of the traffic lights that one stops for.
    """

    polygon: Polygon
    kind: StopKind
    lights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class MapLayers:
    """Everything that is known of one location.

    Attributes:
        location: One of the devkit's map names.
        size_m: Width and height of the canvas; the origin is its lower left corner.
        drivable_area, road_segments, lanes, ped_crossings, walkways, carparks, stop_lines: Areas.
        lane_dividers, road_dividers: (N, 2) lines.
        traffic_lights: The lamps that stop lines may name.
    """

    location: str
    size_m: tuple[float, float]
    drivable_area: tuple[Polygon, ...] = ()
    road_segments: tuple[RoadSegment, ...] = ()
    lanes: tuple[Lane, ...] = ()
    ped_crossings: tuple[Polygon, ...] = ()
    walkways: tuple[Polygon, ...] = ()
    carparks: tuple[Polygon, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    lane_dividers: tuple[Floats, ...] = ()
    road_dividers: tuple[Floats, ...] = ()
    traffic_lights: tuple[TrafficLight, ...] = ()

    def __post_init__(self) -> None:
        if self.location not in MAP_SIZES_M:
            raise ValueError(f"location {self.location!r} is none of {', '.join(MAP_SIZES_M)}")
        most = MAP_SIZES_M[self.location]
        if not (0 < self.size_m[0] <= most[0] and 0 < self.size_m[1] <= most[1]):
            raise ValueError(f"{self.location} fits into {most} m, got {self.size_m}")
        for polygon in self.polygons():
            low_x, low_y, high_x, high_y = polygon.bounds
            inside = low_x >= 0 and low_y >= 0
            if not (inside and high_x <= self.size_m[0] and high_y <= self.size_m[1]):
                raise ValueError(
                    f"a polygon of {self.location} leaves the canvas of {self.size_m} m: "
                    f"{polygon.bounds}"
                )
        names = [lane.name for lane in self.lanes]
        unknown = {name for lane in self.lanes for name in lane.successors} - set(names)
        if unknown or len(set(names)) != len(names):
            raise ValueError(f"lane names must be unique and known, unknown: {sorted(unknown)}")
        lights = {light.name for light in self.traffic_lights}
        missing = {name for line in self.stop_lines for name in line.lights} - lights
        if missing or len(lights) != len(self.traffic_lights):
            raise ValueError(f"traffic lights must be unique and known: {sorted(missing)}")

    def polygons(self) -> tuple[Polygon, ...]:
        """All areas but the lanes'."""
        areas = (*self.drivable_area, *self.ped_crossings, *self.walkways, *self.carparks)
        segments = tuple(segment.polygon for segment in self.road_segments)
        return (*areas, *segments, *(line.polygon for line in self.stop_lines))
