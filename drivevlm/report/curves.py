"""How a training went, as a picture: losses by section, and what validations found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_curves(metrics: Path, picture: Path) -> None:
    """Draw a protocol (``metrics.jsonl``) into a PNG; nothing where it is empty."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = [json.loads(text) for text in metrics.read_text(encoding="utf-8").splitlines()]
    learned = [line for line in lines if "loss" in line]
    validated = [line for line in lines if "validation" in line]
    if not learned:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.5))
    steps = _steps(learned)
    left.plot(steps, [line["loss"] for line in learned], color="black", label="loss (weighted)")
    for name in dict.fromkeys(name for line in learned for name in line["sections"]):
        there = [(s, line["sections"][name]) for s, line in zip(steps, learned, strict=True)
                 if name in line["sections"]]  # fmt: skip
        left.plot(*zip(*there, strict=True), linewidth=0.8, label=name)
    left.set(xlabel="step", ylabel="cross-entropy a token, nats", yscale="log")
    left.legend(fontsize=8)
    names = dict.fromkeys(name for line in validated for name in line["validation"])
    for name in (name for name in names if " " not in name and not _is_count(name)):
        found = [(s, v) for s, line in zip(_steps(validated), validated, strict=True)
                 if (v := line["validation"].get(name)) is not None]  # fmt: skip
        if found:
            right.plot(*zip(*found, strict=True), marker="o", markersize=3, label=name)
    right.set(xlabel="step", ylabel="validation: shares, metres")
    if names:
        right.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _is_count(name: str) -> bool:
    return name.split("_")[-1] == "n"


def _steps(lines: list[dict[str, Any]]) -> list[int]:
    """Counted over all stages."""
    return [line["stage_number"] * line["steps"] + line["step"] for line in lines]
