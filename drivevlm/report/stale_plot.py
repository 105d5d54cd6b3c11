"""What latency costs, as a picture: L2 over artificial latency, and how many plans are left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drivevlm.report.results import SECONDS, STEPS, at, branch, number, shown
from drivevlm.report.stale import AVERAGE, REAL, latency_words, stale_title
from drivevlm.world.pose import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")
"""Of 1 s, 2 s, 3 s."""
OLD_COLOUR, REAL_COLOUR = "#c2281d", "#8250c4"
LATENCY = "latency from the plan's stamp, s"


def write_stale_plot(told: Mapping[str, object], picture: Path) -> None:
    """Draw the object of ``node_score.json`` into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5))
    _draw_l2(left, told)
    _draw_plans(right, told)
    figure.suptitle(stale_title(told), fontsize=11)
    figure.tight_layout()
    scratch = picture.with_name(f".{picture.name}")
    figure.savefig(scratch, dpi=110, format="png")
    plt.close(figure)
    scratch.replace(picture)


def _draw_l2(axes: Axes, told: Mapping[str, object]) -> None:
    latency_s = _swept(told, "latency_s")
    for step, second, colour in zip(STEPS, SECONDS, COLOURS, strict=False):
        _line(axes, told, f"up to {second}", colour, "l2_m", "reached", step, "mean")
        _band(axes, told, step, colour)
    _line(axes, told, "avg, continued", "k", "l2_m", "continued", AVERAGE, "mean")
    ideal = _swept(told, "l2_m", "ideal", AVERAGE, "mean")
    same = "avg ideal, of those which have one"
    axes.plot(latency_s, ideal, "k:", drawstyle="steps-pre", label=same)
    _mark_real(axes, told)
    for name, style in zip(("constant_velocity", "stop"), ("-.", (0, (1, 3))), strict=True):
        beside = number(told, "rows", name, "l2_m", "continued", AVERAGE, "mean")
        if beside is not None:
            axes.axhline(beside, color="0.5", linestyle=style, label=f"avg {name}, no latency")
    axes.set(xlabel=LATENCY, ylabel="L2, m", xlim=_limits(latency_s), ylim=(0, None))
    axes.set_title("keyframes with a plan, as far as it reaches", fontsize=10)
    axes.legend(fontsize=8)


def _mark_real(axes: Axes, told: Mapping[str, object]) -> None:
    """The real latency, from its median to its 95th percentile; a level where it is not known."""
    real = next((name for name in REAL if branch(told, "rows", name)), "")
    value = number(told, "rows", real, "l2_m", "continued", AVERAGE, "mean")
    low, high = (number(told, "latency_s", key) for key in ("p50", "p95"))
    if value is None:
        return
    if low is None or high is None:
        axes.axhline(value, color=REAL_COLOUR, label=f"avg {real}, fallbacks alone")
        return
    axes.plot([low, high], [value, value], color=REAL_COLOUR, linewidth=2.5)
    axes.plot([low], [value], "*", color=REAL_COLOUR, markersize=13)
    label = f"avg {real}, {latency_words(told)} s (p50 / p95)"
    axes.plot([], [], "*-", color=REAL_COLOUR, label=label)


def _limits(latency_s: Floats) -> tuple[float, float]:
    return float(latency_s[0]) - 0.1, float(latency_s[-1]) + 0.1


def _band(axes: Axes, told: Mapping[str, object], step: str, colour: str) -> None:
    ends = [at(row, "l2_m", "reached", step, "ci95") for row in _rows(told)]
    if any(isinstance(end, list) for end in ends):
        low, high = ([end[k] if isinstance(end, list) else np.nan for end in ends] for k in (0, 1))
        latency_s = _swept(told, "latency_s")
        axes.fill_between(latency_s, low, high, step="pre", color=colour, alpha=0.15)


def _draw_plans(axes: Axes, told: Mapping[str, object]) -> None:
    n = _swept(told, "n")
    _line(axes, told, "with a plan", "0.6", "with_plan", whole=n)
    for step, second, colour in zip(STEPS, SECONDS, COLOURS, strict=False):
        _line(axes, told, f"which reaches {second}", colour, "reaches", step, whole=n)
    _line(axes, told, "which is older than 1 s", OLD_COLOUR, "older_than_1s", whole=n, style="--")
    limits = _limits(_swept(told, "latency_s"))
    axes.set(xlabel=LATENCY, ylabel="share", xlim=limits, ylim=(-0.02, 1.02))
    axes.set_title(f"share of {shown(float(n[0]), 0)} keyframes", fontsize=10)
    axes.legend(fontsize=8)


def _line(
    axes: Axes,
    told: Mapping[str, object],
    label: str,
    colour: str,
    *path: str,
    whole: Floats | float = 1.0,
    style: str = "-",
) -> None:
    """A plan ages to the next keyframe, so that a value holds back to the latency before it."""
    latency_s, values = _swept(told, "latency_s"), _swept(told, *path) / whole
    (line,) = axes.plot(latency_s, values, style, color=colour, label=label, drawstyle="steps-pre")
    line.set(marker="o", markersize=3)


def _rows(told: Mapping[str, object]) -> list[object]:
    swept = at(told, "swept")
    return swept if isinstance(swept, list) else []


def _swept(told: Mapping[str, object], *path: str) -> Floats:
    values = [number(row, *path) for row in _rows(told)]
    return np.array([np.nan if value is None else value for value in values])
