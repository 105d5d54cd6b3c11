"""What each verb does, once its settings are known: the same for a terminal and for a test."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from drivevlm.build.parts import Parts, needs_model
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.data.recording import DataError
from drivevlm.dialogue.words import PromptError
from drivevlm.evaluate.plan_run import Progress as Report
from drivevlm.evaluate.plan_run import plan_run
from drivevlm.evaluate.replay import shown_clip
from drivevlm.evaluate.score_run import RunScores, score_run
from drivevlm.planner import VLMPlanner
from drivevlm.record.manifest import manifest
from drivevlm.record.merge import merge_runs
from drivevlm.record.run_folder import (
    Key,
    Record,
    RecordError,
    RunFolder,
    difference,
    read_manifest,
    read_records,
    write_atomically,
)
from drivevlm.report.page import write_page
from drivevlm.report.prompt_view import PromptView, as_words, write_images
from drivevlm.report.table import ResultsTable
from drivevlm.report.view import ClipView
from drivevlm.vlm.recorded import RecordedVLM
from drivevlm.vlm.seam import ImagePart, TextPart, VLMError
from drivevlm.world.camera import FrameError
from drivevlm.world.clip import Clip
from drivevlm.world.sets import Provenance
from drivevlm_sim.made_once import WorldError

USER_ERRORS = (
    SettingError,
    DataError,
    PromptError,
    VLMError,
    RecordError,
    WorldError,
    FrameError,
)
"""Errors of the user's world: they end in one line."""

LEAKING = [source.value for source in Provenance if source.leaks]

Values = Mapping[str, Any]
Groups = Mapping[str, str]


def evaluate(values: Values, groups: Groups, console: Console) -> Path:
    """Plan, record, score, and write the table and the page; returns the run's folder."""
    chosen = Chosen.of(values, groups)
    now = datetime.now()
    out = Path(chosen.settings.out or now.strftime("runs/%Y-%m-%d/%H-%M-%S"))
    say = console.print
    parts = Parts.of(chosen, say)
    vlm = chosen.model(say) if needs_model(chosen.settings.planner) else None
    try:
        planners = parts.planners(vlm)
        facts = manifest(identity=parts.identity(vlm), now=now, command=sys.argv)
        facts["groups"] = dict(groups)
        with RunFolder(out, facts) as run:
            if run.records:
                say(f"{out}: {len(run.records)} decisions are there already, going on")
            write_atomically(out / "config.yaml", yaml.safe_dump(dict(values), sort_keys=False))
            with bars(console) as report:
                plan_run(
                    parts.recording,
                    planners,
                    run,
                    shard=parts.shard,
                    scenes_in_flight=chosen.settings.run.scenes_in_flight,
                    exchange=parts.exchange,
                    progress=report,
                    give_up=lambda: None if vlm is None else vlm.close(),
                )
            finish(out, parts, run.records, console)
    except KeyboardInterrupt:
        say(f"{out} is not finished: the same command with out={out} goes on", soft_wrap=True)
        raise
    finally:
        if vlm is not None:
            vlm.close()
    return out


def report(run: Path, values: Values, groups: Groups, console: Console) -> Path:
    """Table and page again from a run folder, without its model; returns the page."""
    records = {record.key: record for record in read_records(run)}
    if not records:
        raise RecordError(f"{run} holds no decision yet")
    parts = Parts.of(Chosen.of(values, groups), console.print)
    identity = read_manifest(run)["identity"]
    _check_report(run, parts, identity)
    if parts.recording.digest != identity["data"]["digest"]:
        raise RecordError(
            f"{run} was made with other data than {parts.recording.name} is now: "
            "its figures would not be those of the run"
        )
    return finish(run, parts, records, console)


