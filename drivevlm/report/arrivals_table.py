"""Which inputs of a node arrive, as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult

from drivevlm.drive.listen import Arrival
from drivevlm.report.score_grid import plain_table


class ArrivalsTable:
    """One line a topic: how often it comes, how old, how far from the anchor, what is wrong."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self._arrivals = arrivals

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = plain_table()
        table.add_column("input", overflow="fold")
        for head in ("messages", "Hz", "age ms", "skew ms"):
            table.add_column(head, justify="right")
        table.add_column("")
        for arrival in self._arrivals:
            numbers = (arrival.rate_hz, arrival.age_ms, arrival.skew_ms)
            optional = "" if arrival.needed or arrival.count else "optional"
            table.add_row(
                arrival.topic,
                str(arrival.count),
                *("-" if number is None else f"{number:.1f}" for number in numbers),
                arrival.problem or optional,
                style="bold red" if arrival.needed and arrival.problem else "",
            )
        yield table
