"""``drivevlm_labels.jsonl``, the true reasons beside the tables: what ``data.nuscenes`` reads.

The form is ``drivevlm/data/nuscenes/drivevlm_labels.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from drivevlm.world.scene_labels import SceneLabels, TestedCause

LABELS_FILE = "drivevlm_labels.jsonl"
DIGITS = 3


def write_labels(path: Path, lines: Iterable[str]) -> None:
    """Write the file anew, one keyframe a line."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def label_line(labels: SceneLabels, *, sample: str, token_of: Callable[[str], str]) -> str:
    """One keyframe's line.

    Args:
        labels: Their instances are names of the world's tracks.
        sample: Token of the keyframe.
        token_of: The instance token of a track's name.
    """
    signal, lead, route = labels.signal, labels.lead, labels.route
    values: dict[str, Any] = {
        "sample": sample,
        "signal": {
            "state": signal.state.value,
            "distance_m": _rounded(signal.distance_m),
            "visible": signal.visible,
        },
        "lead": None
        if lead is None
        else {
            "instance": token_of(lead.instance),
            "gap_m": _rounded(lead.gap_m),
            "visible": lead.visible,
        },
        "decision": {
            "longitudinal": labels.meta.longitudinal.value,
            "lateral": labels.meta.lateral.value,
        },
        "critical": [_tested(cause, token_of) for cause in labels.tested],
        "relations": [
            {
                "instance": token_of(relation.instance),
                "lane": relation.lane.value,
                "gap_m": _rounded(relation.gap_m),
                "ttc_s": _rounded(relation.ttc_s),
                "visible": relation.visible,
            }
            for relation in labels.relations
        ],
        "summary": labels.summary,
        "route": None
        if route is None
        else {"command": route.command.value, "distance_m": _rounded(route.distance_m)},
        "sentences": list(labels.sentences),
        "paraphrases": labels.paraphrases,
    }
    return json.dumps(values)


def _tested(cause: TestedCause, token_of: Callable[[str], str]) -> dict[str, Any]:
    named = {"signal": cause.name} if cause.is_signal else {"instance": token_of(cause.name)}
    return {**named, "moved_m": _rounded(cause.moved_m), "visible": cause.visible}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
