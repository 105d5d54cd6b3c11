"""The table of a run: in the terminal, as plain text, as Markdown."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from drivevlm.report.results import (
    DASH,
    LEAK,
    SECONDS,
    AnswerRow,
    ScoreRow,
    answer_rows,
    detection_rows,
    headline,
    remarks,
    score_rows,
)

TEXT_WIDTH = 110
_FOLDED = 20
_LISTED_BELOW = 80
_ANSWER_HEAD = (
    "planner",
    "failed",
    "kinds",
    "consistent",
    "constant",
    "tokens in / out",
    "ms mean / p50 / p95",
)


class ResultsTable:
    """A run's results, as wide as the terminal allows.

    L2 and collision stand side by side where there is room, else below each other, else as a
    list: a narrow terminal folds, it hides nothing.
    """

    def __init__(self, results: Mapping[str, object]) -> None:
        self._results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(headline(self._results), style="bold")
        yield from _scores(score_rows(self._results), console, options)
        yield from answer_tables(self._results, listed=options.max_width < _LISTED_BELOW)
        yield ""
        for line in remarks(self._results):
            yield Text(line, style="bold red" if line.startswith(LEAK) else "dim")


def as_text(results: Mapping[str, object], *, width: int = TEXT_WIDTH) -> str:
    """The same table without colour."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False)
    console.print(ResultsTable(results))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def as_markdown(results: Mapping[str, object]) -> str:
    """The same table for a README or a thread."""
    head = ["protocol", "planner", "n"]
    head += [f"L2 {s} (m)" for s in SECONDS] + [f"collision {s} (%)" for s in SECONDS]
    scores = [
        [
            row.protocol,
            " ".join([f"{row.planner}, lenient" if row.lenient else row.planner, *row.marks]),
            row.n,
            *_with_interval(row.l2_m, row.l2_ci95),
            *_with_interval(row.collision_pct, row.collision_ci95),
        ]
        for row in score_rows(results)
    ]
    answers = [[" ".join([row.planner, *row.marks]), *row.cells] for row in answer_rows(results)]
    blocks = [f"**{_cell(headline(results))}**", _markdown(head, scores)]
    blocks.append(_markdown(_ANSWER_HEAD, answers))
    figure_head, figures = detection_rows(results)
    if figures:
        blocks.append(_markdown(figure_head, figures))
    blocks.append("\n".join(f"- {_cell(line)}" for line in remarks(results)))
    return "\n\n".join(blocks) + "\n"


def _scores(
    rows: Sequence[ScoreRow], console: Console, options: ConsoleOptions
) -> Iterator[RenderableType]:
    if not rows:
        return

    def fits(tables: Sequence[Table]) -> bool:
        room = options.update(width=1000)
        return all(Measurement.get(console, room, t).maximum <= options.max_width for t in tables)

    metrics = ("L2 m", "col %")
    for folded in (None, _FOLDED):
        layouts = [[_score_table(rows, metrics, folded)]]
        if folded is not None:
            layouts.append([_score_table(rows, (metric,), folded) for metric in metrics])
        for tables in layouts:
            if fits(tables):
                for table in tables:
                    yield from (table, "")
                return
    for row in rows:
        yield Text.assemble((f"{row.protocol}  ", "bold"), _planner(row), f"  n {row.n}")
        for metric in metrics:
            cells = " ".join(_with_interval(*_figures(row, metric)))
            yield Text(f"  {metric:5} {' '.join(SECONDS)}: {cells}")
    yield ""


def _figures(row: ScoreRow, metric: str) -> tuple[tuple[str, ...], str]:
    return (row.l2_m, row.l2_ci95) if metric == "L2 m" else (row.collision_pct, row.collision_ci95)


def _score_table(rows: Sequence[ScoreRow], metrics: Sequence[str], folded: int | None) -> Table:
    table = plain_table()
    table.add_column("\nprotocol", no_wrap=True)
    table.add_column("\nplanner", max_width=folded, overflow="fold")
    table.add_column("\nn", justify="right", no_wrap=True)
    with_interval = [m for m in metrics if any(_figures(row, m)[1] for row in rows)]
    for metric in metrics:
        for k, step in enumerate(SECONDS):
            head = f" {metric}\n{step}" if k == 0 else f"\n{step}"
            table.add_column(head, justify="right", no_wrap=True, min_width=5)
        if metric in with_interval:
            table.add_column("\n95 % of avg", no_wrap=True, style="dim")
    for k, row in enumerate(rows):
        if k and row.protocol != rows[k - 1].protocol:
            table.add_section()
        cells: list[RenderableType] = [Text(row.protocol), _planner(row), Text(row.n)]
        for metric in metrics:
            values, interval = _figures(row, metric)
            cells += [Text(value) for value in values]
            if metric in with_interval:
                cells.append(Text(interval))
        table.add_row(*cells, style="dim" if row.lenient else "")
    return table


def plain_table() -> Table:
    """A table with a rule under its head and nothing round it."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold")


def _planner(row: ScoreRow) -> Text:
    return Text("  lenient") if row.lenient else _marked(row.planner, row.marks)


def _marked(name: str, marks: Sequence[str]) -> Text:
    text = Text(name)
    for mark in marks:
        text.append(" ")
        text.append(mark, style="bold red" if mark == LEAK else "yellow")
    return text


def answer_tables(results: Mapping[str, object], *, listed: bool) -> Iterator[RenderableType]:
    """How each planner answered, and what it detected."""
    rows = answer_rows(results)
    if listed:
        for row in rows:
            yield _marked(row.planner, row.marks)
            yield from (
                Text(f"  {name} {cell}")
                for name, cell in zip(_ANSWER_HEAD[1:], row.cells, strict=True)
                if cell not in ("", DASH)
            )
    elif rows:
        yield _answer_table(rows)
    heads, figure_rows = detection_rows(results)
    if figure_rows:
        figures = plain_table()
        for k, name in enumerate(heads):
            figures.add_column(Text(name), justify="right" if k else "left", overflow="fold")
        for figure_cells in figure_rows:
            figures.add_row(*(Text(cell) for cell in figure_cells))
        yield from ("", figures)


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
        table.add_row(_marked(row.planner, row.marks), *(Text(cell) for cell in cells))
    return table


def _with_interval(values: Sequence[str], interval: str) -> list[str]:
    return [*values[:-1], f"{values[-1]} {interval}".rstrip()]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = [
        ":--" if name in ("protocol", "planner", "kinds", "detection") else "--:" for name in head
    ]
    lines = [
        "| " + " | ".join(_cell(cell) or DASH for cell in line) + " |"
        for line in (head, rule, *rows)
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
