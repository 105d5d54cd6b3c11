"""Rows of scores, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from drivevlm.report.results import LEAK, SECONDS
from drivevlm.report.scores import Cells, ScoreRow

FOLDED = 20
"""A planner's name is folded to this where the table is too wide otherwise."""
L2, COLLISION = "L2 m", "col %"
INTERVAL = "95 % of avg"


@dataclass(frozen=True, slots=True)
class Line:
    """One row.

    Attributes:
        lead: A cell for each head.
        n: Scored of all.
        cells: By metric.
        style: Of the whole row.
        group: A rule is drawn where it changes, unless most groups have one row.
        apart: A rule is drawn above, whatever the groups.
    """

    lead: tuple[Text, ...]
    n: str
    cells: tuple[Cells, ...]
    style: str = ""
    group: str = ""
    apart: bool = False


@dataclass(frozen=True, slots=True)
class ScoreGrid:
    """Metrics stand side by side where there is room, else below each other, else as a list.

    A narrow terminal folds, it hides nothing.

    Attributes:
        heads: Of what leads a row; the last one is folded first.
        lines: In order.
        metrics: Heads of the groups of columns.
        interval: Head of the intervals.
    """

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    metrics: tuple[str, ...] = (L2, COLLISION)
    interval: str = INTERVAL

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.update(width=1000)
        every = range(len(self.metrics))
        layouts = [[self._table(every, None)], [self._table(every, FOLDED)]]
        layouts.append([self._table([k], FOLDED) for k in every])
        for tables in layouts:
            widths = [Measurement.get(console, room, table).maximum for table in tables]
            if max(widths) <= options.max_width:
                for table in tables:
                    yield from (table, "")
                return
        for line in self.lines:
            yield self._told(line)
            for metric, cells in zip(self.metrics, line.cells, strict=True):
                yield Text(
                    f"  {metric:5} {_in_words(cells)}" if metric else f"  {_in_words(cells)}"
                )
        yield ""

    def _told(self, line: Line) -> Text:
        text = Text.assemble((line.lead[0].plain, "bold"))
        for lead in line.lead[1:]:
            text.append("  ")
            text.append_text(lead)
        return text.append(f"  n {line.n}")

    def _table(self, chosen: Sequence[int], folded: int | None) -> Table:
        table = plain_table()
        below = "\n" if any(self.metrics) else ""
        for k, head in enumerate(self.heads):
            last = k == len(self.heads) - 1
            table.add_column(
                below + head, max_width=folded if last else None, overflow="fold", no_wrap=not last
            )
        table.add_column(f"{below}n", justify="right", no_wrap=True)
        with_interval = [k for k in chosen if any(line.cells[k].ci95 for line in self.lines)]
        for k in chosen:
            for column, step in enumerate(SECONDS):
                above = f" {self.metrics[k]}" if below and column == 0 else ""
                table.add_column(above + below + step, justify="right", no_wrap=True, min_width=5)
            if k in with_interval:
                table.add_column(below + self.interval, no_wrap=True, style="dim")
        grouped = len(self.lines) >= 1.5 * len({line.group for line in self.lines})
        for before, line in zip((None, *self.lines), self.lines, strict=False):
            if before is not None and (line.apart or (grouped and before.group != line.group)):
                table.add_section()
            cells = [*line.lead, Text(line.n)]
            for k in chosen:
                cells += [Text(value) for value in line.cells[k].values]
                if k in with_interval:
                    cells.append(Text(line.cells[k].ci95))
            table.add_row(*cells, style=line.style)
        return table


def plain_table() -> Table:
    """A table with a rule under its head and nothing round it."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold")


def planner_text(row: ScoreRow) -> Text:
    """A planner's label with its marks; a lenient row is told by its place."""
    return Text("  lenient") if row.lenient else marked(row.planner, row.marks)


def marked(name: str, marks: Sequence[str]) -> Text:
    """A name, and what must be known of its numbers."""
    text = Text(name)
    for mark in marks:
        text.append(" ")
        text.append(mark, style="bold red" if mark == LEAK else "yellow")
    return text


def _in_words(cells: Cells) -> str:
    told = [(step, value) for step, value in zip(SECONDS, cells.values, strict=True) if value]
    steps, values = " ".join(step for step, _ in told), " ".join(value for _, value in told)
    return f"{steps}: {values} {cells.ci95}".rstrip()
