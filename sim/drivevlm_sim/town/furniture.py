"""What stands beside the road: signs, lamps, trees, hydrants, benches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from shapely import Point, Polygon, prepare
from shapely.geometry.base import BaseGeometry

from drivevlm.world.pose import Pose2
from drivevlm_sim.town.geometry import NetGeometry, polygons
from drivevlm_sim.town.net import SIDEWALK_M
from drivevlm_sim.town.signals import beside_road
from drivevlm_sim.town.street import Approach
from drivevlm_sim.town.town import Control, Prop

KERB_M = 0.13
"""The sidewalk is higher than the road by this."""
LAMP_EVERY_M = 28.0
JUNCTION_CLEAR_M = 14.0
"""No tree hides a signal or a sign within this of a junction."""
SIGNS = {
    Control.PRIORITY: "stop_sign",
    Control.ALL_WAY_STOP: "stop_sign",
    Control.YIELD: "yield_sign",
}
ISLAND_M2 = 1600.0
"""Land inside a road smaller than this is a roundabout's island."""


def signs(streets: tuple[Approach, ...], driven: BaseGeometry) -> Iterator[Prop]:
    """Stop, yield and speed signs, on the kerb's side of their approach; they face its drivers."""
    prepare(driven)
    for street in streets:
        kind = SIGNS.get(street.control) if street.control else None
        if kind is not None:
            yield _sign(kind, street.end @ Pose2(-0.8, 0.0, 0.0), street, driven)
        if street.length_m > 55:
            limit_kmph = round(street.lanes[0].speed_mps * 3.6 / 5) * 5
            yield _sign("speed_sign", street.pose_at(14.0), street, driven, variant=limit_kmph)


def along_streets(
    net: NetGeometry, streets: tuple[Approach, ...], driven: BaseGeometry, rng: Generator
) -> Iterator[Prop]:
    """Lamps and small things on sidewalks, trees behind them, bushes on islands."""
    land = net.sidewalk.union(driven)
    prepare(driven)
    prepare(land)
    for street in streets:
        yield from _lamps(street, driven, first_m=float(rng.uniform(8, 14)))
        yield from _trees(street, driven, land, rng)
    yield from _islands(driven, rng)


def _sign(kind: str, at: Pose2, street: Approach, driven: BaseGeometry, variant: int = 0) -> Prop:
    ahead, left = beside_road(at, outward=-street.inward, driven=driven, clear_m=0.45)
    foot = at @ Pose2(ahead, left, np.pi)
    return Prop(kind, (foot.x_m, foot.y_m, KERB_M), foot.yaw_rad, variant=variant)


def _lamps(street: Approach, driven: BaseGeometry, *, first_m: float) -> Iterator[Prop]:
    """Their arms point over the road."""
    for run_m in np.arange(first_m, street.length_m - 6.0, LAMP_EVERY_M):
        at = street.pose_at(float(run_m))
        ahead, left = beside_road(at, outward=-street.inward, driven=driven, clear_m=0.4)
        if ahead:
            continue
        foot = at @ Pose2(0.0, left, street.inward * np.pi / 2)
        yield Prop("lamp", (foot.x_m, foot.y_m, KERB_M), foot.yaw_rad)


def _trees(
    street: Approach, driven: BaseGeometry, land: BaseGeometry, rng: Generator
) -> Iterator[Prop]:
    run_m = float(rng.uniform(6, 12))
    while run_m < street.length_m - JUNCTION_CLEAR_M:
        at = street.pose_at(run_m)
        ahead, left = beside_road(at, outward=-street.inward, driven=driven, clear_m=0.5)
        what, small = float(rng.random()), float(rng.uniform(0.75, 1.1))
        turn, variant = float(rng.uniform(0, 2 * np.pi)), int(rng.integers(3))
        behind = at @ Pose2(0.0, left - street.inward * (SIDEWALK_M + 0.6), turn)
        if not ahead and what < 0.7:
            if not land.intersects(Point(behind.x_m, behind.y_m).buffer(0.35)):
                place = (behind.x_m, behind.y_m, 0.0)
                yield Prop("tree", place, behind.yaw_rad, scale=small, variant=variant)
        elif not ahead and what > 0.85:
            kind = "hydrant" if what < 0.92 else "bench"
            foot = at @ Pose2(0.0, left - (0.1 if kind == "hydrant" else 1.4) * street.inward, 0.0)
            facing = (foot @ Pose2(0.0, 0.0, street.inward * np.pi / 2)).yaw_rad
            yield Prop(kind, (foot.x_m, foot.y_m, KERB_M), facing)
        run_m += float(rng.uniform(9, 18))


def _islands(road: BaseGeometry, rng: Generator) -> Iterator[Prop]:
    for part in polygons(road):
        for ring in part.interiors:
            island = Polygon(ring)
            if not 80 < island.area < ISLAND_M2:
                continue
            for k in range(3):
                angle = 2 * np.pi * k / 3 + float(rng.uniform(0, 1))
                x = island.centroid.x + 3.5 * np.cos(angle)
                y = island.centroid.y + 3.5 * np.sin(angle)
                yield Prop("tree", (float(x), float(y), 0.0), angle, scale=0.6, variant=k)
