"""Houses along the streets."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from shapely import Polygon, box, prepare
from shapely.geometry.base import BaseGeometry

from drivevlm_sim.town.net import SIDEWALK_M
from drivevlm_sim.town.signals import beside_road
from drivevlm_sim.town.street import Approach, rectangle
from drivevlm_sim.town.town import Building

SETBACK_M = 2.6
"""From the sidewalk to the walls: trees stand there."""
APART_M = 1.5
HEIGHTS_M = (4.0, 7.0, 10.0, 13.0, 16.0, 22.0, 28.0)
WALLS = (
    (0.62, 0.55, 0.48),
    (0.52, 0.30, 0.24),
    (0.70, 0.68, 0.64),
    (0.45, 0.47, 0.50),
    (0.60, 0.50, 0.36),
    (0.36, 0.40, 0.46),
)
TRIES = 3
"""Widths tried at a place before it stays empty."""


def buildings(
    streets: tuple[Approach, ...],
    *,
    paved: BaseGeometry,
    driven: BaseGeometry,
    size_m: tuple[float, float],
    rng: Generator,
) -> tuple[Building, ...]:
    """Rows of houses with their fronts along the streets, clear of each other.

    ``paved`` is all that is not land; ``driven`` the part of it without sidewalks.
    """
    land = box(1.0, 1.0, size_m[0] - 1.0, size_m[1] - 1.0).difference(paved.buffer(1.2))
    prepare(land)
    placed = _Placed()
    for street in streets:
        if street.control is None and not street.connectors:
            _close_view(street, land, placed, rng)
    for street in streets:
        middle = street.pose_at(street.length_m / 2)
        _, kerb_m = beside_road(middle, outward=-street.inward, driven=driven, clear_m=0.1)
        front_m = abs(kerb_m) + SIDEWALK_M + SETBACK_M
        run_m = float(rng.uniform(0, 4))
        while run_m < street.length_m - 4:
            taken = _house(street, (run_m, front_m), land, placed, rng)
            run_m += taken if taken else 6.0
    return tuple(placed.houses)


def _close_view(street: Approach, land: BaseGeometry, placed: _Placed, rng: Generator) -> None:
    """A house across the end of a street that leads out of the town."""
    near, depth, half = float(rng.uniform(8, 12)), float(rng.uniform(9, 14)), 16.0
    corners = rectangle(near, near + depth, -half, half)
    _put_up(Polygon(street.end.apply(corners)), land, placed, rng)


class _Placed:
    """Houses so far, and their bounds for a quick look."""

    def __init__(self) -> None:
        self.houses: list[Building] = []
        self._bounds: NDArray[np.float64] = np.zeros((0, 4))

    def add(self, house: Building) -> None:
        self.houses.append(house)
        self._bounds = np.vstack([self._bounds, house.polygon.bounds])

    def touch(self, polygon: Polygon) -> bool:
        low_x, low_y, high_x, high_y = polygon.bounds
        bounds = self._bounds
        near = (
            (bounds[:, 0] < high_x)
            & (bounds[:, 2] > low_x)
            & (bounds[:, 1] < high_y)
            & (bounds[:, 3] > low_y)
        )
        return any(self.houses[k].polygon.intersects(polygon) for k in np.flatnonzero(near))


def _house(
    street: Approach,
    place_m: tuple[float, float],
    land: BaseGeometry,
    placed: _Placed,
    rng: Generator,
) -> float:
    """Put one up, its corner so far along the street and its front so far off its kerb lane.

    Returns the length of street that it takes, 0 where none fits.
    """
    run_m, front = place_m
    for _ in range(TRIES):
        width, depth = float(rng.uniform(9, 22)), float(rng.uniform(9, 16))
        at = street.pose_at(min(run_m + width / 2, street.length_m))
        corners = rectangle(-width / 2, width / 2, front, front + depth) * (1.0, -street.inward)
        polygon = Polygon(at.apply(corners))
        if _put_up(polygon, land, placed, rng):
            return width + APART_M
    return 0.0


def _put_up(polygon: Polygon, land: BaseGeometry, placed: _Placed, rng: Generator) -> bool:
    """Whether there was room."""
    if not land.contains(polygon) or placed.touch(polygon.buffer(APART_M, quad_segs=1)):
        return False
    shade = float(rng.uniform(0.85, 1.1))
    red, green, blue = (v * shade for v in WALLS[int(rng.integers(len(WALLS)))])
    placed.add(Building(polygon, float(rng.choice(HEIGHTS_M)), (red, green, blue)))
    return True
