"""What the protocols are: one line each, or one of them with its quirks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from drivevlm.build.settings import SettingError
from drivevlm.metrics.explain import explained, one_line
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.rule import PlanningRule

NARROW = 140
"""Below this many columns a table would break its words."""


def protocols(names: Sequence[str], console: Console) -> None:
    """Print all protocols, or explain those that are named. Raises SettingError for others."""
    for name in names:
        if name not in PROTOCOLS:
            close = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0.4)
            hint = f", did you mean {close[0]}?" if close else ""
            raise SettingError(f"{name!r} is no protocol{hint}: there are {', '.join(PROTOCOLS)}")
    if names:
        for name in names:
            console.print(f"[bold]{escape(name)}[/bold]")
            for line in explained(PROTOCOLS[name].rule):
                console.print(Padding(escape(line), (0, 0, 0, 2)))
        return
    if console.width >= NARROW:
        console.print(_overview())
        return
    for name, protocol in PROTOCOLS.items():
        console.print(f"[bold]{escape(name)}[/bold]  {escape(_whose(protocol.rule))}")
        told = f"{one_line(protocol.rule)}; grid: {protocol.rule.grid}"
        console.print(Padding(escape(told), (0, 0, 0, 2)))


def _whose(rule: PlanningRule) -> str:
    return rule.source.partition(",")[0]


def _overview() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for head in ("protocol", "counts", "L2 at k s", "collision at k s", "road users", "grid"):
        table.add_column(head, overflow="fold", no_wrap=head == "protocol")
    table.add_column("source", no_wrap=True)
    for name, protocol in PROTOCOLS.items():
        rule = protocol.rule
        averaging = {figure.name: figure.averaging.value for figure in rule.figures}
        cells = (rule.counted.value, averaging["l2_m"], averaging.get("collision", "-"))
        table.add_row(name, *map(escape, (*cells, rule.agents, rule.grid, _whose(rule))))
    return table
