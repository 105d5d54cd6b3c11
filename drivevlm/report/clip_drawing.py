"""Everything that a page shows of one clip: pictures, the view from above, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from drivevlm.report.birds_eye import BirdsEye, birds_eye
from drivevlm.report.chain import Answer, Input, answers, inputs
from drivevlm.report.pictures import Picture, pictures
from drivevlm.report.results import DASH
from drivevlm.report.view import ClipView


@dataclass(frozen=True, slots=True)
class ClipDrawing:
    """What ``clip_body`` of the templates shows; it holds its pictures, small, as text."""

    inputs: tuple[Input, ...]
    pictures: tuple[Picture, ...]
    columns: int
    birds_eye: BirdsEye
    answers: tuple[Answer, ...]
    ways: tuple[tuple[str, int, str], ...]
    score_names: tuple[str, ...]
    scores: tuple[tuple[str, tuple[str, ...]], ...]
    prompt_text: str


def drawn(view: ClipView) -> ClipDrawing:
    """Draw one clip: its images are read and scaled down."""
    images = pictures(view)
    names = tuple(dict.fromkeys(n for numbers in view.scores.values() for n in numbers))
    return ClipDrawing(
        inputs=inputs(view.clip),
        pictures=images,
        columns=max((picture.column for picture in images), default=1),
        birds_eye=birds_eye(view),
        answers=answers(view),
        ways=ways(view),
        score_names=names,
        scores=tuple(
            (planner, tuple(_number(numbers.get(name)) for name in names))
            for planner, numbers in view.scores.items()
        ),
        prompt_text=view.prompt_text,
    )


def ways(view: ClipView) -> tuple[tuple[str, int, str], ...]:
    """Layer, variant and name of every path that the pictures show, for the legend."""
    shown = [("truth", 0, "recorded")] if view.truth is not None else []
    for k, (name, decision) in enumerate(view.decisions.items()):
        if decision.plan is not None:
            shown.append(("others" if k else "plan", k, name))
    return tuple(shown)


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"
