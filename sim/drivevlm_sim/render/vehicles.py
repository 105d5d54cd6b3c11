"""Meshes of cars, trucks and buses; they look along x and are stretched to their boxes later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.render.shapes import (
    Lamp,
    Material,
    Vertices,
    both_sides,
    box,
    cap,
    faces,
    quad,
    rod,
)

# S: cross-sections of a car, from its rear to its nose.
PAINT = Material(gloss=0.30, tinted=True)
GLASS = Material((0.035, 0.045, 0.055), gloss=0.42)
TYRE = Material((0.025, 0.025, 0.028))
RIM = Material((0.42, 0.43, 0.45), gloss=0.2)
BLACK = Material((0.03, 0.03, 0.033))
PLATE = Material((0.75, 0.75, 0.70))
CHROME = Material((0.30, 0.31, 0.33), gloss=0.3)
BRAKE = Material((0.30, 0.012, 0.012), gloss=0.1, lamp=Lamp.BRAKE)
LEFT = Material((0.40, 0.17, 0.02), gloss=0.1, lamp=Lamp.LEFT)
HEADLAMP = Material((0.80, 0.82, 0.84), gloss=0.3, lamp=Lamp.HEAD)

Station = tuple[float, float, float, float, float, float]
"""Along x; heights of sill, belt and top; half widths at the belt and at the top."""

_SEDAN: tuple[Station, ...] = (
    (-2.31, 0.31, 0.78, 0.84, 0.86, 0.80),
    (-2.25, 0.19, 0.92, 1.00, 0.92, 0.83),
    (-1.80, 0.17, 0.96, 1.08, 0.95, 0.80),
    (-1.32, 0.15, 0.96, 1.42, 0.95, 0.72),
    (0.45, 0.15, 0.95, 1.48, 0.95, 0.72),
    (1.22, 0.15, 0.94, 1.05, 0.95, 0.81),
    (2.10, 0.17, 0.82, 0.90, 0.93, 0.81),
    (2.31, 0.23, 0.66, 0.72, 0.84, 0.78),
)
_SUV: tuple[Station, ...] = (
    (-2.36, 0.31, 1.00, 1.08, 0.93, 0.86),
    (-2.31, 0.25, 1.06, 1.14, 0.97, 0.87),
    (-2.15, 0.23, 1.07, 1.66, 0.98, 0.79),
    (-0.60, 0.21, 1.06, 1.72, 0.99, 0.79),
    (0.50, 0.21, 1.04, 1.68, 0.99, 0.78),
    (1.20, 0.21, 1.02, 1.14, 0.98, 0.85),
    (2.24, 0.23, 0.95, 1.05, 0.96, 0.85),
    (2.36, 0.29, 0.78, 0.88, 0.88, 0.82),
)
_VAN: tuple[Station, ...] = (
    (-2.66, 0.28, 1.15, 1.20, 0.98, 0.96),
    (-2.62, 0.24, 1.18, 2.16, 1.01, 0.93),
    (-0.30, 0.22, 1.18, 2.20, 1.02, 0.93),
    (1.25, 0.22, 1.18, 2.15, 1.02, 0.91),
    (2.10, 0.22, 1.10, 1.26, 1.00, 0.89),
    (2.57, 0.24, 0.94, 1.06, 0.97, 0.88),
    (2.66, 0.32, 0.74, 0.84, 0.90, 0.84),
)


def sedan() -> Vertices:
    """A saloon."""
    parts = [_hull(_SEDAN, roof=(3, 4)), _pillars(_SEDAN, (-0.42,), 3)]
    parts += _wheels((-1.40, 1.38), 0.335, 0.965)
    parts += _rear_lamps(-2.325, 0.82, 0.66, 0.86, wide_m=0.40)
    parts += _front(2.315, 0.84, 0.56, 0.72)
    parts.append(box((-1.45, -0.16, 1.28), (-1.36, 0.16, 1.37), BRAKE))
    return np.concatenate(parts)


def suv() -> Vertices:
    """A tall car."""
    parts = [_hull(_SUV, roof=(2, 3, 4)), _pillars(_SUV, (-1.35, -0.30), 3)]
    parts += _wheels((-1.40, 1.42), 0.37, 1.002)
    parts += _rear_lamps(-2.37, 0.87, 0.82, 1.06, wide_m=0.30)
    parts += _front(2.365, 0.87, 0.70, 0.90)
    parts.append(box((-2.28, -0.18, 1.48), (-2.16, 0.18, 1.56), BRAKE))
    return np.concatenate(parts)


def van() -> Vertices:
    """A delivery van: windows only round the driver."""
    parts = [_hull(_VAN, roof=(1, 2, 3), blind_until=0.2)]
    parts += _wheels((-1.60, 1.65), 0.36, 1.032)
    parts += _rear_lamps(-2.66, 0.90, 0.75, 1.12, wide_m=0.16)
    parts += _front(2.665, 0.91, 0.66, 0.84)
    rear = [(-2.67, 0.1, 1.30), (-2.67, 0.72, 1.30), (-2.635, 0.66, 1.85), (-2.635, 0.1, 1.85)]
    parts.append(both_sides(quad(rear[1], rear[0], rear[3], rear[2], GLASS)))
    parts.append(box((-2.66, -0.20, 2.02), (-2.58, 0.20, 2.10), BRAKE))
    return np.concatenate(parts)


def truck() -> Vertices:
    """A box truck: white box, coloured cab."""
    white = Material((0.80, 0.80, 0.78), gloss=0.1)
    parts = [
        box((-4.0, -1.25, 0.95), (1.75, 1.25, 3.30), white),
        box((-3.9, -0.55, 0.50), (3.6, 0.55, 0.95), BLACK),
        box((1.95, -1.20, 0.45), (3.92, 1.20, 1.45), PAINT),
        box((1.95, -1.18, 1.45), (3.80, 1.18, 2.65), PAINT),
        quad((3.94, -1.05, 1.52), (3.94, 1.05, 1.52), (3.82, 1.0, 2.45), (3.82, -1.0, 2.45), GLASS),
        both_sides(box((2.55, 1.15, 1.52), (3.60, 1.21, 2.30), GLASS)),
        box((3.85, -1.18, 0.42), (4.00, 1.18, 0.62), BLACK),
        both_sides(box((3.88, 0.72, 0.66), (3.97, 1.12, 0.88), HEADLAMP)),
        both_sides(box((3.86, 1.00, 0.90), (3.97, 1.20, 1.02), LEFT)),
        both_sides(box((-4.00, 0.62, 0.66), (-3.93, 1.05, 0.92), BRAKE)),
        both_sides(box((-4.00, 1.06, 0.66), (-3.93, 1.25, 0.92), LEFT)),
        box((-4.00, -0.30, 0.66), (-3.95, 0.30, 0.80), PLATE),
        box((-4.00, -1.25, 0.60), (-3.95, 1.25, 0.66), BLACK),
        quad(
            (-4.002, 0.02, 1.0),
            (-4.002, -0.02, 1.0),
            (-4.002, -0.02, 3.2),
            (-4.002, 0.02, 3.2),
            BLACK,
        ),
    ]
    parts += _wheels((-2.9, -1.75, 2.85), 0.48, 1.20, arches=False)
    return np.concatenate(parts)


def bus() -> Vertices:
    """A city bus with a door side and a big windscreen."""
    pale = Material((0.70, 0.70, 0.68), gloss=0.2)
    parts = [
        box((-5.5, -1.28, 0.32), (5.5, 1.28, 1.25), PAINT),
        box((-5.48, -1.26, 1.25), (5.44, 1.26, 2.55), GLASS),
        box((-5.5, -1.28, 2.55), (5.47, 1.28, 3.02), pale),
        box((-4.6, -0.9, 3.02), (2.2, 0.9, 3.10), pale),
        box((-5.5, -1.28, 1.25), (-5.2, 1.28, 2.55), pale),
        quad(
            (-5.502, 0.95, 1.6),
            (-5.502, -0.95, 1.6),
            (-5.502, -0.95, 2.4),
            (-5.502, 0.95, 2.4),
            GLASS,
        ),
        quad((5.502, -0.8, 2.62), (5.502, 0.8, 2.62), (5.48, 0.8, 2.92), (5.48, -0.8, 2.92), BLACK),
        both_sides(box((5.44, 0.72, 0.55), (5.50, 1.16, 0.80), HEADLAMP)),
        both_sides(box((5.42, 1.00, 0.84), (5.50, 1.285, 0.98), LEFT)),
        both_sides(box((-5.51, 0.78, 0.70), (-5.46, 1.24, 1.10), BRAKE)),
        both_sides(box((-5.51, 0.92, 1.14), (-5.46, 1.285, 1.34), LEFT)),
        box((-5.51, -0.18, 2.70), (-5.46, 0.18, 2.84), BRAKE),
        box((-5.51, -0.28, 0.62), (-5.48, 0.28, 0.76), PLATE),
    ]
    for x in np.linspace(-3.9, 4.6, 7):
        parts.append(both_sides(box((x, 1.24, 1.25), (x + 0.12, 1.275, 2.55), pale)))
    for x in (-0.6, 3.6):
        door = box((x, -1.29, 0.42), (x + 1.15, -1.26, 2.45), GLASS)
        parts.append(door)
    parts += _wheels((-2.9, 3.0), 0.48, 1.25, arches=False)
    return np.concatenate(parts)


def _hull(
    stations: Sequence[Station], *, roof: tuple[int, ...], blind_until: float = -9.0
) -> Vertices:
    """Body and cabin as a skin over cross-sections; glass between the belt and the roof."""
    first, last = min(roof), max(roof)
    rings = np.array([_ring(station) for station in stations])
    parts = [cap(rings[0][::-1], (-1.0, 0.0, 0.0), PAINT), cap(rings[-1], (1.0, 0.0, 0.0), PAINT)]
    for k in range(len(stations) - 1):
        here, there = rings[k], rings[k + 1]
        slope = k in (first - 1, last)
        cabin = first <= k < last
        blind = stations[k + 1][0] < blind_until
        for j in range(len(here)):
            after = (j + 1) % len(here)
            side, top = j in (2, 6), j in (3, 4, 5)
            material = PAINT
            if not blind and ((slope and top) or (cabin and side)):
                material = GLASS
            elif j == 8 or j in (0, 9):
                material = BLACK if j == 9 else PAINT
            parts.append(_face(here[j], there[j], there[after], here[after], material))
    return np.concatenate(parts)


def _ring(station: Station) -> Floats:
    """(10, 3) the outline of one cross-section, from the right sill round over the top."""
    x, sill, belt, top, wide, narrow = station
    middle = sill + 0.55 * (belt - sill)
    half = [
        (wide * 0.93, sill),
        (wide, middle),
        (wide * 0.97, belt),
        (narrow, top - 0.03),
        (narrow * 0.55, top),
    ]
    right = [(x, y, z) for y, z in half]
    left = [(x, -y, z) for y, z in reversed(half)]
    return np.array(right + left)


def _face(a: Floats, b: Floats, c: Floats, d: Floats, material: Material) -> Vertices:
    return faces(np.array([[a, d, c, b]]), material)


def _pillars(stations: Sequence[Station], at: tuple[float, ...], row: int) -> Vertices:
    """Painted posts between the side windows."""
    _, _, belt, top, wide, narrow = stations[row]
    posts = []
    for x in at:
        low, high = wide * 0.97 + 0.006, narrow + 0.006
        posts.append(
            quad(
                (x + 0.06, low, belt),
                (x - 0.06, low, belt),
                (x - 0.06, high, top - 0.04),
                (x + 0.06, high, top - 0.04),
                PAINT,
            )
        )
    return both_sides(np.concatenate(posts))


def _wheels(
    at: tuple[float, ...], radius_m: float, half_width_m: float, *, arches: bool = True
) -> list[Vertices]:
    parts = []
    for x in at:
        inner, outer = half_width_m - 0.20, half_width_m
        hub = (x, outer - 0.005, radius_m), (x, outer + 0.012, radius_m)
        parts.append(rod((x, inner, radius_m), (x, outer, radius_m), radius_m, TYRE, sides=14))
        parts.append(rod(*hub, radius_m * 0.62, RIM, sides=10))
        if arches:
            angle = np.linspace(-0.25, np.pi + 0.25, 10)
            arch = np.stack(
                [
                    x + radius_m * 1.2 * np.cos(angle),
                    np.full(10, outer - 0.01),
                    radius_m + radius_m * 1.2 * np.sin(angle),
                ],
                -1,
            )
            parts.append(cap(arch, (0.0, 1.0, 0.0), BLACK))
    return [both_sides(np.concatenate(parts))]


def _rear_lamps(
    x: float, half_width_m: float, low: float, high: float, *, wide_m: float
) -> list[Vertices]:
    """Brake lamps with the indicators outside, the plate and the bumper."""
    inner, outer = half_width_m - wide_m, half_width_m
    return [
        both_sides(box((x - 0.02, inner, low), (x + 0.12, outer, high), BRAKE)),
        both_sides(box((x - 0.02, outer, low), (x + 0.30, outer + 0.11, high), LEFT)),
        box((x - 0.025, -0.26, low - 0.12), (x + 0.05, 0.26, low - 0.01), PLATE),
        box((x - 0.03, -half_width_m - 0.06, 0.22), (x + 0.2, half_width_m + 0.06, 0.44), BLACK),
    ]


def _front(x: float, half_width_m: float, low: float, high: float) -> list[Vertices]:
    """Headlamps with the indicators outside, the grille and the bumper."""
    return [
        both_sides(
            box((x - 0.25, half_width_m - 0.36, low), (x + 0.01, half_width_m, high), HEADLAMP)
        ),
        both_sides(box((x - 0.40, half_width_m, low), (x - 0.06, half_width_m + 0.11, high), LEFT)),
        box(
            (x - 0.2, -half_width_m + 0.40, low - 0.02),
            (x + 0.02, half_width_m - 0.40, high),
            CHROME,
        ),
        box((x - 0.2, -half_width_m - 0.04, 0.20), (x + 0.03, half_width_m + 0.04, 0.42), BLACK),
        box((x - 0.02, -0.26, 0.45), (x + 0.035, 0.26, 0.56), PLATE),
    ]
