"""Scores of a plan file under every protocol, with the rows that must stand beside them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from rich.console import Console

from drivevlm.build.parts import Parts, needs_model
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.data.recording import Recording
from drivevlm.evaluate.entrants import Decided, Entrant, Filed
from drivevlm.evaluate.expert import Expert
from drivevlm.evaluate.mlps import label_of
from drivevlm.evaluate.prepared import Progress, prepared
from drivevlm.evaluate.score_run import RunScores, score_entrants
from drivevlm.metrics.body_point import in_axes
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.frame_suspicion import frame_suspicion
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.planner import Planner
from drivevlm.record.manifest import git_state, manifest
from drivevlm.record.plan_file import PlanFile, matched, read_plan_file
from drivevlm.record.run_folder import RecordError, write_atomically
from drivevlm.report.page import write_page
from drivevlm.report.table import ResultsTable
from drivevlm.report.view import ClipView
from drivevlm.verbs.finish import commit_words, data_of
from drivevlm.verbs.progress import bars
from drivevlm.world.decision import Decision
from drivevlm.world.truth import Truth

ROW = "plans"
"""The plan file's row in results.json."""
FALLBACK = "stop"
"""What stands in for a plan that failed, in the file and in the rows beside it."""


def score(
    path: Path, values: Mapping[str, Any], groups: Mapping[str, str], console: Console
) -> Path:
    """Score a plan file; returns the folder with scores.json, the lines and the page.

    A clip whose plan is null or missing is scored as a stop (strict) and left out (lenient).
    """
    chosen = Chosen.of(values, groups)
    _check(chosen)
    file = read_plan_file(path)
    parts = Parts.of(chosen, console.print)
    recording, protocols = parts.recording, parts.protocols()
    out = folder(Path(chosen.settings.out or f"scores/{path.stem}"))
    scenes = parts.shard.of(recording.scenes())
    tokens = [token for scene in scenes for token in scene.tokens]
    notes = list(matched(file, tokens).notes)
    with bars(console) as report:
        ready = prepared(
            recording,
            tokens,
            protocols,
            cache=user_cache_path("drivevlm") / "prepared",
            progress=report,
        )
        if not ready.cases:
            raise RecordError(f"{recording.name} has no poses to score plans with")
        notes += suspicion(file, next(iter(ready.cases.values())), protocols[0])
        filed = Filed.of(file, tokens)
        rows = decided(parts.planners(None), recording, tokens, report)
        fallback = parts.fallback()
        entrants: dict[str, Entrant] = {
            ROW: filed,
            **{name: Decided.of(recording, made, fallback) for name, made in rows.items()},
        }
        scores = score_entrants(
            recording,
            entrants,
            ready,
            scenes=scenes,
            protocols=protocols,
            seed=chosen.settings.run.seed,
            progress=report,
        )
    told = {"name": path.name, "sha256": _sha256(path), "notes": notes}
    results = results_of_rows(parts, scores, told)
    _write(out, results, scores, notes)
    for note in notes:
        console.print(f"{path}: {note}", markup=False, soft_wrap=True)
    if chosen.settings.page.clips:
        views = _views(recording, filed, rows, scores, chosen.settings.page.clips)
        write_page(
            out / "report.html",
            title=f"{recording.name}: {path.name}",
            facts=_facts(path, parts, notes),
            results=results,
            views=views,
            limit=chosen.settings.page.clips,
            sorted_by=scores.sort_by,
        )
    console.print(ResultsTable(results))
    return out


def _check(chosen: Chosen) -> None:
    """What an evaluation can be told, and the scoring of a file cannot."""
    if needs_model(chosen.settings.planner):
        raise SettingError(
            "planner: vlm is not scored beside a plan file: drivevlm eval plans with a model"
        )
    if not chosen.settings.protocol:
        raise SettingError("protocol=[]: no protocol is left to score the plans by")
    if chosen.settings.fallback != FALLBACK:
        raise SettingError(
            f"fallback={chosen.settings.fallback}: a plan that is null or missing in a plan file "
            f"is scored as a {FALLBACK}, and so are the rows beside it"
        )


def folder(out: Path) -> Path:
    """The folder, made where it is not there. A run's folder is not written over."""
    if (out / "run.json").exists():
        raise RecordError(f"{out} is the folder of a run: choose another out=")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"out={out} cannot be made ({error.strerror})") from None
    return out


