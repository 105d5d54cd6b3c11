"""From the steps of one plan to the numbers of a table, each with its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm.metrics.interval import Interval, mean_intervals, too_few_scenes
from drivevlm.metrics.raster import Bools
from drivevlm.world.pose import Floats
from drivevlm.world.truth import STEP_S

# T: steps. C: clips.

HORIZONS_S = (1.0, 2.0, 3.0)
COLUMNS = ("1s", "2s", "3s", "avg")
"""Every figure is given at these horizons; ``avg`` is the mean of the three."""


class Averaging(str, Enum):
    """How the steps of a clip become its value at k seconds."""

    AT = "the step at k s"
    MEAN = "the mean over the steps up to k s"


@dataclass(frozen=True, slots=True, eq=False)
class SampleScore:
    """One plan of one clip, step by step.

    Attributes:
        token, scene: The clip's.
        answered: False where the fallback was judged in place of a failed plan.
        distance_m: (T,) from the recorded point; NaN where the future was not recorded.
        hit: (T,) the plan's ego touches something; False where not recorded.
        gt_hit: (T,) the recorded ego touches something: no collision can be counted there.
    """

    token: str
    scene: str
    answered: bool
    distance_m: Floats
    hit: Bools
    gt_hit: Bools

    @property
    def recorded(self) -> Bools:
        """(T,) which steps can be judged."""
        return np.isfinite(self.distance_m)

    @property
    def collision(self) -> Bools:
        """(T,) the plan's ego touches something while the recorded ego does not."""
        return self.hit & ~self.gt_hit & self.recorded

    def to_json(self) -> dict[str, object]:
        """For a file: per step, null where the future was not recorded."""
        known = [bool(k) for k in self.recorded]
        steps = {"hit": self.hit, "gt_hit": self.gt_hit, "collision": self.collision}
        flags = {
            name: [bool(v) if k else None for v, k in zip(values, known, strict=True)]
            for name, values in steps.items()
        }
        distances = [float(d) if k else None for d, k in zip(self.distance_m, known, strict=True)]
        return {
            "token": self.token,
            "scene": self.scene,
            "answered": self.answered,
            "d_m": distances,
            **flags,
            "valid": known,
        }


@dataclass(frozen=True, slots=True)
class Means:
    """Means over a set of clips; None where there is no clip.

    Attributes:
        n: Clips in every mean.
        l2_m, collision: By ``COLUMNS``; collision as a fraction.
        l2_ci95_m, collision_ci95: 95 % intervals, None where there is none.
    """

    n: int
    l2_m: Mapping[str, float | None]
    collision: Mapping[str, float | None]
    l2_ci95_m: Mapping[str, Interval | None]
    collision_ci95: Mapping[str, Interval | None]


