"""Triangles with their material in every corner, and the simple bodies all meshes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats

# V: corners, three for each triangle. A mesh stands on z = 0 and looks along x.
Vertices = NDArray[np.float32]
"""(V, 14): position 3, normal 3, texture u v layer 3, colour 3, gloss 1, lamp 1.

A gloss has 1 added where the instance tints the colour, 2 where it is ground.
"""
ROW = 14
Point = Sequence[float] | Floats


class Layer(int, Enum):
    """Layers of the texture array."""

    PLAIN = 0
    ASPHALT = 1
    SIDEWALK = 2
    GRASS = 3
    FACADE = 4
    SHOP = 7
    LEAVES = 8
    SIGNS = 9
    CLOUDS = 10


class Lamp(int, Enum):
    """What shines in a mesh; places in the shader's table and bits of an instance's ``lit``."""

    NONE = 0
    BRAKE = 1
    LEFT = 2
    RIGHT = 3
    HEAD = 4
    RED = 5
    AMBER = 6
    GREEN = 7
    WINDOW = 8
    STREET = 9

    @property
    def bit(self) -> int:
        """Its bit in the ``lit`` of an instance."""
        return 1 << self.value


@dataclass(frozen=True, slots=True)
class Material:
    """Look of a face.

    Attributes:
        rgb: Linear colour, 0..1.
        layer: Of the texture array; its grey multiplies the colour.
        gloss: 0..0.9, how much of the sky it mirrors.
        tinted: Whether the instance's colour multiplies it.
        ground: Whether it mirrors when it rains.
        lamp: What shines there.
        metres: Length that one texture covers.
    """

    rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    layer: int = Layer.PLAIN
    gloss: float = 0.0
    tinted: bool = False
    ground: bool = False
    lamp: Lamp = Lamp.NONE
    metres: float = 1.0

    def of(self, *rgb: float) -> Material:
        """The same in another colour."""
        return replace(self, rgb=(rgb[0], rgb[1], rgb[2]))


def vec(*numbers: float) -> Floats:
    """A point or a shift."""
    return np.array(numbers, dtype=np.float64)


def triangles(corners: Floats, normals: Floats, material: Material, uv: Floats) -> Vertices:
    """Corners (V, 3), normals (V, 3) or (3,), texture places (V, 2) in metres."""
    rows = np.empty((len(corners), ROW), dtype=np.float32)
    rows[:, 0:3] = corners
    rows[:, 3:6] = normals
    rows[:, 6:8] = uv / material.metres
    rows[:, 8] = int(material.layer)
    rows[:, 9:12] = material.rgb
    rows[:, 12] = material.gloss + (1.0 if material.tinted else 2.0 if material.ground else 0.0)
    rows[:, 13] = int(material.lamp)
    return rows


def faces(quads: Floats, material: Material, uv: Floats | None = None) -> Vertices:
    """Flat four-cornered faces (F, 4, 3), each counter-clockwise seen from outside."""
    normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    if uv is None:
        wide = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
        high = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
        none = np.zeros_like(wide)
        uv = np.stack(
            [
                np.stack(pair, -1)
                for pair in ((none, none), (wide, none), (wide, high), (none, high))
            ],
            axis=1,
        )
    order = [0, 1, 2, 0, 2, 3]
    return triangles(
        quads[:, order].reshape(-1, 3),
        np.repeat(normals, 6, axis=0),
        material,
        uv[:, order].reshape(-1, 2),
    )


def quad(a: Point, b: Point, c: Point, d: Point, material: Material) -> Vertices:
    """One face, counter-clockwise seen from outside."""
    return faces(np.array([[a, b, c, d]], dtype=np.float64), material)


_BOX = (
    ((1, -1, -1), (1, 1, -1), (1, 1, 1), (1, -1, 1)),
    ((-1, 1, -1), (-1, -1, -1), (-1, -1, 1), (-1, 1, 1)),
    ((1, 1, -1), (-1, 1, -1), (-1, 1, 1), (1, 1, 1)),
    ((-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)),
    ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)),
    ((1, -1, -1), (-1, -1, -1), (-1, 1, -1), (1, 1, -1)),
)


def box(low: Point, high: Point, material: Material) -> Vertices:
    """An upright box between two corners."""
    low_m, high_m = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    signs = np.array(_BOX, dtype=np.float64)
    return faces((low_m + high_m) / 2 + signs * (high_m - low_m) / 2, material)


def loft(rings: Floats, material: Material, *, closed: bool = True) -> Vertices:
    """The skin between rings (R, P, 3) of points; closed ones run counter-clockwise from ahead."""
    after = np.roll(rings, -1, axis=1)
    here, there = rings[:-1], rings[1:]
    quads = np.stack([here, after[:-1], after[1:], there], axis=2)
    if not closed:
        quads = quads[:, :-1]
    return faces(quads.reshape(-1, 4, 3), material)


def cap(ring: Floats, normal: Point, material: Material) -> Vertices:
    """A convex flat piece (P, 3)."""
    fan = [k for i in range(1, len(ring) - 1) for k in (0, i, i + 1)]
    normals = np.array(normal, dtype=np.float64)
    return triangles(ring[fan], normals, material, ring[fan][:, :2])


def rod(
    a: Point, b: Point, radius_m: float, material: Material, end_m: float = -1.0, sides: int = 8
) -> Vertices:
    """A round bar from ``a`` to ``b``, ``end_m`` thick at ``b`` (the same where negative)."""
    start, stop = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    along = (stop - start) / np.linalg.norm(stop - start)
    aside = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [0.0, 1.0, 0.0])
    aside /= np.linalg.norm(aside)
    third = np.cross(along, aside)
    angle = np.arange(sides) * 2 * np.pi / sides
    round_ = np.cos(angle)[:, None] * aside + np.sin(angle)[:, None] * third
    other_m = radius_m if end_m < 0 else end_m
    rings = np.stack([start + round_ * radius_m, stop + round_ * other_m])
    skin = loft(rings, material)
    # Round bars are shaded round: the normals of a side's corners differ.
    smooth = np.stack([round_, np.roll(round_, -1, 0), np.roll(round_, -1, 0), round_], axis=1)
    skin[:, 3:6] = smooth[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return np.concatenate(
        [skin, cap(rings[0][::-1], -along, material), cap(rings[1], along, material)]
    )


def ellipsoid(
    centre: Point,
    radii: Point,
    material: Material,
    sides: int = 8,
    rows: int = 6,
    bumps: Floats | None = None,
) -> Vertices:
    """A rounded lump; ``bumps`` (rows + 1, sides) scale its radius."""
    up = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[:, None]
    round_ = np.arange(sides)[None] * 2 * np.pi / sides
    unit = np.stack(
        [np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up) + 0 * round_], -1
    )
    grown = unit if bumps is None else unit * bumps[..., None]
    rings = grown * np.array(radii) + np.array(centre, dtype=np.float64)
    skin = loft(rings, material)
    normals = unit / np.array(radii)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    after = np.roll(normals, -1, axis=1)
    corners = np.stack([normals[:-1], after[:-1], after[1:], normals[1:]], axis=2)
    skin[:, 3:6] = corners.reshape(-1, 4, 3)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return skin


def moved(mesh: Vertices, offset_m: Point, yaw_rad: float = 0.0) -> Vertices:
    """A copy, turned about z and then shifted."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    copy = mesh.copy()
    copy[:, 0:3] = mesh[:, 0:3] @ turn + np.array(offset_m, dtype=np.float32)
    copy[:, 3:6] = mesh[:, 3:6] @ turn
    return copy


