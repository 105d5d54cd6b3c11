"""Meshes of what stands beside a road: trees, lamps, signal heads, signs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from drivevlm_sim.render.shapes import (
    Lamp,
    Layer,
    Material,
    Vertices,
    box,
    cap,
    ellipsoid,
    faces,
    rod,
    vec,
)
from drivevlm_sim.render.textures import SIGN_CELLS, sign_uv

METAL = Material((0.20, 0.21, 0.22), gloss=0.1)
BARK = Material((0.12, 0.085, 0.055))
HOUSING = Material((0.012, 0.013, 0.014))
BACKPLATE = Material((0.02, 0.021, 0.022))

HEAD_SCALE = 4.0 / 3.0
"""Signal heads are a third larger than life: cameras of 448 pixels must read them."""
LENS_M = 0.30 * HEAD_SCALE
"""Diameter of a lamp of a signal head."""
LENS_PITCH_M = 0.34 * HEAD_SCALE
"""Red is so far above the middle of its head, green so far below."""
HEAD_SIZE_M = (0.30, 0.38 * HEAD_SCALE, 1.05 * HEAD_SCALE)
"""Depth, width and height of a head's housing."""

MAST_M, POST_M = 5.8, 3.5
"""Heights of the poles of signals."""
LAMP_HEIGHT_M = 7.2
LAMP_ARM_M = 1.8
"""A street lamp shines from so high, so far ahead of its foot."""


def signal_head() -> Vertices:
    """Three lamps in a housing with its middle at the origin, looking along x; red on top."""
    depth, width, height = (side / 2 for side in HEAD_SIZE_M)
    front = 0.10
    parts = [
        box((front - 2 * depth, -width, -height), (front, width, height), HOUSING),
        box(
            (front - 0.16, -width - 0.10, -height - 0.10),
            (front - 0.12, width + 0.10, height + 0.10),
            BACKPLATE,
        ),
    ]
    angle = np.arange(16) * 2 * np.pi / 16
    for lamp, z, rgb in (
        (Lamp.RED, LENS_PITCH_M, (0.06, 0.006, 0.006)),
        (Lamp.AMBER, 0.0, (0.05, 0.03, 0.004)),
        (Lamp.GREEN, -LENS_PITCH_M, (0.004, 0.035, 0.02)),
    ):
        radius = LENS_M / 2
        lens = np.stack(
            [np.full(16, front + 0.01), radius * np.cos(angle), z + radius * np.sin(angle)], -1
        )
        parts.append(cap(lens, (1.0, 0.0, 0.0), Material(rgb, gloss=0.1, lamp=lamp)))
        half = angle[:9]  # the upper half
        near = np.stack(
            [
                np.full(9, front),
                (radius + 0.015) * np.cos(half),
                z + (radius + 0.015) * np.sin(half),
            ],
            -1,
        )
        far = near + vec(0.16, 0.0, 0.0)
        hood = np.stack([near[:-1], near[1:], far[1:], far[:-1]], 1)
        parts += [faces(hood, HOUSING), faces(hood[:, ::-1], HOUSING)]
    return np.concatenate(parts)


def far_tree(variant: int) -> Vertices:
    """A tree with coarser leaves."""
    return tree(variant, sides=5, rows=3)


def tree(variant: int, sides: int = 8, rows: int = 5) -> Vertices:
    """A leafy tree, or a fir for every fourth; ``sides`` and ``rows`` of each lump of leaves."""
    rng = np.random.default_rng([71, variant])
    height = float(rng.uniform(5.0, 7.5))
    if variant % 4 == 3:
        leaves = Material((0.05, 0.115, 0.05), Layer.LEAVES, metres=2.0)
        parts = [rod((0, 0, 0), (0, 0, 1.4), 0.16, BARK, 0.12)]
        for k in range(4):
            low, wide = 0.9 + k * height * 0.21, 1.75 - 0.38 * k
            parts.append(rod((0, 0, low), (0, 0, low + height * 0.36), wide, leaves, 0.04, 10))
        return np.concatenate(parts)
    parts = [rod((0, 0, 0), (0, 0, height * 0.6), 0.17, BARK, 0.09)]
    for _ in range(3):
        turn = rng.uniform(0, 2 * np.pi)
        end = (np.cos(turn) * 0.9, np.sin(turn) * 0.9, height * 0.68)
        parts.append(rod((0, 0, height * 0.42), end, 0.07, BARK, 0.04, 5))
    for k in range(7):
        rng = np.random.default_rng([72, variant, k])
        turn = k * 2.4 + rng.uniform(-0.4, 0.4)
        away = 0.0 if k == 0 else rng.uniform(0.7, 1.35)
        centre = (
            np.cos(turn) * away,
            np.sin(turn) * away,
            height * (0.82 if k == 0 else rng.uniform(0.54, 0.80)),
        )
        wide = rng.uniform(0.85, 1.25) if k else 1.35
        green = np.array([0.085, 0.17, 0.04]) * rng.uniform(0.75, 1.25)
        bumps = rng.uniform(0.78, 1.18, (rows + 1, sides))
        bumps[[0, -1]] = 1.0
        leaves = Material((green[0], green[1], green[2]), Layer.LEAVES, metres=2.0)
        parts.append(ellipsoid(centre, (wide, wide, wide * 0.85), leaves, sides, rows, bumps))
    return np.concatenate(parts)


