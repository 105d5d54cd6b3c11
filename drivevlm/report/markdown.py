"""The table of a run as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivevlm.report.eyes import eye_tables
from drivevlm.report.results import (
    ANSWER_HEAD,
    DASH,
    SECONDS,
    answer_rows,
    detection_rows,
    headline,
    remarks,
)
from drivevlm.report.scores import Cells, ScoreRow, further_rows, score_rows, split_rows

LEFT = (
    *("protocol", "clips", "figure", "planner", "kinds", "detection"),
    *("run", "data", "commit", "prompt"),
    *("pairs", "reasons"),
)
"""Heads of columns of words; all others are numbers."""


Told = tuple[Sequence[str], ScoreRow]
"""What leads a row, in words, and the row."""


def as_markdown(results: Mapping[str, object]) -> str:
    """The table of a run for a README or a thread."""
    rows, split = score_rows(results), split_rows(results)
    further = [
        ((told.row.protocol, told.name, planner_words(told.row)), told.row.n, told.cells)
        for told in further_rows(rows)
    ]
    kinds = [((row.protocol, row.split, planner_words(row)), row) for row in split]
    answers = [[" ".join([row.planner, *row.marks]), *row.cells] for row in answer_rows(results)]
    figure_head, figures = detection_rows(results)
    blocks = [
        f"**{markdown_cell(headline(results))}**",
        *(f"{t.title}\n\n{markdown_table(t.heads, t.rows)}" for t in eye_tables(results)),
        scores_markdown(
            ("protocol", "planner"), [((r.protocol, planner_words(r)), r) for r in rows]
        ),
        further_markdown(("protocol", "figure", "planner"), further) if further else "",
        scores_markdown(("protocol", "clips", "planner"), kinds) if split else "",
        markdown_table(ANSWER_HEAD, answers),
        markdown_table(figure_head, figures) if figures else "",
        "\n".join(f"- {markdown_cell(line)}" for line in remarks(results)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def scores_markdown(heads: Sequence[str], rows: Sequence[Told]) -> str:
    """L2 and collision, a row each."""
    head = [*heads, "n"]
    head += [f"L2 {s} (m)" for s in SECONDS] + [f"collision {s} (%)" for s in SECONDS]
    return markdown_table(
        head,
        [
            [*lead, row.n, *with_interval(row.l2_m), *with_interval(row.collision_pct)]
            for lead, row in rows
        ],
    )


def further_markdown(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], str, Cells]]) -> str:
    """Further figures, a row each: what leads it, n, and its cells."""
    told = [[*lead, n, *with_interval(cells)] for lead, n, cells in rows]
    return markdown_table([*heads, "n", *SECONDS], told)


def planner_words(row: ScoreRow) -> str:
    """A planner's label, how it is read, and its marks."""
    return " ".join([f"{row.planner}, lenient" if row.lenient else row.planner, *row.marks])


def with_interval(cells: Cells) -> list[str]:
    """A cell a column; the mean's one, or the only one, holds its interval."""
    told = max(k for k, value in enumerate(cells.values) if value or k == 0)
    return [
        f"{value} {cells.ci95}".rstrip() if k == told else value or " "
        for k, value in enumerate(cells.values)
    ]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; an empty cell is a dash, a blank one stays blank."""
    rule = [":--" if name in LEFT else "--:" for name in head]
    lines = [
        "| " + " | ".join(markdown_cell(cell) or DASH for cell in line) + " |"
        for line in (head, rule, *rows)
    ]
    return "\n".join(lines)


def markdown_cell(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
