"""Reasons for tiny tables: what each keyframe's line says is worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEAD, WALKER = "scene-2001-object-0", "scene-2001-object-1"


def label_line(sample: str, **other: Any) -> dict[str, Any]:
    """A red light 30 m ahead behind which a car waits; a pedestrian was tested in vain."""
    return {
        "sample": sample,
        "signal": {"state": "red", "distance_m": 30.0, "visible": True},
        "lead": {"instance": LEAD, "gap_m": 12.5, "visible": True},
        "decision": {"longitudinal": "stop", "lateral": "keep_lane"},
        "critical": [
            {"signal": "head 3", "moved_m": 9.5, "visible": True},
            {"instance": LEAD, "moved_m": 2.25, "visible": True},
            {"instance": WALKER, "moved_m": 0.5, "visible": True},
        ],
        "relations": [
            {"instance": LEAD, "lane": "right_lane", "gap_m": 12.5, "ttc_s": 2, "visible": True},
            {"instance": WALKER, "lane": "off_road", "gap_m": 14, "ttc_s": None, "visible": False},
        ],
        "summary": "A red light ahead; a car waits.",
        "route": {"command": "left", "distance_m": 40},
        "sentences": ["The car ahead waits at the red light, so I stop."],
        "paraphrases": 3,
        **other,
    }


def write_labels(tables: Path, lines: list[Any]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tables / "drivevlm_labels.jsonl").write_text(text)