def suspicion(file: PlanFile, cases: Cases, protocol: PlanningProtocol) -> list[str]:
    """A warning where the plans look as if they were in other axes than the file says."""
    read = np.full(cases.recorded.xy_m.shape, np.nan)
    for row, token in enumerate(cases.tokens):
        xy_m = file.xy_m.get(token)
        if xy_m is not None:
            read[row] = xy_m
    recorded_m = in_axes(cases.recorded.xy_m, given=protocol.rule.axes, wanted=file.frame)
    warning = frame_suspicion(read, recorded_m)
    return [warning] if warning else []


def decided(
    planners: list[Planner], recording: Recording, tokens: list[str], progress: Progress
) -> dict[str, dict[str, Decision]]:
    """What the rows beside the file's plan: none of them remembers anything.

    A plan file speaks of no object and gives no reasons, so none are judged beside it.
    """
    planners = [replace(p, reasons=False) if isinstance(p, Expert) else p for p in planners]
    decisions: dict[str, dict[str, Decision]] = {planner.name: {} for planner in planners}
    for number, token in enumerate(tokens if planners else (), start=1):
        clip = recording.clip(token)
        for planner in planners:
            decided = planner.decide(clip)
            decisions[planner.name][token] = Decision(plan=decided.plan, failure=decided.failure)
        progress("planning", number, len(tokens))
    return decisions


def results_of_rows(
    parts: Parts, scores: RunScores, plan_file: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The object of results.json, of the form of an evaluation's, of rows that asked no model."""
    planners = {
        name: {
            "label": plan_file["name"] if plan_file is not None and name == ROW else label_of(name),
            "untrained": False,
            "model": None,
            "learned_from": parts.mlps[name].recipe if name in parts.mlps else None,
            **figures,
        }
        for name, figures in scores.by_planner.items()
    }
    return {
        "format": 1,
        "synthetic": parts.recording.synthetic,
        "data": data_of(parts.recording, scores),
        "leaks": [],
        **({} if plan_file is None else {"plan_file": dict(plan_file)}),
        "commit": commit_words(git_state(Path(__file__).parent)),
        "fallback": FALLBACK,
        "planners": planners,
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(out: Path, results: Mapping[str, Any], scores: RunScores, notes: Sequence[str]) -> None:
    """Files first: whoever pipes the table into a pager may leave before its end."""
    own = scores.scores[ROW]
    lines = (line for name, mine in own.items() for line in mine.lines(name))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomically(out / "scores_per_sample.jsonl", text)
    protocols = {
        name: {**score, "notes": [*score["notes"], *notes]}
        for name, score in scores.by_planner[ROW]["protocols"].items()
    }
    write_atomically(out / "scores.json", json.dumps(protocols, indent=1) + "\n")
    write_atomically(out / "results.json", json.dumps(results, indent=1) + "\n")


def _facts(path: Path, parts: Parts, notes: Sequence[str]) -> dict[str, str]:
    facts = manifest(identity={}, now=datetime.now(), command=sys.argv)["starts"][0]
    recording = parts.recording
    return {
        "command": " ".join(facts["command"]),
        "started": facts["started"],
        "commit": commit_words(facts["git"]),
        "data": f"{recording.name} ({recording.digest[:12]})",
        "plan file": f"{path.name} ({_sha256(path)[:12]})",
        **({"noted": "; ".join(notes)} if notes else {}),
    }


def _views(
    recording: Recording,
    filed: Filed,
    rows: Mapping[str, Mapping[str, Decision]],
    scores: RunScores,
    limit: int,
) -> Iterator[ClipView]:
    """The worst clips, worst first."""
    worst = scores.badness()
    order = sorted(scores.tokens, key=lambda token: -worst.get(token, -1.0))
    for token in order[:limit]:
        truth = recording.truth(token)
        decided = {name: made[token] for name, made in rows.items()}
        yield ClipView(
            recording.clip(token),
            None if truth is None else recording.with_map(truth),
            {ROW: _seen(filed, token, truth), **decided},
            worst.get(token),
            "",
            scores.numbers(token),
        )


def _seen(filed: Filed, token: str, truth: Truth | None) -> Decision:
    """The file's plan as the path of the rear axle, where that can be told."""
    plan = filed.axle_plan(token, truth)
    return filed.decisions[token] if plan is None else Decision(plan=plan)
