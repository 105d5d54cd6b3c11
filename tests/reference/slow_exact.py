"""The protocol ``exact`` once more: one rectangle, one step at a time, by other means.

Nothing of drivevlm.metrics is used. Poses are pyquaternion's; rectangles are held against each
other by separating axes; from the ego's outline one map polygon after the other is cut off.
"""

from __future__ import annotations

import cmath
import math
from functools import lru_cache

import numpy as np
import shapely
from pyquaternion import Quaternion

from drivevlm.world.truth import Truth

LENGTH_M, WIDTH_M, AHEAD_M = 4.084, 1.85, 1.486
NOISE_M = 1e-6
"""What is left of an outline and is thinner than this is the rounding noise of a seam."""
THIN_M = 0.012
"""What is left of an outline and is thinner than this could be a gap that counts as closed."""
Corners = list[tuple[float, float]]


@lru_cache(maxsize=8)
def to_now(truth: Truth) -> Quaternion:
    return Quaternion(matrix=truth.now.global_from_ego.rotation, atol=1e-6).inverse


def to_ego(point: np.ndarray, truth: Truth) -> np.ndarray:
    return to_now(truth).rotate(point - truth.now.global_from_ego.translation_m)


def rectangle(x: float, y: float, yaw: float, length: float, width: float) -> Corners:
    """Corners in order, turned as complex numbers."""
    along, aside = length / 2 * cmath.exp(1j * yaw), width / 2 * cmath.exp(1j * yaw) * 1j
    corners = [
        complex(x, y) + u * along + v * aside for u, v in ((1, 1), (1, -1), (-1, -1), (-1, 1))
    ]
    return [(corner.real, corner.imag) for corner in corners]


def ego(x: float, y: float, yaw: float) -> Corners:
    ahead = (AHEAD_M * math.cos(yaw), AHEAD_M * math.sin(yaw))
    return rectangle(x + ahead[0], y + ahead[1], yaw, LENGTH_M, WIDTH_M)


def users(truth: Truth, k: int) -> list[Corners]:
    boxes, found = truth.steps[k].boxes, []
    for i, name in enumerate(boxes.category):
        kind = name.split(".")
        if kind[0] == "vehicle" or kind[:2] == ["human", "pedestrian"]:
            x, y, _ = to_ego(boxes.center_global_m[i], truth)
            along = to_now(truth).rotate(
                Quaternion(boxes.wxyz_global[i]).rotate(np.array([1.0, 0, 0]))
            )
            length, width, _ = boxes.size_lwh_m[i]
            found.append(rectangle(x, y, math.atan2(along[1], along[0]), length, width))
    return found


def meet(a: Corners, b: Corners) -> bool:
    """Two convex outlines have a point in common unless a line along an edge parts them."""
    if math.dist(a[0], b[0]) > 60.0:
        return False
    for one in (a, b):
        for (x0, y0), (x1, y1) in zip(one, one[1:] + one[:1], strict=True):
            nx, ny = y1 - y0, x0 - x1
            spans = [[nx * x + ny * y for x, y in other] for other in (a, b)]
            if max(spans[0]) < min(spans[1]) or max(spans[1]) < min(spans[0]):
                return False
    return True


def area(truth: Truth) -> list[shapely.Polygon]:
    """The drivable polygons, each for itself, on flat ground at the ego's height."""
    height_m, found = truth.now.global_from_ego.translation_m[2], []
    for polygon in truth.map_polygons["drivable_area"]:
        rings = [
            [tuple(to_ego(np.array([px, py, height_m]), truth)[:2]) for px, py in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        found.append(shapely.Polygon(rings[0], rings[1:]))
    return found


def outside(polygons: list[shapely.Polygon], ego: Corners) -> bool | None:
    """Whether some of the ego lies off all polygons; None where that is too thin to say."""
    left: shapely.Geometry = shapely.Polygon(ego)
    for polygon in polygons:
        left = left.difference(polygon)
    if left.buffer(-NOISE_M / 2).is_empty:
        return False
    return None if left.buffer(-THIN_M / 2).is_empty else True


def path(truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """The recorded rear axle's positions and headings."""
    xy, yaw = [], []
    for k in range(1, 7):
        pose = truth.steps[k].global_from_ego
        xy.append(to_ego(pose.translation_m, truth)[:2])
        along = to_now(truth).rotate(pose.rotation[:, 0])
        yaw.append(math.atan2(along[1], along[0]))
    return np.array(xy), np.array(yaw)


def headings(xy: np.ndarray) -> list[float]:
    """Of a path that begins at the origin and stands below 0.1 m/s, in steps of 0.5 s."""
    found, before, heading = [], np.zeros(2), 0.0
    for point in xy:
        dx, dy = point - before
        if math.hypot(dx, dy) >= 0.05:
            tangent = math.atan2(dy, dx)
            if math.cos(tangent - heading) < 0:  # it reverses
                tangent += math.pi
            heading = math.atan2(math.sin(tangent), math.cos(tangent))
        found.append(heading)
        before = point
    return found
