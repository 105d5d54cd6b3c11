"""Plans and roads that can be checked by hand, for the tests of the planning protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from reference.worlds import pose, quaternion

from drivevlm.metrics.cases import Cases, Part, joined
from drivevlm.metrics.grids import GridLayer, packed
from drivevlm.metrics.planning import STOP, PlanningProtocol
from drivevlm.metrics.score import Scores
from drivevlm.metrics.summary import Value
from drivevlm.metrics.surface import Paths
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
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


Values = Mapping[str, Value]


@dataclass(frozen=True)
class One:
    """One plan's steps, of the first clip."""

    answered: bool
    distance_m: np.ndarray
    hit: np.ndarray
    gt_hit: np.ndarray
    collision: np.ndarray


def first(scores: Scores) -> One | None:
    """The first clip's steps; None where nothing was counted."""
    if not len(scores):
        return None
    agents = scores.touched["agents"]
    return One(
        bool(scores.answered[0]),
        scores.distance_m[0],
        agents.hit[0],
        agents.recorded[0],
        agents.hit[0] & ~agents.excused[0],
    )


def judged(protocol: PlanningProtocol, truth: Truth, plan: Plan | None) -> One | None:
    """A plan of one clip."""
    cases = protocol.prepare([truth])
    return first(protocol.judge(cases, [plan] * len(cases)))


def summed(protocol: PlanningProtocol, truth: Truth, plan: Plan = STOP) -> Mapping[str, Values]:
    """The figures of one clip, by name and column."""
    scores = protocol.judge(protocol.prepare([truth]), [plan])
    return protocol.summarise(scores).strict.figures


def judged_path(protocol: PlanningProtocol, cases: Cases, xy_m: np.ndarray) -> One | None:
    """A path of the protocol's own point in its axes, for one clip."""
    xy_m = np.asarray(xy_m, dtype=np.float64)[None]
    return first(protocol.judge_paths(cases, Paths(xy_m, np.zeros(xy_m.shape[:2]))))


def on_grid(
    protocol: PlanningProtocol,
    grid: np.ndarray,
    recorded_xy_m: np.ndarray,
    *,
    token: str = "clip",
    mount: Pose3 | None = None,
    touch: str = "agents",
) -> Cases:
    """One clip with cells and a recorded path that are given, not drawn."""
    drawn = {t.name: "not given" for t in protocol.rule.touches} | {touch: packed(grid)}
    recorded = np.asarray(recorded_xy_m, dtype=np.float64)
    mount = mount or Pose3.identity()
    part = Part(token, "scene", recorded, np.zeros(len(recorded)), mount, drawn)
    return joined(protocol.rule, {token: part})


def cells_of(cases: Cases, clip: int = 0, touch: str = "agents") -> np.ndarray:
    """The cells that were drawn."""
    layer = cases.touchable[touch].layer
    assert isinstance(layer, GridLayer)
    return layer.grid(clip)
