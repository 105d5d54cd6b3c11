"""What it is worth to know more: the rows of a recording that are planned without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivevlm.data.recording import Recording
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.prepared import Progress, kinds
from drivevlm.metrics.margins import beside, margin_figures
from drivevlm.world.decision import Decision

Json = dict[str, Any]
OVER = tuple((name, name.replace("blind", "oracle")) for name in MLPS if name.startswith("blind"))
"""The rows that are told the truth beside those that are not, all else equal."""


def margins_of(
    recording: Recording,
    rows: Mapping[str, Mapping[str, Decision]],
    *,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Json:
    """The object ``margins`` of stats.json, of decisions by planner and token."""
    tokens = list(dict.fromkeys(token for made in rows.values() for token in made))
    plans = {
        name: {token: decision.plan for token, decision in made.items()}
        for name, made in rows.items()
    }
    truths = (recording.truth(token) for token in tokens)
    found = beside(plans, (truth for truth in truths if truth is not None))
    members = kinds(recording, tokens, cache=cache, progress=progress)
    return margin_figures(found, members, over=OVER, seed=seed)
