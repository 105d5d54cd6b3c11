"""Reads the scores in results.json into rows of words: by protocol, by planner, by kind of clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from drivevlm.metrics.explain import explained, figure_head, is_distance, one_line
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.report.results import (
    STEPS,
    at,
    branch,
    counted,
    marks_of,
    number,
    shown,
    words,
)

_NO_FIGURES = frozenset(("n", "n_total", "ci95", "notes", "lenient", "splits"))
_WHOLE = "3s"
"""The column of a figure that is one number for the whole 3 s."""


@dataclass(frozen=True, slots=True)
class Cells:
    """One figure in words.

    Attributes:
        values: At 1, 2, 3 s and their mean; "" where the figure has no such column.
        ci95: Interval of the mean, or of the only number, ``[low, high]``; "" where there is none.
    """

    values: tuple[str, ...]
    ci95: str = ""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One planner under one protocol, in words.

    Attributes:
        protocol, planner: Names; ``planner`` is the label to show.
        marks: ``untrained`` and ``LEAK`` where they apply.
        n: Scored of all.
        l2_m, collision_pct: In metres, and in percent of clips or steps.
        further: The protocol's other figures, by name with unit.
        lenient: Whether failed answers are left out (else the fallback stands in their place).
        split: The kind of clips; "" for all.
    """

    protocol: str
    planner: str
    marks: tuple[str, ...]
    n: str
    l2_m: Cells
    collision_pct: Cells
    further: Mapping[str, Cells]
    lenient: bool = False
    split: str = ""


@dataclass(frozen=True, slots=True)
class FurtherRow:
    """One of a row's further figures: its name with unit, whose it is, and its cells."""

    name: str
    row: ScoreRow
    cells: Cells

    @property
    def group(self) -> str:
        """The same for all planners."""
        return f"{self.row.protocol} {self.row.split} {self.name}"


@dataclass(frozen=True, slots=True)
class ToldRule:
    """What a protocol counts: in one line, and in full as heads and words."""

    name: str
    line: str
    full: tuple[tuple[str, str], ...]


def score_rows(results: Mapping[str, object]) -> tuple[ScoreRow, ...]:
    """By protocol, then by planner; a lenient row follows where it differs from the strict one."""
    rows = []
    for protocol in _protocols(results):
        for label, marks, score in _scored(results, protocol):
            rows.append(_row(protocol, label, marks, score))
            mild = {"n_total": number(score, "n_total"), **branch(score, "lenient")}
            if len(mild) > 1 and _compared(mild) != _compared(score):
                rows.append(replace(_row(protocol, label, marks, mild), lenient=True))
    return tuple(rows)


def split_rows(results: Mapping[str, object]) -> tuple[ScoreRow, ...]:
    """By protocol, then by kind of clip, then by planner; empty where no protocol tells kinds."""
    rows = []
    for protocol in _protocols(results):
        scored = list(_scored(results, protocol))
        kinds = dict.fromkeys(kind for *_, score in scored for kind in branch(score, "splits"))
        for kind in kinds:
            for label, marks, score in scored:
                part = branch(score, "splits", kind)
                if part:
                    row = _row(protocol, label, marks, part)
                    rows.append(replace(row, split=kind.replace("_", " ")))
    return tuple(rows)


def further_rows(rows: Sequence[ScoreRow]) -> tuple[FurtherRow, ...]:
    """Every further figure, by protocol, then by kind of clip, by figure and by planner."""
    groups: dict[tuple[str, str], list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault((row.protocol, row.split), []).append(row)
    return tuple(
        FurtherRow(name, row, row.further[name])
        for mine in groups.values()
        for name in dict.fromkeys(name for row in mine for name in row.further)
        for row in mine
        if name in row.further
    )


def told_rules(protocols: Sequence[str]) -> tuple[ToldRule, ...]:
    """What each of these protocols counts; those that this version does not know are left out."""
    rules = [PROTOCOLS[n].rule for n in dict.fromkeys(protocols) if n in PROTOCOLS]
    return tuple(
        ToldRule(
            rule.name,
            one_line(rule),
            tuple((head, told) for head, _, told in (x.partition(": ") for x in explained(rule))),
        )
        for rule in rules
    )


def _protocols(results: Mapping[str, object]) -> dict[str, None]:
    planners = branch(results, "planners").values()
    return dict.fromkeys(name for planner in planners for name in branch(planner, "protocols"))


def _scored(
    results: Mapping[str, object], protocol: str
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, object]]]:
    """Label, marks and scores of every planner that has any under a protocol."""
    for name, planner in branch(results, "planners").items():
        score = branch(planner, "protocols", protocol)
        if score:
            yield words(planner, "label") or name, marks_of(results, branch(planner)), score


def _compared(score: Mapping[str, object]) -> list[float | None]:
    figures = [number(score, m, s) for m in ("l2_m", "collision") for s in STEPS]
    return [number(score, "n"), *figures]


def _row(
    protocol: str, label: str, marks: tuple[str, ...], score: Mapping[str, object]
) -> ScoreRow:
    return ScoreRow(
        protocol=protocol,
        planner=label,
        marks=marks,
        n=counted(number(score, "n"), number(score, "n_total")),
        l2_m=_cells(score, "l2_m"),
        collision_pct=_cells(score, "collision"),
        further={figure_head(name): _cells(score, name) for name in _further(score)},
    )


def _further(score: Mapping[str, object]) -> Iterator[str]:
    """Names of all figures but the two that every protocol has a column for.

    A single number that could not be judged is null: that it is a figure is seen by its interval.
    """
    for name in score:
        if name not in _NO_FIGURES and name not in ("l2_m", "collision"):
            has_steps = any(step in branch(score, name) for step in STEPS)
            known = has_steps or number(score, name) is not None
            if known or (at(score, name) is None and name in branch(score, "ci95")):
                yield name


def _cells(score: Mapping[str, object], name: str) -> Cells:
    scale = 1 if is_distance(name) else 100
    single = name not in ("l2_m", "collision") and not branch(score, name)
    if single:
        value = shown(number(score, name), 2, scale=scale)
        values = tuple(value if step == _WHOLE else "" for step in STEPS)
    else:
        values = tuple(shown(number(score, name, step), 2, scale=scale) for step in STEPS)
    pair = at(score, "ci95", name, _WHOLE if single else "avg")
    return Cells(values, _interval(pair, scale=scale))


def _interval(pair: object, *, scale: float) -> str:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        return ""
    low, high = (number({"": end}, "") for end in pair)
    if low is None or high is None:
        return ""
    return f"[{low * scale:.2f}, {high * scale:.2f}]"
