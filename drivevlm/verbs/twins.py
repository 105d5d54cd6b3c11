"""A look at twin pairs: what tells their sides apart, and where both go."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from drivevlm.build.table import Chosen
from drivevlm.data.recording import DataError, Recording, twins_of
from drivevlm.report.twins_page import TwinViews, as_views, write_twins_page
from drivevlm.report.view import ClipView
from drivevlm.verbs.score import folder
from drivevlm.world.twins import TwinPair


def twins(values: Mapping[str, Any], groups: Mapping[str, str], console: Console) -> Path:
    """Write the page of a twin recording's pairs; returns it."""
    chosen = Chosen.of(values, groups)
    recording = chosen.recording(console.print)
    pairs = twins_of(recording)
    if not pairs:
        raise DataError(
            f"{recording.name} holds no twins: its version folder has no twins.jsonl "
            "(data.version=v1.0-twins?)"
        )
    out = folder(Path(chosen.settings.out or f"stats/{recording.name.replace(' ', '-')}"))
    limit = chosen.settings.page.clips
    return write_twins_page(
        out / "twins.html",
        title=f"{recording.name}: {len(pairs)} twin pairs",
        facts={"command": " ".join(sys.argv), "data": recording.digest[:12]},
        counts={
            "family": dict(Counter(pair.family for pair in pairs).most_common()),
            "town": dict(Counter(pair.town for pair in pairs).most_common()),
        },
        pairs=_views(recording, pairs[:limit]),
    )


def _views(recording: Recording, pairs: tuple[TwinPair, ...]) -> Iterator[TwinViews]:
    for pair in pairs:
        first, second = (_view(recording, token) for token in pair.tokens)
        yield as_views(pair, first, second)


def _view(recording: Recording, token: str) -> ClipView:
    truth = recording.truth(token)
    return ClipView(recording.clip(token), None if truth is None else recording.with_map(truth), {})
