"""What plans earned under one protocol, step by step, and the values that are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import DISTANCE, Averaging, Figure
from drivevlm.world.pose import Floats
from drivevlm.world.truth import STEP_S

# N: clips, T: steps.

HORIZONS_S = (1.0, 2.0, 3.0)
COLUMNS = ("1s", "2s", "3s", "avg")
"""Every figure is given at these horizons; ``avg`` is the mean of the three."""
MISS_M = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """Whether paths touch one thing.

    Attributes:
        hit: (N, T) the plan's ego touches it; False where not recorded.
        excused: (N, T) it is not held against the plan.
        recorded: (N, T) the recorded ego touches it.
        judged: (N,) in which clips that can be told.
    """

    hit: Bools
    excused: Bools
    recorded: Bools
    judged: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One plan for each of N clips, step by step.

    Attributes:
        tokens, scenes: The clips'.
        answered: (N,) False where the fallback was judged in place of a failed plan.
        distance_m: (N, T) from the recorded point; NaN where the future was not recorded.
        touched: By touch.
        shorter: The same plans judged as if they ended at 1 s and at 2 s; empty where a protocol
            does not look at a plan's end.
    """

    tokens: tuple[str, ...]
    scenes: tuple[str, ...]
    answered: Bools
    distance_m: Floats
    touched: Mapping[str, Touched]
    shorter: tuple[Scores, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def known(self) -> Bools:
        """(N, T) which steps were recorded."""
        return np.asarray(np.isfinite(self.distance_m))

    def only(self, chosen: Bools) -> Scores:
        """Those of some clips, (N,)."""
        rows = np.flatnonzero(chosen)
        return Scores(
            tuple(self.tokens[i] for i in rows),
            tuple(self.scenes[i] for i in rows),
            self.answered[rows],
            self.distance_m[rows],
            {
                name: Touched(t.hit[rows], t.excused[rows], t.recorded[rows], t.judged[rows])
                for name, t in self.touched.items()
            },
            tuple(scores.only(chosen) for scores in self.shorter),
        )

    def lines(self, protocol: str) -> Iterator[dict[str, object]]:
        """One object a clip for a file: per step, null where it cannot be judged.

        Where a protocol looks at a plan's end, these are the steps judged up to 3 s.
        """
        for i, token in enumerate(self.tokens):
            known = self.known[i]
            told: dict[str, object] = {
                "token": token,
                "scene": self.scenes[i],
                "protocol": protocol,
                "answered": bool(self.answered[i]),
                "d_m": [
                    float(d) if k else None for d, k in zip(self.distance_m[i], known, strict=True)
                ],
                "valid": known.tolist(),
            }
            for name, touched in self.touched.items():
                judged = known & touched.judged[i]
                told[name] = {
                    "hit": _told(touched.hit[i], judged),
                    "gt_hit": _told(touched.recorded[i], judged),
                    "counted": _told(touched.hit[i] & ~touched.excused[i], judged),
                }
            yield told


def _told(flags: Bools, judged: Bools) -> list[bool | None]:
    return [bool(f) if j else None for f, j in zip(flags, judged, strict=True)]


def columns_of(figure: Figure) -> tuple[str, ...]:
    """Names of a figure's columns."""
    return ("3s",) if figure.averaging.single else COLUMNS


def clip_values(scores: Scores, figure: Figure) -> Floats:
    """(N, 4) each clip's own value by ``COLUMNS`` (N, 1 for a single number): what is averaged.

    A step that was not recorded adds 0; a clip in which the thing cannot be judged is NaN. Means
    over clips are the protocol's figures, so differences of two runs compare clip by clip.
    """
    values = _values(scores, figure)
    for column, shorter in enumerate(scores.shorter):
        values[:, column] = _values(shorter, figure)[:, column]
    if scores.shorter:
        values[:, -1] = values[:, :-1].mean(axis=1)
    return values


def _values(scores: Scores, figure: Figure) -> Floats:
    if figure.of == DISTANCE:
        return _at_horizons(np.nan_to_num(scores.distance_m), figure.averaging)
    touched = scores.touched[figure.of]
    held = touched.hit & scores.known
    if figure.excused:
        held = held & ~touched.excused
    values = _at_horizons(held.astype(np.float64), figure.averaging)
    values[~touched.judged] = np.nan
    return values


def known_columns(scores: Scores, figure: Figure) -> Bools:
    """(4,) or (1,) which columns rest on a recorded step of at least one clip.

    Where no clip was recorded that far, a mean of zeros would read like a measurement.
    """
    judged = np.ones(len(scores), dtype=np.bool_)
    if figure.of != DISTANCE:
        judged = scores.touched[figure.of].judged
    recorded = scores.known[judged].any(axis=0)
    at = [bool(recorded[round(h / STEP_S) - 1]) for h in HORIZONS_S]
    return np.array([all(at)] if figure.averaging.single else [*at, all(at)])


def _at_horizons(steps: Floats, averaging: Averaging) -> Floats:
    """(N, 4) from (N, T): at 1, 2 and 3 s, and the mean of these; or (N, 1)."""
    if averaging is Averaging.WHOLE:
        return np.asarray(steps.mean(axis=1, keepdims=True))
    if averaging is Averaging.LAST:
        return steps[:, -1:].copy()
    if averaging is Averaging.MISSED:
        return np.asarray(steps.max(axis=1, keepdims=True) > MISS_M, dtype=np.float64)
    columns, begin = [], 0
    for horizon_s in HORIZONS_S:
        until = round(horizon_s / STEP_S)
        if averaging is Averaging.AT:
            columns.append(steps[:, until - 1])
        elif averaging is Averaging.ANY:
            columns.append(steps[:, :until].max(axis=1))
        else:
            columns.append(steps[:, begin:until].mean(axis=1))
        begin = until if averaging is Averaging.SEGMENT else 0
    return np.stack([*columns, np.mean(columns, axis=0)], axis=1)


def all_values(scores: Scores, figures: Sequence[Figure]) -> Floats:
    """(N, M) the values of every figure, side by side."""
    return np.concatenate([clip_values(scores, figure) for figure in figures], axis=1)
