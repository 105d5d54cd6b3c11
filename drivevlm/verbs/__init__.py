"""What each verb does, once its settings are known: the same for a terminal and for a test."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from drivevlm.build.parts import Parts, needs_model
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.data.recording import DataError
from drivevlm.dialogue.blocks import Block
from drivevlm.dialogue.words import PromptError
from drivevlm.evaluate.pack import PackError
from drivevlm.evaluate.plan_run import plan_run
from drivevlm.evaluate.replay import shown_clip
from drivevlm.model.config import ModelError
from drivevlm.record.manifest import manifest
from drivevlm.record.merge import merge_runs
from drivevlm.record.run_folder import (
    RecordError,
    RunFolder,
    difference,
    new_folder,
    read_manifest,
    read_records,
    write_atomically,
)
from drivevlm.report.prompt_view import BlockTable, PromptView, write_images
from drivevlm.train.config import TrainError
from drivevlm.verbs.compare import compare
from drivevlm.verbs.compare_side import CompareSettings
from drivevlm.verbs.drive import DRIVE_ERRORS, DriveSettings, run_drive
from drivevlm.verbs.finish import commit_words, finish, source_words
from drivevlm.verbs.model import describe_model, export_model, import_model
from drivevlm.verbs.node import NODE_ERRORS, NodeSettings, run_node
from drivevlm.verbs.node_score import NodeScoreSettings, node_score
from drivevlm.verbs.pack import SHARD_MB, pack_data
from drivevlm.verbs.progress import bars
from drivevlm.verbs.protocols import protocols
from drivevlm.verbs.replay import REPLAY_ERRORS, ReplaySettings, replay
from drivevlm.verbs.score import score
from drivevlm.verbs.sim import make, show_scene
from drivevlm.verbs.sim_check import check
from drivevlm.verbs.stats import stats
from drivevlm.verbs.table import table
from drivevlm.verbs.train import recorded_training, train_model
from drivevlm.verbs.twins import twins
from drivevlm.vlm.seam import ImagePart, TextPart, VLMError
from drivevlm.world.camera import FrameError
from drivevlm_sim.made_once import WorldError

__all__ = [
    "SHARD_MB",
    "USER_ERRORS",
    "CompareSettings",
    "DriveSettings",
    "NodeScoreSettings",
    "NodeSettings",
    "ReplaySettings",
    "check",
    "compare",
    "describe_model",
    "evaluate",
    "export_model",
    "import_model",
    "make",
    "merge",
    "node_score",
    "pack_data",
    "protocols",
    "recorded_training",
    "replay",
    "report",
    "run_drive",
    "run_node",
    "score",
    "show_prompt",
    "show_scene",
    "stats",
    "table",
    "train_model",
    "twins",
]

USER_ERRORS = (
    SettingError,
    DataError,
    PromptError,
    VLMError,
    RecordError,
    WorldError,
    FrameError,
    PackError,
    ModelError,
    TrainError,
    *NODE_ERRORS,
    *DRIVE_ERRORS,
    *REPLAY_ERRORS,
)
"""Errors of the user's world: they end in one line."""

Values = Mapping[str, Any]
Groups = Mapping[str, str]


def evaluate(values: Values, groups: Groups, console: Console) -> Path:
    """Plan, record, score, and write the table and the page; returns the run's folder."""
    chosen = Chosen.of(values, groups)
    now = datetime.now()
    out = Path(chosen.settings.out) if chosen.settings.out else new_folder(now)
    say = console.print
    parts = Parts.of(chosen, say)
    vlm = chosen.model(say) if needs_model(chosen.settings.planner) else None
    try:
        planners = parts.planners(vlm)
        if vlm is not None:
            for line in parts.doubts():
                say(line, soft_wrap=True, markup=False)
        facts = manifest(identity=parts.identity(vlm), now=now, command=sys.argv)
        facts["groups"] = dict(groups)
        with RunFolder(out, facts) as run:
            if run.records:
                say(f"{out}: {len(run.records)} decisions are there already, going on")
            _warn_of_changes(out, console)
            parts.dialogue.save(out / "prompts")
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


def _warn_of_changes(out: Path, console: Console) -> None:
    """Say it where a run goes on under another commit than it began with."""
    commits = list(dict.fromkeys(commit_words(s["git"]) for s in read_manifest(out)["starts"]))
    if len(commits) > 1:
        console.print(f"{out} was begun by other code: {' -> '.join(commits)}", soft_wrap=True)


def report(run: Path, values: Values, groups: Groups, console: Console) -> Path:
    """Table and page again from a run folder, without its model; returns the page."""
    records = {record.key: record for record in read_records(run)}
    if not records:
        raise RecordError(f"{run} holds no decision yet")
    parts = Parts.of(Chosen.of(values, groups), console.print, prompts=run / "prompts")
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
    if (parts[0] / "prompts").is_dir():
        shutil.copytree(parts[0] / "prompts", out / "prompts", dirs_exist_ok=True)
    return out


def _finished(part: Path) -> bool:
    """Whether every decision of a run was made, by its results."""
    path = part / "results.json"
    decisions = json.loads(path.read_text()).get("decisions") if path.exists() else None
    return decisions is not None and decisions["made"] == decisions["wanted"]


def show_prompt(
    values: Values,
    groups: Groups,
    console: Console,
    *,
    clip: int,
    images: Path | None = None,
    run: Path | None = None,
) -> None:
    """Print the exact messages of one clip, counted from 0 over the chosen scenes.

    With a run, the clip is shown with the memory that its planner had in that run; without one,
    as to a planner that remembers nothing.
    """
    chosen = Chosen.of(values, groups)
    parts = Parts.of(chosen, lambda line: None)
    vlm = chosen.model(lambda line: None)
    try:
        planner = parts.asking(vlm)
        scenes = parts.recording.scenes()
        tokens = [token for scene in scenes for token in scene.tokens]
        if not 0 <= clip < len(tokens):
            raise SettingError(
                f"clip={clip}: there are {len(tokens)} clips, 0 to {len(tokens) - 1}"
            )
        records = {} if run is None else {record.key: record for record in read_records(run)}
        shown = shown_clip(
            parts.recording, planner, records, scenes, tokens[clip], exchange=parts.exchange
        )
        request = planner.dialogue.ask(shown, planner.examples(shown))

        def tokens_of(part: TextPart | ImagePart) -> int | None:
            return vlm.count_tokens(part.text) if isinstance(part, TextPart) else None

        memory = "no memory" if run is None else f"the memory of {run}"
        console.print(f"clip {clip}: {shown.token} of {shown.scene}, {memory}", markup=False)
        PromptView(request, tokens_of).print(console)
        words = planner.dialogue.block_words(shown)
        console.print(
            BlockTable(
                {
                    block.value: (
                        getattr(chosen.settings.block, block.value).value,
                        vlm.count_tokens(words[block]) if block in words else None,
                        source_words(parts.recording.provenance.get(block.value, "memory")),
                    )
                    for block in Block
                }
            )
        )
        if images is not None:
            paths = write_images(request, images)
            console.print(f"{len(paths)} pictures in {images}", markup=False)
    finally:
        vlm.close()
