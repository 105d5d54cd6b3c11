"""Map layers as files of the nuScenes map expansion 1.3 and as the mask PNG of the base map."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from drivevlm.world.pose import Floats
from drivevlm_sim.curve import Arc, Curve
from drivevlm_sim.map_layers import Lane, MapLayers, TrafficLight
from drivevlm_sim.nuscenes_names import MAP_MASKS
from drivevlm_sim.tokens import token

Row = dict[str, Any]

GRID_M = 0.001
"""Corners are rounded to this, so that neighbours share them."""
MASK_M = 0.1
"""Width of a pixel of the mask: what the devkit takes for granted."""
SMALLEST_AREA_M2 = 0.01
"""Slivers below this come from rounding and are dropped."""
STRAIGHT_RADIUS_M = 999.999
"""nuScenes writes straight lane pieces as arcs of this radius and no arc length."""
LAMP_M = 0.3
"""From one lamp of a traffic light to the next."""
EMPTY_SIZE_M = (100.0, 100.0)
"""Canvas of a map on which nothing was built."""


def write_map(root: Path, layers: MapLayers) -> None:
    """Write ``maps/expansion/LOCATION.json`` and the mask PNG of the location."""
    expansion = root / "maps" / "expansion" / f"{layers.location}.json"
    expansion.parent.mkdir(parents=True, exist_ok=True)
    expansion.write_text(json.dumps(expansion_of(layers)), encoding="utf-8")
    _write_mask(root / mask_file(layers.location), layers)


def empty_layers(location: str) -> MapLayers:
    """A map on which nothing was built: the devkit loads all four, whatever is used."""
    return MapLayers(location, EMPTY_SIZE_M)


def mask_file(location: str) -> str:
    """The mask's path below the data root, as nuScenes calls it."""
    return f"maps/{MAP_MASKS[location]}.png"


def expansion_of(layers: MapLayers) -> dict[str, Any]:
    """The JSON object of the map expansion; every layer that the devkit asks for is there."""
    sheet = _Sheet(layers.location)
    drivable = [
        {"token": sheet.token("drivable_area", k), "polygon_tokens": sheet.polygons(area)}
        for k, area in enumerate(layers.drivable_area)
    ]
    lanes = [lane for lane in layers.lanes if not lane.connector]
    connectors = [lane for lane in layers.lanes if lane.connector]
    rows: dict[str, Any] = {
        "drivable_area": drivable,
        "road_segment": _road_segments(sheet, layers, drivable),
        "road_block": [],
        "lane": [_lane(sheet, lane) for lane in lanes],
        "lane_connector": [
            {"token": sheet.token("lane", lane.name), "polygon_token": sheet.polygon(lane.polygon)}
            for lane in connectors
        ],
        "ped_crossing": [
            {**row, "road_segment_token": ""}
            for row in sheet.areas("ped_crossing", layers.ped_crossings)
        ],
        "walkway": sheet.areas("walkway", layers.walkways),
        "stop_line": _stop_lines(sheet, layers),
        "carpark_area": [
            {**row, "orientation": 0.0, "road_block_token": ""}
            for row in sheet.areas("carpark_area", layers.carparks)
        ],
        "road_divider": [
            {**row, "road_segment_token": None}
            for row in sheet.dividers("road_divider", layers.road_dividers)
        ],
        "lane_divider": [
            {**row, "lane_divider_segments": sheet.segments(line, "DASHED_WHITE")}
            for row, line in zip(
                sheet.dividers("lane_divider", layers.lane_dividers),
                layers.lane_dividers,
                strict=True,
            )
        ],
        "traffic_light": [_light(sheet, light) for light in layers.traffic_lights],
        "arcline_path_3": {
            sheet.token("lane", lane.name): arcline_path(lane.curve) for lane in layers.lanes
        },
        "connectivity": _connectivity(sheet, layers.lanes),
    }
    geometry = {"polygon": sheet.polygon_rows, "line": sheet.line_rows, "node": sheet.node_rows}
    return {"version": "1.3", "canvas_edge": list(layers.size_m), **geometry, **rows}


