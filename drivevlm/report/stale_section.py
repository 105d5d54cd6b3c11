"""What latency costs, as a part of a run's page: read from where ``node-score`` has written it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivevlm.report.eyes import WordTable
from drivevlm.report.results import number, words
from drivevlm.report.stale import stale_remarks, stale_tables, stale_title

SCORE, PICTURE = "node_score.json", "node_score.png"


@dataclass(frozen=True, slots=True)
class StaleSection:
    """What the page shows.

    Attributes:
        title: What was judged.
        picture: The plot as a data URI.
        tables: In words.
        remarks: What must be known with them.
    """

    title: str
    picture: str
    tables: tuple[WordTable, ...]
    remarks: tuple[str, ...]


def stale_section(folder: Path, decisions: Mapping[str, int]) -> StaleSection | None:
    """The part of a run folder's page; None where it was not made of all these decisions.

    ``decisions`` says how many there are by planner: a run that went on since is not shown old
    figures.
    """
    try:
        told = json.loads((folder / SCORE).read_text())
        picture = (folder / PICTURE).read_bytes()
    except (OSError, ValueError):
        return None
    if number(told, "n_total") != decisions.get(words(told, "planner")):
        return None
    uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return StaleSection(stale_title(told), uri, stale_tables(told), stale_remarks(told))
