"""What twins tell of a planner's eyes, and labels of its reasons, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from drivevlm.report.brief import Brief
from drivevlm.report.results import DASH, at, branch, counted, number, shown, words

GROUPS = {
    "town": "town {}",
    "family": "{}",
    "distance": "cause at {}",
    "pixels": "cause of {}",
}
"""Of pairs, in the order of rows, and what a row of each is called."""
IN_BRIEF = ("town", "family")
ACCURACIES = ("longitudinal", "lateral", "signal", "relations")


@dataclass(frozen=True, slots=True)
class WordTable:
    """A table in words: a title, heads, and rows led by what they are about."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def twin_table(results: Mapping[str, object], *, brief: bool = False) -> WordTable | None:
    """Who gets both sides of how many twin pairs right; None where the data are no twins."""
    found = _planners(results, "twins")
    if not found:
        return None
    scores = list(found.values())
    base = counted(number(scores[0], "n"), number(scores[0], "n_total"))
    rows = [
        ("both sides right", base, *(_percent(score, "pair") for score in scores)),
        ("sides right, each by itself", base, *(_percent(score, "single") for score in scores)),
    ]
    ends = [interval_words(score, "ci95", "pair") for score in scores]
    if any(ends):
        rows.insert(1, ("95 % of both", DASH, *(end or DASH for end in ends)))
    failed = [number(score, "failed") for score in scores]
    if any(failed):
        rows.append(("pairs with a failed answer", base, *(shown(count, 0) for count in failed)))
    for kind, called in GROUPS.items():
        if brief and kind not in IN_BRIEF:
            continue
        names = dict.fromkeys(name for score in scores for name in branch(score, "by", kind))
        for name in names:
            groups = [branch(score, "by", kind, name) for score in scores]
            n = next((number(group, "n") for group in groups if group), None)
            cells = (_percent(group, "pair") for group in groups)
            rows.append((called.format(name.replace("_", " ")), shown(n, 0), *cells))
    title = "twins: % of pairs that differ in one visible cause alone"
    return WordTable(title, ("pairs", "n", *found), tuple(rows))


def reason_table(results: Mapping[str, object], *, brief: bool = False) -> WordTable | None:
    """Whose reasons are how true, each beside the best constant; None where nobody gives any."""
    found = _planners(results, "reasons")
    if not found:
        return None
    rows = [
        (called, *(cell for score in found.values() for cell in cells(score)))
        for called, cells in _reason_rows(list(found.values()), brief=brief)
    ]
    heads = ("reasons", *(head for name in found for head in (name, "a constant")))
    told = tuple(row for row in rows if any(cell != DASH for cell in row[1:]))
    return WordTable("reasons that are true", heads, told)


def eye_tables(results: Mapping[str, object], *, brief: bool = False) -> tuple[WordTable, ...]:
    """Those of both tables that there are."""
    both = (twin_table(results, brief=brief), reason_table(results, brief=brief))
    return tuple(table for table in both if table is not None)


def eyes_brief(results: Mapping[str, object]) -> Iterator[RenderableType]:
    """Both tables as a terminal shows them."""
    yield from (as_brief(table) for table in eye_tables(results, brief=True))


def as_brief(table: WordTable, *, leads: int = 1) -> Brief:
    """A table as a terminal shows it."""
    rows = tuple(tuple(Text(cell) for cell in row) for row in table.rows)
    return Brief(table.title, table.heads, rows, leads)


def _planners(results: Mapping[str, object], key: str) -> dict[str, Mapping[str, object]]:
    """That object of every planner that has it, by label."""
    return {
        words(planner, "label") or name: branch(planner, key)
        for name, planner in branch(results, "planners").items()
        if branch(planner, key)
    }


@dataclass(frozen=True, slots=True)
class _Cells:
    """Reads a planner's value and its constant's out of its reasons.

    Attributes:
        path: Of the figure's object.
        kind: ``share`` (of right answers), ``error`` (in metres) or ``invented`` (a count).
        with_interval: Whether the value's interval is told.
    """

    path: tuple[str, ...]
    kind: str
    with_interval: bool

    def __call__(self, score: Mapping[str, object]) -> tuple[str, str]:
        node = branch(score, *self.path)
        if not node:
            return DASH, DASH
        if self.kind == "invented":
            return f"{shown(number(node, 'invented'), 0)} of {_whole(node, 'without_lead')}", DASH
        if self.kind == "error":
            value = shown(number(node, "median_error_m"), 2)
            base = counted(number(node, "named"), number(node, "n"))
            return f"{value} of {base}", shown(number(node, "constant", "median_error_m"), 2)
        value = f"{_percent(node, 'accuracy')} of {_whole(node, 'n')}"
        ends = interval_words(node, "ci95") if self.with_interval else ""
        best = words(node, "constant", "answer")
        constant = f"{_percent(node, 'constant', 'accuracy')} {best}".strip()
        return f"{value} {ends}".strip(), constant


def _reason_rows(
    scores: Sequence[Mapping[str, object]], *, brief: bool
) -> Iterator[tuple[str, _Cells]]:
    for name in ACCURACIES:
        called = "lane of objects" if name == "relations" else name
        yield f"{called} (%)", _Cells((name,), "share", not brief)
        spans = [branch(score, name, "by_distance") for score in scores]
        for span in () if brief else dict.fromkeys(key for keys in spans for key in keys):
            yield f"{called} at {span} (%)", _Cells((name, "by_distance", span), "share", True)
    yield "lead gap off by, median (m)", _Cells(("lead_gap",), "error", False)
    if not brief:
        yield "leads invented", _Cells(("lead_gap",), "invented", False)


def _percent(node: object, *path: str) -> str:
    return shown(number(node, *path), 1, scale=100)


def _whole(node: object, *path: str) -> str:
    return shown(number(node, *path), 0)


def interval_words(node: object, *path: str, digits: int = 1, scale: float = 100) -> str:
    """``[low, high]`` at a path, as percents unless said otherwise; "" where there is none."""
    ends = at(node, *path)
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2:
        return ""
    told = [shown(number({"": end}, ""), digits, scale=scale) for end in ends]
    return "" if DASH in told else f"[{told[0]}, {told[1]}]"