def _check_report(run: Path, parts: Parts, identity: Mapping[str, Any]) -> None:
    """What decided the decisions is past changing: a report would claim what was never run."""
    mine = parts.identity(None)
    changed = {key: mine[key] for key in ("blocks", "seed", "deadline_s", "shard")}
    there = {key: identity[key] for key in changed}
    if changed != there:
        raise RecordError(
            f"{run} was made with other settings ({difference(there, changed)}): a report can "
            "change planner, protocol, fallback and page"
        )
    unknown = [name for name in parts.chosen.settings.planner if name not in identity["planners"]]
    if unknown:
        raise RecordError(f"{run} holds no decision of {unknown[0]}: it has {identity['planners']}")


def merge(parts: Sequence[Path], out: Path) -> Path:
    """Join the finished parts of a run into one folder, with the first part's configuration."""
    for part in parts:
        if read_manifest(part) and not _finished(part):
            raise RecordError(f"{part} is not finished: resume it first (eval with out={part})")
    saved = parts[0] / "config.yaml"
    if not saved.exists():
        raise RecordError(f"{parts[0]} has no config.yaml: it is no whole run folder")
    merge_runs(parts, out)
    config = yaml.safe_load(saved.read_text())
    config["run"]["shard"] = "0/1"
    config["out"] = str(out)
    write_atomically(out / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    return out


def _finished(part: Path) -> bool:
    """Whether every decision of a run was made, by its results."""
    path = part / "results.json"
    decisions = json.loads(path.read_text()).get("decisions") if path.exists() else None
    return decisions is not None and decisions["made"] == decisions["wanted"]


def show_prompt(
    values: Values, groups: Groups, console: Console, *, clip: int, images: Path | None
) -> None:
    """Print the exact messages of one clip, counted from 0 over the chosen scenes."""
    chosen = Chosen.of(values, groups)
    parts = Parts.of(chosen, lambda line: None)
    vlm = chosen.model(lambda line: None)
    try:
        planner = parts.asking(vlm)
        tokens = [token for scene in parts.recording.scenes() for token in scene.tokens]
        if not 0 <= clip < len(tokens):
            raise SettingError(
                f"clip={clip}: there are {len(tokens)} clips, 0 to {len(tokens) - 1}"
            )
        shown = parts.recording.clip(tokens[clip])
        if parts.exchange is not None:
            shown = parts.exchange(shown)
        request = planner.dialogue.ask(shown, planner.examples(shown))

        def count(part: TextPart | ImagePart) -> int | None:
            return vlm.count_tokens(part.text) if isinstance(part, TextPart) else None

        console.print(f"clip {clip}: {shown.token} of {shown.scene}", markup=False)
        PromptView(request, count).print(console)
        if images is not None:
            paths = write_images(request, images)
            console.print(f"{len(paths)} pictures in {images}", markup=False)
    finally:
        vlm.close()


def finish(out: Path, parts: Parts, records: Mapping[Key, Record], console: Console) -> Path:
    """Score, print the table, write results.json and the page; returns what was written last."""
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
            progress=report,
        )
    facts = read_manifest(out)
    results = results_of(parts, scores, facts)
    names = facts["identity"]["planners"]
    wanted = [(name, token) for name in names for scene in scenes for token in scene.tokens]
    made = sum(key in records for key in wanted)
    results["decisions"] = {"made": made, "wanted": len(wanted)}
    write_atomically(out / "results.json", json.dumps(results, indent=1) + "\n")
    console.print(ResultsTable(results))
    if made < len(wanted):
        console.print(f"not finished: {made} of {len(wanted)} decisions are made")
    if not settings.page.clips:
        return out / "results.json"
    same_words = facts["identity"]["prompt"]["digest"] == parts.dialogue.digest
    if not same_words:
        console.print("the prompt was changed since the run: the page shows no request")
    views = _views(parts, records, scores, same_words)
    page = write_page(
        out / "report.html",
        title=f"{parts.recording.name}: {settings.planner[0]}",
        facts=_page_facts(facts),
        results=results,
        views=views,
        limit=settings.page.clips,
        sorted_by=scores.sort_by,
    )
    console.print(f"page: {page}", markup=False, soft_wrap=True)
    return page


