"""From records to what a user looks at: the table, results.json, result files and the page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from rich.console import Console

from drivevlm.build.parts import Parts
from drivevlm.data.recording import Recording
from drivevlm.evaluate.detections import boxes_to_write, detects
from drivevlm.evaluate.mlps import label_of
from drivevlm.evaluate.replay import shown_clip
from drivevlm.evaluate.score_run import RunScores, score_run
from drivevlm.planner import VLMPlanner
from drivevlm.record.plan_file import write_plan_file
from drivevlm.record.result_file import result_file
from drivevlm.record.run_folder import Key, Record, read_manifest, write_atomically
from drivevlm.report.page import write_page
from drivevlm.report.prompt_view import as_words
from drivevlm.report.stale_section import stale_section
from drivevlm.report.table import ResultsTable
from drivevlm.report.view import ClipView
from drivevlm.verbs.progress import bars
from drivevlm.vlm.recorded import RecordedVLM
from drivevlm.world.camera import FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.sets import Provenance, Verdict

LEAKING = [source.value for source in Provenance if source.leaks]


def finish(out: Path, parts: Parts, records: Mapping[Key, Record], console: Console) -> Path:
    """Score, write files and the page, print the table; returns what was written last."""
    settings = parts.chosen.settings
    scenes = parts.shard.of(parts.recording.scenes())
    with bars(console) as report:
        scores = score_run(
            parts.recording,
            records,
            scenes=scenes,
            planners=settings.planner,
            protocols=parts.protocols(),
            fallback=parts.fallback(),
            seed=settings.run.seed,
            cache=user_cache_path("drivevlm") / "prepared",
            progress=report,
        )
    facts = read_manifest(out)
    results = results_of(parts, scores, facts)
    names = facts["identity"]["planners"]
    wanted = [(name, token) for name in names for scene in scenes for token in scene.tokens]
    made = sum(key in records for key in wanted)
    results["decisions"] = {"made": made, "wanted": len(wanted)}
    write_atomically(out / "results.json", json.dumps(results, indent=1) + "\n")
    _write_answers(out, parts, records, facts)
    written = out / "results.json"
    if settings.page.clips:
        written = _write_page(out, parts, records, scores, results)
    # Files first: whoever pipes the table into a pager may leave before its end.
    console.print(ResultsTable(results))
    if made < len(wanted):
        console.print(f"not finished: {made} of {len(wanted)} decisions are made")
    if facts["identity"]["prompt"]["digest"] != parts.dialogue.digest:
        console.print("the prompt was changed since the run: the page shows no request")
    if settings.page.clips:
        console.print(f"page: {written}", markup=False, soft_wrap=True)
    return written


def _write_answers(
    out: Path, parts: Parts, records: Mapping[Key, Record], facts: Mapping[str, Any]
) -> None:
    """A plan file for each planner, and a nuScenes result file for each that speaks of objects."""
    tokens = [t for scene in parts.shard.of(parts.recording.scenes()) for t in scene.tokens]
    for name in parts.chosen.settings.planner:
        decisions = {t: records[name, t].decision for t in tokens if (name, t) in records}
        if parts.protocols():
            plans = {token: decision.plan for token, decision in decisions.items()}
            write_plan_file(out / f"plans-{name}.json", plans)
        if detects(decisions):
            cameras = facts["identity"]["blocks"]["cameras"]
            content = result_file(
                boxes_to_write(parts.recording, decisions),
                planner=name,
                uses_camera=name == "vlm" and cameras == "on",
                uses_proposals=any(
                    d.verdict is not Verdict.ADDED
                    for decision in decisions.values()
                    for d in decision.detections
                ),
            )
            text = json.dumps(content, allow_nan=False)
            write_atomically(out / f"detections-{name}.json", text + "\n")


def _write_page(
    out: Path,
    parts: Parts,
    records: Mapping[Key, Record],
    scores: RunScores,
    results: Mapping[str, Any],
) -> Path:
    settings, facts = parts.chosen.settings, read_manifest(out)
    same_words = facts["identity"]["prompt"]["digest"] == parts.dialogue.digest
    views = _views(parts, records, scores, same_words)
    return write_page(
        out / "report.html",
        title=f"{parts.recording.name}: {settings.planner[0]}",
        facts=_page_facts(facts),
        results=results,
        views=views,
        limit=settings.page.clips,
        sorted_by=scores.sort_by,
        stale=stale_section(out, Counter(planner for planner, _ in records)),
    )


def results_of(parts: Parts, scores: RunScores, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The object of results.json."""
    recording, identity = parts.recording, facts["identity"]
    model = identity["models"]["vlm"]
    planners = {}
    for name, figures in scores.by_planner.items():
        asks = name == "vlm"
        label = f"vlm {model['name']}" if asks and model else label_of(name)
        untrained = asks and bool(model) and model["name"] == "untrained"
        planners[name] = {
            "label": label,
            "untrained": untrained,
            "model": model if asks else None,
            "learned_from": identity["models"].get(name) if name != "vlm" else None,
            **figures,
        }
    return {
        "format": 1,
        "synthetic": recording.synthetic,
        "data": data_of(recording, scores),
        "leaks": leaks_of(recording, identity["blocks"]),
        "prompt": {"name": parts.chosen.prompt.name, "digest": identity["prompt"]["digest"]},
        "blocks": identity["blocks"],
        "fallback": parts.fallback_words,
        "planners": planners,
    }


