"""The planning protocols at work: prepare truths once, judge any plans, sum up the scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drivevlm.metrics.body_point import lidar_paths
from drivevlm.metrics.cases import Cases, joined, part_of
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import PlanningRule
from drivevlm.metrics.score import HORIZONS_S, Scores, Touched
from drivevlm.metrics.summary import ProtocolScore, summary
from drivevlm.metrics.surface import PATH_DIGITS, Paths
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, Truth

# N: clips, T: FUTURE_STEPS, of STEP_S each.


@dataclass(frozen=True, slots=True)
class PlanningProtocol:
    """Judges plans by one rule."""

    rule: PlanningRule

    @property
    def name(self) -> str:
        """As tables and the command line call it."""
        return self.rule.name

    def prepare(self, truths: Iterable[Truth]) -> Cases:
        """Everything about clips that does not depend on a plan."""
        return joined(self.rule, {truth.token: part_of(self.rule, truth) for truth in truths})

    def judge(
        self, cases: Cases, plans: Sequence[Plan | None], *, fallback: Plan | None = None
    ) -> Scores:
        """Score a plan for each clip.

        Args:
            cases: N clips.
            plans: N; None where the planner failed: the fallback is judged in its place, and the
                score says that it was not answered.
            fallback: The declared fallback; to stop on the spot when left out.
        """
        answered = np.array([plan is not None for plan in plans], dtype=np.bool_)
        stacked = PlanStack.of([plan or fallback or STOP for plan in plans])
        return self.judge_paths(cases, self.paths(cases, stacked), answered=answered)

    def paths(self, cases: Cases, plans: PlanStack) -> Paths:
        """Plans of the rear axle as paths of the protocol's point, in the protocol's axes."""
        if self.rule.point == "rear_axle":
            return Paths(np.round(plans.xy_ego_m, PATH_DIGITS), plans.yaw_ego_rad)
        return lidar_paths(
            plans.xy_ego_m,
            plans.yaw_ego_rad,
            mounts=cases.mounts,
            point_lidar_m=self.rule.point,
            axes=self.rule.axes,
        )

    def judge_paths(self, cases: Cases, paths: Paths, *, answered: Bools | None = None) -> Scores:
        """Score paths of the protocol's own point, already in its axes. Nothing is moved.

        Raises ValueError where a path is not finite or of another length.
        """
        if paths.xy_m.shape != (len(cases), FUTURE_STEPS, 2) or not np.isfinite(paths.xy_m).all():
            raise ValueError(
                f"{self.name}: paths must be finite and ({len(cases)}, {FUTURE_STEPS}, 2), got "
                f"{paths.xy_m.shape}"
            )
        answered = np.ones(len(cases), dtype=np.bool_) if answered is None else answered
        if self.rule.admitted is None:
            return self._scores(cases, paths, answered)
        parts = []
        for end in (round(horizon_s / STEP_S) for horizon_s in HORIZONS_S):
            xy_m = paths.xy_m.copy()
            xy_m[:, :end] = self.rule.admitted(xy_m[:, :end])
            parts.append(self._scores(cases, Paths(xy_m, paths.yaw_rad), answered))
        return replace(parts[-1], shorter=tuple(parts[:-1]))

    def _scores(self, cases: Cases, paths: Paths, answered: Bools) -> Scores:
        laid = self.rule.laid(paths)
        off_m = paths.xy_m - cases.recorded.xy_m
        return Scores(
            cases.tokens,
            cases.scenes,
            answered,
            np.hypot(off_m[..., 0], off_m[..., 1]),
            {name: _touched(cases, name, laid) for name in cases.touchable},
        )

    def summarise(
        self,
        scores: Scores,
        *,
        n_total: int | None = None,
        splits: Mapping[str, Collection[str]] | None = None,
        seed: int = 0,
    ) -> ProtocolScore:
        """Means over the clips that could be judged, with scene-level intervals.

        Args:
            scores: Of the counted clips.
            n_total: Clips that were planned, counted or not; as many as were scored if left out.
            splits: Tokens by kind of clip.
            seed: Of the bootstrap.
        """
        total = len(scores) if n_total is None else n_total
        return summary(self.rule, scores, n_total=total, splits=splits or {}, seed=seed)


def _touched(cases: Cases, name: str, laid: Paths) -> Touched:
    touchable = cases.touchable[name]
    shape = laid.yaw_rad.shape
    hit, excused, recorded = (np.zeros(shape, dtype=np.bool_) for _ in range(3))
    rows = touchable.rows
    hit[rows] = touchable.layer.touched(Paths(laid.xy_m[rows], laid.yaw_rad[rows]))
    excused[rows], recorded[rows] = touchable.excused, touchable.recorded
    return Touched(hit & cases.known, excused, recorded, np.isin(np.arange(len(cases)), rows))


@dataclass(frozen=True, slots=True, eq=False)
class PlanStack:
    """Plans at 0.5 s, 1 s, ... 3 s.

    Attributes:
        xy_ego_m: (N, T, 2).
        yaw_ego_rad: (N, T) headings.
    """

    xy_ego_m: Floats
    yaw_ego_rad: Floats

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> PlanStack:
        """One row a plan. Raises ValueError where one cannot be read at these times."""
        if not plans:
            return cls(np.zeros((0, FUTURE_STEPS, 2)), np.zeros((0, FUTURE_STEPS)))
        rows = [plan_at_steps(plan) for plan in plans]
        return cls(
            np.stack([row.xy_ego_m for row in rows]),
            np.stack([row.headings_ego_rad() for row in rows]),
        )


STOP = Plan(np.zeros((FUTURE_STEPS, 2)), dt_s=STEP_S, yaw_ego_rad=np.zeros(FUTURE_STEPS))
"""To stand still from now on."""


def plan_at_steps(plan: Plan) -> Plan:
    """The rows of a plan at 0.5 s, 1 s, ... 3 s, with headings. A longer plan is cut.

    A plan of a finer rate is thinned, never interpolated: its step must divide 0.5 s. Headings
    are those of the whole plan, so its own tangents.
    """
    needed_s = FUTURE_STEPS * STEP_S
    if plan.horizon_s < needed_s - 1e-6:
        raise ValueError(f"plan ends at {plan.horizon_s:g} s, scoring needs {needed_s:g} s")
    stride = round(STEP_S / plan.dt_s)
    if stride < 1 or abs(stride * plan.dt_s - STEP_S) > 1e-6:
        raise ValueError(
            f"plan has a waypoint every {plan.dt_s:g} s, scoring needs one every {STEP_S:g} s "
            "or a step that divides it"
        )
    rows = slice(stride - 1, FUTURE_STEPS * stride, stride)
    return Plan(plan.xy_ego_m[rows], dt_s=STEP_S, yaw_ego_rad=plan.headings_ego_rad()[rows])
