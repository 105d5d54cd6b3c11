"""Does a planner look? Pairs of clips that only the pictures tell apart, and who drives each right.

A plan is right where it is nearer to the recorded future of its own side than to the twin's, by
the mean distance of the rear axle at 0.5 s, 1 s, ... 3 s. A tie is wrong and a failed answer is
wrong. A pair is right where both sides are. Who does not look plans the same on both sides, so one
of them at most is right: its pair accuracy is 0 by construction, its single accuracy at most half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from drivevlm.metrics.interval import MIN_SCENES, Interval, mean_intervals
from drivevlm.metrics.planning import plan_at_steps
from drivevlm.metrics.raster import Bools
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.twins import TwinPair

Json = dict[str, Any]

DISTANCES_M = (0, 15, 30, 45)
PIXELS = (0, 30, 100, 400)
"""Lower ends of the groups by the cause's distance and by the pixels that it covers."""

# P: pairs. T: steps of 0.5 s to 3 s.


@dataclass(frozen=True, slots=True, eq=False)
class TwinScores:
    """What plans earned on pairs whose futures are recorded.

    Attributes:
        pairs: P of them.
        right: (P, 2) whether each side's plan is nearer to its own future.
        answered: (P, 2) whether there is a plan.
    """

    pairs: tuple[TwinPair, ...]
    right: Bools
    answered: Bools


def twin_scores(
    pairs: Sequence[TwinPair],
    plans: Mapping[str, Plan | None],
    futures: Mapping[str, Floats],
) -> TwinScores:
    """Judge plans of the rear axle.

    Args:
        pairs: A pair that has no plan at all on one side, since nobody was asked, is left out,
            and so is one whose recorded futures are not whole.
        plans: By token; None where the answer failed.
        futures: By token, (T, 2) the recorded path in the ego frame of decision time, NaN where
            not recorded.
    """
    asked = [pair for pair in pairs if all(token in plans for token in pair.tokens)]
    judged = [p for p in asked if all(np.isfinite(futures[token]).all() for token in p.tokens)]
    right = np.zeros((len(judged), 2), dtype=np.bool_)
    answered = np.zeros((len(judged), 2), dtype=np.bool_)
    for row, pair in enumerate(judged):
        for side, (mine, others) in enumerate((pair.tokens, pair.tokens[::-1])):
            plan = plans[mine]
            if plan is not None:
                xy_m = plan_at_steps(plan).xy_ego_m
                own_m, other_m = (_apart_m(xy_m, futures[token]) for token in (mine, others))
                right[row, side], answered[row, side] = own_m < other_m, True
    return TwinScores(tuple(judged), right, answered)


def _apart_m(a: Floats, b: Floats) -> float:
    """Mean distance of two paths (T, 2)."""
    return float(np.hypot(*(a - b).T).mean())


def twin_figures(scores: TwinScores, *, n_total: int, seed: int = 0) -> Json:
    """The object ``twins`` of results.json.

    ``pair`` and ``single`` are accuracies over the ``n`` pairs of ``n_total`` that could be
    judged; in ``failed`` of these an answer failed, which is wrong. ``ci95`` resamples whole
    pairs. ``by`` gives the same by family, town, distance and pixels.
    """
    pairs = scores.pairs
    groups: dict[str, Callable[[TwinPair], str]] = {
        "family": lambda pair: pair.family,
        "town": lambda pair: pair.town,
        "distance": lambda pair: _span(pair.cause.distance_m, DISTANCES_M, "m"),
        "pixels": lambda pair: _span(pair.cause.pixels, PIXELS, "px"),
    }
    told = _accuracies(scores, np.ones(len(pairs), dtype=np.bool_), seed)
    told |= {"n_total": n_total, "failed": int((~scores.answered).any(axis=1).sum())}
    told["by"] = {}
    for name, group_of in groups.items():
        names = [group_of(pair) for pair in pairs]
        spans = {"distance": _spans(DISTANCES_M, "m"), "pixels": _spans(PIXELS, "px")}
        order = [span for span in spans.get(name, sorted(set(names))) if span in names]
        told["by"][name] = {
            group: _accuracies(scores, np.array([n == group for n in names]), seed)
            for group in order
        }
    few = len(pairs) < MIN_SCENES
    told["notes"] = [
        "right: nearer to its own future than to the twin's, by mean L2 up to 3 s; a pair is "
        "right where both plans are; ties and failures are wrong",
        *([f"no interval: {len(pairs)} pairs, at least {MIN_SCENES} are needed"] if few else []),
    ]
    return told


def _accuracies(scores: TwinScores, chosen: Bools, seed: int) -> Json:
    right = scores.right[chosen]
    names = [pair.name for pair, mine in zip(scores.pairs, chosen, strict=True) if mine]
    values = np.stack([right.all(axis=1), right.mean(axis=1)], axis=1).astype(np.float64)
    pair, single = values.mean(axis=0).tolist() if len(values) else (None, None)
    told = [_ends(interval) for interval in mean_intervals(values, names, seed=seed)]
    return {
        "n": len(right),
        "pair": pair,
        "single": single,
        "ci95": {"pair": told[0], "single": told[1]},
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _spans(ends: Sequence[int], unit: str) -> list[str]:
    return [f"{low}-{high} {unit}" for low, high in pairwise(ends)] + [f"{ends[-1]}+ {unit}"]


def _span(value: float, ends: Sequence[int], unit: str) -> str:
    """The group of a value, by the last of the ends that it reaches."""
    return _spans(ends, unit)[sum(value >= end for end in ends) - 1]
