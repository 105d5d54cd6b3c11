"""What a drive through a bag amounts to: counts by reason, and ways to the driven path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from drivevlm.report.results import DASH
from drivevlm.report.score_grid import plain_table

SECONDS = (1, 2, 3)
DRIVEN = (
    "The driven path is the later odometry of whoever drove, a human or a stack: being far from it "
    "is no fault, and no protocol is scored here."
)
NOWHERE = "No plan could be held against the driven path: it is nowhere known for 3 s after one."
LOST = {
    "refused_anchor": "the anchor's picture cannot be used",
    "refused_camera": "a camera is missing",
    "refused_odometry": "the ego's pose is not known",
    "dropped_late": "too late on the bag's clock",
    "dropped_crashed": "the planner crashed",
    "dropped_cleared": "history was cleared",
}
"""Why no decision was made, by the word in the diagnostics."""


@dataclass(frozen=True, slots=True)
class Reason:
    """How often something happened, and the first time in words."""

    count: int
    first: str


@dataclass(frozen=True, slots=True)
class Apart:
    """How far plans lie from the driven path at one time: the median over ``n`` of them."""

    median_m: float | None
    n: int


@dataclass(frozen=True, slots=True)
class DriveFigures:
    """Of a drive.

    Attributes:
        anchor: Whose pictures make decisions due.
        ticks: Its pictures that the node took up: each was decided on, or lost for a reason.
        planner: Who decided.
        passed: Plans that the gate let through.
        held_back: Plans that it did not.
        by_check: The same by what it held against them; one plan may fail several checks.
        failed: Decisions without a plan, by kind.
        lost: Pictures without a decision, by the word in the diagnostics.
        unusable: Messages that could not be used, by topic.
        apart: By planner and second, plans against the driven path where that is whole.
    """

    anchor: str
    ticks: int
    planner: str
    passed: int
    held_back: int
    by_check: Mapping[str, Reason]
    failed: Mapping[str, Reason]
    lost: Mapping[str, Reason]
    unusable: Mapping[str, Reason]
    apart: Mapping[str, Mapping[int, Apart]]

    @property
    def decided(self) -> int:
        """Decisions, those without a plan too."""
        return self.passed + self.held_back + sum(reason.count for reason in self.failed.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One line of counts: how deep it lies, what was counted, and the first of it in words."""

    depth: int
    what: str
    count: int
    first: str = ""


def count_rows(figures: DriveFigures) -> Iterator[Row]:
    """Counts by reason; those of one depth add up to the line above, but for the checks."""
    yield Row(0, f"pictures of {figures.anchor}", figures.ticks)
    yield Row(1, f"decided by {figures.planner}", figures.decided)
    yield Row(2, "the gate let the plan through", figures.passed)
    if figures.held_back:
        yield Row(2, "the gate held the plan back", figures.held_back)
    yield from _rows(3, figures.by_check)
    yield from (
        Row(2, f"failed: {kind}", reason.count, reason.first)
        for kind, reason in figures.failed.items()
    )
    if figures.lost:
        yield Row(1, "not decided", sum(reason.count for reason in figures.lost.values()))
    yield from _rows(2, {LOST.get(word, word): reason for word, reason in figures.lost.items()})
    yield from (
        Row(0, f"messages of {topic} that cannot be used", reason.count, reason.first)
        for topic, reason in figures.unusable.items()
    )


def apart_rows(figures: DriveFigures) -> Iterator[tuple[str, ...]]:
    """A planner, then a cell a second: ``0.42 (17 plans)``."""
    for planner, by_second in figures.apart.items():
        yield planner, *(_apart(by_second[second]) for second in SECONDS)


class DriveTable:
    """Both as a terminal shows them."""

    def __init__(self, figures: DriveFigures) -> None:
        self._figures = figures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        counts = plain_table()
        counts.add_column("")
        counts.add_column("n", justify="right")
        counts.add_column("the first, in words", overflow="fold", style="dim")
        for row in count_rows(self._figures):
            counts.add_row(Text("  " * row.depth + row.what), str(row.count), Text(row.first))
        yield counts
        yield ""
        if not self._figures.apart:
            yield Text(NOWHERE)
            return
        apart = plain_table()
        apart.add_column("median m to the driven path")
        for second in SECONDS:
            apart.add_column(f"{second} s", justify="right", min_width=16)
        for planner, *cells in apart_rows(self._figures):
            apart.add_row(Text(planner), *cells)
        yield apart
        yield Text(DRIVEN, style="dim")


def _rows(depth: int, reasons: Mapping[str, Reason]) -> Iterator[Row]:
    for what, reason in reasons.items():
        yield Row(depth, what, reason.count, reason.first)


def _apart(apart: Apart) -> str:
    if apart.median_m is None:
        return DASH
    return f"{apart.median_m:.2f} ({apart.n} plans)"
