"""Meshes of people: walking, standing, and riding a bicycle or a motorcycle."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.render.shapes import (
    Lamp,
    Material,
    Vertices,
    box,
    ellipsoid,
    fitted,
    moved,
    rod,
    vec,
)
from drivevlm_sim.render.vehicles import BLACK, CHROME, PAINT, TYRE

CLOTH = Material(tinted=True)
TROUSERS = Material((0.055, 0.065, 0.11))
SKIN = Material((0.48, 0.28, 0.19))
HAIR = Material((0.045, 0.03, 0.022))
SHOE = Material((0.03, 0.025, 0.025))
REAR_LAMP = Material((0.30, 0.012, 0.012), lamp=Lamp.BRAKE)
HEADLAMP = Material((0.8, 0.8, 0.8), lamp=Lamp.HEAD)

WALK = 4
"""Poses of one full stride of two steps; pose 0 is standing, 1 to WALK are walking."""
STRIDE_M = 1.4


def pedestrian(pose: int) -> Vertices:
    """Somebody 1.75 m tall; see ``WALK``."""
    swing = 0.0 if pose == 0 else float(np.sin(2 * np.pi * (pose - 0.5) / WALK))
    lift = 0.0 if pose == 0 else float(np.cos(2 * np.pi * (pose - 0.5) / WALK))
    parts = [*_trunk(np.zeros(3), 0.03 if pose else 0.0)]
    for side, way in ((1, 1.0), (-1, -1.0)):
        thigh, knee = 0.34 * way * swing, max(0.0, way * lift) * 0.7 + (0.25 if pose else 0.0)
        parts += _leg(np.array([0.0, side * 0.095, 0.90]), thigh, thigh - knee)
        shoulder = np.array([0.0, side * 0.19, 1.40])
        parts += _arm(shoulder, -0.45 * way * swing, -0.45 * way * swing + (0.35 if pose else 0.1))
    return np.concatenate(parts)


def bicycle() -> Vertices:
    """A bicycle and its rider."""
    parts = _wheel(-0.52, 0.34, 0.022) + _wheel(0.54, 0.34, 0.022)
    hub, saddle, head, front = (-0.05, 0, 0.30), (-0.20, 0, 0.88), (0.36, 0, 0.86), (0.54, 0, 0.34)
    for a, b in (
        (hub, saddle),
        (hub, head),
        (saddle, head),
        (hub, (-0.52, 0, 0.34)),
        (head, front),
        ((-0.18, 0, 0.80), (-0.52, 0, 0.34)),
    ):
        parts.append(rod(a, b, 0.022, PAINT, sides=6))
    parts += [
        rod(head, (0.36, 0, 1.02), 0.018, CHROME, sides=6),
        rod((0.34, -0.28, 1.03), (0.34, 0.28, 1.03), 0.018, BLACK, sides=6),
        box((-0.33, -0.07, 0.88), (-0.08, 0.07, 0.93), BLACK),
        box((-0.42, -0.05, 0.72), (-0.38, 0.05, 0.80), REAR_LAMP),
        box((0.42, -0.05, 0.86), (0.48, 0.05, 0.95), HEADLAMP),
    ]
    parts += _rider(np.array([-0.20, 0, 0.05]), 0.42, (0.34, 0.25, 1.05), foot_m=0.12)
    return np.concatenate(parts)


def motorcycle() -> Vertices:
    """A motorcycle and its rider."""
    parts = _wheel(-0.68, 0.32, 0.075) + _wheel(0.70, 0.32, 0.06)
    parts += [
        ellipsoid((0.15, 0, 0.78), (0.36, 0.17, 0.17), PAINT),
        box((-0.30, -0.16, 0.32), (0.30, 0.16, 0.66), BLACK),
        box((-0.85, -0.14, 0.74), (-0.05, 0.14, 0.84), BLACK),
        box((-0.95, -0.11, 0.66), (-0.55, 0.11, 0.78), PAINT),
        rod((0.42, 0, 0.90), (0.70, 0, 0.32), 0.05, CHROME, sides=6),
        rod((0.36, -0.33, 0.98), (0.36, 0.33, 0.98), 0.02, BLACK, sides=6),
        box((0.44, -0.12, 0.76), (0.58, 0.12, 0.98), HEADLAMP),
        box((-1.0, -0.12, 0.66), (-0.94, 0.12, 0.78), REAR_LAMP),
        box((-0.97, 0.13, 0.66), (-0.90, 0.22, 0.74), Material((0.4, 0.17, 0.02), lamp=Lamp.LEFT)),
        box(
            (-0.97, -0.22, 0.66), (-0.90, -0.13, 0.74), Material((0.4, 0.17, 0.02), lamp=Lamp.RIGHT)
        ),
        rod((-0.75, -0.17, 0.36), (-0.05, -0.19, 0.34), 0.05, CHROME, sides=6),
    ]
    parts += _rider(np.array([-0.25, 0, -0.02]), 0.28, (0.34, 0.30, 1.0), foot_m=0.30, helmet=True)
    return np.concatenate(parts)


def _trunk(at: Floats, lean: float) -> list[Vertices]:
    top = at + np.array([lean * 2, 0.0, 0.0])
    return [
        ellipsoid(at + vec(0.0, 0.0, 0.93), (0.13, 0.17, 0.12), TROUSERS),
        _flattened(rod(vec(0, 0, 0.96), top + vec(0, 0, 1.36), 0.155, CLOTH, 0.19, 10)),
        ellipsoid(top + vec(0.0, 0.0, 1.37), (0.125, 0.20, 0.10), CLOTH),
        rod(top + vec(0.0, 0.0, 1.44), top + vec(0.01, 0.0, 1.54), 0.055, SKIN, sides=6),
        ellipsoid(top + vec(0.02, 0.0, 1.62), (0.10, 0.08, 0.125), SKIN),
        ellipsoid(top + vec(-0.01, 0.0, 1.66), (0.105, 0.09, 0.095), HAIR),
    ]


def _flattened(mesh: Vertices) -> Vertices:
    """A trunk is wider than it is deep."""
    low, high = mesh[:, :3].min(axis=0), mesh[:, :3].max(axis=0)
    return fitted(mesh, vec(0.68, 1.0, 1.0) * low, vec(0.68, 1.0, 1.0) * high)


def _leg(hip: Floats, thigh: float, shin: float) -> list[Vertices]:
    knee = hip + 0.43 * np.array([np.sin(thigh), 0.0, -np.cos(thigh)])
    ankle = knee + 0.41 * np.array([np.sin(shin), 0.0, -np.cos(shin)])
    toe = ankle + np.array([0.15, 0.0, -0.02])
    return [
        rod(hip, knee, 0.085, TROUSERS, 0.062),
        rod(knee, ankle, 0.062, TROUSERS, 0.045),
        rod(ankle - vec(0.05, 0.0, 0.02), toe, 0.042, SHOE, sides=6),
    ]


def _arm(shoulder: Floats, upper: float, lower: float) -> list[Vertices]:
    elbow = shoulder + 0.28 * np.array([np.sin(upper), 0.08, -np.cos(upper)])
    elbow[1] = shoulder[1] * 1.12
    wrist = elbow + 0.25 * np.array([np.sin(lower), 0.0, -np.cos(lower)])
    return [
        rod(shoulder, elbow, 0.058, CLOTH, 0.045),
        rod(elbow, wrist, 0.042, CLOTH, 0.035),
        ellipsoid(wrist, (0.045, 0.035, 0.055), SKIN, 6, 4),
    ]


def _wheel(x: float, radius_m: float, half_m: float) -> list[Vertices]:
    """A tyre as a ring of short bars, with spokes."""
    angle = np.arange(15) * 2 * np.pi / 14
    rim = np.stack(
        [
            x + (radius_m - half_m) * np.cos(angle),
            0 * angle,
            radius_m + (radius_m - half_m) * np.sin(angle),
        ],
        -1,
    )
    tyre = [rod(a, b, half_m, TYRE, sides=6) for a, b in pairwise(rim)]
    hub = np.array([x, 0.0, radius_m])
    spokes = [rod(hub, rim[k], 0.008, CHROME, sides=4) for k in range(0, 14, 3)]
    return tyre + spokes


def _rider(
    seat: Floats, lean: float, hand: tuple[float, float, float], foot_m: float, helmet: bool = False
) -> list[Vertices]:
    """Somebody sitting: hips over the seat, hands at the handlebar."""
    hips = seat + np.array([0.0, 0.0, 0.92])
    chest = hips + 0.50 * np.array([np.sin(lean), 0.0, np.cos(lean)])
    head = chest + np.array([0.10, 0.0, 0.20])
    parts = [
        ellipsoid(hips, (0.15, 0.18, 0.13), TROUSERS),
        rod(hips, chest, 0.16, CLOTH, 0.19),
        ellipsoid(chest, (0.15, 0.205, 0.11), CLOTH),
        ellipsoid(head, (0.10, 0.085, 0.125), SKIN),
        ellipsoid(
            head + vec(-0.02, 0.0, 0.05),
            (0.13, 0.11, 0.10 if not helmet else 0.13),
            PAINT if helmet else HAIR,
        ),
    ]
    for side, push in ((1.0, 0.0), (-1.0, 0.16)):
        knee = hips + np.array([0.36, side * 0.12, -0.16 - push])
        foot = np.array([0.02 + push * 0.3, side * 0.12, foot_m + 0.12 - push * 0.5])
        elbow = (chest + np.array(hand) * (1.0, side, 1.0)) / 2 + vec(0.0, side * 0.12, -0.10)
        parts += [
            rod(hips + vec(0.0, side * 0.09, 0.0), knee, 0.085, TROUSERS, 0.065),
            rod(knee, foot, 0.062, TROUSERS, 0.045),
            moved(rod((-0.06, 0, 0), (0.16, 0, 0), 0.042, SHOE, sides=6), foot),
            rod(chest + vec(0.0, side * 0.19, 0.0), elbow, 0.05, CLOTH, 0.045),
            rod(elbow, np.array(hand) * (1.0, side, 1.0), 0.042, CLOTH, 0.035),
        ]
    return parts
