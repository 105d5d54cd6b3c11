"""A town as triangles, in square chunks that can be left out where no camera looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from drivevlm.world.pose import Floats
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.render.shapes import (
    Lamp,
    Layer,
    Material,
    Vertices,
    faces,
    outward,
    triangles,
    vec,
)
from drivevlm_sim.render.textures import FLOOR_M, WINDOW_M, WINDOWS
from drivevlm_sim.town.town import Building, Town

# P: points of a ring.
CHUNK_M = 48.0
KERB_M = 0.13
"""Sidewalks and the middles of roundabouts lie so high."""
PAINT_M = 0.012
GRASS_M = -0.04
SHOP_FLOOR_M = 3.6

ASPHALT = Material((0.105, 0.107, 0.112), Layer.ASPHALT, metres=8.0)
PARKING = Material((0.135, 0.132, 0.130), Layer.ASPHALT, metres=6.0)
SIDEWALK = Material((0.36, 0.345, 0.325), Layer.SIDEWALK, metres=4.0)
KERB = Material((0.40, 0.39, 0.375))
GRASS = Material((0.115, 0.175, 0.050), Layer.GRASS, metres=14.0)
ROOF = Material((0.16, 0.155, 0.15), Layer.ASPHALT, metres=8.0)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Triangles of one place, with the corners of their box."""

    vertices: Vertices
    low_m: Floats
    high_m: Floats
    flat: bool


def town_chunks(town: Town) -> list[Chunk]:
    """All of a town that neither moves nor is a prop: ground first, buildings after."""
    return list(_ground(town)) + list(_buildings(town.buildings))


def ground_m(town: Town, xy_m: Floats) -> Floats:
    """Height of the ground under points (..., 2): the kerb's on a sidewalk, else 0."""
    shapely.prepare([town.sidewalk, town.road])
    on_walk = shapely.contains_xy(town.sidewalk, xy_m[..., 0], xy_m[..., 1])
    on_road = shapely.contains_xy(town.road, xy_m[..., 0], xy_m[..., 1])
    return np.where(on_walk & ~on_road, KERB_M, 0.0)


def _ground(town: Town) -> Iterator[Chunk]:
    parking = shapely.union_all(list(town.parking)) if town.parking else Polygon()
    # A hair under the road, so that overlapping areas never flicker.
    flats: list[tuple[BaseGeometry, float, Material]] = [
        (town.road, 0.0, _wet(ASPHALT)),
        (shapely.difference(parking, town.road), -0.002, _wet(PARKING)),
        (shapely.difference(town.sidewalk, town.road), KERB_M, _wet(SIDEWALK)),
    ]
    paint = _by_colour(town)
    west, south, east, north = _extent(town)
    for x in np.arange(west, east, CHUNK_M):
        for y in np.arange(south, north, CHUNK_M):
            tile = shapely.box(x, y, x + CHUNK_M, y + CHUNK_M)
            parts = [_lawn(tile)]
            for area, z, material in flats:
                piece = shapely.intersection(area, tile)
                parts.extend(_flat(polygon, z, material) for polygon in _polygons(piece))
                if z == KERB_M:
                    parts.extend(_kerbs(polygon, tile) for polygon in _polygons(piece))
            for rgb, tree, shapes in paint:
                near = [shapes[k] for k in tree.query(tile, predicate="intersects")]
                material = Material(rgb, Layer.ASPHALT, metres=8.0)
                for shape in near:
                    for polygon in _polygons(shapely.intersection(shape, tile)):
                        parts.append(_flat(polygon, PAINT_M, _wet(material)))
            yield _chunk(np.concatenate(parts), flat=True)


def _extent(town: Town) -> tuple[float, float, float, float]:
    """The town's canvas would do, but towns may lie in one corner of a large one."""
    bounds = [shape.bounds for shape in (town.road, town.sidewalk) if not shape.is_empty]
    bounds += [building.polygon.bounds for building in town.buildings]
    if not bounds:
        raise WorldError(f"town {town.name!r} has neither road nor buildings to draw")
    low, high = np.array(bounds)[:, :2].min(axis=0) - 60, np.array(bounds)[:, 2:].max(axis=0) + 60
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _wet(material: Material) -> Material:
    return replace(material, ground=True)


def _by_colour(
    town: Town,
) -> list[tuple[tuple[float, float, float], shapely.STRtree, list[Polygon]]]:
    groups: dict[tuple[float, float, float], list[Polygon]] = {}
    for paint in town.paint:
        groups.setdefault(paint.colour_rgb, []).append(paint.polygon)
    return [(rgb, shapely.STRtree(shapes), shapes) for rgb, shapes in sorted(groups.items())]


