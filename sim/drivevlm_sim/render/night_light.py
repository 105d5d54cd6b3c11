"""Light of street lamps and headlamps on the ground, as a small map round the vehicle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm_sim.render.cast import Actor
from drivevlm_sim.render.street_things import LAMP_ARM_M, LAMP_HEIGHT_M
from drivevlm_sim.scene_log import Body
from drivevlm_sim.town.town import Prop, Town

# G: pixels along a side of the map. L: lamps.
SIDE_M = 192.0
LAMP_RGB = np.array([1.0, 0.84, 0.58]) * 1.25
BEAM_RGB = np.array([1.0, 0.96, 0.86]) * 0.9


def lamp_feet_m(town: Town) -> Floats:
    """(L, 2) where the light of the street lamps falls."""
    feet = [_foot(prop) for prop in town.props if prop.kind == "lamp"]
    return np.array(feet, dtype=np.float64).reshape(-1, 2)


def glow_map(
    lamps_m: Floats, actors: tuple[Actor, ...], middle_m: Floats, side_px: int, dark: float
) -> tuple[NDArray[np.float16], Floats]:
    """(G, G, 3) light with rows along y, and the town's place of its corner."""
    corner_m = middle_m[:2] - SIDE_M / 2
    line = (np.arange(side_px) + 0.5) * SIDE_M / side_px
    xs, ys = corner_m[0] + line, corner_m[1] + line
    light = np.zeros((side_px, side_px, 3))
    near = np.abs(lamps_m - middle_m[:2]).max(axis=1, initial=0.0) < SIDE_M / 2 + 20
    for x, y in lamps_m[near]:
        away = ((xs - x) ** 2)[None] + ((ys - y) ** 2)[:, None]
        light += ((1 + away / LAMP_HEIGHT_M**2) ** -2.0)[..., None] * LAMP_RGB
    for actor in actors:
        at = actor.town_from_body
        off = np.abs(at.translation_m[:2] - middle_m[:2]).max()
        if actor.body is not Body.PEDESTRIAN and off < SIDE_M / 2:
            light += _beam(xs, ys, actor)[..., None] * BEAM_RGB
    return (light * dark).astype(np.float16), corner_m


def _beam(xs: Floats, ys: Floats, actor: Actor) -> Floats:
    """(G, G) the pool of light ahead of a vehicle."""
    at, yaw = actor.town_from_body.translation_m, actor.town_from_body.yaw_rad
    dx, dy = (xs - at[0])[None], (ys - at[1])[:, None]
    ahead = dx * np.cos(yaw) + dy * np.sin(yaw) - actor.size_lwh_m[0] / 2
    aside = -dx * np.sin(yaw) + dy * np.cos(yaw)
    wide = 1.0 + 0.25 * np.clip(ahead, 0, None)
    fade = np.clip(1 - ahead / 28.0, 0, 1) * (ahead > 0)
    return np.asarray(np.exp(-((aside / wide) ** 2)) * fade)


def _foot(prop: Prop) -> tuple[float, float]:
    reach = LAMP_ARM_M * prop.scale
    return (
        prop.xyz_m[0] + reach * float(np.cos(prop.yaw_rad)),
        prop.xyz_m[1] + reach * float(np.sin(prop.yaw_rad)),
    )
