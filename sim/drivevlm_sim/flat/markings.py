"""What is painted on the ground of the flat town: surfaces, kerbs and road markings."""

from __future__ import annotations

import numpy as np
from shapely import Polygon, box

from drivevlm.world.pose import Floats
from drivevlm_sim.flat.painter import GroundPaint
from drivevlm_sim.flat.streets import (
    ARMS,
    BAY_M,
    CENTER_M,
    CROSSING_X_M,
    LANE_M,
    MAIN_M,
    WALKWAY_M,
    far_m,
    half_width_m,
    paved_area,
    reach_m,
    strip,
    widened,
)
from drivevlm_sim.map_layers import MapLayers

ASPHALT, CONCRETE, KERB = (74, 76, 80), (158, 156, 150), (188, 187, 182)
WHITE, YELLOW, BAY_GREY = (228, 228, 224), (222, 180, 52), (88, 88, 90)
KERB_M = 0.25


def paints(layers: MapLayers) -> tuple[GroundPaint, ...]:
    """What is painted on the ground, from the bottom up."""
    (road,), (bay,) = layers.drivable_area, layers.carparks
    paved = paved_area(road, bay)
    stop_lines = [_ring(line.polygon) for line in layers.stop_lines]
    white = [*_dashes(), *_edge_lines(), *_zebra(), *_bay_lines(), *stop_lines]
    return (
        GroundPaint(CONCRETE, (_ring(widened(paved, WALKWAY_M)),)),
        GroundPaint(KERB, (_ring(widened(paved, KERB_M)),)),
        GroundPaint(ASPHALT, (_ring(road),)),
        GroundPaint(BAY_GREY, (_ring(bay),)),
        GroundPaint(WHITE, tuple(white)),
        GroundPaint(YELLOW, tuple(_middle_lines())),
    )


def _dashes() -> list[Floats]:
    dashes: list[Floats] = []
    for arm in ("west", "east"):
        starts = np.arange(reach_m(arm) + 1.0, far_m(arm) - 3.0, 9.0)
        for left in (-LANE_M, LANE_M):
            dashes.extend(strip(arm, (a, a + 3.0), (left - 0.07, left + 0.07)) for a in starts)
    return dashes


def _edge_lines() -> list[Floats]:
    lines = []
    for arm in ARMS:
        edge = half_width_m(arm) - 0.3
        for left in (-edge, edge):
            span = (reach_m(arm), far_m(arm))
            lines.append(strip(arm, span, (left - 0.06, left + 0.06)))
    return lines


def _middle_lines() -> list[Floats]:
    return [
        strip(arm, (reach_m(arm), far_m(arm)), (left - 0.06, left + 0.06))
        for arm in ARMS
        for left in (-0.14, 0.14)
    ]


def _zebra() -> list[Floats]:
    low, high = CROSSING_X_M
    ys = np.arange(CENTER_M[1] - MAIN_M + 0.5, CENTER_M[1] + MAIN_M - 0.6, 1.2)
    stripes = [box(low, y, high, y + 0.6) for y in ys]
    return [_ring(stripe) for stripe in stripes]


def _bay_lines() -> list[Floats]:
    low_y, high_y = CENTER_M[1] - MAIN_M - BAY_M[2], CENTER_M[1] - MAIN_M
    lines = [box(x, low_y, x + 0.12, high_y) for x in np.arange(BAY_M[0], BAY_M[1] + 0.1, 6.0)]
    return [_ring(line) for line in lines]


def _ring(area: Polygon) -> Floats:
    return np.array(area.exterior.coords)[:-1]
