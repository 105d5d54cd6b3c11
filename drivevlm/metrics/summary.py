"""From the scores of many clips to the numbers of a table, each with its base."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.metrics.explain import figure_words
from drivevlm.metrics.interval import Interval, mean_intervals, too_few_scenes
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.rule import Excused, Figure, PlanningRule
from drivevlm.metrics.score import COLUMNS, Scores, all_values, columns_of, known_columns

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Value:
    """A mean, and its 95 % interval where there is one; None where nothing can be judged."""

    mean: float | None
    ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Means:
    """Means over a set of clips.

    Attributes:
        n: Clips in the means.
        figures: By figure, then by column.
    """

    n: int
    figures: Mapping[str, Mapping[str, Value]]

    def to_json(self, n_total: int, notes: Sequence[str]) -> Json:
        """The object of ``results.json`` and ``scores.json``."""
        told: Json = {"n": self.n, "n_total": n_total}
        empty = dict.fromkeys(COLUMNS)
        told |= {
            name: {column: value.mean for column, value in columns.items()}
            if len(columns) > 1
            else next(iter(columns.values())).mean
            for name, columns in self.figures.items()
        }
        told.setdefault("collision", empty)
        bounds = {
            name: {c: None if v.ci95 is None else [v.ci95.low, v.ci95.high] for c, v in row.items()}
            for name, row in self.figures.items()
        }
        return {**told, "ci95": bounds, "notes": list(notes)}


@dataclass(frozen=True, slots=True)
class ProtocolScore:
    """Means over clips under one protocol.

    Attributes:
        protocol: The protocol's name.
        n_total: Clips that were planned.
        strict: All clips that can be judged, the fallback in place of each failed plan.
        lenient: Those of them that were answered.
        splits: By kind of clip, the strict means over those; empty where none are given.
        notes: What a reader of the numbers should know, a line each.
        lenient_notes: The same for the lenient numbers.
    """

    protocol: str
    n_total: int
    strict: Means
    lenient: Means
    splits: Mapping[str, Means]
    notes: tuple[str, ...]
    lenient_notes: tuple[str, ...]

    def to_json(self) -> Json:
        """The object of ``results.json`` and ``scores.json``."""
        told = self.strict.to_json(self.n_total, self.notes)
        if self.splits:
            told["splits"] = {
                name: means.to_json(self.n_total, ()) for name, means in self.splits.items()
            }
        return {**told, "lenient": self.lenient.to_json(self.n_total, self.lenient_notes)}


def summary(
    rule: PlanningRule,
    scores: Scores,
    *,
    n_total: int,
    splits: Mapping[str, Collection[str]],
    seed: int,
) -> ProtocolScore:
    """Means over clips, strict and lenient, with intervals and what to know about them."""
    notes = [f"counts {rule.counted.value}"]
    if n_total > len(scores):
        notes.append(f"{n_total - len(scores)} of {n_total} clips are not counted")
    strict_notes, lenient_notes = list(notes), list(notes)
    failed = int((~scores.answered).sum())
    if failed:
        said = f"{failed} of {len(scores)} plans failed"
        strict_notes.append(f"{said}: the fallback is scored in their place")
        lenient_notes.append(f"{said} and are left out")
    answered = scores.only(scores.answered)
    return ProtocolScore(
        rule.name,
        n_total,
        means_of(rule.figures, scores, seed),
        means_of(rule.figures, answered, seed),
        {
            name: means_of(rule.figures, scores.only(members(scores, tokens)), seed)
            for name, tokens in splits.items()
        },
        (*strict_notes, *_step_notes(rule, scores)),
        (*lenient_notes, *_step_notes(rule, answered)),
    )


def members(scores: Scores, tokens: Collection[str]) -> Bools:
    """(N,) which clips are among these."""
    return np.array([token in tokens for token in scores.tokens], dtype=np.bool_)


def means_of(figures: Sequence[Figure], scores: Scores, seed: int) -> Means:
    """Every figure's means over clips, with intervals."""
    values = all_values(scores, figures)
    counts = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    intervals = iter(mean_intervals(values, scores.scenes, seed=seed))
    means = iter(zip(sums, counts, strict=True))
    told: dict[str, dict[str, Value]] = {}
    for figure in figures:
        row: dict[str, Value] = {}
        known = known_columns(scores, figure)
        for column, judged in zip(columns_of(figure), known, strict=True):
            (total, count), interval = next(means), next(intervals)
            there = bool(judged) and count > 0
            row[column] = Value(float(total / count), interval) if there else Value(None, None)
        told[figure.name] = row
    return Means(len(scores), told)


def _step_notes(rule: PlanningRule, scores: Scores) -> list[str]:
    notes = []
    short = int((~scores.known.all(axis=1)).sum())
    if short:
        notes.append(
            f"{short} of {len(scores)} counted clips lack some of the 3 s: those steps are 0"
        )
    for touch in rule.touches:
        touched = scores.touched[touch.name]
        words = figure_words(next((f.name for f in rule.figures if f.of == touch.name), touch.name))
        judged = int(touched.judged.sum())
        if judged < len(scores):
            notes.append(f"{words}: judged in {judged} of {len(scores)} clips")
        steps = scores.known & touched.judged[:, None] & touched.excused
        if touch.excused is not Excused.NEVER and steps.any():
            total = int((scores.known & touched.judged[:, None]).sum())
            rule_words = touch.excused.value.format(words)
            notes.append(f"{rule_words}: {int(steps.sum())} of {total} steps")
    reason = too_few_scenes(scores.scenes)
    return [*notes, reason] if reason else notes
