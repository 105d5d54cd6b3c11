"""A clip from above: the car, the map, the labels, and every path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drivevlm.report.shapes import (
    DRAWN_LAST,
    Ink,
    Layer,
    Shape,
    bounds_hit,
    driven_path,
    outline,
    svg_dots,
    svg_lines,
)
from drivevlm.report.view import ClipView
from drivevlm.world.body import CENTER_M, LENGTH_M, WIDTH_M
from drivevlm.world.boxes import Box3
from drivevlm.world.clip import Clip
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Verdict
from drivevlm.world.truth import Truth

BEHIND_M = 14.0
LEAST_AHEAD_M = 36.0
MOST_AHEAD_M = 90.0
ASPECT = 1.0
"""Width of the window over its height."""
GRID_M = 10.0
_MAP_LAYERS = {"drivable_area": Ink.AREA, "lane": Ink.LINE}


@dataclass(frozen=True, slots=True)
class Mark:
    """A word at a place in the picture (x to the right, y down, metres)."""

    x: float
    y: float
    text: str
    layer: Layer


@dataclass(frozen=True, slots=True)
class BirdsEye:
    """A picture in metres: x to the right, y down, the rear axle at the origin, ahead is up.

    Attributes:
        left, top, width, height: The window.
        shapes, marks: Drawn in order.
        grid: ``d`` of lines every ``GRID_M``.
    """

    left: float
    top: float
    width: float
    height: float
    shapes: tuple[Shape, ...]
    marks: tuple[Mark, ...]
    grid: str


def birds_eye(view: ClipView) -> BirdsEye:
    """Everything known of the clip, in a window that holds every path."""
    left, top, width, height = _window(view)
    low, high = (left, top), (left + width, top + height)
    shapes: list[Shape] = []
    marks: list[Mark] = []
    if view.truth is not None:
        shapes += _map_shapes(view.truth, low, high)
        for box in boxes_now(view.truth):
            shapes += _box_shapes(box, Layer.LABELS, Ink.LINE, box.category, low, high)
    shapes.append(_ego())
    shapes += _paths(view)
    main = next(iter(view.decisions.values()), None)
    for found in main.detections if main is not None else ():
        ink = Ink.DASHED if found.verdict is Verdict.DROPPED else Ink.LINE
        title = f"{found.verdict.value} {found.box.id} {found.box.category}"
        drawn = _box_shapes(found.box, Layer.SEEN, ink, title, low, high)
        shapes += drawn
        if drawn and found.box.id:
            x, y = _up(found.box.center_ego_m[None, :2])[0]
            marks.append(Mark(float(x) + 1.2, float(y) - 1.0, found.box.id, Layer.SEEN))
    grid, scale = _grid(low, high)
    return BirdsEye(left, top, width, height, tuple(shapes), (*scale, *marks), grid)


def _up(xy_ego_m: Floats) -> Floats:
    """Ego axes (x ahead, y left) turned into the picture's (x right, y down)."""
    return np.column_stack([-xy_ego_m[:, 1], -xy_ego_m[:, 0]])


def _window(view: ClipView) -> tuple[float, float, float, float]:
    paths = [d.plan.xy_ego_m for d in view.decisions.values() if d.plan is not None]
    if view.truth is not None:
        paths.append(driven_path(view.truth.future_path()[0]))
    points = np.vstack([np.zeros((1, 2)), *paths])
    ahead = min(max(LEAST_AHEAD_M, float(points[:, 0].max()) + 6.0), MOST_AHEAD_M)
    aside = min(float(np.abs(points[:, 1]).max()) + 4.0, MOST_AHEAD_M / 2)
    height = max(ahead + BEHIND_M, 2 * aside / ASPECT)
    width = ASPECT * height
    return -width / 2, -height + BEHIND_M, width, height


