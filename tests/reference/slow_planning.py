"""The planning protocols once more: one box, one cell, one step at a time, with other libraries.

Nothing of drivevlm.metrics is used. Poses are pyquaternion's, polygons are shapely's.
"""

from __future__ import annotations

import math

import numpy as np
import shapely
from pyquaternion import Quaternion

from drivevlm.world.truth import Truth, TruthStep

CELLS = 200
UNIAD_DRAWN = {
    "vehicle.car",
    "vehicle.truck",
    "vehicle.bus.rigid",
    "vehicle.bicycle",
}
VAD_DRAWN = UNIAD_DRAWN | {"human.pedestrian.adult"}
Grid = np.ndarray


def line(a: tuple[int, int], b: tuple[int, int]) -> set[tuple[int, int]]:
    """Textbook Bresenham between two (column, row) points, from the left one."""
    (x0, y0), (x1, y1) = sorted([a, b], key=lambda p: p[0]) if a[0] != b[0] else (a, b)
    dx, dy, sign = x1 - x0, abs(y1 - y0), (1 if y1 >= y0 else -1)
    steep = dy > dx
    major, minor = (dy, dx) if steep else (dx, dy)
    error, x, y, points = major - 2 * minor, x0, y0, {(x0, y0)}
    for _ in range(major):
        aside = error < 0
        error += -2 * minor + (2 * major if aside else 0)
        x += 1 if not steep or aside else 0
        y += sign if steep or aside else 0
        points.add((x, y))
    return points


def draw(grid: Grid, corners: list[tuple[int, int]]) -> None:
    """A polygon of (column, row) lattice corners: what it covers, and its outline."""
    points = set()
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        points |= line(a, b)
    polygon = shapely.Polygon(corners)
    if polygon.is_valid and polygon.area > 0:
        xs, ys = zip(*corners, strict=True)
        for x in range(min(xs), max(xs) + 1):
            for y in range(min(ys), max(ys) + 1):
                if polygon.covers(shapely.Point(x, y)):
                    points.add((x, y))
    for x, y in points:
        if 0 <= x < CELLS and 0 <= y < CELLS:
            grid[y, x] = True


def corners_m(x: float, y: float, yaw: float, length: float, width: float) -> list[list[float]]:
    out = []
    for along, aside in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        u, v = along * length / 2, aside * width / 2
        out.append(
            [x + u * math.cos(yaw) - v * math.sin(yaw), y + u * math.sin(yaw) + v * math.cos(yaw)]
        )
    return out


def rotations(step: TruthStep) -> tuple[Quaternion, Quaternion]:
    """Of the ego in the world, and of the lidar in the ego."""
    return tuple(
        Quaternion(matrix=p.rotation, atol=1e-6)
        for p in (step.global_from_ego, step.ego_from_lidar)
    )


def to_lidar(point: np.ndarray, step: TruthStep) -> np.ndarray:
    ego_q, lidar_q = rotations(step)
    point = ego_q.inverse.rotate(point - step.global_from_ego.translation_m)
    return lidar_q.inverse.rotate(point - step.ego_from_lidar.translation_m)


def to_global(point: np.ndarray, step: TruthStep) -> np.ndarray:
    ego_q, lidar_q = rotations(step)
    point = lidar_q.rotate(point) + step.ego_from_lidar.translation_m
    return ego_q.rotate(point) + step.global_from_ego.translation_m


def uniad_grid(truth: Truth, k: int) -> Grid:
    grid, step = np.zeros((CELLS, CELLS), dtype=bool), truth.steps[k]
    ego_q, lidar_q = rotations(step)
    ego_0, lidar_0 = rotations(truth.now)
    turns = (lidar_q, ego_q, ego_0.inverse, lidar_0.inverse)
    for i, category in enumerate(step.boxes.category):
        if category in UNIAD_DRAWN:
            length, width, height = step.boxes.size_lwh_m[i]
            floor = to_lidar(step.boxes.center_global_m[i], step) - [0, 0, height / 2]
            x, y, _ = to_lidar(to_global(floor, step), truth.now)
            box_q = lidar_q.inverse * ego_q.inverse * Quaternion(step.boxes.wxyz_global[i])
            yaw = sum(q.yaw_pitch_roll[0] for q in (box_q, *turns))
            corners = corners_m(x, y, yaw, length, width)
            draw(grid, [(round((cx + 50) / 0.5), round((cy + 50) / 0.5)) for cx, cy in corners])
    return grid


def vad_grids(truth: Truth) -> list[Grid]:
    grids = [np.zeros((CELLS, CELLS), dtype=bool) for _ in range(6)]
    now = truth.now.boxes
    ego_q, lidar_q = rotations(truth.now)
    for i, category in enumerate(now.category):
        x, y, _ = to_lidar(now.center_global_m[i], truth.now)
        if category not in VAD_DRAWN or not now.lidar_points[i] or abs(x) >= 15 or abs(y) >= 30:
            continue
        first_q = Quaternion(now.wxyz_global[i])
        first_yaw = (lidar_q.inverse * ego_q.inverse * first_q).yaw_pitch_roll[0]
        length, width, _ = now.size_lwh_m[i]
        name = now.following[i]
        for k in range(1, 7):
            later = truth.steps[k].boxes
            if name not in later.annotation:
                break
            j = later.annotation.index(name)
            x, y, _ = to_lidar(later.center_global_m[j], truth.now)
            turned = Quaternion(later.wxyz_global[j]) * first_q.inverse
            corners = corners_m(x, y, first_yaw + turned.yaw_pitch_roll[0], length, width)
            lattice = [(round((cx + 50) / 0.5), round((50 - cy) / 0.5)) for cx, cy in corners]
            draw(grids[k - 1], lattice)
            name = later.following[j]
    return grids


def touches(grid: Grid, x: float, y: float, *, ahead_first: bool) -> bool:
    """The ego's cells are those whose centre lies in its box when it stands at the origin."""
    for i in range(90, 110):
        for j in range(90, 110):
            ahead_m, aside_m = (i + 0.5) * 0.5 - 50, (j + 0.5) * 0.5 - 50
            if abs(ahead_m - 0.5) <= 4.084 / 2 and abs(aside_m) <= 1.85 / 2:
                row = CELLS - (y / 0.5 + i) if ahead_first else y / 0.5 + i
                r = min(max(int(row), 0), CELLS - 1)
                c = min(max(int(x / 0.5 + j), 0), CELLS - 1)
                if grid[r, c]:
                    return True
    return False


def recorded(truth: Truth, k: int, z_lidar_m: float) -> np.ndarray:
    point = to_global(np.array([0.0, 0.0, z_lidar_m]), truth.steps[k])
    return to_lidar(point, truth.now)[:2]
