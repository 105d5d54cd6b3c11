"""The flat town: streets, what is painted on them, houses and trees along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely import Polygon

from drivevlm.world.pose import Pose2
from drivevlm_sim.curve import Curve
from drivevlm_sim.flat.markings import paints
from drivevlm_sim.flat.painter import GroundPaint
from drivevlm_sim.flat.shapes import Shape, building, tree
from drivevlm_sim.flat.streets import (
    ARMS,
    WALKWAY_M,
    arm_frame,
    far_m,
    half_width_m,
    paved_area,
    reach_m,
    street_layers,
)
from drivevlm_sim.map_layers import Lane, MapLayers

WALLS = ((176, 112, 92), (206, 190, 164), (168, 166, 162), (196, 160, 120), (142, 128, 118))


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """What never moves.

    Attributes:
        layers: The true map.
        ground: Paints, from the bottom up.
        scenery: Houses and trees with their poses.
    """

    layers: MapLayers
    ground: tuple[GroundPaint, ...]
    scenery: tuple[tuple[Shape, Pose2], ...]

    def lane(self, name: str) -> Lane:
        """A lane or connector, e.g. ``west in 0`` or ``west 0 to north``."""
        return next(lane for lane in self.layers.lanes if lane.name == name)

    def route(self, *names: str) -> Curve:
        """The lanes' centres one after the other."""
        return Curve(tuple(piece for name in names for piece in self.lane(name).curve.arcs))


def flat_town(seed: int) -> Town:
    """The town; the seed changes houses, trees and colours only."""
    layers = street_layers()
    paved = paved_area(layers.drivable_area[0], layers.carparks[0])
    scenery = _scenery(paved, np.random.default_rng([seed, 1]))
    return Town(layers, paints(layers), scenery)


def _scenery(paved: Polygon, rng: np.random.Generator) -> tuple[tuple[Shape, Pose2], ...]:
    """Houses along the arms and trees before them, clear of walkways."""
    placed: list[tuple[Shape, Pose2]] = []
    used: list[Polygon] = [paved.buffer(WALKWAY_M + 0.8)]
    for arm in ARMS:
        for side in (-1, 1):
            _houses(placed, used, rng, arm=arm, side=side)
            _trees(placed, used, rng, arm=arm, side=side)
    return tuple(placed)


def _houses(
    placed: list[tuple[Shape, Pose2]],
    used: list[Polygon],
    rng: np.random.Generator,
    *,
    arm: str,
    side: int,
) -> None:
    along = reach_m(arm) + 14.0
    while along < far_m(arm) - 8.0:
        length, depth = rng.uniform(12, 22), rng.uniform(9, 13)
        height = rng.uniform(6, 15)
        left = side * (half_width_m(arm) + WALKWAY_M + 7.5 + depth / 2)
        pose = arm_frame(arm) @ Pose2(along + length / 2, left, 0.0)
        colour = WALLS[int(rng.integers(len(WALLS)))]
        _place(placed, used, building((length, depth, height), colour), pose, (length, depth))
        along += length + rng.uniform(4, 12)


def _trees(
    placed: list[tuple[Shape, Pose2]],
    used: list[Polygon],
    rng: np.random.Generator,
    *,
    arm: str,
    side: int,
) -> None:
    for along in np.arange(reach_m(arm) + 10.0, far_m(arm), 16.0):
        left = side * (half_width_m(arm) + WALKWAY_M + 3.4)
        pose = arm_frame(arm) @ Pose2(along + rng.uniform(-3, 3), left, rng.uniform(0, np.pi))
        green = int(rng.uniform(84, 118))
        height = rng.uniform(4.5, 7.0)
        _place(placed, used, tree(height, (58, green, 52)), pose, (0.5 * height, 0.5 * height))


def _place(
    placed: list[tuple[Shape, Pose2]],
    used: list[Polygon],
    shape: Shape,
    pose: Pose2,
    size_m: tuple[float, float],
) -> None:
    """Put it there unless the place is taken."""
    half = np.array(size_m) / 2
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    area = Polygon(pose.apply(half * signs))
    if not any(area.intersects(other) for other in used):
        placed.append((shape, pose))
        used.append(area)
