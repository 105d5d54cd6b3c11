"""The page of a comparison: the table, then the clips that changed most, both runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from drivevlm.record.run_difference import text_difference
from drivevlm.report.birds_eye import BirdsEye, birds_eye
from drivevlm.report.chain import Answer, answers
from drivevlm.report.clip_drawing import ways
from drivevlm.report.compare_rows import (
    ALL,
    BETTER,
    MOST_FLIPS,
    SIDES,
    as_results,
    better_lines,
    count_lines,
    difference_rows,
    different_rows,
    figure_rows,
    flips,
    remarks,
    signed,
    who_lines,
)
from drivevlm.report.page import template, write_whole
from drivevlm.report.pictures import Picture, pictures
from drivevlm.report.results import (
    DASH,
    LEAK,
    SECONDS,
    answer_rows,
    detection_rows,
    listed,
    number,
    words,
)
from drivevlm.report.view import ClipView
from drivevlm.world.clip import Clip


@dataclass(frozen=True, slots=True)
class ChangedClip:
    """One clip that changed.

    Attributes:
        view: Both decisions as ``a`` and ``b``, both runs' numbers.
        difference: ``b - a`` of the number that sorts; None where it cannot be judged.
        plan_distance_m: Of the two plans; None where one run has none.
        prompt_a, prompt_b: What was asked, in words; "" where nothing was, or it is not known.
    """

    view: ClipView
    difference: float | None
    plan_distance_m: float | None
    prompt_a: str = ""
    prompt_b: str = ""


@dataclass(frozen=True, slots=True)
class _Clip:
    """What the template shows of one clip."""

    rank: int
    token: str
    scene: str
    seconds: str
    judged: bool
    difference: str
    sign: str
    distance: str
    pictures: tuple[Picture, ...]
    birds_eye: BirdsEye
    ways: tuple[tuple[str, int, str], ...]
    answers: tuple[Answer, ...]
    scores: tuple[tuple[str, tuple[str, str, str]], ...]
    prompts: tuple[str, str]
    prompt_difference: tuple[str, ...]


def write_compare_page(
    path: Path, *, compared: Mapping[str, object], clips: Iterable[ChangedClip]
) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        path: Of the page; its folder is made.
        compared: The object of compare.json.
        clips: Those that changed most, first; drawn one at a time.
    """
    rows = difference_rows(compared)
    chunks = template("compare.html.jinja").generate(
        title=_title(compared),
        who=who_lines(compared),
        facts=_facts(compared),
        different=different_rows(compared),
        words_difference=_marked(listed(compared, "prompt_difference")),
        counts=count_lines(compared),
        flips=flips(compared),
        most_flips=MOST_FLIPS,
        rows=figure_rows([row for row in rows if row.kind == ALL]),
        kind_rows=figure_rows([row for row in rows if row.kind != ALL]),
        seconds=SECONDS,
        better=BETTER,
        better_lines=better_lines(compared),
        answer_rows=answer_rows(as_results(compared)),
        detection=detection_rows(as_results(compared)),
        remarks=remarks(compared),
        leak=LEAK,
        intervals=number(compared, "intervals", "told"),
        fallback=words(compared, "fallback"),
        changed=int(number(compared, "changed") or 0),
        sorted_by=words(compared, "sorted_by"),
        clips=(_clip(k, clip) for k, clip in enumerate(clips, start=1)),
    )
    return write_whole(path, chunks)


def _title(compared: Mapping[str, object]) -> str:
    names = [
        f"{Path(words(compared, s, 'run')).name} ({words(compared, s, 'planner')})" for s in SIDES
    ]
    return " against ".join(reversed(names))


def _facts(compared: Mapping[str, object]) -> dict[str, str]:
    """Data and code, where both runs agree; what differs stands in a table of its own."""
    said = {"data": ("data", "name"), "commit": ("commit",)}
    of_a, of_b = ({k: words(compared, s, *at) for k, at in said.items()} for s in SIDES)
    return {name: value for name, value in of_a.items() if value == of_b[name]}


def _clip(rank: int, changed: ChangedClip) -> _Clip:
    clip = changed.view.clip
    view = replace(changed.view, clip=front_only(clip))
    return _Clip(
        rank=rank,
        token=clip.token,
        scene=clip.scene,
        seconds=f"{clip.t0_us / 1e6:.3f}",
        judged=changed.difference is not None,
        difference=signed(changed.difference, metres=True),
        sign=_sign(changed.difference),
        distance="" if changed.plan_distance_m is None else f"{changed.plan_distance_m:.2f} m",
        pictures=tuple(replace(picture, row=1, column=1) for picture in pictures(view)),
        birds_eye=birds_eye(view),
        ways=ways(view),
        answers=tuple(_answers(view)),
        scores=tuple(_scores(view)),
        prompts=(changed.prompt_a, changed.prompt_b),
        prompt_difference=_marked(text_difference(changed.prompt_a, changed.prompt_b)),
    )


def front_only(clip: Clip) -> Clip:
    """The clip with the one camera that looks ahead, by its name; else with its first."""
    ahead = [
        sequence
        for sequence in clip.cameras
        if "front" in (name := sequence.camera.name.lower())
        and "left" not in name
        and "right" not in name
    ]
    return replace(clip, cameras=tuple(ahead or clip.cameras)[:1])


def _sign(difference: float | None) -> str:
    if not difference:
        return ""
    return "better" if difference < 0 else "worse"


def _answers(view: ClipView) -> Iterator[Answer]:
    """Of each run, whether or not it said anything but a plan."""
    for name, decision in view.decisions.items():
        yield from answers(replace(view, decisions={name: decision}))


def _scores(view: ClipView) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """By the name of a number: a's, b's, and their difference."""
    mine, yours = (view.scores.get(side, {}) for side in SIDES)
    for name in dict.fromkeys([*mine, *yours]):
        a, b = mine.get(name), yours.get(name)
        off = None if a is None or b is None else b - a
        told = [DASH if value is None else f"{value:.2f}" for value in (a, b)]
        yield name, (told[0], told[1], DASH if off is None else "0" if off == 0 else f"{off:+.2f}")


def _marked(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines of a difference, without the heads that say nothing."""
    return tuple(line for line in lines if line.strip() not in ("--- a", "+++ b"))