def lamp_post(_: int) -> Vertices:
    """A street lamp with its arm along x."""
    shine = Material((0.6, 0.58, 0.5), lamp=Lamp.STREET)
    top = LAMP_HEIGHT_M
    return np.concatenate(
        [
            rod((0, 0, 0), (0, 0, top), 0.11, METAL, 0.07),
            rod((0, 0, top - 0.05), (LAMP_ARM_M, 0, top + 0.1), 0.05, METAL, sides=6),
            box(
                (LAMP_ARM_M - 0.35, -0.14, top + 0.03), (LAMP_ARM_M + 0.35, 0.14, top + 0.17), METAL
            ),
            box(
                (LAMP_ARM_M - 0.30, -0.11, top - 0.01), (LAMP_ARM_M + 0.30, 0.11, top + 0.03), shine
            ),
        ]
    )


def pole(variant: int) -> Vertices:
    """Carries signal heads: a mast whose arm is added to it, or (variant 1) a short post."""
    height, radius = ((MAST_M, 0.12), (POST_M, 0.07))[variant]
    return rod((0, 0, 0), (0, 0, height), radius, METAL, radius * 0.75)


def signal_arm() -> Vertices:
    """A mast's arm, 1 m along y: stretched to its reach."""
    z = MAST_M - 0.2
    return rod((0, 0, z), (0, 1.0, z), 0.07, METAL, 0.05)


def stop_sign(_: int) -> Vertices:
    """An octagon."""
    return _sign("stop", np.arange(8) * np.pi / 4 + np.pi / 8, 0.46, 2.35)


def yield_sign(_: int) -> Vertices:
    """A triangle that stands on its tip."""
    return _sign("yield", np.array([np.pi / 6, 5 * np.pi / 6, 3 * np.pi / 2]), 0.55, 2.30)


def speed_sign(variant: int) -> Vertices:
    """A disc with the limit in km/h, which is the variant."""
    cell = f"limit_{variant}" if f"limit_{variant}" in SIGN_CELLS else "limit_50"
    return _sign(cell, np.arange(20) * np.pi / 10, 0.40, 2.35)


def hydrant(_: int) -> Vertices:
    """Red and knee-high."""
    red = Material((0.45, 0.02, 0.015), gloss=0.1)
    return np.concatenate(
        [
            rod((0, 0, 0), (0, 0, 0.55), 0.13, red, 0.12),
            ellipsoid((0, 0, 0.58), (0.14, 0.14, 0.14), red),
            rod((0, -0.22, 0.40), (0, 0.22, 0.40), 0.06, red, sides=6),
        ]
    )


def bench(_: int) -> Vertices:
    """Looks along x."""
    wood = Material((0.20, 0.11, 0.05))
    return np.concatenate(
        [
            box((-0.22, -0.8, 0.40), (0.22, 0.8, 0.46), wood),
            box((-0.27, -0.8, 0.50), (-0.22, 0.8, 0.85), wood),
            box((-0.25, -0.7, 0.0), (0.20, -0.62, 0.40), METAL),
            box((-0.25, 0.62, 0.0), (0.20, 0.7, 0.40), METAL),
        ]
    )


def bin_(_: int) -> Vertices:
    """A litter bin."""
    return rod((0, 0, 0), (0, 0, 0.95), 0.24, Material((0.06, 0.12, 0.09)), 0.28, 10)


def cone(_: int) -> Vertices:
    """A traffic cone."""
    orange = Material((0.80, 0.16, 0.015))
    return np.concatenate(
        [
            rod((0, 0, 0.03), (0, 0, 0.75), 0.17, orange, 0.03, 10),
            rod((0, 0, 0.36), (0, 0, 0.52), 0.118, Material((0.8, 0.8, 0.8)), 0.084, 10),
            box((-0.22, -0.22, 0.0), (0.22, 0.22, 0.04), orange),
        ]
    )


PROPS: Mapping[str, tuple[Callable[[int], Vertices], int]] = {
    "tree": (tree, 8),
    "far_tree": (far_tree, 8),
    "lamp": (lamp_post, 1),
    "pole": (pole, 2),
    "stop_sign": (stop_sign, 1),
    "yield_sign": (yield_sign, 1),
    "speed_sign": (speed_sign, 0),
    "hydrant": (hydrant, 1),
    "bench": (bench, 1),
    "bin": (bin_, 1),
    "cone": (cone, 1),
}
"""By kind of prop: its mesh for a variant, and how many variants differ (0: each)."""


def _sign(
    cell: str, angle: np.ndarray[tuple[int], np.dtype[np.float64]], radius_m: float, z: float
) -> Vertices:
    """A plate on a post, with its picture on the front and grey behind."""
    y, up = radius_m * np.cos(angle), radius_m * np.sin(angle)
    plate = np.stack([np.full(len(y), 0.06), y, z + up], -1)
    front = cap(plate, (1.0, 0.0, 0.0), Material((1.0, 1.0, 1.0), Layer.SIGNS))
    fan = [k for i in range(1, len(y) - 1) for k in (0, i, i + 1)]
    unit = np.stack([y, up], -1)[fan] / (2 * radius_m) + 0.5
    front[:, 6:8] = sign_uv(cell, unit)
    back = cap(plate[::-1] - vec(0.015, 0, 0), (-1.0, 0.0, 0.0), METAL)
    return np.concatenate([rod((0, 0, 0), (0, 0, z + 0.3), 0.035, METAL, sides=6), front, back])
