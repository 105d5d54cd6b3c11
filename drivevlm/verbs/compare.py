"""``drivevlm compare``: what became of one run in another, on the clips that both have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from rich.console import Console

from drivevlm.build.settings import SettingError
from drivevlm.data.recording import SceneClips
from drivevlm.evaluate.compare_runs import Comparison, compare_runs
from drivevlm.evaluate.prepared import Progress
from drivevlm.evaluate.same_data import other_truth
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.record.run_difference import settings_differences, words_difference
from drivevlm.record.run_folder import RecordError, write_atomically
from drivevlm.report.compare_page import ChangedClip, write_compare_page
from drivevlm.report.compare_table import CompareTable
from drivevlm.report.view import ClipView
from drivevlm.verbs.compare_side import CompareSettings, Prompts, Recorded, Side
from drivevlm.verbs.progress import bars


def compare(
    a: tuple[Path, Recorded],
    b: tuple[Path, Recorded],
    settings: CompareSettings,
    console: Console,
) -> Path:
    """Compare two runs; returns the path that was written last."""
    one = Side.of(*a, settings, 0, console.print)
    other = Side.of(*b, settings, 1, console.print)
    scenes = _common_scenes(one, other)
    protocols = _protocols(one, other)
    for side in (one, other):
        lone = [p.name for p in side.parts.protocols() if p not in protocols]
        if lone:
            words = f"{side.folder} alone was scored by {', '.join(lone)}: left out"
            console.print(words, markup=False, soft_wrap=True)
    _check_fallback(one, other)
    name = "-".join(["compare", one.folder.resolve().name, *settings.planner])
    out = Path(settings.out) if settings.out else other.folder / name
    with bars(console) as report:
        _check_same_data(one, other, scenes, report)
        comparison = compare_runs(
            one.parts.recording,
            one.decisions,
            other.decisions,
            scenes=scenes,
            protocols=protocols,
            fallback=one.parts.fallback(),
            cache=user_cache_path("drivevlm") / "prepared",
            progress=report,
        )
    told = comparison_json(one, other, comparison)
    written = _write(out, told, one, other, comparison, settings.page.clips)
    console.print(CompareTable(told))
    return written


def comparison_json(one: Side, other: Side, comparison: Comparison) -> dict[str, Any]:
    """The object of ``compare.json``, whose form is ``record/compare.schema.json``."""
    return {
        "format": 1,
        "a": one.to_json(),
        "b": other.to_json(),
        "synthetic": one.parts.recording.synthetic,
        "fallback": one.parts.fallback_words,
        "different": settings_differences(one.made_with, other.made_with),
        "prompt_difference": words_difference(one.folder / "prompts", other.folder / "prompts"),
        **comparison.to_json(),
    }


def _common_scenes(one: Side, other: Side) -> list[SceneClips]:
    """The scenes of clips that both runs decided on. Raises RecordError where there are none."""
    mine, yours = one.decisions, other.decisions
    scenes = [
        SceneClips(scene.name, tokens)
        for scene in one.parts.recording.scenes()
        if (tokens := tuple(t for t in scene.tokens if t in mine and t in yours))
    ]
    if not scenes:
        raise RecordError(
            f"{one.folder} and {other.folder} have no clip in common: {len(mine)} clips of "
            f"{one.parts.recording.name} and {len(yours)} of {other.parts.recording.name}"
        )
    return scenes


def _protocols(one: Side, other: Side) -> list[PlanningProtocol]:
    """Those asked for, else those that both runs used."""
    mine, yours = one.parts.protocols(), other.parts.protocols()
    names = {protocol.name for protocol in yours}
    common = [protocol for protocol in mine if protocol.name in names]
    if not common and mine and yours:
        raise RecordError(
            f"{one.folder} was scored by {', '.join(p.name for p in mine)}, {other.folder} by "
            f"{', '.join(sorted(names))}: choose who scores both, protocol=..."
        )
    return common


def _check_fallback(one: Side, other: Side) -> None:
    mine, yours = (side.parts.chosen.settings.fallback for side in (one, other))
    if mine != yours:
        raise RecordError(
            f"{one.folder} has fallback {mine}, {other.folder} has {yours}: "
            "choose one for both, fallback=..."
        )


def _check_same_data(one: Side, other: Side, scenes: list[SceneClips], progress: Progress) -> None:
    """What a planner was given may differ, but what is scored against may not."""
    mine, yours = one.parts.recording, other.parts.recording
    if mine.digest == yours.digest:
        return
    tokens = [token for scene in scenes for token in scene.tokens]
    for number, token in enumerate(tokens, start=1):
        why = other_truth(mine.truth(token), yours.truth(token))
        if why:
            raise RecordError(
                f"{one.folder} and {other.folder} were made with different data: clip {token} of "
                f"{mine.name} is not that of {yours.name} ({why})"
            )
        progress("comparing data", number, len(tokens))


def _write(
    out: Path,
    told: Mapping[str, Any],
    one: Side,
    other: Side,
    comparison: Comparison,
    clips: int,
) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        path = out / "compare.json"
        write_atomically(path, json.dumps(told, indent=1, allow_nan=False) + "\n")
        if not clips:
            return path
        return write_compare_page(
            out / "compare.html", compared=told, clips=_clips(one, other, comparison, clips)
        )
    except OSError as error:
        raise SettingError(f"out={out} cannot be written ({error.strerror})") from None


def _clips(one: Side, other: Side, comparison: Comparison, limit: int) -> Iterator[ChangedClip]:
    """Those that changed most, first; pictures are read one clip at a time."""
    prompts = Prompts.of(one), Prompts.of(other)
    decisions = one.decisions, other.decisions
    recording = one.parts.recording
    for change in comparison.most_changed(limit):
        token = change.token
        truth = recording.truth(token)
        view = ClipView(
            recording.clip(token),
            None if truth is None else recording.with_map(truth),
            {"a": decisions[0][token], "b": decisions[1][token]},
            abs(change.difference) if change.difference is not None else None,
            "",
            comparison.scores.numbers(token),
        )
        yield ChangedClip(
            view,
            change.difference,
            change.plan_distance_m,
            prompts[0](token),
            prompts[1](token),
        )
