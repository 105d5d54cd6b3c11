"""Polylines as curves of circular arcs, with given headings at both ends."""

from __future__ import annotations

import itertools

import numpy as np
import shapely
from shapely import LineString

from drivevlm.world.pose import Floats, Pose2, wrap_rad
from drivevlm_sim.curve import Arc, Curve

WITHIN_M = 0.04
"""A curve stays so near its polyline, but for the stretches next to a corner."""
CORNER_M = 1.0
"""Corners of the polyline are rounded within this."""
SHORT_M = 1e-6


def fitted(line_m: Floats, *, start_yaw_rad: float, end_yaw_rad: float) -> Curve:
    """A smooth curve along a polyline (N, 2) that begins and ends where it does."""
    points = _denser(line_m)
    yaws = _headings(points)
    yaws[0], yaws[-1] = start_yaw_rad, end_yaw_rad
    arcs: list[Arc] = []
    _fit(points, yaws, 0, len(points) - 1, arcs)
    return Curve(tuple(arcs))


def heading_rad(line_m: Floats, *, at_end: bool = False) -> float:
    """Of a polyline's first or last stretch."""
    way = line_m[-1] - line_m[-2] if at_end else line_m[1] - line_m[0]
    return float(np.arctan2(way[1], way[0]))


def _denser(line_m: Floats) -> Floats:
    """The same line with points next to its corners and ends, so that arcs bend only there."""
    points = [line_m[0]]
    for before, after in itertools.pairwise(line_m):
        way = after - before
        length_m = float(np.hypot(*way))
        if length_m > 3 * CORNER_M:
            near = CORNER_M / length_m
            points += [before + near * way, after - near * way]
        points.append(after)
    return np.array(points)


def _headings(points_m: Floats) -> Floats:
    """(N,) at each point: of the chord between its neighbours, the nearer one counting more."""
    ways = np.diff(points_m, axis=0)
    lengths = np.hypot(ways[:, 0], ways[:, 1])
    units = ways / lengths[:, None]
    inner = units[:-1] * lengths[1:, None] + units[1:] * lengths[:-1, None]
    middle = np.vstack([units[:1], inner, units[-1:]])
    return np.arctan2(middle[:, 1], middle[:, 0])


def _fit(points_m: Floats, yaws_rad: Floats, first: int, last: int, arcs: list[Arc]) -> None:
    """Append the arcs of a stretch, halved until they are near enough."""
    start = Pose2(float(points_m[first, 0]), float(points_m[first, 1]), float(yaws_rad[first]))
    end = Pose2(float(points_m[last, 0]), float(points_m[last, 1]), float(yaws_rad[last]))
    found = biarc(start, end)
    if last - first > 1 and not (found and _near(found, points_m[first : last + 1])):
        middle = (first + last) // 2
        _fit(points_m, yaws_rad, first, middle, arcs)
        _fit(points_m, yaws_rad, middle, last, arcs)
        return
    if not found:
        way = np.array([end.x_m - start.x_m, end.y_m - start.y_m])
        yaw = float(np.arctan2(way[1], way[0]))
        found = [Arc(Pose2(start.x_m, start.y_m, yaw), float(np.hypot(*way)), 0.0)]
    arcs.extend(found)


def biarc(start: Pose2, end: Pose2) -> list[Arc]:
    """One or two arcs from pose to pose that share a heading where they meet.

    None where they would turn back on themselves.
    """
    aim = start.inverse() @ end
    way = np.array([aim.x_m, aim.y_m])
    there = np.array([np.cos(aim.yaw_rad), np.sin(aim.yaw_rad)])
    both = there + np.array([1.0, 0.0])
    spread = 2 * (1 - there[0])
    along = float(way @ both)
    if spread < 1e-12:
        if along <= SHORT_M:
            return []
        reach_m = float(way @ way) / (2 * along)
    else:
        reach_m = (-along + float(np.sqrt(along**2 + spread * (way @ way)))) / spread
    if reach_m <= SHORT_M:
        return []
    middle = (np.array([reach_m, 0.0]) + way - reach_m * there) / 2
    arcs: list[Arc] = []
    at = start
    for goal in (start.apply(middle), np.array([end.x_m, end.y_m])):
        local = at.inverse().apply(goal)
        chord_m = float(np.hypot(*local))
        if chord_m < SHORT_M:
            continue
        turn = 2 * float(np.arctan2(local[1], local[0]))
        if abs(turn) > 0.9 * np.pi:
            return []
        curvature = 2 * float(local[1]) / chord_m**2
        length_m = chord_m / float(np.sinc(turn / (2 * np.pi)))
        if length_m * abs(curvature) < 1e-7:
            curvature = 0.0
        arcs.append(Arc(at, length_m, curvature))
        at = Pose2(float(goal[0]), float(goal[1]), float(wrap_rad(at.yaw_rad + turn)))
    return arcs


def _near(arcs: list[Arc], points_m: Floats) -> bool:
    line = LineString(points_m)
    length_m = sum(arc.length_m for arc in arcs)
    if not 0.95 * line.length < length_m < 1.05 * line.length + 0.01:
        return False
    samples = [
        arc.pose_at(run_m)
        for arc in arcs
        for run_m in np.linspace(0, arc.length_m, 2 + int(arc.length_m / 2))
    ]
    places = shapely.points([(pose.x_m, pose.y_m) for pose in samples])
    corners = LineString([(pose.x_m, pose.y_m) for pose in samples])
    away = shapely.distance(shapely.points(points_m), corners).max()
    return bool(shapely.distance(places, line).max() < WITHIN_M and away < 2 * WITHIN_M)
