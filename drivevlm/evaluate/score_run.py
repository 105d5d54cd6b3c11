"""The second half of an evaluation: what was recorded is scored, again and again if need be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.data.recording import Recording, SceneClips
from drivevlm.evaluate.detections import detection
from drivevlm.evaluate.entrants import Decided, Entrant, Fallback
from drivevlm.evaluate.eyes import reasons, twins
from drivevlm.evaluate.prepared import Prepared, Progress, prepared
from drivevlm.metrics.consistency import consistency
from drivevlm.metrics.explain import figure_words, is_distance
from drivevlm.metrics.failures import failure_counts
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.score import Scores, clip_values, columns_of, known_columns
from drivevlm.record.run_folder import Key, Record
from drivevlm.world.decision import Decision

Json = dict[str, Any]
ClipNumbers = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class RunScores:
    """What a run earned.

    Attributes:
        by_planner: The ``planners`` object of results.json, without labels and models.
        scores: By planner, then by protocol, step by step.
        protocols: Who scored, in order.
        tokens: Clips on which some planner decided, in order.
        clips, scenes: How many the main planner decided on.
    """

    by_planner: Mapping[str, Json]
    scores: Mapping[str, Mapping[str, Scores]]
    protocols: tuple[PlanningProtocol, ...]
    tokens: tuple[str, ...]
    clips: int
    scenes: int

    @property
    def sort_by(self) -> str:
        """Name and unit of the number that says how bad a clip is."""
        return f"{self.protocols[0].name} L2 avg (m)" if self.protocols else ""

    def badness(self) -> Mapping[str, float]:
        """That number of the main planner, by token; clips that cannot be judged are missing."""
        first = next(iter(self.scores.values()), {})
        if not self.protocols or self.protocols[0].name not in first:
            return {}
        scores, l2 = first[self.protocols[0].name], self.protocols[0].rule.figures[0]
        values = clip_values(scores, l2)[:, -1]
        whole = scores.known.all(axis=1)
        return {t: float(v) for t, v, k in zip(scores.tokens, values, whole, strict=True) if k}

    def numbers(self, token: str) -> ClipNumbers:
        """By planner, then by a number's name with its unit: for the page."""
        return {
            planner: {
                name: value
                for protocol in self.protocols
                if protocol.name in by_protocol
                for name, value in _shown(protocol, by_protocol[protocol.name], token).items()
            }
            for planner, by_protocol in self.scores.items()
        }


def score_run(
    recording: Recording,
    records: Mapping[Key, Record],
    *,
    scenes: Sequence[SceneClips],
    planners: Sequence[str],
    protocols: Sequence[PlanningProtocol],
    fallback: Fallback,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> RunScores:
    """Score every planner's records under every protocol.

    The truths are prepared once for all planners, and kept in ``cache``. A failed plan is judged
    as the fallback (strict) and left out (lenient). A clip that a planner never decided on, in a
    run that was broken off, is in neither: ``n_total`` says how many were.
    """
    tokens = [token for scene in scenes for token in scene.tokens]
    entrants = {
        name: Decided.of(
            recording,
            {t: records[name, t].decision for t in tokens if (name, t) in records},
            fallback,
        )
        for name in planners
    }
    ready = prepared(recording, tokens, protocols, cache=cache, progress=progress)
    return score_entrants(
        recording, entrants, ready, scenes=scenes, protocols=protocols, seed=seed, progress=progress
    )


def score_entrants(
    recording: Recording,
    entrants: Mapping[str, Entrant],
    ready: Prepared,
    *,
    scenes: Sequence[SceneClips],
    protocols: Sequence[PlanningProtocol],
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> RunScores:
    """Score every entrant under every protocol, by clips that are prepared; the first is main."""
    by_planner: dict[str, Json] = {}
    scores: dict[str, dict[str, Scores]] = {}
    for number, (name, entrant) in enumerate(entrants.items(), start=1):
        made = len(entrant.decisions)
        scored = [(p, entrant.scores(p, ready.cases[p.name])) for p in protocols if ready.cases]
        scores[name] = {p.name: earned for p, earned in scored}
        summaries = {
            p.name: p.summarise(
                earned, n_total=made, splits=ready.splits_of(p), seed=seed
            ).to_json()
            for p, earned in scored
            if made
        }
        by_planner[name] = {
            "protocols": summaries,
            **answers(recording, entrant.decisions),
            "twins": twins(recording, entrant.decisions, entrant.axle_plan, seed=seed),
            "reasons": reasons(recording, entrant.decisions, seed=seed),
        }
        progress("scoring", number, len(entrants))
    main = next(iter(entrants.values())).decisions
    decided = {token for entrant in entrants.values() for token in entrant.decisions}
    return RunScores(
        by_planner,
        scores,
        tuple(protocols),
        tuple(token for scene in scenes for token in scene.tokens if token in decided),
        len(main),
        sum(any(token in main for token in scene.tokens) for scene in scenes),
    )


def answers(recording: Recording, decisions: Mapping[str, Decision]) -> Json:
    """What a planner's answers are like, apart from its plans."""
    told = list(decisions.values())
    return {
        "failures": failure_counts(told),
        "consistency": consistency(told),
        "detection": detection(recording, decisions),
        "tokens": _tokens(told),
        "ms": _milliseconds(told),
    }


def _shown(protocol: PlanningProtocol, scores: Scores, token: str) -> dict[str, float | None]:
    """One clip's numbers, of further figures the one at 3 s; None where it cannot be judged."""
    row = scores.only(np.array([token == other for other in scores.tokens], dtype=np.bool_))
    shown: dict[str, float | None] = {}
    for figure in protocol.rule.figures:
        words, unit = figure_words(figure.name), " (m)" if is_distance(figure.name) else ""
        values = clip_values(row, figure)[0] if len(row) else None
        known = known_columns(row, figure)
        for k, column in enumerate(columns_of(figure)):
            if figure.name not in ("l2_m", "collision") and column != "3s":
                continue
            value = None if values is None or not known[k] else float(values[k])
            told = None if value is None or np.isnan(value) else value
            shown[f"{protocol.name} {words} {column}{unit}"] = told
    return shown


def _tokens(decisions: Sequence[Decision]) -> Json | None:
    """Mean tokens of the decisions that a model answered."""
    usages = [d.usage for d in decisions if d.usage.reply_tokens]
    if not usages:
        return None
    return {
        "prompt_mean": float(np.mean([u.prompt_tokens for u in usages])),
        "reply_mean": float(np.mean([u.reply_tokens for u in usages])),
        "n": len(usages),
    }


def _milliseconds(decisions: Sequence[Decision]) -> Json | None:
    totals = [d.timings_ms["total"] for d in decisions if "total" in d.timings_ms]
    if not totals:
        return None
    p50, p95 = (float(v) for v in np.percentile(totals, [50, 95]))
    stages = {stage for d in decisions for stage in d.timings_ms} - {"total"}
    means = {
        stage: float(np.mean([d.timings_ms[stage] for d in decisions if stage in d.timings_ms]))
        for stage in sorted(stages)
    }
    return {
        "mean": float(np.mean(totals)),
        "p50": p50,
        "p95": p95,
        "n": len(totals),
        "by_stage": means,
    }
