"""The stale-plan score: what the plans that a vehicle has at each keyframe are worth there.

Each row is told in these readings; in the ideal, every keyframe has its own plan at once:

- ``reached``: keyframes with a plan, each only as far as its plan reaches itself. A plan of 3 s
  covers 3 s ahead at the moment of its stamp and never after, so the figure at 3 s goes out first.
- ``continued``: the same keyframes; a plan goes on at the speed and curvature of its end.
- ``strict``: all keyframes; where there is no plan yet the declared fallback is in its place.
- ``cost``: continued, minus the ideal, over the keyframes that have a plan in both; ``ideal`` is
  the ideal over these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.metrics.cases import Cases
from drivevlm.metrics.held import Held
from drivevlm.metrics.interval import Interval, mean_intervals, paired_intervals
from drivevlm.metrics.planning import PlanningProtocol, PlanStack
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import Figure
from drivevlm.metrics.score import COLUMNS, HORIZONS_S, Scores, clip_values
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.truth import STEP_S

# N: keyframes. K: COLUMNS.

FIGURES = ("l2_m", "collision")
OLD_S = 1.0
"""A node's gate lets no older plan through unless it is told to."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over keyframes: None where none has a value."""

    mean: float | None
    n: int
    ci95: Interval | None

    def to_json(self) -> Json:
        """The object of ``node_score.json``."""
        bounds = None if self.ci95 is None else [self.ci95.low, self.ci95.high]
        return {"mean": self.mean, "n": self.n, "ci95": bounds}


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a time: median, 95th percentile, largest; all None where nothing was measured."""

    p50: float | None
    p95: float | None
    max: float | None
    n: int

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Of those that are known."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(None, None, None, 0)
        p50, p95 = (float(value) for value in np.percentile(known, [50, 95]))
        return cls(p50, p95, float(known.max()), len(known))

    def to_json(self) -> Json:
        """The object of ``node_score.json``."""
        return {"p50": self.p50, "p95": self.p95, "max": self.max, "n": self.n}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a vehicle has at N keyframes, and what that earned.

    Attributes:
        held: The plans.
        scores: Of them, continued, and of the fallback where there is none.
    """

    held: Held
    scores: Scores

    @classmethod
    def of(
        cls,
        protocol: PlanningProtocol,
        cases: Cases,
        held: Held,
        fallback: Callable[[str], Plan],
    ) -> Judged:
        """Judge as any plans: ``fallback`` is asked for the tokens that have none."""
        if len(held.plans) != len(cases):
            raise ValueError(f"{len(cases)} keyframes need as many plans, got {len(held.plans)}")
        plans = [
            fallback(token) if plan is None else plan
            for token, plan in zip(cases.tokens, held.plans, strict=True)
        ]
        paths = protocol.paths(cases, PlanStack.of(plans))
        return cls(held, protocol.judge_paths(cases, paths, answered=held.there))


Readings = Mapping[str, Mapping[str, Mean]]
"""By reading, then by column."""


@dataclass(frozen=True, slots=True)
class LateRow:
    """One row of the stale-plan score.

    Attributes:
        n: Keyframes, all in the total.
        with_plan: Those of them with a plan.
        fallback: Those whose plan is a fallback of the node.
        old: Those whose plan is older than ``OLD_S``.
        age_s: Of the plans.
        reaches: By ``1s``, ``2s``, ``3s``, keyframes whose plan covers so much itself.
        figures: By figure.
    """

    n: int
    with_plan: int
    fallback: int
    old: int
    age_s: Spread
    reaches: Mapping[str, int]
    figures: Mapping[str, Readings]

    @classmethod
    def of(
        cls, protocol: PlanningProtocol, judged: Judged, ideal: Judged, *, seed: int = 0
    ) -> LateRow:
        """Means over keyframes, with intervals over scenes."""
        held = judged.held
        figures = [figure for figure in protocol.rule.figures if figure.name in FIGURES]
        return cls(
            n=len(judged.scores),
            with_plan=int(held.there.sum()),
            fallback=int(held.fallback.sum()),
            old=int((held.age_s > OLD_S).sum()),
            age_s=Spread.of(held.age_s),
            reaches={
                column: int(_covered(held)[:, k].sum())
                for k, column in enumerate(COLUMNS[: len(HORIZONS_S)])
            },
            figures={figure.name: _readings(figure, judged, ideal, seed) for figure in figures},
        )

    def to_json(self) -> Json:
        """The object of ``node_score.json``."""
        return {
            "n": self.n,
            "with_plan": self.with_plan,
            "fallback": self.fallback,
            "older_than_1s": self.old,
            "age_s": self.age_s.to_json(),
            "reaches": dict(self.reaches),
            **{
                name: {
                    reading: {column: mean.to_json() for column, mean in means.items()}
                    for reading, means in readings.items()
                }
                for name, readings in self.figures.items()
            },
        }


def _covered(held: Held) -> Bools:
    """(N, K) whether the plan itself reaches as far as a column looks."""
    until = [round(horizon_s / STEP_S) for horizon_s in HORIZONS_S]
    return held.there[:, None] & (held.reach[:, None] >= np.array([*until, until[-1]]))


def _readings(figure: Figure, judged: Judged, ideal: Judged, seed: int) -> Readings:
    scenes = judged.scores.scenes
    strict = clip_values(judged.scores, figure)
    continued = np.where(judged.held.there[:, None], strict, np.nan)
    reached = np.where(_covered(judged.held), strict, np.nan)
    best = np.where(ideal.held.there[:, None], clip_values(ideal.scores, figure), np.nan)
    both = np.where(np.isfinite(continued), best, np.nan)
    told = {"reached": reached, "continued": continued, "strict": strict, "ideal": both}
    readings = {
        name: _means(values, mean_intervals(values, scenes, seed=seed))
        for name, values in told.items()
    }
    cost = paired_intervals(best, continued, scenes, seed=seed)
    return {**readings, "cost": _means(continued - best, cost)}


def _means(values: Floats, intervals: tuple[Interval | None, ...]) -> Mapping[str, Mean]:
    means = {}
    for column, own, interval in zip(COLUMNS, values.T, intervals, strict=True):
        known = own[np.isfinite(own)]
        mean = float(known.mean()) if len(known) else None
        means[column] = Mean(mean, len(known), interval)
    return means
