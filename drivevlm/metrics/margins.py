"""What it is worth to know more: rows beside each other, on the clips on which all of them plan.

L2 is the mean distance of the rear axle to where it was driven, at 1, 2 and 3 s. A plan's speed
class (accelerate, keep, slow or stop; see ``world.kinematics``) is right where it is that of the
driven path, and fits where the labelled decision admits it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivevlm.metrics.interval import mean_intervals, paired_intervals, too_few_scenes
from drivevlm.metrics.planning import plan_at_steps
from drivevlm.metrics.raster import Bools
from drivevlm.world.kinematics import SPEEDS_ADMITTED, SpeedClass, kinematic_class
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

Json = dict[str, Any]

FIGURES = ("l2_m", "speed_class", "fits")
AT_STEPS = (1, 3, 5)
"""Rows of a plan at 1, 2 and 3 s."""
GROUPS = {"all": "", "event": "constant_velocity_fails", "onset": "onset"}
"""The kinds of clips (``metrics.splits``) that are told apart; "" is every clip."""
NOTES = (
    "L2: mean distance at 1, 2 and 3 s; right: the plan's speed class (accelerate, keep, slow, "
    "stop) is that of the driven path; fits: the labelled decision admits it",
    "event: constant velocity ends more than 2 m off at 3 s; onset: constant acceleration and "
    "turn rate do too, so on these clips those rows fail by choice of the clips",
)

# P: planners. C: clips. M: figures.


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Planners on the same clips.

    Attributes:
        planners: P names.
        tokens, scenes: Of the C clips.
        values: (P, C, M) the ``FIGURES``; NaN where a clip has no label to fit.
        driven: Of each clip, the speed class of the driven path.
        admitted: Of each clip, the classes that its label admits; none without a label.
        whole: Clips whose next 3 s are recorded, whether or not all planned.
    """

    planners: tuple[str, ...]
    tokens: tuple[str, ...]
    scenes: tuple[str, ...]
    values: Floats
    driven: tuple[SpeedClass, ...]
    admitted: tuple[Collection[SpeedClass], ...]
    whole: int


def beside(plans: Mapping[str, Mapping[str, Plan | None]], truths: Iterable[Truth]) -> Beside:
    """Judge planners' plans by token; a clip on which one of them has none is left out."""
    kept: list[Truth] = []
    values, driven, admitted, whole = [], [], [], 0
    for truth in truths:
        future = truth.future_plan()
        mine = [of.get(truth.token) for of in plans.values()]
        whole += future is not None
        if future is None or not all(mine):
            continue
        kept.append(truth)
        driven.append(kinematic_class(future)[0])
        labels = truth.labels
        admitted.append(SPEEDS_ADMITTED[labels.meta.longitudinal] if labels else frozenset())
        values.append([_judged(p, future, driven[-1], admitted[-1]) for p in mine if p is not None])
    return Beside(
        tuple(plans),
        tuple(truth.token for truth in kept),
        tuple(truth.scene for truth in kept),
        np.array(values, dtype=np.float64)
        .reshape(len(kept), len(plans), len(FIGURES))
        .swapaxes(0, 1),
        tuple(driven),
        tuple(admitted),
        whole,
    )


def _judged(
    plan: Plan, future: Plan, driven: SpeedClass, admitted: Collection[SpeedClass]
) -> tuple[float, float, float]:
    read = plan_at_steps(plan)
    off_m = np.hypot(*(read.xy_ego_m - future.xy_ego_m)[list(AT_STEPS)].T)
    speed = kinematic_class(read)[0]
    return (
        float(off_m.mean()),
        float(speed is driven),
        float(speed in admitted) if admitted else np.nan,
    )


def margin_figures(
    found: Beside,
    kinds: Mapping[str, Collection[str]],
    *,
    over: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> Json:
    """The object ``margins`` of stats.json.

    Args:
        found: The rows.
        kinds: By kind of clip, the tokens.
        over: Pairs of planners, the poorer first: the paired difference of the two is told, and
            whether their own intervals are apart.
        seed: Of the bootstrap, which resamples scenes.
    """
    groups = {}
    for name, kind in GROUPS.items():
        chosen = np.array([not kind or t in kinds.get(kind, ()) for t in found.tokens], np.bool_)
        if chosen.any():
            groups[name] = _group(found, chosen, over, seed)
    few = too_few_scenes(found.scenes)
    return {
        "n": len(found.tokens),
        "n_total": found.whole,
        "groups": groups,
        "notes": [*NOTES, *([few] if few else [])],
    }


def _group(found: Beside, chosen: Bools, over: Sequence[tuple[str, str]], seed: int) -> Json:
    scenes = [scene for scene, mine in zip(found.scenes, chosen, strict=True) if mine]
    values = dict(zip(found.planners, found.values[:, chosen], strict=True))
    rows = {name: _row(mine, scenes, seed) for name, mine in values.items()}
    margins = []
    for poor, rich in over:
        if poor in values and rich in values:
            ends = paired_intervals(values[poor], values[rich], scenes, seed=seed)
            gain = _means(values[rich] - values[poor])
            margins.append(
                {
                    "of": rich,
                    "over": poor,
                    **gain,
                    "ci95": _ends(ends),
                    "apart": _apart(rows[poor]["ci95"]["l2_m"], rows[rich]["ci95"]["l2_m"]),
                }
            )
    return {
        "n": int(chosen.sum()),
        "scenes": len(set(scenes)),
        "rows": rows,
        "constant": _constant(found, chosen),
        "margins": margins,
    }


def _row(values: Floats, scenes: Sequence[str], seed: int) -> Json:
    """Of one planner's (C, M) values."""
    return {**_means(values), "ci95": _ends(mean_intervals(values, scenes, seed=seed))}


def _means(values: Floats) -> Json:
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return {
        name: float(total / count) if count else None
        for name, total, count in zip(FIGURES, sums, counts, strict=True)
    }


def _ends(intervals: Sequence[Any]) -> Json:
    return {
        name: None if found is None else [found.low, found.high]
        for name, found in zip(FIGURES, intervals, strict=True)
    }


def _apart(first: list[float] | None, second: list[float] | None) -> bool | None:
    """Whether two intervals do not touch; None where there is none."""
    if first is None or second is None:
        return None
    return first[1] < second[0] or second[1] < first[0]


def _constant(found: Beside, chosen: Bools) -> Json:
    """The one speed class that is right most often, and the one that fits most often."""
    rows = np.flatnonzero(chosen)
    labelled = [k for k in rows if found.admitted[k]]
    right = {c: sum(found.driven[k] is c for k in rows) / len(rows) for c in SpeedClass}
    best = max(right, key=lambda c: right[c])
    told: Json = {"speed_class": {"answer": best.value, "share": right[best]}}
    if labelled:
        fits = {
            c: sum(c in found.admitted[k] for k in labelled) / len(labelled) for c in SpeedClass
        }
        best = max(fits, key=lambda c: fits[c])
        told["fits"] = {"answer": best.value, "share": fits[best]}
    return told
