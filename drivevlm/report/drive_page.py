"""The page of a drive through a bag: what came of it in counts, then decision after decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivevlm.report.clip_drawing import ClipDrawing
from drivevlm.report.drive_figures import (
    DRIVEN,
    NOWHERE,
    SECONDS,
    DriveFigures,
    apart_rows,
    count_rows,
)
from drivevlm.report.page import template, write_whole
from drivevlm.report.results import LEAK


@dataclass(frozen=True, slots=True)
class DriveMoment:
    """One decision on the page.

    Attributes:
        number: Of its picture of the anchor, from 1.
        into_s: Seconds into the bag.
        token: Of its clip.
        held_back: What the gate held against its plan; "" where it let it through or had none.
        failed: Whether there was no plan.
        apart: How far the plan is from the driven path and when, in metres and seconds; None where
            there is no plan, or that path is not whole.
        drawing: The clip.
    """

    number: int
    into_s: float
    token: str
    held_back: str
    failed: bool
    apart: tuple[float, int] | None
    drawing: ClipDrawing


def write_drive_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    figures: DriveFigures,
    remarks: Sequence[str],
    moments: Sequence[DriveMoment],
) -> Path:
    """Write the page, whole or not at all, and return its path. It loads nothing, as any of ours.

    Args:
        path: Of the page.
        title, facts: What was driven, by whom.
        figures: What came of it.
        remarks: What must be known besides: damage of the bag, what the node lacked.
        moments: The decisions that are shown, in the order of time.
    """
    apart_m = [0.0 if moment.apart is None else moment.apart[0] for moment in moments]
    most_m = max(apart_m, default=0.0)
    shares = [metres / most_m if most_m > 0 else 0.0 for metres in apart_m]
    chunks = template("drive.html.jinja").generate(
        title=title,
        facts=facts,
        counts=tuple(count_rows(figures)),
        seconds=SECONDS,
        apart=tuple(apart_rows(figures)),
        driven=DRIVEN if figures.apart else NOWHERE,
        remarks=remarks,
        decided=figures.decided,
        moments=tuple(zip(moments, shares, strict=True)),
        leak=LEAK,
    )
    return write_whole(path, chunks)