@dataclass(frozen=True, slots=True)
class ProtocolScore:
    """One planner under one protocol.

    Attributes:
        protocol: Its name.
        n_total: Clips that were offered.
        strict: All clips the protocol counts, the fallback in place of each failed plan.
        lenient: Those of them that were answered.
        notes: What a reader of the numbers should know, a line each.
        lenient_notes: The same for the lenient numbers.
    """

    protocol: str
    n_total: int
    strict: Means
    lenient: Means
    notes: tuple[str, ...]
    lenient_notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The object of ``results.json`` and ``scores.json``."""
        lenient = _means_json(self.lenient, self.n_total, self.lenient_notes)
        return {**_means_json(self.strict, self.n_total, self.notes), "lenient": lenient}


def _means_json(means: Means, n_total: int, notes: Sequence[str]) -> dict[str, object]:
    def bounds(intervals: Mapping[str, Interval | None]) -> dict[str, list[float] | None]:
        return {k: None if i is None else [i.low, i.high] for k, i in intervals.items()}

    return {
        "n": means.n,
        "n_total": n_total,
        "l2_m": dict(means.l2_m),
        "collision": dict(means.collision),
        "ci95": {"l2_m": bounds(means.l2_ci95_m), "collision": bounds(means.collision_ci95)},
        "notes": list(notes),
    }


def clip_values(scores: Sequence[SampleScore], averaging: Averaging) -> Floats:
    """(C, 8) each clip's own L2 in m and collision, by ``COLUMNS``: what is averaged over clips.

    A step that was not recorded adds 0 to both. Their mean over clips is the protocol's figure,
    so their differences between two runs can be compared clip by clip.
    """
    if not scores:
        return np.zeros((0, 2 * len(COLUMNS)))
    distance_m = np.nan_to_num(np.stack([score.distance_m for score in scores]))
    collision = np.stack([score.collision for score in scores]).astype(np.float64)
    return np.concatenate([_at_horizons(s, averaging) for s in (distance_m, collision)], axis=1)


def known_columns(scores: Sequence[SampleScore]) -> Bools:
    """(8,) which columns of ``clip_values`` rest on a recorded step of at least one clip.

    Where no clip was recorded that far, a mean of zeros would read like a measurement.
    """
    recorded = np.any([score.recorded for score in scores], axis=0) if scores else np.zeros(0)
    at = [bool(recorded[round(h / STEP_S) - 1 : round(h / STEP_S)].any()) for h in HORIZONS_S]
    return np.array([*at, all(at)] * 2)


def _at_horizons(steps: Floats, averaging: Averaging) -> Floats:
    """(C, 4) from (C, T): at 1, 2 and 3 s, and the mean of these."""
    columns = []
    for horizon_s in HORIZONS_S:
        until = round(horizon_s / STEP_S)
        mean = averaging is Averaging.MEAN
        columns.append(steps[:, :until].mean(axis=1) if mean else steps[:, until - 1])
    return np.stack([*columns, np.mean(columns, axis=0)], axis=1)


def summary(
    scores: Mapping[str, SampleScore | None],
    *,
    protocol: str,
    averaging: Averaging,
    counted: str,
    seed: int,
) -> ProtocolScore:
    """Means over clips, strict and lenient, with intervals and what to know about them."""
    judged = [score for score in scores.values() if score is not None]
    answered = [score for score in judged if score.answered]
    left_out = len(scores) - len(judged)
    notes = [f"counts {counted}"]
    if left_out:
        notes.append(f"{left_out} of {len(scores)} clips are not counted")
    strict_notes, lenient_notes = list(notes), list(notes)
    if len(answered) < len(judged):
        failed = f"{len(judged) - len(answered)} of {len(judged)} plans failed"
        strict_notes.append(f"{failed}: the fallback is scored in their place")
        lenient_notes.append(f"{failed} and are left out")
    return ProtocolScore(
        protocol,
        len(scores),
        _means(judged, averaging, seed),
        _means(answered, averaging, seed),
        (*strict_notes, *_step_notes(judged)),
        (*lenient_notes, *_step_notes(answered)),
    )


def _means(scores: Sequence[SampleScore], averaging: Averaging, seed: int) -> Means:
    values = clip_values(scores, averaging)
    known = known_columns(scores)
    means = values.mean(axis=0) if scores else np.zeros(len(known))
    intervals = mean_intervals(values, [score.scene for score in scores], seed=seed)
    intervals = tuple(i if k else None for i, k in zip(intervals, known, strict=True))
    named = [float(mean) if k else None for mean, k in zip(means, known, strict=True)]
    half = len(COLUMNS)
    return Means(
        len(scores),
        dict(zip(COLUMNS, named[:half], strict=True)),
        dict(zip(COLUMNS, named[half:], strict=True)),
        dict(zip(COLUMNS, intervals[:half], strict=True)),
        dict(zip(COLUMNS, intervals[half:], strict=True)),
    )


def _step_notes(scores: Sequence[SampleScore]) -> list[str]:
    notes = []
    recorded = [score.recorded for score in scores]
    short = sum(not steps.all() for steps in recorded)
    if short:
        notes.append(
            f"{short} of {len(scores)} counted clips lack some of the 3 s: those steps are 0"
        )
    touched = sum(int(score.gt_hit.sum()) for score in scores)
    if touched:
        total = sum(int(steps.sum()) for steps in recorded)
        notes.append(
            f"the recorded ego touches something in {touched} of {total} steps, "
            "where no collision is counted"
        )
    reason = too_few_scenes([score.scene for score in scores])
    return [*notes, reason] if reason else notes
