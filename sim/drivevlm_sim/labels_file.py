"""``drivevlm_labels.jsonl``, the true reasons beside the tables: what ``data.nuscenes`` reads.

The form is ``drivevlm/data/nuscenes/drivevlm_labels.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from drivevlm.world.scene_labels import SceneLabels, TestedCause

LABELS_FILE = "drivevlm_labels.jsonl"
DIGITS = 3


def write_labels(path: Path, lines: Iterable[str]) -> None:
    """Write the file anew, one keyframe a line."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def label_values(labels: SceneLabels) -> dict[str, Any]:
    """A keyframe's line but for its sample; instances are still names of the world's tracks."""
    signal, lead, route = labels.signal, labels.lead, labels.route
    return {
        "signal": {
            "state": signal.state.value,
            "distance_m": _rounded(signal.distance_m),
            "visible": signal.visible,
        },
        "lead": None
        if lead is None
        else {
            "instance": lead.instance,
            "gap_m": _rounded(lead.gap_m),
            "visible": lead.visible,
        },
        "decision": {
            "longitudinal": labels.meta.longitudinal.value,
            "lateral": labels.meta.lateral.value,
        },
        "critical": [_tested(cause) for cause in labels.tested],
        "relations": [
            {
                "instance": relation.instance,
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


def label_line(values: Mapping[str, Any], *, sample: str, token_of: Callable[[str], str]) -> str:
    """A line from ``label_values``.

    Args:
        values: Of the keyframe.
        sample: Token of the keyframe.
        token_of: The instance token of a track's name.
    """

    def named(part: Mapping[str, Any]) -> dict[str, Any]:
        renamed = {"instance": token_of(part["instance"])} if "instance" in part else {}
        return {**part, **renamed}

    line = {
        "sample": sample,
        **values,
        "lead": None if values["lead"] is None else named(values["lead"]),
        "critical": [named(part) for part in values["critical"]],
        "relations": [named(part) for part in values["relations"]],
    }
    return json.dumps(line)


def _tested(cause: TestedCause) -> dict[str, Any]:
    key = "signal" if cause.is_signal else "instance"
    return {key: cause.name, "moved_m": _rounded(cause.moved_m), "visible": cause.visible}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
