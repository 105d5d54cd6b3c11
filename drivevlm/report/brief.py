"""What a terminal shows of long results: the rest is on the page and in results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from drivevlm.report.results import DASH, detection_rows
from drivevlm.report.score_grid import plain_table, planner_text
from drivevlm.report.scores import Cells, ScoreRow, further_rows

AT_3_S, AVERAGE = 2, 3
"""Columns of a figure's cells."""
AT_ONE_STEP = (" at (%)", " at all (%)")
"""Shares at one step tell little beside those up to it."""
DETECTION = (
    *("clips", "failed", "precision", "recall", "precision gained", "recall gained"),
    *("hallucinated rate", "nuscenes: map", "nuscenes: nds", "nuscenes: map labelled"),
)


@dataclass(frozen=True, slots=True)
class Brief:
    """A table, or where the terminal is too narrow each of its rows as a paragraph.

    Attributes:
        title: Above it; "" for none.
        heads: Of the columns; a space may be broken.
        rows: A cell for each head.
        leads: So many heads say whose row it is.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    leads: int = 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        table = plain_table()
        for k, head in enumerate(self.heads):
            broken = head.replace("_", " ").replace(" ", "\n")
            table.add_column(Text(broken), justify="left" if k < self.leads else "right")
        for row in self.rows:
            table.add_row(*row)
        wanted = Measurement.get(console, options.update(width=1000), table).maximum
        if wanted <= options.max_width:
            yield table
        else:
            for row in self.rows:
                cells = zip(self.heads[self.leads :], row[self.leads :], strict=True)
                told = ", ".join(f"{head} {cell}" for head, cell in cells)
                whose = Text(" ").join(row[: self.leads])
                yield Text.assemble(whose, f": {told}")
        yield ""


def further_brief(rows: Sequence[ScoreRow]) -> Iterator[RenderableType]:
    """The further figures of each protocol that has some, strict, at 3 s."""
    strict = [row for row in rows if not row.lenient]
    for protocol in dict.fromkeys(told.row.protocol for told in further_rows(strict)):
        mine = [((planner_text(row),), row) for row in strict if row.protocol == protocol]
        yield figures_brief(f"{protocol}, further figures at 3 s", ("planner",), mine)


def figures_brief(
    title: str, heads: tuple[str, ...], rows: Sequence[tuple[tuple[Text, ...], ScoreRow]]
) -> Brief:
    """The further figures at 3 s of rows of one protocol, each led by what says whose it is."""
    every = dict.fromkeys(name for _, row in rows for name in row.further)
    names = tuple(name for name in every if not name.endswith(AT_ONE_STEP))
    lines = tuple(
        (*lead, *(_cell(row.further.get(name), AT_3_S) for name in names)) for lead, row in rows
    )
    return Brief(title, (*heads, *names), lines, leads=len(heads))


def kinds_brief(rows: Sequence[ScoreRow]) -> Iterator[RenderableType]:
    """By kind of clip the average L2 of each planner, strict."""
    for protocol in dict.fromkeys(row.protocol for row in rows):
        mine = [row for row in rows if row.protocol == protocol]
        planners = tuple(dict.fromkeys(row.planner for row in mine))
        kinds: dict[str, dict[str, ScoreRow]] = {}
        for row in mine:
            kinds.setdefault(row.split, {})[row.planner] = row
        lines = []
        for kind, found in kinds.items():
            n = next(iter(found.values())).n.partition(" / ")[0]
            l2_m = [found[p].l2_m if p in found else None for p in planners]
            cells = [_cell(one, AVERAGE) for one in l2_m]
            lines.append((Text(kind), Text(n), *cells))
        title = f"{protocol}, L2 avg (m) by kind of clip"
        yield Brief(title, ("clips", "n", *planners), tuple(lines))


def detection_brief(results: Mapping[str, object]) -> Iterator[RenderableType]:
    """What planners say is there, in the figures that tell most."""
    heads, rows = detection_rows(results)
    shown = [row for row in rows if row[0] in DETECTION] if len(rows) > len(DETECTION) else rows
    if shown:
        yield Brief("", heads, tuple(tuple(Text(cell) for cell in row) for row in shown))


def _cell(cells: Cells | None, column: int) -> Text:
    return Text(DASH if cells is None else cells.values[column])
