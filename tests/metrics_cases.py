"""Plans and roads that can be checked by hand, for the tests of the planning protocols."""

from __future__ import annotations

import numpy as np
from reference.worlds import pose, quaternion

from drivevlm.world.plan import Plan
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep


def straight(speed_mps: float = 4.0, *, dt_s: float = 0.5, until_s: float = 3.0) -> Plan:
    x_m = speed_mps * dt_s * np.arange(1, round(until_s / dt_s) + 1)
    return Plan(np.stack([x_m, 0 * x_m], axis=1), dt_s=dt_s)


def road(
    *boxes: tuple[str, float, float],
    future: int = 6,
    speed_mps: float = 4.0,
    points: int = 9,
    lidar: bool = True,
) -> Truth:
    """A straight drive along x past standing 2 x 2 m boxes: category, x and y in the ego frame."""
    mount = pose(quaternion(-np.pi / 2), [0.94, 0.0, 1.84]) if lidar else None
    n, names = len(boxes), [f"box-{i}" for i in range(len(boxes))]

    def labels(k: int) -> LabelledBoxes:
        return LabelledBoxes(
            np.array([[x, y, 1.0] for _, x, y in boxes]).reshape(-1, 3),
            np.full((n, 3), 2.0),
            np.tile([1.0, 0, 0, 0], (n, 1)),
            tuple(category for category, _, _ in boxes),
            tuple(names),
            tuple(f"{name}@{k}" for name in names),
            tuple(f"{name}@{k + 1}" if k < future else "" for name in names),
            *(np.full(n, v, dtype=np.int64) for v in (points, 0, 4)),
        )

    steps = {
        k: TruthStep(
            k * 500_000, pose(quaternion(0.0), [speed_mps * 0.5 * k, 0, 0]), mount, labels(k)
        )
        for k in range(future + 1)
    }
    return Truth("clip", "scene", steps)
