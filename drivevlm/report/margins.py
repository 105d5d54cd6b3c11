"""What it is worth to know more, in words: the object ``margins`` of stats.json as tables."""

from __future__ import annotations

from collections.abc import Mapping

from drivevlm.metrics.interval import LEVEL
from drivevlm.report.eyes import WordTable, interval_words
from drivevlm.report.results import DASH, at, branch, number, shown, words


def margin_tables(
    margins: Mapping[str, object], labels: Mapping[str, str]
) -> tuple[WordTable, ...]:
    """Rows by kind of clip, and what the richer of two rows gains.

    ``labels`` are planners as tables call them.
    """
    rows, gains = [], []
    for group, found in branch(margins, "groups").items():
        base = (group, shown(number(found, "n"), 0))
        for name, row in branch(found, "rows").items():
            rows.append((*base, labels.get(name, name), *_cells(row)))
        best = branch(found, "constant")
        if best:
            rows.append((*base, "a constant", DASH, "", *_constant(best)))
        each = at(found, "margins")
        for gain in each if isinstance(each, list) else ():
            pair = f"{words(gain, 'of')} - {words(gain, 'over')}"
            gains.append((*base, pair, *_cells(gain), _apart(at(gain, "apart"))))
    heads = ("clips", "n", "planner", "L2 (m)", "95 %", "speed class right (%)", "95 %", "fits (%)")
    told = [WordTable("what it is worth to know more", heads, tuple(rows))] if rows else []
    if gains:
        wider = (*heads[:2], "gain of", *heads[3:], f"{LEVEL:.0%} of L2 apart")
        told.append(WordTable("gains, clip by clip", wider, tuple(gains)))
    return tuple(told)


def _cells(row: object) -> tuple[str, ...]:
    return (
        shown(number(row, "l2_m"), 3),
        interval_words(row, "ci95", "l2_m", digits=3, scale=1),
        shown(number(row, "speed_class"), 1, scale=100),
        interval_words(row, "ci95", "speed_class"),
        shown(number(row, "fits"), 1, scale=100),
    )


def _constant(best: Mapping[str, object]) -> tuple[str, ...]:
    right, fits = (
        f"{shown(number(best, key, 'share'), 1, scale=100)} {words(best, key, 'answer')}".strip()
        for key in ("speed_class", "fits")
    )
    return right, "", fits


def _apart(value: object) -> str:
    return DASH if value is None else "yes" if value is True else "no"