def both_sides(mesh: Vertices) -> Vertices:
    """The mesh and its mirror image across the xz plane."""
    copy = mesh.copy()
    copy[:, [1, 4]] *= -1
    # Mirrored triangles turn round; the last two corners change places.
    copy = copy.reshape(-1, 3, ROW)[:, [0, 2, 1]].reshape(-1, ROW)
    swapped = copy[:, 13].copy()
    copy[swapped == Lamp.LEFT, 13] = Lamp.RIGHT
    copy[swapped == Lamp.RIGHT, 13] = Lamp.LEFT
    return np.concatenate([mesh, copy])


def outward(mesh: Vertices) -> Vertices:
    """A copy whose triangles run counter-clockwise seen from where their normals point."""
    corners = mesh.reshape(-1, 3, ROW)
    edges = corners[:, 1:, 0:3] - corners[:, :1, 0:3]
    across = np.cross(edges[:, 0], edges[:, 1])
    wrong = (across * corners[:, :, 3:6].mean(axis=1)).sum(axis=1) < 0
    copy = corners.copy()
    copy[wrong] = copy[wrong][:, [0, 2, 1]]
    return copy.reshape(-1, ROW)


def fitted(mesh: Vertices, low: Point, high: Point) -> Vertices:
    """A copy stretched to fill a box exactly."""
    xyz = mesh[:, 0:3].astype(np.float64)
    least, most = xyz.min(axis=0), xyz.max(axis=0)
    scale = (np.array(high) - np.array(low)) / (most - least)
    copy = mesh.copy()
    copy[:, 0:3] = (xyz - least) * scale + np.array(low)
    normals = mesh[:, 3:6] / scale
    copy[:, 3:6] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return copy
