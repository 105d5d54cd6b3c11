"""A made world held against its rules: one table, one file, and whether they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from drivevlm.record.run_folder import write_atomically
from drivevlm.verbs.progress import bars
from drivevlm.verbs.score import folder
from drivevlm_sim.check.check_world import Facts, check_world
from drivevlm_sim.check.findings import Finding


def check(
    root: Path,
    console: Console,
    *,
    out: Path,
    beside: Path | None = None,
    apart: Sequence[Path] = (),
) -> tuple[Path, bool]:
    """Check a data root; returns the file of all figures, and whether every rule holds.

    Args:
        root: The data root.
        console: Where the table is printed.
        out: Folder of the file.
        beside: A version folder of another recording, whose motion is told beside.
        apart: Data roots of other splits, which must share no town with this one.
    """
    with bars(console) as progress:
        checked = check_world(root, beside=beside, apart=apart, progress=progress)
    path = folder(out) / "check.json"
    write_atomically(path, json.dumps(checked.values(), indent=1) + "\n")
    for version, findings in checked.findings.items():
        console.print(_rules(version or "all versions", findings))
    for version, facts in checked.facts.items():
        console.print(_facts(version, facts))
    return path, checked.holds


def _rules(version: str, findings: Sequence[Finding]) -> Table:
    table = Table("what is measured", "bound", "worst", "where", "broken", title=version)
    for finding in findings:
        table.add_row(*_cells(finding), style="" if finding.holds else "bold red")
    return table


def _cells(finding: Finding) -> tuple[str, ...]:
    rule, worst = finding.rule, finding.worst
    bound = f">= {rule.least:g}" if rule.most == float("inf") else f"<= {rule.most:g}"
    asked = "" if rule.share == 1 else f" in {100 * rule.share:g} %"
    unjudged = f" ({finding.unjudged} not told)" if finding.unjudged else ""
    return (
        f"{rule.name}: {rule.asks}",
        f"{bound} {rule.unit}".rstrip() + asked,
        "-" if worst is None else f"{worst[1]:.4g}",
        "-" if worst is None else worst[0],
        f"{len(finding.broken)} of {len(finding.figures)}{unjudged}",
    )


def _facts(version: str, facts: Facts) -> Table:
    table = Table("of the ego, between keyframes", "figures", title=version)
    for name, figures in facts.items():
        told = ", ".join(f"{key}: {_told(value)}" for key, value in figures.items())
        table.add_row(name, told)
    return table


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