def _polygons(shape: BaseGeometry) -> list[Polygon]:
    """The areas of a cut; slivers and lines are dropped."""
    parts = shape.geoms if hasattr(shape, "geoms") else [shape]
    return [part for part in parts if isinstance(part, Polygon) and part.area > 1e-4]


def _flat(polygon: Polygon, z_m: float, material: Material) -> Vertices:
    points = _triangulated(polygon)
    corners = np.column_stack([points, np.full(len(points), z_m)])
    return triangles(corners, np.array([0.0, 0.0, 1.0]), material, points)


def _triangulated(polygon: Polygon) -> Floats:
    """(V, 2) corners of triangles that fill a polygon with holes."""
    try:
        import mapbox_earcut
    except ImportError as error:
        raise WorldError(
            "drawing a town needs mapbox_earcut, which is not installed: "
            'pip install "drivevlm[sim]"'
        ) from error
    rings = [np.asarray(ring.coords)[:-1, :2] for ring in (polygon.exterior, *polygon.interiors)]
    points = np.concatenate(rings)
    ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
    order = mapbox_earcut.triangulate_float64(np.ascontiguousarray(points), ends)
    return np.asarray(points[order])


def _kerbs(polygon: Polygon, tile: Polygon) -> Vertices:
    """The upright edge of a sidewalk; cuts between chunks are drawn too and stay hidden."""
    quads = []
    for ring in (polygon.exterior, *polygon.interiors):
        here = np.asarray(ring.coords)[:, :2]
        low = np.column_stack([here, np.full(len(here), GRASS_M)])
        high = low + vec(0.0, 0.0, KERB_M - GRASS_M)
        quads.append(np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1))
    return faces(np.concatenate(quads), KERB)


def _lawn(tile: Polygon) -> Vertices:
    west, south, east, north = tile.bounds
    corners = np.array([[west, south], [east, south], [east, north], [west, north]])
    z = np.full((4, 1), GRASS_M)
    return faces(np.hstack([corners, z])[None], GRASS, corners[None])


def _buildings(buildings: Sequence[Building]) -> Iterator[Chunk]:
    """Whole buildings, those of one square together: a draw call costs more than a wall."""
    squares: dict[tuple[int, int], list[Vertices]] = {}
    for k, building in enumerate(buildings):
        middle = building.polygon.centroid
        square = int(middle.x // CHUNK_M), int(middle.y // CHUNK_M)
        squares.setdefault(square, []).append(_walls(building, k))
    for _, walls in sorted(squares.items()):
        yield _chunk(outward(np.concatenate(walls)), flat=False)


def _walls(building: Building, number: int) -> Vertices:
    """Walls with whole windows only, a shop floor for every other, and a roof."""
    style = number % (Layer.SHOP - Layer.FACADE)
    ring = np.asarray(shapely.normalize(building.polygon).exterior.coords)[::-1, :2]
    has_shop = number % 2 == 0 and building.height_m > SHOP_FLOOR_M + FLOOR_M
    base = SHOP_FLOOR_M if has_shop else 0.0
    floors = max(1, round((building.height_m - base) / FLOOR_M))
    shine = Lamp.WINDOW
    wall = Material(building.colour_rgb, Layer.FACADE + style, lamp=shine)
    shop = Material(building.colour_rgb, Layer.SHOP, lamp=shine)
    parts = []
    for i, (a, b) in enumerate(pairwise(ring)):
        length = float(np.linalg.norm(b - a))
        if length < 0.05:
            continue
        windows = max(1, round(length / WINDOW_M))
        # Neighbouring walls begin at other windows, so that lit ones do not repeat.
        shift = (number * 7 + i * 3) % WINDOWS
        uv = np.array([[0, 0], [windows, 0], [windows, floors], [0, floors]], dtype=np.float64)
        parts.append(
            _wall(a, b, base, building.height_m, wall, (uv + vec(shift, number)) / WINDOWS)
        )
        if has_shop:
            across = max(1, round(length / 12.0))
            unit = np.array([[0, 0], [across, 0], [across, 1], [0, 1]], dtype=np.float64)
            parts.append(_wall(a, b, 0.0, base, shop, unit))
    top = _flat(building.polygon, building.height_m, ROOF)
    return np.concatenate([*parts, top])


def _wall(
    a: Floats, b: Floats, low_m: float, high_m: float, material: Material, uv: Floats
) -> Vertices:
    corners = [[*a, low_m], [*b, low_m], [*b, high_m], [*a, high_m]]
    return faces(np.array([corners]), material, uv[None])


def _chunk(vertices: Vertices, *, flat: bool) -> Chunk:
    xyz = vertices[:, 0:3].astype(np.float64)
    return Chunk(vertices, xyz.min(axis=0), xyz.max(axis=0), flat)
