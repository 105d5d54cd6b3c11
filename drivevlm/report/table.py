"""The table of a run: in the terminal, and as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from drivevlm.report.brief import detection_brief, further_brief, kinds_brief
from drivevlm.report.eyes import eyes_brief
from drivevlm.report.results import (
    ANSWER_HEAD,
    DASH,
    LEAK,
    AnswerRow,
    answer_rows,
    headline,
    remarks,
)
from drivevlm.report.score_grid import Line, ScoreGrid, marked, plain_table, planner_text
from drivevlm.report.scores import ScoreRow, score_rows, split_rows

__all__ = ["ResultsTable", "answer_tables", "as_text", "plain_table"]
TEXT_WIDTH = 110
_LISTED_BELOW = 80


class ResultsTable:
    """A run's results, as wide as the terminal allows.

    L2 and collision are all there. Further figures, kinds of clips and detections are told in
    brief: all of them are on the page and in results.json.
    """

    def __init__(self, results: Mapping[str, object]) -> None:
        self._results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(headline(self._results), style="bold")
        yield from eyes_brief(self._results)
        rows = score_rows(self._results)
        if rows:
            lines = tuple(_line(row, row.protocol) for row in rows)
            yield ScoreGrid(("protocol", "planner"), lines)
        yield from further_brief(rows)
        yield from kinds_brief(split_rows(self._results))
        yield from answer_tables(self._results, listed=options.max_width < _LISTED_BELOW)
        for line in remarks(self._results):
            yield Text(line, style="bold red" if line.startswith(LEAK) else "dim")


def as_text(results: Mapping[str, object], *, width: int = TEXT_WIDTH) -> str:
    """The same table without colour."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False)
    console.print(ResultsTable(results))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _line(row: ScoreRow, first: str) -> Line:
    style = "dim" if row.lenient else ""
    cells = (row.l2_m, row.collision_pct)
    return Line((Text(first), planner_text(row)), row.n, cells, style, group=first)


def answer_tables(results: Mapping[str, object], *, listed: bool) -> Iterator[RenderableType]:
    """How each planner answered, and what it detected."""
    rows = answer_rows(results)
    if listed:
        for row in rows:
            yield marked(row.planner, row.marks)
            yield from (
                Text(f"  {name} {cell}")
                for name, cell in zip(ANSWER_HEAD[1:], row.cells, strict=True)
                if cell not in ("", DASH)
            )
    elif rows:
        yield _answer_table(rows)
    yield ""
    yield from detection_brief(results)


def _answer_table(rows: Sequence[AnswerRow]) -> Table:
    table = plain_table()
    for head in ("planner", "failed", "of these"):
        table.add_column(head, justify="right" if head == "failed" else "left", overflow="fold")
    table.add_column("decision fits plan\n(a constant would)", justify="right", overflow="fold")
    table.add_column("tokens\nin / out", justify="right")
    table.add_column("ms mean\n/ p50 / p95", justify="right")
    for row in rows:
        fits = row.consistency if row.constant == DASH else f"{row.consistency}\n({row.constant})"
        cells = (row.failed, row.kinds, fits, row.tokens, row.ms)
        table.add_row(marked(row.planner, row.marks), *(Text(cell) for cell in cells))
    return table
