"""The meshes of everything that is placed, by name, at their true size."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.random import Generator

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.render import riders, vehicles
from drivevlm_sim.render.shapes import Vertices, fitted, outward
from drivevlm_sim.render.street_things import PROPS, signal_arm, signal_head
from drivevlm_sim.scene_log import Body
from drivevlm_sim.town.town import Prop

INSET_M = 0.004
"""A mesh keeps so much from its box, so that what the lidar hits lies inside."""
SAMPLES = 240
"""Points on a body's surface by which its visibility is judged."""
HEAD, ARM = "signal_head", "signal_arm"

PAINTS = (
    (0.78, 0.78, 0.78),
    (0.035, 0.036, 0.04),
    (0.19, 0.20, 0.215),
    (0.42, 0.43, 0.45),
    (0.36, 0.02, 0.02),
    (0.03, 0.075, 0.25),
    (0.035, 0.11, 0.06),
    (0.52, 0.46, 0.30),
    (0.62, 0.20, 0.02),
)
CLOTHES = (
    (0.06, 0.11, 0.36),
    (0.42, 0.04, 0.035),
    (0.62, 0.62, 0.58),
    (0.03, 0.03, 0.035),
    (0.05, 0.22, 0.09),
    (0.60, 0.42, 0.03),
    (0.26, 0.08, 0.26),
    (0.45, 0.24, 0.12),
)

_MAKERS = {
    Body.SEDAN: vehicles.sedan,
    Body.SUV: vehicles.suv,
    Body.VAN: vehicles.van,
    Body.TRUCK: vehicles.truck,
    Body.BUS: vehicles.bus,
    Body.MOTORCYCLE: riders.motorcycle,
    Body.BICYCLE: riders.bicycle,
}


def colour_of(body: Body, colour: int) -> tuple[float, float, float]:
    """The tint of one of a body's colours."""
    table = CLOTHES if body is Body.PEDESTRIAN else PAINTS
    return table[colour % len(table)]


def body_name(body: Body, pose: int) -> str:
    """Name of a body's mesh."""
    return f"{body.value}/{pose}"


def prop_name(prop: Prop) -> str:
    """Name of a prop's mesh. Raises WorldError for a kind without one."""
    if prop.kind not in PROPS:
        raise WorldError(f"a prop is one of {', '.join(sorted(PROPS))}, got {prop.kind!r}")
    variants = PROPS[prop.kind][1]
    return f"{prop.kind}/{prop.variant % variants if variants else prop.variant}"


def coarse_name(name: str) -> str:
    """Name of a mesh with fewer triangles for far away; "" where there is none."""
    return name.replace("tree/", "far_tree/") if name.startswith("tree/") else ""


@cache
def mesh(name: str) -> Vertices:
    """The mesh of a name of ``body_name`` or ``prop_name``, or ``HEAD`` or ``ARM``."""
    if name in (HEAD, ARM):
        return outward(signal_head() if name == HEAD else signal_arm())
    kind, number = name.split("/")
    if kind in PROPS:
        return outward(PROPS[kind][0](int(number)))
    return outward(_body(Body(kind), int(number)))


@cache
def radius_m(name: str) -> float:
    """Of a ball round the mesh's origin that holds it."""
    return float(np.linalg.norm(mesh(name)[:, 0:3], axis=1).max())


@cache
def surface_points(body: Body, pose: int) -> Floats:
    """(SAMPLES, 3) points spread evenly over a body's surface."""
    rng = np.random.default_rng([17, list(Body).index(body), pose])
    corners = _body(body, pose)[:, 0:3].reshape(-1, 3, 3).astype(np.float64)
    return _spread(corners, rng)


def _body(body: Body, pose: int) -> Vertices:
    size = SIZES[body]
    x, y = size.length_m / 2 - INSET_M, size.width_m / 2 - INSET_M
    low, high = [-x, -y, 0.02 + INSET_M], [x, y, size.height_m - INSET_M]
    if body is not Body.PEDESTRIAN:
        return fitted(_MAKERS[body](), low, high)
    # People are as tall as their box, but longer strides alone fill its length.
    walker = riders.pedestrian(pose)
    least, most = (walker[:, 0:3].min(axis=0), walker[:, 0:3].max(axis=0))
    scale = (high[2] - low[2]) / (most[2] - least[2])
    half = np.minimum((most - least) * scale, np.array(high) - np.array(low)) / 2
    return fitted(walker, [-half[0], -half[1], low[2]], [half[0], half[1], high[2]])


def _spread(corners: Floats, rng: Generator) -> Floats:
    """Points on triangles (T, 3, 3), each with the chance of its area."""
    edge_a, edge_b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(edge_a, edge_b), axis=1)
    chosen = rng.choice(len(corners), SAMPLES, p=area / area.sum())
    u, v = rng.random((2, SAMPLES, 1))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    return np.asarray(corners[chosen, 0] + u * edge_a[chosen] + v * edge_b[chosen])
