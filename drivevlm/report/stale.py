"""Reads the object of node_score.json into tables of words: what latency costs a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivevlm.report.eyes import WordTable, interval_words
from drivevlm.report.results import (
    DASH,
    SECONDS,
    STEPS,
    SYNTHETIC,
    at,
    branch,
    counted,
    listed,
    number,
    shown,
    words,
)

IDEAL, REAL = "ideal", ("as published", "as measured")
"""Rows by name; all others are baselines."""
SHOWN_S = (0.5, 1.0, 2.0)
"""Artificial latencies that are told in tables; the file and the picture hold all."""
READINGS = (
    "1 s, 2 s, 3 s: keyframes with a plan, as far as it reaches itself (n where not all do)",
    "continued: the same; a plan that has ended goes on at the speed and curvature of its end",
    "cost: continued minus the ideal, over the keyframes that have a plan in both",
    "strict, col %: all keyframes; where there is no plan yet the fallback ({}) stands in",
)


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row is called, its latency in words, and its figures."""

    name: str
    latency: str
    figures: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a table.

    Attributes:
        head: Above it.
        cell: Of a row.
        brief: Whether a terminal shows it too.
    """

    head: str
    cell: Callable[[_Row], str]
    brief: bool = True


def stale_title(told: Mapping[str, object]) -> str:
    """What was judged, on how much."""
    parts = [f"late plans of {words(told, 'label') or words(told, 'planner')}"]
    parts.append(words(told, "data", "name"))
    if at(told, "synthetic") is True:
        parts.append(SYNTHETIC)
    base = counted(number(told, "rows", "ideal", "n"), number(told, "n_total"))
    parts.append(f"{base} keyframes of {shown(number(told, 'scenes'), 0)} scenes")
    return " · ".join(parts)


def stale_tables(told: Mapping[str, object], *, brief: bool = False) -> tuple[WordTable, ...]:
    """What the plans are worth, how old they are, and how long their stages took."""
    rows, protocol = tuple(_rows(told)), words(told, "protocol")
    tables = (
        _table(f"what a vehicle has at each keyframe, L2 (m) of {protocol}", _SCORES, rows, brief),
        _table("how old that is, and how far it reaches (keyframes)", _AGES, rows, brief),
    )
    stages = tuple((name, *_spread(stage)) for name, stage in branch(told, "stages_ms").items())
    times = WordTable("how long stages took (ms)", ("stage", "n", "p50", "p95", "max"), stages)
    return (*tables, times) if stages else tables


def stale_remarks(told: Mapping[str, object]) -> tuple[str, ...]:
    """What a reader must know beside these numbers."""
    readings = [line.format(words(told, "fallback")) for line in READINGS]
    return (*readings, *listed(told, "notes"))


def latency_words(told: Mapping[str, object]) -> str:
    """The real latency, median / 95th percentile; a dash where it is not known."""
    p50, p95 = (number(told, "latency_s", key) for key in ("p50", "p95"))
    return DASH if p50 is None else f"{shown(p50, 2)} / {shown(p95, 2)}"


def _rows(told: Mapping[str, object]) -> Iterator[_Row]:
    """Ideal, real and some artificial latencies, then baselines."""
    rows = {name: branch(told, "rows", name) for name in branch(told, "rows")}
    for name in (IDEAL, *REAL):
        if name in rows:
            yield _Row(name, "0" if name == IDEAL else latency_words(told), rows.pop(name))
    swept = at(told, "swept")
    for row in swept if isinstance(swept, list) else ():
        if number(row, "latency_s") in SHOWN_S:
            yield _Row("artificial", shown(number(row, "latency_s"), 1), row)
    yield from (_Row(name, "0", row) for name, row in rows.items())


def _table(title: str, columns: Sequence[_Column], rows: Sequence[_Row], brief: bool) -> WordTable:
    """Without the columns in which no row has anything to tell."""
    shown_here = [column for column in columns if column.brief or not brief]
    cells = {column.head: [column.cell(row) for row in rows] for column in shown_here}
    heads = tuple(head for head, own in cells.items() if any(own))
    return WordTable(title, heads, tuple(zip(*(cells[head] for head in heads), strict=True)))


def _mean(reading: str, step: str, figure: str = "l2_m") -> Callable[[_Row], str]:
    """A mean, and its count where that is not the keyframes with a plan."""

    def cell(row: _Row) -> str:
        mean = branch(row.figures, figure, reading, step)
        value, n = shown(number(mean, "mean"), 2), number(mean, "n")
        usual = "n" if reading == "strict" else "with_plan"
        whole = value == DASH or n == number(row.figures, usual)
        return value if whole else f"{value} ({shown(n, 0)})"

    return cell


def _interval(reading: str) -> Callable[[_Row], str]:
    return lambda row: interval_words(
        row.figures, "l2_m", reading, AVERAGE, "ci95", digits=2, scale=1
    )


def _count(*path: str) -> Callable[[_Row], str]:
    return lambda row: shown(number(row.figures, *path), 0)


AVERAGE = STEPS[-1]
_FIXED = "\u00a0"
"""A space that no table breaks."""
_AT = tuple(zip(STEPS[:3], (step.replace(" ", _FIXED) for step in SECONDS[:3]), strict=True))
_WHOSE = (
    _Column("plans", lambda row: row.name),
    _Column(f"latency,{_FIXED}s p50{_FIXED}/{_FIXED}p95", lambda row: row.latency),
)
_SCORES = (
    *_WHOSE,
    _Column(
        "with plan",
        lambda row: counted(number(row.figures, "with_plan"), number(row.figures, "n")),
    ),
    *(_Column(second, _mean("reached", step)) for step, second in _AT),
    *(
        _Column(f"{second} continued", _mean("continued", step), brief=False)
        for step, second in _AT
    ),
    _Column("avg continued", _mean("continued", AVERAGE)),
    _Column(f"95{_FIXED}% of{_FIXED}avg", _interval("continued")),
    _Column("avg cost", _mean("cost", AVERAGE)),
    _Column(f"95{_FIXED}% of{_FIXED}cost", _interval("cost")),
    _Column("avg strict", _mean("strict", AVERAGE)),
    _Column(
        f"col{_FIXED}% avg",
        lambda row: shown(
            number(row.figures, "collision", "strict", AVERAGE, "mean"), 1, scale=100
        ),
    ),
)
_AGES = (
    *_WHOSE,
    _Column("fallback", _count("fallback")),
    _Column(f"age,{_FIXED}s p50", lambda row: shown(number(row.figures, "age_s", "p50"), 2)),
    _Column("p95", lambda row: shown(number(row.figures, "age_s", "p95"), 2)),
    _Column(f"older than{_FIXED}1{_FIXED}s", _count("older_than_1s")),
    *(_Column(f"reaches {second}", _count("reaches", step)) for step, second in _AT),
)


def _spread(spread: object) -> tuple[str, ...]:
    times = (shown(number(spread, key), 1) for key in ("p50", "p95", "max"))
    return (shown(number(spread, "n"), 0), *times)