def results_of(parts: Parts, scores: RunScores, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The object of results.json."""
    recording, identity = parts.recording, facts["identity"]
    model = identity["models"]["vlm"]
    planners = {}
    for name, figures in scores.by_planner.items():
        asks = name == "vlm"
        label = f"vlm {model['name']}" if asks and model else name
        untrained = asks and bool(model) and model["name"] == "untrained"
        planners[name] = {
            "label": label,
            "untrained": untrained,
            "model": model if asks else None,
            **figures,
        }
    provenance = dict(recording.provenance)
    hidden = [name for name, shown in identity["blocks"].items() if shown in ("off", "blank")]
    leaks = [
        f"{name}: {source}"
        for name, source in provenance.items()
        if source in LEAKING and name not in hidden
    ]
    return {
        "format": 1,
        "synthetic": recording.synthetic,
        "data": {
            "name": recording.name,
            "digest": recording.digest,
            "clips": scores.clips,
            "scenes": scores.scenes,
            "provenance": provenance,
        },
        "leaks": leaks,
        "prompt": {"name": parts.chosen.prompt.name, "digest": identity["prompt"]["digest"]},
        "blocks": identity["blocks"],
        "fallback": parts.chosen.settings.fallback,
        "planners": planners,
    }


def _page_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    git, identity = facts["git"], facts["identity"]
    model = identity["models"]["vlm"]
    commit = git["commit"] or "not in a checkout"
    return {
        "command": " ".join(facts["command"]),
        "started": facts["started"],
        "commit": f"{commit}{' + uncommitted changes' if git['dirty'] else ''}",
        "configuration": facts["config_digest"],
        "data": f"{identity['data']['name']} ({identity['data']['digest'][:12]})",
        "prompt": f"{identity['prompt']['name']} ({identity['prompt']['digest'][:12]})",
        "model": f"{model['name']} ({model['revision'][:24]})" if model else "none",
        "blocks": ", ".join(f"{k} {v}" for k, v in identity["blocks"].items()),
        "shard": identity["shard"],
        "python": f"{facts['environment']['python']}, {facts['environment']['platform']}",
        "packages": ", ".join(f"{k} {v}" for k, v in facts["environment"]["packages"].items()),
    }


def _views(
    parts: Parts, records: Mapping[Key, Record], scores: RunScores, same_words: bool
) -> Iterator[ClipView]:
    """The worst clips, worst first; pictures are read one clip at a time."""
    settings = parts.chosen.settings
    main, scenes = settings.planner[0], parts.recording.scenes()
    planner: VLMPlanner | None = None
    if main == "vlm":
        planner = parts.asking(RecordedVLM({}, name="", revision=""))

    def badness(token: str) -> tuple[bool, float]:
        value = scores.by_clip[token].get(main, {}).get(scores.sort_by)
        return value is None, -(value or 0.0)

    for token in sorted(scores.by_clip, key=badness)[: settings.page.clips]:
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
            prompt = _asked(planner, clip) if same_words else ""
        truth = parts.recording.truth(token)
        yield ClipView(
            clip,
            None if truth is None else parts.recording.with_map(truth),
            decisions,
            scores.by_clip[token].get(main, {}).get(scores.sort_by),
            prompt,
            scores.by_clip[token],
        )


def _asked(planner: VLMPlanner, clip: Clip) -> str:
    """The request in words; empty where an image is missing, since nothing was asked then."""
    try:
        return as_words(planner.dialogue.ask(clip, planner.examples(clip)))
    except FrameError:
        return ""


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """A progress bar per thing that is counted, with rate and time left."""
    columns = (
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, completed=done, rate="")
            speed = progress.tasks[progress.task_ids.index(tasks[what])].speed
            rate = "" if speed is None else f"{speed:.1f}/s"
            progress.update(tasks[what], completed=done, rate=rate)

        yield show
