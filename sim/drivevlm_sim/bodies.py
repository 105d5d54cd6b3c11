"""Sizes and categories of everything that moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivevlm_sim.scene_log import Body


@dataclass(frozen=True, slots=True)
class BodySize:
    """A body's box, and what it is called elsewhere.

    Attributes:
        length_m, width_m, height_m: Of its box.
        rear_overhang_m: From the rear bumper to the rear axle; 0 where there is no axle.
        sumo_class: SUMO's ``vClass``.
        category: nuScenes' category.
    """

    length_m: float
    width_m: float
    height_m: float
    rear_overhang_m: float
    sumo_class: str
    category: str

    @property
    def rear_axle_from_front_m(self) -> float:
        """How far the rear axle lies behind the front bumper."""
        return self.length_m - self.rear_overhang_m


SIZES: Mapping[Body, BodySize] = {
    Body.SEDAN: BodySize(4.62, 1.90, 1.48, 0.95, "passenger", "vehicle.car"),
    Body.SUV: BodySize(4.72, 1.98, 1.72, 0.95, "passenger", "vehicle.car"),
    Body.VAN: BodySize(5.32, 2.05, 2.20, 1.05, "passenger", "vehicle.car"),
    Body.TRUCK: BodySize(8.00, 2.50, 3.30, 1.80, "truck", "vehicle.truck"),
    Body.BUS: BodySize(11.0, 2.57, 3.10, 3.00, "bus", "vehicle.bus.rigid"),
    Body.MOTORCYCLE: BodySize(2.10, 0.75, 1.80, 0.35, "motorcycle", "vehicle.motorcycle"),
    Body.BICYCLE: BodySize(1.80, 0.62, 1.80, 0.35, "bicycle", "vehicle.bicycle"),
    Body.PEDESTRIAN: BodySize(0.60, 0.60, 1.75, 0.0, "pedestrian", "human.pedestrian.adult"),
}
CARS = frozenset({Body.SEDAN, Body.SUV, Body.VAN})
"""Bodies that the ego may have."""
