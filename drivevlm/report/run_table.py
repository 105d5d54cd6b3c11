"""One table over several runs: a block a protocol, with published figures set apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from drivevlm.report.brief import figures_brief
from drivevlm.report.markdown import (
    further_markdown,
    markdown_cell,
    planner_words,
    scores_markdown,
)
from drivevlm.report.published import Published, Row
from drivevlm.report.results import DASH, LEAK, shown
from drivevlm.report.run_blocks import Block, Run, run_remarks, sources
from drivevlm.report.score_grid import Line, ScoreGrid, planner_text
from drivevlm.report.scores import Cells, ScoreRow, further_rows, told_rules

NOT_OURS = "published, not re-computed"
"""What stands in place of a run's name; in a terminal its first word."""
EGO_STATUS = "ego status"
"""Marks a published planner that is given speed, CAN data or past poses."""


class RunTable:
    """Several runs, as wide as the terminal allows.

    L2 and collision are all there; further figures at 3 s, and whole in table.md and table.json.
    """

    def __init__(self, runs: Sequence[Run], blocks: Sequence[Block]) -> None:
        self._runs, self._blocks = runs, blocks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for run in self._runs:
            yield Text.assemble((run.name, "bold"), "  ", run.told)
        yield ""
        for block in self._blocks:
            yield from _block(block)
        for line in run_remarks(self._runs):
            yield Text(line, style="bold red" if line.startswith(LEAK) else "dim")


def _block(block: Block) -> Iterator[RenderableType]:
    rule = "".join(rule.line for rule in told_rules([block.protocol]))
    yield Text.assemble((block.protocol, "bold"), "  ", (rule, "dim"))
    lines = [
        Line((*_lead(block, run), planner_text(row)), row.n, (row.l2_m, row.collision_pct), group=g)
        for run, row in block.entries
        for g in [run.name]
    ]
    for k, theirs in enumerate(block.published):
        row = published_row(theirs)
        lead = (*_lead(block, None), planner_text(row))
        cells = (row.l2_m, row.collision_pct)
        lines.append(Line(lead, row.n, cells, "italic dim", "published", apart=k == 0))
    yield ScoreGrid((*_lead_heads(block), "planner"), tuple(lines))
    heads = (*_lead_heads(block), "planner")
    ours = [((*_lead(block, run), planner_text(row)), row) for run, row in block.entries]
    if any(row.further for _, row in ours):
        yield figures_brief("further figures at 3 s", heads, ours)
    yield from (Text(line, style="yellow") for line in block.warnings)
    if block.published:
        yield Text(f"{NOT_OURS}:", style="italic")
    yield from (Text(f"  {line}", style="dim") for line in sources(block))


def _lead_heads(block: Block) -> tuple[str, ...]:
    return ("run", "data") if block.mixed else ("run",)


def _lead(block: Block, run: Run | None) -> tuple[Text, ...]:
    """A run's name and, where it must be said, its data; of a published row, that it is one."""
    told = ("published", "nuScenes val") if run is None else (run.name, run.data)
    return tuple(Text(word) for word in told[: len(_lead_heads(block))])


def published_row(theirs: Published) -> ScoreRow:
    """A published row in words."""

    def cells(row: Row) -> Cells:
        return Cells(tuple(shown(value, 2) for value in row))

    return ScoreRow(
        protocol=theirs.protocol,
        planner=theirs.method,
        marks=(EGO_STATUS,) if theirs.ego_status else (),
        n=DASH,
        l2_m=cells(theirs.l2_m),
        collision_pct=cells(theirs.collision_pct),
        further={},
    )


def as_markdown(runs: Sequence[Run], blocks: Sequence[Block]) -> str:
    """The table for a README or a thread; every row says by which commit and prompt it was made."""
    parts = ["\n".join(f"- **{markdown_cell(r.name)}** {markdown_cell(r.told)}" for r in runs)]
    for block in blocks:
        rule = "".join(rule.line for rule in told_rules([block.protocol]))
        parts.append(f"**{markdown_cell(block.protocol)}** {markdown_cell(rule)}".rstrip())
        heads = ("planner", *_lead_heads(block), "commit", "prompt")
        ours = [
            ((planner_words(row), *_words(block, run), run.commit, run.prompt), row)
            for run, row in block.entries
        ]
        others = [published_row(theirs) for theirs in block.published]
        not_ours = (NOT_OURS, *_words(block, None)[1:])
        theirs = [((planner_words(row), *not_ours, " ", " "), row) for row in others]
        parts.append(scores_markdown(heads, [*ours, *theirs]))
        further = [
            ((told.name, *lead), row.n, told.cells)
            for lead, row in ours
            for told in further_rows([row])
        ]
        if further:
            parts.append(further_markdown(("figure", *heads), further))
        said = (*block.warnings, *sources(block))
        parts.append("\n".join(f"- {markdown_cell(line)}" for line in said))
    parts.append("\n".join(f"- {markdown_cell(line)}" for line in run_remarks(runs)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _words(block: Block, run: Run | None) -> tuple[str, ...]:
    return tuple(text.plain for text in _lead(block, run))
