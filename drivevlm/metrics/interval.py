"""The one bootstrap: intervals of means by resampling whole scenes.

Clips of a scene resemble each other, so scenes are drawn, not clips (cluster percentile bootstrap,
e.g. Davison and Hinkley 1997, section 3.8). A resampled mean is the sum of all drawn values over
their number. A percentile interval of few scenes is too narrow; its tails are therefore cut as
Student's t would have it ("expanded percentile interval", Hesterberg 2015, What Teachers Should
Know about the Bootstrap). In simulation, with 20 to 80 scenes, it holds the truth in 95 % of
studies where scenes differ evenly, and in 93 to 94 % where they differ in a skewed way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from drivevlm.world.pose import Floats

MIN_SCENES = 20
"""With fewer scenes the interval would be too narrow to be honest, so there is none."""
RESAMPLES = 4000
LEVEL = 0.95

# C: clips, M: quantities, S: scenes, R: resamples.


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true mean in 95 % of such studies."""

    low: float
    high: float


def too_few_scenes(scenes: Sequence[str]) -> str:
    """Why there can be no interval over clips of these scenes; "" when there can."""
    count = len(set(scenes))
    if count >= MIN_SCENES:
        return ""
    return f"no interval: {count} scenes, at least {MIN_SCENES} are needed"


def mean_intervals(
    values: Floats, scenes: Sequence[str], *, seed: int = 0
) -> tuple[Interval | None, ...]:
    """The interval of each column's mean over clips.

    Args:
        values: (C, M); NaN where a clip has no value.
        scenes: C scene names.
        seed: Of the resampling; all columns are resampled together.

    Returns:
        M intervals; None where fewer than ``MIN_SCENES`` scenes have a value.
    """
    if values.ndim != 2 or len(values) != len(scenes):
        raise ValueError(f"{len(scenes)} clips need values (C, M), got {values.shape}")
    names, scene = np.unique(np.asarray(scenes, dtype=np.str_), return_inverse=True)
    known = np.isfinite(values)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, scene, np.where(known, values, 0.0))
    np.add.at(counts, scene, known.astype(np.float64))
    valued = (counts > 0).sum(axis=0)
    enough = valued >= MIN_SCENES
    if not enough.any():
        return (None,) * values.shape[1]
    drawn = _drawn(len(names), seed)
    weight = drawn @ counts
    means = (drawn @ sums) / np.where(weight > 0, weight, np.nan)
    intervals: list[Interval | None] = [None] * values.shape[1]
    for column in np.flatnonzero(enough):
        tail = _tail(int(valued[column]))
        low, high = np.nanquantile(means[:, column], [tail, 1 - tail])
        intervals[column] = Interval(float(low), float(high))
    return tuple(intervals)


def paired_intervals(
    first: Floats, second: Floats, scenes: Sequence[str], *, seed: int = 0
) -> tuple[Interval | None, ...]:
    """The interval of the mean of ``second - first`` over the same clips, column by column.

    A clip counts where both have a value. Shapes as in ``mean_intervals``.
    """
    if first.shape != second.shape:
        raise ValueError(f"runs must be paired clip by clip, got {first.shape}, {second.shape}")
    return mean_intervals(second - first, scenes, seed=seed)


def _tail(scenes: int) -> float:
    """Share of resampled means to cut at each end: for many scenes 2.5 %, for few ones less."""
    free = scenes - 1
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return NormalDist().cdf(-t * float(np.sqrt(scenes / free)))


@lru_cache(maxsize=8)
def _drawn(scenes: int, seed: int) -> Floats:
    """(R, S) how often each scene is drawn in each resample."""
    rng = np.random.default_rng(seed)
    share = np.full(scenes, 1 / scenes)
    return rng.multinomial(scenes, share, size=RESAMPLES).astype(np.float64)
