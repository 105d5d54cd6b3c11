"""What a recording holds, as a page: distributions, baselines that never look, pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from rich.console import Console

from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.evaluate.data_stats import data_stats, drawn
from drivevlm.evaluate.entrants import Decided, Entrant
from drivevlm.evaluate.margins import margins_of
from drivevlm.evaluate.mlps import label_of
from drivevlm.evaluate.prepared import prepared
from drivevlm.evaluate.score_run import score_entrants
from drivevlm.record.run_folder import RecordError, write_atomically
from drivevlm.report.eyes import as_brief
from drivevlm.report.margins import margin_tables
from drivevlm.report.stats_page import thumb, write_stats_page
from drivevlm.report.table import ResultsTable
from drivevlm.verbs.progress import bars
from drivevlm.verbs.score import decided, folder, results_of_rows

PICTURES = 48


def stats(values: Mapping[str, Any], groups: Mapping[str, str], console: Console) -> Path:
    """Look at a recording; returns the page. No model is asked."""
    chosen = Chosen.of(values, groups)
    parts = Parts.of(chosen, console.print)
    recording, protocols = parts.recording, parts.protocols()
    out = folder(Path(chosen.settings.out or f"stats/{recording.name.replace(' ', '-')}"))
    cache = user_cache_path("drivevlm") / "prepared"
    scenes = recording.scenes()
    tokens = [token for scene in scenes for token in scene.tokens]
    with bars(console) as report:
        found = data_stats(recording, cache=cache, progress=report)
        ready = prepared(recording, tokens, protocols, cache=cache, progress=report)
        if not ready.cases:
            raise RecordError(f"{recording.name} has no poses: there is nothing to tell")
        rows = decided(parts.planners(None), recording, tokens, report)
        fallback = parts.fallback()
        entrants: dict[str, Entrant] = {
            name: Decided.of(recording, made, fallback) for name, made in rows.items()
        }
        scores = score_entrants(
            recording, entrants, ready, scenes=scenes, protocols=protocols, progress=report
        )
        seed = chosen.settings.run.seed
        margins = margins_of(recording, rows, seed=seed, cache=cache, progress=report)
    results = results_of_rows(parts, scores)
    tables = margin_tables(margins, {name: label_of(name) for name in rows})
    counts = {
        "clips": {
            "all": found.clips,
            "with 3 s of future": found.whole,
            "standing for these 3 s": found.standing,
            **{name.replace("_", " "): count for name, count in found.kinds.items()},
        },
        "boxes": dict(found.categories),
    }
    told = {"format": 1, "scenes": found.scenes, "counts": counts, "margins": margins}
    told["results"] = results
    write_atomically(out / "stats.json", json.dumps(told, indent=1) + "\n")
    camera = next((name for name in recording.cameras if name == "CAM_FRONT"), "")
    camera = camera or next(iter(recording.cameras), "")
    page = write_stats_page(
        out / "stats.html",
        title=recording.name,
        facts={
            "command": " ".join(sys.argv),
            "data": f"{recording.name} ({recording.digest[:12]})",
            "clips": f"{found.clips} of {found.scenes} scenes",
        },
        results=results,
        margins=(tables, margins["notes"]),
        counts=counts,
        values=found.values,
        thumbs=(
            thumb(recording.clip(token), camera)
            for token in drawn(recording, count=PICTURES, seed=seed)
        ),
    )
    console.print(ResultsTable(results))
    for table in tables:
        console.print(as_brief(table))
    return page
