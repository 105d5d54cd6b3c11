"""Two runs over the same clips, clip by clip: what each earned, and whether they differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.metrics.interval import Interval, paired_intervals, too_few_scenes
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import Figure, PlanningRule
from drivevlm.metrics.score import Scores, all_values, clip_values, columns_of, known_columns
from drivevlm.metrics.summary import members
from drivevlm.world.pose import Floats

Json = dict[str, object]

# N: clips that both runs have and the protocol counts.


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two runs, over the clips in which both can be judged.

    Attributes:
        a, b: The means.
        difference: The mean of ``b - a``, so below 0 where b is better; None where nothing can
            be judged.
        ci95: Its interval; None where there is none.
    """

    a: float | None
    b: float | None
    difference: float | None
    ci95: Interval | None

    @property
    def excludes_zero(self) -> bool:
        """Whether chance among scenes is a poor reason for the difference."""
        return self.ci95 is not None and (self.ci95.low > 0 or self.ci95.high < 0)

    def to_json(self) -> Json:
        """One cell of ``compare.json``."""
        bounds = None if self.ci95 is None else [self.ci95.low, self.ci95.high]
        return {
            "a": self.a,
            "b": self.b,
            "difference": self.difference,
            "ci95": bounds,
            "excludes_zero": self.excludes_zero,
        }


@dataclass(frozen=True, slots=True)
class PairedMeans:
    """Means of two runs over one set of clips.

    Attributes:
        n, scenes: Clips, and of how many scenes.
        better, worse, same: Clips in which b has the smaller, the larger, the same last column of
            the first figure; of those whose whole future was recorded.
        figures: By figure, then by column.
        no_interval: Why there is no interval; "" where there is one.
    """

    n: int
    scenes: int
    better: int
    worse: int
    same: int
    figures: Mapping[str, Mapping[str, Difference]]
    no_interval: str

    def to_json(self) -> Json:
        """The object of ``compare.json``."""
        return {
            "n": self.n,
            "scenes": self.scenes,
            "better": self.better,
            "worse": self.worse,
            "same": self.same,
            "no_interval": self.no_interval,
            "figures": {
                name: {column: value.to_json() for column, value in row.items()}
                for name, row in self.figures.items()
            },
        }


@dataclass(frozen=True, slots=True)
class PairedProtocol:
    """Two runs under one protocol.

    Attributes:
        protocol: The protocol's name.
        strict: All clips that count, the fallback in place of each failed plan.
        lenient: Those that both runs answered.
        splits: By kind of clip, strict and lenient; kinds without a clip are left out.
        notes: What a reader of the numbers should know, a line each.
    """

    protocol: str
    strict: PairedMeans
    lenient: PairedMeans
    splits: Mapping[str, tuple[PairedMeans, PairedMeans]]
    notes: tuple[str, ...]

    def to_json(self) -> Json:
        """The object of ``compare.json``."""
        return {
            "strict": self.strict.to_json(),
            "lenient": self.lenient.to_json(),
            "splits": {
                name: {"strict": strict.to_json(), "lenient": lenient.to_json()}
                for name, (strict, lenient) in self.splits.items()
            },
            "notes": list(self.notes),
        }

    def all_differences(self) -> list[Difference]:
        """Every cell, for counting how many there are."""
        pairs = ((self.strict, self.lenient), *self.splits.values())
        return [
            cell
            for pair in pairs
            for means in pair
            for row in means.figures.values()
            for cell in row.values()
        ]


def compared(
    rule: PlanningRule,
    a: Scores,
    b: Scores,
    *,
    n_total: int,
    splits: Mapping[str, Collection[str]] | None = None,
    seed: int = 0,
) -> PairedProtocol:
    """Two runs' scores under one protocol.

    Args:
        rule: The protocol.
        a, b: Of the same clips, in the same order.
        n_total: Clips that both runs decided on, counted or not.
        splits: Tokens by kind of clip.
        seed: Of the bootstrap.

    Raises:
        ValueError: The scores are not of the same clips.
    """
    if a.tokens != b.tokens:
        raise ValueError(f"{rule.name}: scores of other clips, {len(a)} and {len(b)}")

    def pair(chosen: Bools) -> tuple[PairedMeans, PairedMeans]:
        both = chosen & a.answered & b.answered
        return (
            paired_means(rule.figures, a.only(chosen), b.only(chosen), seed=seed),
            paired_means(rule.figures, a.only(both), b.only(both), seed=seed),
        )

    strict, lenient = pair(np.ones(len(a), dtype=np.bool_))
    kinds = {name: members(a, tokens) for name, tokens in (splits or {}).items()}
    return PairedProtocol(
        rule.name,
        strict,
        lenient,
        {name: pair(chosen) for name, chosen in kinds.items() if chosen.any()},
        tuple(_notes(rule, a, b, n_total)),
    )


def paired_means(figures: Sequence[Figure], a: Scores, b: Scores, *, seed: int) -> PairedMeans:
    """Every figure of two runs over the same clips, with the interval of the difference."""
    first, second = all_values(a, figures), all_values(b, figures)
    both = np.isfinite(first) & np.isfinite(second)
    counts = both.sum(axis=0)
    sums = [np.where(both, values, 0.0).sum(axis=0) for values in (first, second, second - first)]
    cells = iter(
        zip(*sums, counts, paired_intervals(first, second, a.scenes, seed=seed), strict=True)
    )
    told: dict[str, dict[str, Difference]] = {}
    for figure in figures:
        row: dict[str, Difference] = {}
        for column, judged in zip(columns_of(figure), known_columns(a, figure), strict=True):
            of_a, of_b, off, count, interval = next(cells)
            if judged and count:
                row[column] = Difference(
                    float(of_a / count), float(of_b / count), float(off / count), interval
                )
            else:
                row[column] = Difference(None, None, None, None)
        told[figure.name] = row
    off = clip_differences(figures[0], a, b)
    return PairedMeans(
        len(a),
        len(set(a.scenes)),
        int((off < 0).sum()),
        int((off > 0).sum()),
        int((off == 0).sum()),
        told,
        too_few_scenes(a.scenes),
    )


def clip_differences(figure: Figure, a: Scores, b: Scores) -> Floats:
    """(N,) ``b - a`` of a figure's last column, clip by clip; NaN where the future is cut off."""
    off = clip_values(b, figure)[:, -1] - clip_values(a, figure)[:, -1]
    return np.where(a.known.all(axis=1), off, np.nan)


def _notes(rule: PlanningRule, a: Scores, b: Scores, n_total: int) -> list[str]:
    notes = [f"counts {rule.counted.value}"]
    if n_total > len(a):
        notes.append(f"{n_total - len(a)} of {n_total} common clips are not counted")
    for name, scores in (("a", a), ("b", b)):
        failed = int((~scores.answered).sum())
        if failed:
            notes.append(
                f"{failed} of {len(scores)} plans of {name} failed: strict scores the fallback in "
                "their place, lenient leaves the clip out of both"
            )
    short = int((~a.known.all(axis=1)).sum())
    if short:
        notes.append(f"{short} of {len(a)} counted clips lack some of the 3 s: those steps are 0")
    reason = too_few_scenes(a.scenes)
    return [*notes, reason] if reason else notes
