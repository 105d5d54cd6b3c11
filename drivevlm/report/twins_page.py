"""The page of twin pairs: both sides at decision time side by side, with both futures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drivevlm.report.birds_eye import BirdsEye, birds_eye
from drivevlm.report.page import template, write_whole
from drivevlm.report.pictures import Picture, pictures
from drivevlm.report.view import ClipView
from drivevlm.world.decision import Decision
from drivevlm.world.truth import LabelledBoxes, Truth
from drivevlm.world.twins import TwinPair

OTHER = "the twin's future"


@dataclass(frozen=True, slots=True, eq=False)
class TwinViews:
    """A pair to look at: its clips and truths, the first side's first."""

    pair: TwinPair
    sides: tuple[ClipView, ClipView]


@dataclass(frozen=True, slots=True)
class _Side:
    picture: Picture | None
    birds_eye: BirdsEye


def as_views(pair: TwinPair, first: ClipView, second: ClipView) -> TwinViews:
    """Each side with its own recorded future and, as a plan, its twin's; only the cause is boxed.

    Raises ValueError where a side has no truth.
    """
    if first.truth is None or second.truth is None:
        raise ValueError(f"pair {pair.name} has no recorded future to show")
    return TwinViews(
        pair,
        (
            _side(pair, first, first.truth, second.truth),
            _side(pair, second, second.truth, first.truth),
        ),
    )


def _side(pair: TwinPair, view: ClipView, own: Truth, others: Truth) -> ClipView:
    plan = others.future_plan()
    decisions: Mapping[str, Decision] = {} if plan is None else {OTHER: Decision(plan=plan)}
    now = replace(own.now, boxes=_only(own.now.boxes, pair.cause.name))
    truth = replace(own, steps={**own.steps, 0: now})
    cameras = tuple(s for s in view.clip.cameras if s.camera.name == pair.cause.camera)
    return ClipView(replace(view.clip, cameras=cameras), truth, decisions)


def _only(boxes: LabelledBoxes, instance: str) -> LabelledBoxes:
    """The boxes of one object."""
    kept = np.flatnonzero([name == instance for name in boxes.instance])

    def names(row: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(row[k] for k in kept)

    return LabelledBoxes(
        boxes.center_global_m[kept],
        boxes.size_lwh_m[kept],
        boxes.wxyz_global[kept],
        names(boxes.category),
        names(boxes.instance),
        names(boxes.annotation),
        names(boxes.following),
        boxes.lidar_points[kept],
        boxes.radar_points[kept],
        boxes.visibility[kept],
        None if boxes.attribute is None else names(boxes.attribute),
    )


def write_twins_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    counts: Mapping[str, Mapping[str, int]],
    pairs: Iterable[TwinViews],
) -> Path:
    """Write the page, whole or not at all, and return its path; pairs are drawn one at a time.

    Args:
        path: Of the page.
        title, facts: What was looked at.
        counts: Tables of counts of pairs, by their heads.
        pairs: To show.
    """
    chunks = template("twins.html.jinja").generate(
        title=title, facts=facts, counts=counts, pairs=_drawn(pairs), other=OTHER
    )
    return write_whole(path, chunks)


def _drawn(pairs: Iterable[TwinViews]) -> Iterator[tuple[TwinPair, list[_Side]]]:
    for views in pairs:
        sides = []
        for column, view in enumerate(views.sides, start=1):
            shown = pictures(view)
            first = replace(shown[0], row=1, column=column) if shown else None
            sides.append(_Side(first, birds_eye(view)))
        yield views.pair, sides
