"""Vector shapes laid over pictures, and the geometry that makes them: clipping and ribbons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from drivevlm.world.body import WIDTH_M
from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats

NEAR_M = 0.3
"""Nothing nearer to the lens than this is drawn."""
MARGIN_PX = 40.0
"""Lines are cut so far outside a picture, where nobody sees their ends."""


class Layer(str, Enum):
    """What a shape belongs to: a page shows and hides shapes by layer."""

    MAP = "map"
    LABELS = "labels"
    OTHERS = "others"
    TRUTH = "truth"
    PLAN = "plan"
    SEEN = "seen"
    EGO = "ego"


DRAWN_LAST = (Layer.OTHERS, Layer.TRUTH, Layer.PLAN)
"""Paths from the lowest to the topmost."""


class Ink(str, Enum):
    """How a shape is drawn."""

    AREA = "area"
    LINE = "line"
    DASHED = "dashed"
    DOTS = "dots"


@dataclass(frozen=True, slots=True)
class Shape:
    """One SVG path.

    Attributes:
        layer, ink: Where it belongs and how it looks.
        path: The ``d`` of an SVG path: numbers and the letters M, L, Z, h only.
        title: Shown under the pointer.
        variant: Tells shapes of one layer apart (the k-th other planner).
    """

    layer: Layer
    ink: Ink
    path: str
    title: str = ""
    variant: int = 0


def svg_lines(runs: Iterable[Floats], *, closed: bool, digits: int = 1) -> str:
    """``d`` of polylines or polygons (N, 2); "" where there are none."""
    end = "Z" if closed else ""
    return "".join(
        "M" + "L".join(f"{x:.{digits}f},{y:.{digits}f}" for x, y in run) + end
        for run in runs
        if len(run) > 1
    )


def svg_dots(points: Floats, *, digits: int = 1) -> str:
    """``d`` of points (N, 2) as lines of no length: round caps make them dots."""
    return "".join(f"M{x:.{digits}f},{y:.{digits}f}h0" for x, y in points)


def frustum(camera: Camera) -> Floats:
    """(5, 4) half-spaces ``normal . xyz_camera_m >= offset`` of what the camera can show."""
    if camera.intrinsics is None:
        raise ValueError(f"camera {camera.name!r} has no intrinsics")
    across, down, depth = camera.intrinsics
    width_px, height_px = camera.size_px
    normals = [
        np.array([0.0, 0.0, 1.0]),
        across + MARGIN_PX * depth,
        (width_px + MARGIN_PX) * depth - across,
        down + MARGIN_PX * depth,
        (height_px + MARGIN_PX) * depth - down,
    ]
    offsets = [NEAR_M, 0.0, 0.0, 0.0, 0.0]
    return np.column_stack([np.array(normals), offsets])


def clip_polygon(points: Floats, planes: Floats) -> Floats:
    """The part (M, 3) of a flat convex polygon (N, 3) inside all half-spaces; (0, 3) if none."""
    for *normal, offset in planes:
        if not len(points):
            break
        inside = points @ np.array(normal) - offset
        kept = []
        for k in range(len(points)):
            a, b, da, db = points[k - 1], points[k], inside[k - 1], inside[k]
            if (da >= 0) != (db >= 0):
                kept.append(a + (b - a) * (da / (da - db)))
            if db >= 0:
                kept.append(b)
        points = np.array(kept).reshape(-1, 3)
    return points


def clip_polyline(points: Floats, planes: Floats) -> list[Floats]:
    """The parts of a polyline (N, 3) inside all half-spaces, each a polyline of its own."""
    runs: list[list[Floats]] = []
    for a, b in pairwise(points):
        part = _clip_segment(a, b, planes)
        if part is None:
            continue
        start, end = part
        if runs and np.array_equal(runs[-1][-1], start):
            runs[-1].append(end)
        else:
            runs.append([start, end])
    return [np.array(run) for run in runs]


def _clip_segment(a: Floats, b: Floats, planes: Floats) -> tuple[Floats, Floats] | None:
    enter, leave = 0.0, 1.0
    for *normal, offset in planes:
        da, db = (float(np.dot(normal, p) - offset) for p in (a, b))
        if da < 0 and db < 0:
            return None
        if da < 0:
            enter = max(enter, da / (da - db))
        elif db < 0:
            leave = min(leave, da / (da - db))
    if enter >= leave:
        return None
    start = a if enter == 0.0 else a + (b - a) * enter
    return start, b if leave == 1.0 else a + (b - a) * leave


def driven_path(xy_ego_m: Floats) -> Floats:
    """(T + 1, 2) the path with its beginning under the rear axle, without unknown points."""
    path = np.vstack([np.zeros((1, 2)), xy_ego_m])
    return np.asarray(path[np.isfinite(path).all(axis=1)])


def ribbon(plan: Plan, width_m: float = WIDTH_M) -> list[Floats]:
    """Quads (4, 2) of the ground between waypoints, as wide as the car; none while it stands."""
    path = driven_path(plan.xy_ego_m)
    yaw = np.concatenate([[0.0], plan.headings_ego_rad()])
    aside = np.column_stack([-np.sin(yaw), np.cos(yaw)]) * width_m / 2
    left, right = path + aside, path - aside
    moved = np.linalg.norm(np.diff(path, axis=0), axis=1) > 0.05
    return [np.array([left[k], left[k + 1], right[k + 1], right[k]]) for k in np.flatnonzero(moved)]


def box_edges(box: Box3) -> list[Floats]:
    """Polylines (N, 3) of a box: bottom, top, uprights; a line on the ground shows its heading."""
    corners = box.corners_ego_m()
    low, high = corners[:4], corners[4:]
    uprights = [np.array([low[k], high[k]]) for k in range(4)]
    nose = np.array([low.mean(axis=0), low[:2].mean(axis=0)])
    return [np.vstack([low, low[:1]]), np.vstack([high, high[:1]]), *uprights, nose]


def on_ground(xy_m: Floats, z_m: float = 0.0) -> Floats:
    """(N, 3) points of the ground."""
    return np.column_stack([xy_m, np.full(len(xy_m), z_m)])


def outline(box: Box3) -> tuple[Floats, Floats]:
    """From above: the rectangle (4, 2), and the line (2, 2) from its centre to its front."""
    corners = box.corners_ego_m()[:4, :2]
    return corners, np.array([box.center_ego_m[:2], corners[:2].mean(axis=0)])


def bounds_hit(points: Floats, low: Sequence[float], high: Sequence[float]) -> bool:
    """Whether the bounding box of points (N, 2) meets the rectangle from low to high."""
    return bool((points.max(axis=0) >= low).all() and (points.min(axis=0) <= high).all())
