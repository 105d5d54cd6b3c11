"""What README and model card tell of ``tiny`` on the test worlds is what the table holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivevlm.vlm.checkpoint import digest
from drivevlm.vlm.config import SHIPPED

HOME = Path(__file__).parents[1]
TOLD = {
    "tiny, whole chain": ("full", "vlm"),
    "tiny, plan only": ("plan_only", "vlm"),
    "plan only, every picture its camera's mean picture": ("covered-plan_only", "vlm"),
    "plan only, pictures of another pair or scene": ("exchanged-plan_only", "vlm"),
    "plan only, neither speed nor past poses": ("no_ego_status-plan_only", "vlm"),
    "blind MLP: ego status, past poses and command": ("baselines", "blind_mlp"),
    "constant velocity": ("baselines", "constant_velocity"),
    "CTRV": ("baselines", "ctrv"),
    "stop": ("baselines", "stop"),
    "oracle MLP (is told light, lead, critical object, route: a bound)": (
        "baselines",
        "oracle_mlp",
    ),
}
"""Rows of the told table: who it is in the whole one."""


def with_ends(value: float, ends: list[float], digits: int) -> str:
    """As the told tables write it: no nought before the point of a share."""
    shown = [f"{number:.{digits}f}" for number in (value, *ends)]
    if digits == 3:
        shown = [text.removeprefix("0") for text in shown]
    return shown[0] if value == 0 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def line_of(label: str, row: dict[str, Any]) -> str:
    on = row["on"]
    pairs = on["twins"]["twins"]
    cells = [with_ends(pairs["pair"], pairs["ci95"], 3)]
    for data, clips in (("twins", "all"), ("scenes", "all"), ("scenes", "onset")):
        told = on[data][clips]
        cells.append(with_ends(told["l2_m"]["avg"], told["ci95"]["avg"], 2))
    return f"| {label} | {' | '.join(cells)} |"


@pytest.mark.parametrize("page", ["README.md", "docs/MODEL_CARD.md"])
def test_the_told_table_is_the_measured_one(page):
    table = json.loads((HOME / "results" / "tiny.json").read_text(encoding="utf-8"))
    assert table["synthetic"] is True
    assert table["model"]["digest"] == digest(SHIPPED), "other weights need another table"
    rows = {(row["row"], row["planner"]): row for row in table["rows"]}
    lines = (HOME / page).read_text(encoding="utf-8").replace("**", "").splitlines()
    for label, key in TOLD.items():
        assert line_of(label, rows[key]) in lines