def leaks_of(recording: Recording, blocks: Mapping[str, str]) -> list[str]:
    """The inputs that a real vehicle could not know, of the blocks that were shown."""
    hidden = [name for name, shown in blocks.items() if shown in ("off", "blank")]
    return [
        f"{name}: {source}"
        for name, source in recording.provenance.items()
        if source in LEAKING and name not in hidden
    ]


def data_of(recording: Recording, scores: RunScores) -> dict[str, Any]:
    """What was scored on, for results.json."""
    return {
        "name": recording.name,
        "digest": recording.digest,
        "clips": scores.clips,
        "scenes": scores.scenes,
        "provenance": dict(recording.provenance),
    }


def _page_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """What stands at the head of a page. A run that was resumed names every commit and machine."""
    starts, identity = facts.get("starts", []), facts["identity"]
    model = identity["models"]["vlm"]

    def each(words: Callable[[Mapping[str, Any]], str]) -> str:
        return "; ".join(dict.fromkeys(words(start) for start in starts))

    return {
        "command": each(lambda start: " ".join(start["command"])),
        "started": ", ".join(start["started"] for start in starts),
        "commit": each(lambda start: commit_words(start["git"])),
        "configuration": facts["config_digest"],
        "data": f"{identity['data']['name']} ({identity['data']['digest'][:12]})",
        "prompt": f"{identity['prompt']['name']} ({identity['prompt']['digest'][:12]})",
        "model": f"{model['name']} ({model['revision'][:24].strip()})" if model else "none",
        "blocks": ", ".join(f"{k} {v}" for k, v in identity["blocks"].items()),
        "shard": identity["shard"],
        "machine": each(lambda start: _machine(start["environment"])),
        "packages": each(
            lambda start: ", ".join(f"{k} {v}" for k, v in start["environment"]["packages"].items())
        ),
    }


def source_words(source: str) -> str:
    """Where an input comes from, marked where a vehicle could not know it."""
    return f"{source} LEAK" if source in LEAKING else source


def commit_words(git: Mapping[str, Any]) -> str:
    """A commit, and whether anything was changed since."""
    commit = git["commit"] or "not in a checkout"
    return f"{commit}{' + uncommitted changes' if git['dirty'] else ''}"


def _machine(environment: Mapping[str, Any]) -> str:
    parts = [f"Python {environment['python']}", environment["platform"], environment["gpu"]]
    return ", ".join(part for part in parts if part)


def _views(
    parts: Parts, records: Mapping[Key, Record], scores: RunScores, same_words: bool
) -> Iterator[ClipView]:
    """The worst clips, worst first; pictures are read one clip at a time."""
    settings = parts.chosen.settings
    main, scenes = settings.planner[0], parts.recording.scenes()
    planner: VLMPlanner | None = None
    if main == "vlm":
        planner = parts.asking(RecordedVLM({}, name="", revision=""))

    worst = scores.badness()
    order = sorted(scores.tokens, key=lambda token: -worst.get(token, -1.0))
    for token in order[: settings.page.clips]:
        decisions = {
            name: records[name, token].decision
            for name in settings.planner
            if (name, token) in records
        }
        clip, prompt = parts.recording.clip(token), ""
        if planner is not None:
            clip = shown_clip(
                parts.recording, planner, records, scenes, token, exchange=parts.exchange
            )
            prompt = asked(planner, clip) if same_words else ""
        truth = parts.recording.truth(token)
        yield ClipView(
            clip,
            None if truth is None else parts.recording.with_map(truth),
            decisions,
            worst.get(token),
            prompt,
            scores.numbers(token),
        )


def asked(planner: VLMPlanner, clip: Clip) -> str:
    """The request in words; empty where an image is missing, since nothing was asked then."""
    try:
        return as_words(planner.dialogue.ask(clip, planner.examples(clip)))
    except FrameError:
        return ""
