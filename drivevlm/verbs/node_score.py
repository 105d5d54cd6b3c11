"""What latency costs a run: its plans as a vehicle has them, scored at every keyframe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from rich.console import Console
from rich.text import Text

from drivevlm.baselines import Baseline
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.evaluate.stale import stale_score
from drivevlm.planner import Planner
from drivevlm.record.published import read_published
from drivevlm.record.run_folder import write_atomically
from drivevlm.report.eyes import as_brief
from drivevlm.report.stale import stale_remarks, stale_tables, stale_title
from drivevlm.report.stale_plot import write_stale_plot
from drivevlm.report.stale_section import PICTURE, SCORE
from drivevlm.verbs.compare_side import CompareSettings, Side
from drivevlm.verbs.finish import finish
from drivevlm.verbs.progress import bars
from drivevlm.verbs.score import decided

BESIDE = ("constant_velocity", "stop")
"""What every figure stands beside."""


@dataclass(frozen=True, slots=True)
class NodeScoreSettings:
    """Everything that ``drivevlm node-score`` can be told.

    Attributes:
        run: The run's folder, of ``replay`` or of ``eval``.
        planner: Whose plans; the run's first planner, of a replay the node, where left out.
    """

    run: str = ""
    planner: str = ""


def node_score(
    settings: NodeScoreSettings,
    values: Mapping[str, Any],
    groups: Mapping[str, str],
    console: Console,
) -> Path:
    """Score a run folder's plans as late as they were, and would be; returns its page.

    Writes ``node_score.json`` and ``node_score.png`` there, and the page anew; the picture is
    returned where the run has no page. ``values`` and ``groups`` are the run's own settings.
    """
    folder = Path(settings.run)
    wanted = CompareSettings(planner=(settings.planner,) if settings.planner else ())
    side = Side.of(folder, (values, groups), wanted, 0, console.print)
    parts, decisions = side.parts, side.decisions
    # Of a replay the first planner is the node; the rows beside it were planned without one.
    is_first = side.planner == side.facts["identity"]["planners"][0]
    prompt = parts.chosen.prompt
    rows: list[Planner] = [
        Baseline(name, prompt.steps, prompt.dt_s) for name in BESIDE if name != side.planner
    ]
    with bars(console) as report:
        score = stale_score(
            parts.recording,
            decisions,
            read_published(folder) if is_first else [],
            planner=side.planner,
            beside=decided(rows, parts.recording, list(decisions), report),
            fallback=parts.fallback(),
            seed=parts.chosen.settings.run.seed,
            prepared_in=user_cache_path("drivevlm") / "prepared",
            progress=report,
        )
    told = {
        "format": 1,
        "synthetic": parts.recording.synthetic,
        **side.to_json(),
        "fallback": parts.fallback_words,
        **score.to_json(),
    }
    write_atomically(folder / SCORE, json.dumps(told, indent=1, allow_nan=False) + "\n")
    write_stale_plot(told, folder / PICTURE)
    page = folder / PICTURE
    if values["page"]["clips"]:
        with_rows = Parts.of(Chosen.of(values, groups), _unsaid, prompts=folder / "prompts")
        page = finish(folder, with_rows, side.records, Console(quiet=True))
    # Files first: whoever pipes the table into a pager may leave before its end.
    console.print(Text(stale_title(told), style="bold"))
    for table in stale_tables(told, brief=True):
        console.print(as_brief(table, leads=2))
    for line in stale_remarks(told):
        console.print(Text(line, style="dim"))
    return page


def _unsaid(line: str) -> None:
    """What was said when the run's settings were read once must not be said twice."""
