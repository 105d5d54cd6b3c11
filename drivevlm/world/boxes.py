"""Boxes of objects in the ego frame, and the ten classes of the nuScenes detection task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm.world.sets import Verdict

TYPICAL_SIZE_LWH_M: dict[str, tuple[float, float, float]] = {
    "car": (4.62, 1.95, 1.73),
    "truck": (6.93, 2.51, 2.84),
    "bus": (10.5, 2.94, 3.47),
    "trailer": (12.29, 2.90, 3.87),
    "construction_vehicle": (6.37, 2.85, 3.19),
    "pedestrian": (0.73, 0.67, 1.77),
    "motorcycle": (2.11, 0.77, 1.47),
    "bicycle": (1.70, 0.60, 1.28),
    "barrier": (0.50, 2.53, 0.98),
    "traffic_cone": (0.41, 0.41, 1.07),
}
"""The ten detection classes with typical length, width, height (means as used as anchors by
nuScenes detectors, e.g. PointPillars in mmdetection3d)."""

CATEGORIES = tuple(TYPICAL_SIZE_LWH_M)


@dataclass(frozen=True, slots=True, eq=False)
class Box3:
    """An upright box in the ego frame of decision time.

    Attributes:
        center_ego_m: (3,) geometric centre.
        size_lwh_m: (3,) length, width, height.
        yaw_ego_rad: Heading of its length, counter-clockwise from the ego's x axis.
        category: One of ``CATEGORIES``.
        velocity_ego_mps: (2,) over ground, in ego axes; None where unknown.
        score: Confidence in [0, 1]; None where there is none.
        id: Name by which a prompt and an answer speak of it; "" where it has none.
    """

    center_ego_m: Floats
    size_lwh_m: Floats
    yaw_ego_rad: float
    category: str
    velocity_ego_mps: Floats | None = None
    score: float | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if self.center_ego_m.shape != (3,) or self.size_lwh_m.shape != (3,):
            raise ValueError(
                "a box needs a (3,) centre and a (3,) size, got "
                f"{self.center_ego_m.shape} and {self.size_lwh_m.shape}"
            )
        numbers = [*self.center_ego_m, *self.size_lwh_m, self.yaw_ego_rad]
        if not np.isfinite(numbers).all() or (self.size_lwh_m <= 0).any():
            raise ValueError(f"a box must be finite with positive size, got {numbers}")
        if self.category not in TYPICAL_SIZE_LWH_M:
            raise ValueError(f"category {self.category!r} is none of {', '.join(CATEGORIES)}")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"a score lies in [0, 1], got {self.score}")
        v = self.velocity_ego_mps
        if v is not None and (v.shape != (2,) or not np.isfinite(v).all()):
            raise ValueError(f"a velocity must be finite and (2,), got {v}")

    @classmethod
    def typical(cls, category: str, *, x_ego_m: float, y_ego_m: float, id: str = "") -> Box3:
        """A box of the category's typical size, standing on the ground, heading like the ego."""
        if category not in TYPICAL_SIZE_LWH_M:
            raise ValueError(f"category {category!r} is none of {', '.join(CATEGORIES)}")
        size = np.array(TYPICAL_SIZE_LWH_M[category])
        center = np.array([x_ego_m, y_ego_m, size[2] / 2])
        return cls(center, size, 0.0, category, id=id)

    def corners_ego_m(self) -> Floats:
        """(8, 3): the four bottom corners, then the four top ones; front left first, clockwise."""
        length, width, height = self.size_lwh_m
        flat = footprint_m(np.array([length]), np.array([width]))[0]
        cos, sin = np.cos(self.yaw_ego_rad), np.sin(self.yaw_ego_rad)
        xy = flat @ np.array([[cos, sin], [-sin, cos]]) + self.center_ego_m[:2]
        low, high = self.center_ego_m[2] - height / 2, self.center_ego_m[2] + height / 2
        return np.vstack([np.c_[xy, np.full(4, low)], np.c_[xy, np.full(4, high)]])

    @property
    def distance_m(self) -> float:
        """From the ego's origin, on the ground."""
        return float(np.hypot(self.center_ego_m[0], self.center_ego_m[1]))


def footprint_m(length_m: Floats, width_m: Floats) -> Floats:
    """(N, 4, 2) corners of N centred rectangles: front left, front right, rear right, rear left."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    half = np.stack([length_m, width_m], axis=-1)[:, None, :] / 2
    return np.asarray(signs * half)


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One object that an answer speaks of.

    Attributes:
        box: A proposal's own box where one was kept or dropped; else as the answer gives it.
        verdict: Kept or dropped proposal, or an object added by the planner.
    """

    box: Box3
    verdict: Verdict