def arcline_path(curve: Curve) -> list[Row]:
    """A curve as nuScenes lane records; they hold it exactly."""
    return [_arcline(piece) for piece in curve.arcs]


def rounded(polygon: Polygon) -> list[Polygon]:
    """The polygon with corners on the grid: itself, or its valid parts where rounding broke it."""
    shell = Polygon(
        _rounded(polygon.exterior.coords), [_rounded(i.coords) for i in polygon.interiors]
    )
    if shell.is_valid and shell.area > SMALLEST_AREA_M2:
        return [shell]
    mended = shapely.set_precision(polygon.buffer(0), GRID_M)
    parts = shapely.get_parts(mended)
    return [p for p in parts if p.geom_type == "Polygon" and p.area > SMALLEST_AREA_M2]


class _Sheet:
    """Nodes, lines and polygons of one map; equal corners are one node."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.node_rows: list[Row] = []
        self.line_rows: list[Row] = []
        self.polygon_rows: list[Row] = []
        self._nodes: dict[tuple[float, float], str] = {}

    def token(self, kind: str, name: object) -> str:
        return token(self.location, kind, name)

    def node(self, point: Iterable[float]) -> str:
        x, y = (round(float(v), 3) + 0.0 for v in point)
        if (x, y) not in self._nodes:
            self._nodes[x, y] = self.token("node", (x, y))
            self.node_rows.append({"token": self._nodes[x, y], "x": x, "y": y})
        return self._nodes[x, y]

    def nodes(self, points: Iterable[Iterable[float]]) -> list[str]:
        return [self.node(point) for point in points]

    def line(self, points: Iterable[Iterable[float]]) -> str:
        name = self.token("line", len(self.line_rows))
        self.line_rows.append({"token": name, "node_tokens": self.nodes(points)})
        return name

    def polygons(self, polygon: Polygon) -> list[str]:
        return [self._polygon_row(part) for part in rounded(polygon)]

    def polygon(self, polygon: Polygon) -> str:
        parts = rounded(polygon)
        if not parts:
            raise ValueError(f"a polygon of {self.location} vanishes when rounded: {polygon.wkt}")
        return self._polygon_row(max(parts, key=lambda part: part.area))

    def _polygon_row(self, polygon: Polygon) -> str:
        name = self.token("polygon", len(self.polygon_rows))
        holes = [{"node_tokens": self.nodes(list(i.coords)[:-1])} for i in polygon.interiors]
        outside = self.nodes(list(polygon.exterior.coords)[:-1])
        row = {"token": name, "exterior_node_tokens": outside, "holes": holes}
        self.polygon_rows.append(row)
        return name

    def areas(self, kind: str, polygons: Iterable[Polygon]) -> list[Row]:
        return [
            {"token": self.token(kind, k), "polygon_token": self.polygon(polygon)}
            for k, polygon in enumerate(polygons)
        ]

    def dividers(self, kind: str, lines: Iterable[Floats]) -> list[Row]:
        return [
            {"token": self.token(kind, k), "line_token": self.line(line)}
            for k, line in enumerate(lines)
        ]

    def segments(self, points: Floats, kind: str) -> list[Row]:
        return [{"node_token": self.node(point), "segment_type": kind} for point in points]


def _rounded(ring: Iterable[tuple[float, ...]]) -> list[tuple[float, float]]:
    points = [(round(p[0], 3), round(p[1], 3)) for p in ring]
    return [p for k, p in enumerate(points) if k == 0 or p != points[k - 1]]


def _lane(sheet: _Sheet, lane: Lane) -> Row:
    left, right = lane.left_m, lane.right_m
    return {
        "token": sheet.token("lane", lane.name),
        "polygon_token": sheet.polygon(lane.polygon),
        "lane_type": "CAR",
        "from_edge_line_token": sheet.line([right[0], left[0]]),
        "to_edge_line_token": sheet.line([right[-1], left[-1]]),
        "left_lane_divider_segments": sheet.segments(left, "NIL"),
        "right_lane_divider_segments": sheet.segments(right, "NIL"),
    }


def _road_segments(sheet: _Sheet, layers: MapLayers, drivable: list[Row]) -> list[Row]:
    rows = sheet.areas("road_segment", [segment.polygon for segment in layers.road_segments])
    for row, segment in zip(rows, layers.road_segments, strict=True):
        point = segment.polygon.representative_point()
        around = [k for k, area in enumerate(layers.drivable_area) if area.contains(point)]
        row["is_intersection"] = segment.is_intersection
        row["drivable_area_token"] = drivable[around[0]]["token"] if around else ""
    return rows


def _stop_lines(sheet: _Sheet, layers: MapLayers) -> list[Row]:
    rows = sheet.areas("stop_line", [line.polygon for line in layers.stop_lines])
    cues: Row = {"ped_crossing_tokens": [], "road_block_token": ""}
    return [
        {
            **row,
            "stop_line_type": line.kind.value,
            **cues,
            "traffic_light_tokens": [sheet.token("traffic_light", name) for name in line.lights],
        }
        for row, line in zip(rows, layers.stop_lines, strict=True)
    ]


def _light(sheet: _Sheet, light: TrafficLight) -> Row:
    """Lamps from the top: red, amber (nuScenes says yellow), green; the line shows where to."""
    x, y, z = light.xyz_m
    looks = (x + np.cos(light.yaw_rad), y + np.sin(light.yaw_rad))
    level = {"tx": 0.0, "ty": 0.0, "rx": 0.0, "ry": 0.0, "rz": 0.0}
    lamps = zip(("RED", "YELLOW", "GREEN"), (LAMP_M, 0.0, -LAMP_M), strict=True)
    return {
        "token": sheet.token("traffic_light", light.name),
        "line_token": sheet.line([(x, y), looks]),
        "traffic_light_type": "VERTICAL",
        "from_road_block_token": "",
        "items": [
            {
                "color": colour,
                "shape": "CIRCLE",
                "rel_pos": {**level, "tz": height},
                "to_road_block_tokens": [],
            }
            for colour, height in lamps
        ],
        "pose": {"tx": x, "ty": y, "tz": z, "rx": 0.0, "ry": 0.0, "rz": light.yaw_rad},
    }


def _connectivity(sheet: _Sheet, lanes: Iterable[Lane]) -> dict[str, dict[str, list[str]]]:
    links: dict[str, dict[str, list[str]]] = {
        sheet.token("lane", lane.name): {"incoming": [], "outgoing": []} for lane in lanes
    }
    for lane in lanes:
        before = sheet.token("lane", lane.name)
        for name in lane.successors:
            after = sheet.token("lane", name)
            links[before]["outgoing"].append(after)
            links[after]["incoming"].append(before)
    return links


def _arcline(piece: Arc) -> Row:
    end = piece.pose_at(piece.length_m)
    turning = [piece.length_m, 0.0, 0.0]
    return {
        "start_pose": [piece.start.x_m, piece.start.y_m, piece.start.yaw_rad],
        "end_pose": [end.x_m, end.y_m, end.yaw_rad],
        "shape": "RSR" if piece.curvature_radpm < 0 else "LSL",
        "radius": STRAIGHT_RADIUS_M if piece.straight else 1 / abs(piece.curvature_radpm),
        "segment_length": [0.0, piece.length_m, 0.0] if piece.straight else turning,
    }


def _write_mask(path: Path, layers: MapLayers) -> None:
    """255 where one may drive or walk, north up, as the devkit's MapMask reads it."""
    width, height = (int(np.ceil(edge / MASK_M)) for edge in layers.size_m)
    mask = np.zeros((height, width), dtype=np.uint8)
    for polygon in (*layers.drivable_area, *layers.walkways, *layers.carparks):
        rings = [polygon.exterior, *polygon.interiors]
        cv2.fillPoly(mask, [_pixels(ring.coords, height) for ring in rings], (255,))
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE])[
        1
    ]
    path.write_bytes(encoded.tobytes())


def _pixels(ring: Iterable[tuple[float, ...]], height: int) -> NDArray[np.int32]:
    points = np.array([p[:2] for p in ring]) / MASK_M
    flipped = np.stack([points[:, 0], height - points[:, 1]], axis=1)
    return np.asarray(np.round(flipped), dtype=np.int32)
