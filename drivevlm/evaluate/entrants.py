"""Who is scored: a planner's decisions, or the paths of a plan file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivevlm.data.recording import Recording
from drivevlm.metrics.body_point import Mounts, as_scored, in_axes
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanningProtocol, PlanStack
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import Axes, Point
from drivevlm.metrics.score import Scores
from drivevlm.metrics.surface import Paths
from drivevlm.record.plan_file import PlanFile
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind
from drivevlm.world.truth import FUTURE_STEPS, Truth

# N: clips, T: FUTURE_STEPS.

Fallback = Callable[[Clip], Plan]


class Entrant(Protocol):
    """One row of a table."""

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """By token, on every clip that the entrant was asked about."""

    def scores(self, protocol: PlanningProtocol, cases: Cases) -> Scores:
        """Of those counted clips on which the entrant decided."""

    def axle_plan(self, token: str, truth: Truth | None) -> Plan | None:
        """The plan on a clip as the path of the rear axle; None where the answer failed."""


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A planner with its decisions.

    Attributes:
        decisions: By token.
        row: By token, a row of the others.
        plans: With the fallback in place of what failed.
        answered: (N,) which did not fail.
    """

    decisions: Mapping[str, Decision]
    row: Mapping[str, int]
    plans: PlanStack
    answered: Bools

    @classmethod
    def of(
        cls, recording: Recording, decisions: Mapping[str, Decision], fallback: Fallback
    ) -> Decided:
        """The fallback is asked for each clip whose plan failed."""
        plans = [
            fallback(recording.clip(token)) if decision.plan is None else decision.plan
            for token, decision in decisions.items()
        ]
        return cls(
            decisions,
            {token: row for row, token in enumerate(decisions)},
            PlanStack.of(plans),
            np.array([d.plan is not None for d in decisions.values()], dtype=np.bool_),
        )

    def scores(self, protocol: PlanningProtocol, cases: Cases) -> Scores:
        """Of those counted clips on which the planner decided."""
        mine = cases.only([token in self.row for token in cases.tokens])
        rows = [self.row[token] for token in mine.tokens]
        stack = PlanStack(self.plans.xy_ego_m[rows], self.plans.yaw_ego_rad[rows])
        return protocol.judge_paths(mine, protocol.paths(mine, stack), answered=self.answered[rows])

    def axle_plan(self, token: str, truth: Truth | None) -> Plan | None:
        """As it was decided."""
        return self.decisions[token].plan


@dataclass(frozen=True, slots=True, eq=False)
class Filed:
    """The paths of a plan file, as they are: of the point that each protocol scores, or moved.

    Attributes:
        file: What the file says.
        decisions: By token of every clip of the data, in the ego's axes, the point not moved; a
            clip whose plan is null or missing has failed.
    """

    file: PlanFile
    decisions: Mapping[str, Decision]

    @classmethod
    def of(cls, file: PlanFile, tokens: Sequence[str]) -> Filed:
        """Laid on the clips of the data."""
        return cls(file, _decisions(file, tokens))

    def scores(self, protocol: PlanningProtocol, cases: Cases) -> Scores:
        """Of all counted clips; one without a plan is judged as a stop, which nothing moves."""
        answered = np.array([self.file.xy_m.get(t) is not None for t in cases.tokens], np.bool_)
        paths = self.paths(
            cases.tokens,
            axes=protocol.rule.axes,
            point=protocol.rule.point,
            mounts=cases.mounts,
        )
        return protocol.judge_paths(cases, paths, answered=answered)

    def axle_plan(self, token: str, truth: Truth | None) -> Plan | None:
        """Moved from the lidar where it is the lidar's, as far as that can be told."""
        plan = self.decisions[token].plan
        mount = None if truth is None else truth.now.ego_from_lidar
        if plan is None or self.file.point != "lidar" or mount is None:
            return plan
        mounts = Mounts.of([mount])
        path = self.paths([token], axes=Axes.EGO, point="rear_axle", mounts=mounts)
        return Plan(path.xy_m[0], yaw_ego_rad=path.yaw_rad[0])

    def paths(
        self, tokens: Sequence[str], *, axes: Axes, point: Point, mounts: Mounts | None
    ) -> Paths:
        """Some clips' paths, of a body point in some axes; to stand still where there is none."""
        nothing = np.zeros((FUTURE_STEPS, 2))
        found = [self.file.xy_m.get(token) for token in tokens]
        read = [nothing if xy_m is None else xy_m for xy_m in found]
        return as_scored(
            np.array(read, dtype=np.float64).reshape(-1, *nothing.shape),
            axes=self.file.frame,
            point=self.file.point,
            wanted_axes=axes,
            wanted_point=point,
            mounts=mounts,
        )


def _decisions(file: PlanFile, tokens: Sequence[str]) -> dict[str, Decision]:
    def decided(token: str) -> Decision:
        xy_m = file.xy_m.get(token)
        if xy_m is None:
            words = "the file says null" if token in file.xy_m else "the file has none"
            return Decision.failed(FailureKind.NO_PLAN, words)
        return Decision(plan=Plan(in_axes(xy_m, given=file.frame, wanted=Axes.EGO)))

    return {token: decided(token) for token in tokens}
