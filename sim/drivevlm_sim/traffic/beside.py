"""Where bodies and points lie along and beside a line."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import LineString

from drivevlm.world.pose import Floats

_BODY_POINTS = 9  # along a body, from its tail to its front


def meets_m(line: LineString, middle_m: Floats, half_m: Floats, within_m: float) -> float:
    """How far along a line a body first comes so near to it, which need not be at its tail.

    The body is a stretch: its middle (2,), and (2,) from there to its front.
    """
    points = shapely.points(middle_m + np.linspace(-1.0, 1.0, _BODY_POINTS)[:, None] * half_m)
    at_m = np.asarray(shapely.line_locate_point(line, points))
    near = np.asarray(shapely.distance(line, points)) < within_m
    return float(at_m[near].min() if near.any() else at_m.min())


def left_m(line_m: Floats, xy_m: Floats) -> Floats:
    """How far (K, 2) points lie to the left of a line: (K,)."""
    start, step = line_m[:-1], np.diff(line_m, axis=0)
    length2 = np.maximum((step**2).sum(axis=1), 1e-12)
    off = xy_m[:, None] - start
    share = np.clip((off * step).sum(axis=2) / length2, 0, 1)
    away = off - share[..., None] * step
    nearest = np.argmin((away**2).sum(axis=2), axis=1)
    along, off = step[nearest], off[np.arange(len(xy_m)), nearest]
    left_m: Floats = (along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]) / np.sqrt(length2[nearest])
    return left_m
