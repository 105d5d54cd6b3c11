"""The table of a comparison in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from drivevlm.report.compare_rows import (
    ALL,
    BETTER,
    MOST_FLIPS,
    SIDES,
    DifferenceRow,
    as_results,
    better_lines,
    count_lines,
    difference_rows,
    different_rows,
    flips,
    remarks,
    who_lines,
)
from drivevlm.report.results import LEAK, branch
from drivevlm.report.table import answer_tables, plain_table

INTERVAL = 5
"""The place of the intervals among the columns; the sign follows."""
_LISTED_BELOW = 80


class CompareTable:
    """A comparison in a terminal: who, what was different, what changed, then the numbers.

    L2 and collision are told at every time, further figures, and kinds of clips under the first
    protocol, by their last column; the page and compare.json have them all.
    """

    def __init__(self, compared: Mapping[str, object]) -> None:
        self._compared = compared

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        compared = self._compared
        for side, line in who_lines(compared):
            yield Text.assemble((f"{side}  ", "bold"), line)
        yield from _settings(different_rows(compared))
        yield ""
        for line in count_lines(compared):
            yield Text(line, style="bold")
        for count, before, after in flips(compared)[:MOST_FLIPS]:
            yield Text(f"  {count} x  {before} -> {after}")
        yield from _scores(compared)
        yield from answer_tables(as_results(compared), listed=options.max_width < _LISTED_BELOW)
        yield ""
        for line in remarks(compared):
            yield Text(line, style="bold red" if line.startswith(LEAK) else "dim")


def _scores(compared: Mapping[str, object]) -> Iterator[RenderableType]:
    rows = difference_rows(compared)
    told = dict(zip(branch(compared, "protocols"), better_lines(compared), strict=True))
    for protocol in told:
        first = protocol == next(iter(told))
        mine = [row for row in rows if row.protocol == protocol]
        picked = [row for row in mine if _in_terminal(row, first=first)]
        yield from ("", Text(told[protocol], style="bold"))
        yield from _difference_tables(picked)
    yield ""


def _in_terminal(row: DifferenceRow, *, first: bool) -> bool:
    if row.kind == ALL:
        return row.last or row.main
    return first and row.main and row.last and not row.lenient


def _settings(rows: Sequence[tuple[str, str, str]]) -> Iterator[RenderableType]:
    if not rows:
        yield Text("made with the same settings", style="dim")
        return
    table = plain_table()
    for head in ("what was different", *SIDES):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell} ") for cell in row))
    yield from ("", table)


def _difference_tables(rows: Sequence[DifferenceRow]) -> Iterator[RenderableType]:
    """A line that says which clips, then their figures; all columns stand below each other."""
    groups: dict[str, list[DifferenceRow]] = {}
    for row in rows:
        name = f"{row.kind}{', lenient' if row.lenient else ''}: {row.n}"
        groups.setdefault(name, []).append(row)
    with_interval = any(row.ci95 for row in rows)
    for k, (name, mine) in enumerate(groups.items()):
        table = _grid(rows, head=k == 0)
        before = ""
        for row in mine:
            cells = [Text("" if row.figure == before else row.figure), Text(row.column)]
            cells += [Text(cell) for cell in (row.a, row.b, row.difference)]
            if with_interval:
                style = "bold green" if row.sign == BETTER else "bold red" if row.sign else ""
                cells += [Text(row.ci95), Text(row.sign, style=style)]
            table.add_row(*cells, style="dim" if row.lenient else "")
            before = row.figure
        yield from (Text(name, style="dim" if row.lenient else "bold"), table)


def _grid(rows: Sequence[DifferenceRow], *, head: bool) -> Table:
    """An empty table as wide as the longest cells of all rows."""

    def widest(heading: str, cells: Iterable[str]) -> int:
        return max(len(heading), *(len(cell) for cell in cells))

    table = plain_table()
    table.show_header = head
    heads = ("figure", "at", "a", "b", "b - a", "95 % of b - a", "")
    columns = [(r.figure, r.column, r.a, r.b, r.difference, r.ci95, r.sign) for r in rows]
    for place, (name, cells) in enumerate(zip(heads, zip(*columns, strict=True), strict=True)):
        if place < INTERVAL or any(row.ci95 for row in rows):
            side: Literal["left", "right"] = "right" if 0 < place < INTERVAL else "left"
            table.add_column(name, justify=side, width=widest(name, cells), no_wrap=True)
    return table