def _ego() -> Shape:
    rear, front = CENTER_M - LENGTH_M / 2, CENTER_M + LENGTH_M / 2
    half = WIDTH_M / 2
    body = np.array([[front, half], [front, -half], [rear, -half], [rear, half]])
    return Shape(Layer.EGO, Ink.AREA, svg_lines([_up(body)], closed=True, digits=2), "ego")


def _map_shapes(
    truth: Truth, low: tuple[float, float], high: tuple[float, float]
) -> Iterator[Shape]:
    if not truth.map_polygons:
        return
    import shapely  # only a recording with a map needs it

    ego_from_global = truth.now.global_from_ego.inverse().planar()
    window = shapely.box(low[0] - GRID_M, low[1] - GRID_M, high[0] + GRID_M, high[1] + GRID_M)

    def from_above(xy_global_m: Floats) -> Floats:
        return _up(ego_from_global.apply(xy_global_m))

    for layer, ink in _MAP_LAYERS.items():
        for polygon in truth.map_polygons.get(layer, ()):
            flat = shapely.make_valid(shapely.transform(shapely.force_2d(polygon), from_above))
            for piece in shapely.get_parts(shapely.intersection(flat, window)):
                if isinstance(piece, shapely.Polygon):
                    rings = [np.asarray(r.coords)[:-1] for r in (piece.exterior, *piece.interiors)]
                    yield Shape(Layer.MAP, ink, svg_lines(rings, closed=True), layer)


def _box_shapes(
    box: Box3,
    layer: Layer,
    ink: Ink,
    title: str,
    low: tuple[float, float],
    high: tuple[float, float],
) -> list[Shape]:
    corners, nose = (_up(points) for points in outline(box))
    if not bounds_hit(corners, low, high):
        return []
    path = svg_lines([corners], closed=True, digits=2) + svg_lines([nose], closed=False, digits=2)
    return [Shape(layer, ink, path, title)]


def _paths(view: ClipView) -> list[Shape]:
    ways = []
    for k, (name, decision) in reversed(list(enumerate(view.decisions.items()))):
        if decision.plan is not None:
            layer = Layer.OTHERS if k else Layer.PLAN
            ways.append((layer, driven_path(decision.plan.xy_ego_m), name, k))
    if view.truth is not None:
        ways.append((Layer.TRUTH, driven_path(view.truth.future_path()[0]), "recorded", 0))
    ways.sort(key=lambda way: DRAWN_LAST.index(way[0]))
    if view.clip.prior is not None:
        path = view.clip.prior.plan.xy_ego_m
        ways.insert(0, (Layer.OTHERS, path, "prior plan", 0))
    past = _past(view.clip)
    shapes = [past] if past is not None else []
    for layer, path, name, k in ways:
        line = svg_lines([_up(path)], closed=False, digits=2)
        ink = Ink.DASHED if name == "prior plan" else Ink.LINE
        shapes.append(Shape(layer, ink, line, name, k))
        dots = path if name == "prior plan" else path[1:]
        shapes.append(Shape(layer, Ink.DOTS, svg_dots(_up(dots), digits=2), name, k))
    return shapes


def _past(clip: Clip) -> Shape | None:
    if clip.history is None or len(clip.history.stamp_us) < 2:
        return None
    line = svg_lines([_up(clip.history.xy_ego_m)], closed=False, digits=2)
    return Shape(Layer.EGO, Ink.DASHED, line, "past")


def _grid(low: tuple[float, float], high: tuple[float, float]) -> tuple[str, list[Mark]]:
    across = np.arange(np.ceil(low[0] / GRID_M), high[0] / GRID_M) * GRID_M
    down = np.arange(np.ceil(low[1] / GRID_M), high[1] / GRID_M) * GRID_M
    lines = [np.array([[x, low[1]], [x, high[1]]]) for x in across]
    lines += [np.array([[low[0], y], [high[0], y]]) for y in down]
    marks = [Mark(low[0] + 0.6, float(y) - 0.5, f"{0.0 - y:.0f} m", Layer.MAP) for y in down]
    return svg_lines(lines, closed=False), marks
