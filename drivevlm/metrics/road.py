"""The road of a map on a fine grid: its boundary as polylines, and the drivable area.

Rows count to the left and columns ahead, in the ego's axes of decision time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from drivevlm.metrics.footprints import heading_rad, swing_rad
from drivevlm.metrics.raster import Bools, draw_lines, fill_rings
from drivevlm.metrics.surface import CannotJudgeError
from drivevlm.metrics.turned_block import CELL_M, FINE_GRID, FIRST_CENTRE_M, MARGIN
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

# L: polylines, S: cells along a side.

BOUNDARY_LAYERS = ("road_segment", "lane")
BOUNDARY_PATCH_M = (102.4, 50.0)
"""Length and width of the patch whose road counts."""
INSET_M = 0.2
"""The outline of what the patch cuts off is no boundary: lines are cut this far inside it."""
POINTS = 20
"""A boundary is followed in 19 straight pieces of equal length, however long and bent it is."""

Geometries = NDArray[np.object_]


def boundary_grid(truth: Truth) -> Bools:
    """(1, S, S) cells of the road's boundary. Raises CannotJudgeError without a map."""
    return polylines_grid(boundary_polylines_m(truth))


def polylines_grid(xy_m: Floats) -> Bools:
    """(1, S, S) cells of polylines (L, V, 2) in the ego's axes.

    Points off the grid are glued to its border, and all are cut towards zero, both in single
    precision, as the peer does.
    """
    single = np.float32
    at = (xy_m.astype(single) - single(FIRST_CENTRE_M)) / single(CELL_M)
    points = np.clip(at, 0, FINE_GRID.cells - 1).astype(np.int64)
    return draw_lines(points[..., ::-1], cells=FINE_GRID.cells)[None]


def boundary_polylines_m(truth: Truth) -> Floats:
    """(L, POINTS, 2) the boundary of all roads and lanes together, near the ego, in its axes."""
    length_m, width_m = BOUNDARY_PATCH_M
    # The peer takes the place in single precision, which moves a boundary by up to 0.1 mm.
    pose = truth.now.global_from_ego
    origin_m = pose.translation_m[:2].astype(np.float32).astype(np.float64)
    yaw_rad = float(heading_rad(pose.rotation))
    layers = [
        shapely.union_all(
            _near(_layer(truth, name), origin_m, yaw_rad, length_m=length_m, width_m=width_m)
        )
        for name in BOUNDARY_LAYERS
    ]
    inside = _rectangle(length_m / 2 - INSET_M, width_m / 2 - INSET_M)
    rings = shapely.get_rings(_polygons(shapely.union_all(layers)))
    lines = shapely.intersection(rings, inside)
    broken = shapely.get_type_id(lines) == shapely.GeometryType.MULTILINESTRING
    lines[broken] = shapely.line_merge(lines[broken])
    parts = shapely.get_parts(lines)
    whole = shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING
    return _resampled(parts[whole & ~shapely.is_empty(parts)])


def _resampled(lines: Geometries) -> Floats:
    along_m = np.linspace(0.0, shapely.length(lines), POINTS, axis=-1)
    points = shapely.line_interpolate_point(lines[:, None], along_m)
    return np.stack([shapely.get_x(points), shapely.get_y(points)], axis=-1)


def drivable_grid(truth: Truth) -> Bools:
    """(1, S + 2, S + 2) cells of the drivable area, in a margin of cells that count as drivable.

    Raises CannotJudgeError without a map.
    """
    pose, half_m = truth.now.global_from_ego, FINE_GRID.half_m
    near = _near(
        _layer(truth, "drivable_area"),
        pose.translation_m[:2],
        float(swing_rad(pose.rotation)),
        length_m=2 * half_m,
        width_m=2 * half_m,
    )
    grid = np.zeros((FINE_GRID.cells, FINE_GRID.cells), dtype=np.bool_)
    for area in shapely.intersection(near, _rectangle(half_m, half_m)):
        polygons = _polygons(area)
        grid |= fill_rings(_rings_rc(shapely.get_exterior_ring(polygons)), cells=len(grid))
        holes = [hole for polygon in polygons for hole in polygon.interiors]
        grid &= ~fill_rings(_rings_rc(holes), cells=len(grid))
    return np.pad(grid, MARGIN, constant_values=True)[None]


def _rings_rc(rings: Sequence[Any] | Geometries) -> list[NDArray[np.int64]]:
    scale = FINE_GRID.cells / (2 * FINE_GRID.half_m)
    at = [np.round((shapely.get_coordinates(r) + FINE_GRID.half_m) * scale) for r in rings]
    return [ring.astype(np.int64)[:, ::-1] for ring in at]


def _layer(truth: Truth, name: str) -> Geometries:
    """The polygons of a map layer, in the global frame."""
    if not truth.map_polygons:
        raise CannotJudgeError("the recording has no map")
    if name not in truth.map_polygons:
        raise CannotJudgeError(f"the recording's map has no layer {name}")
    return np.array(truth.map_polygons[name], dtype=object)


def _near(
    polygons: Geometries, origin_m: Floats, yaw_rad: float, *, length_m: float, width_m: float
) -> Geometries:
    """What lies in a rectangle round a place and along a heading, in the axes of that place."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    corners = shapely.get_coordinates(_rectangle(length_m / 2, width_m / 2))
    parts = shapely.intersection(polygons, shapely.Polygon(corners @ turn.T + origin_m))
    parts = parts[~shapely.is_empty(parts)]
    return np.asarray(shapely.transform(parts, lambda xy_m: (xy_m - origin_m) @ turn), dtype=object)


def _rectangle(half_length_m: float, half_width_m: float) -> shapely.Polygon:
    return shapely.box(-half_length_m, -half_width_m, half_length_m, half_width_m)


def _polygons(area: shapely.Geometry) -> Geometries:
    """The polygons of a geometry; lines and points, left over where outlines meet, are dropped."""
    parts = shapely.get_parts(shapely.get_parts(area))
    kept = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return np.asarray(kept[~shapely.is_empty(kept)], dtype=object)
