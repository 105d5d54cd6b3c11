"""The second half of an evaluation: what was recorded is scored, again and again if need be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivevlm.data.recording import Recording, SceneClips
from drivevlm.evaluate.plan_run import Progress
from drivevlm.metrics.consistency import consistency
from drivevlm.metrics.detection import DetectionCounts, detection_counts, detection_figures
from drivevlm.metrics.failures import failure_counts
from drivevlm.metrics.planning import PlanningProtocol, Prepared
from drivevlm.metrics.score import COLUMNS, SampleScore, clip_values, known_columns
from drivevlm.record.run_folder import Key, Record
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.labels import boxes_now
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

Json = dict[str, Any]
Fallback = Callable[[Clip], Plan]
ClipScores = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class RunScores:
    """What a run earned.

    Attributes:
        by_planner: The ``planners`` object of results.json, without labels and models.
        by_clip: By token, then planner, then a number's name with its unit: for the page.
        sort_by: Which of those numbers says how bad a clip is.
        clips, scenes: How many the main planner decided on.
    """

    by_planner: Mapping[str, Json]
    by_clip: Mapping[str, ClipScores]
    sort_by: str
    clips: int
    scenes: int


def score_run(
    recording: Recording,
    records: Mapping[Key, Record],
    *,
    scenes: Sequence[SceneClips],
    planners: Sequence[str],
    protocols: Sequence[PlanningProtocol],
    fallback: Fallback,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> RunScores:
    """Score every planner's records under every protocol.

    The truth of a clip is read and prepared once for all planners. A failed plan is judged as the
    fallback (strict) and left out (lenient). A clip that a planner never decided on, in a run that
    was broken off, is in neither: ``n_total`` says how many were.
    """
    tally = {name: _Tally() for name in planners}
    by_clip: dict[str, dict[str, dict[str, float | None]]] = {}
    total = sum(len(scene.tokens) for scene in scenes)
    tokens = [token for scene in scenes for token in scene.tokens]
    for number, token in enumerate(tokens, start=1):
        decided = {n: records[n, token].decision for n in planners if (n, token) in records}
        if decided:
            truth = recording.truth(token)
            judged = _Judged.of(token, truth, recording, protocols, fallback)
            by_clip[token] = {
                name: tally[name].add(judged, decision) for name, decision in decided.items()
            }
        progress("scoring", number, total)
    main = [key for key in ((planners[0], token) for token in tokens) if key in records]
    return RunScores(
        {name: tally[name].figures(protocols, seed) for name in planners},
        by_clip,
        f"{protocols[0].name} L2 avg (m)" if protocols else "",
        len(main),
        len({records[key].scene for key in main}),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """One clip with its truth, ready for any number of planners."""

    token: str
    truth: Truth | None
    prepared: Mapping[str, tuple[PlanningProtocol, Prepared]]
    fallback: Callable[[], Plan]

    @classmethod
    def of(
        cls,
        token: str,
        truth: Truth | None,
        recording: Recording,
        protocols: Sequence[PlanningProtocol],
        fallback: Fallback,
    ) -> _Judged:
        prepared = {} if truth is None else {p.name: (p, p.prepare(truth)) for p in protocols}
        return cls(token, truth, prepared, lambda: fallback(recording.clip(token)))


@dataclass(slots=True)
class _Tally:
    """Everything that one planner's figures are made of."""

    decisions: list[Decision] = field(default_factory=list)
    scores: dict[str, dict[str, SampleScore | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    detections: list[DetectionCounts] = field(default_factory=list)

    def add(self, judged: _Judged, decision: Decision) -> dict[str, float | None]:
        """Count one decision; its numbers by name, for the page."""
        self.decisions.append(decision)
        if judged.truth is not None and decision.plan is not None:
            counts = detection_counts(decision.detections, boxes_now(judged.truth))
            self.detections.append(counts)
        shown: dict[str, float | None] = {}
        for name, (protocol, prepared) in judged.prepared.items():
            counted = prepared.case is not None
            fallback = judged.fallback() if decision.plan is None and counted else None
            score = protocol.judge(prepared, decision.plan, fallback=fallback)
            self.scores[name][judged.token] = score
            shown |= _shown(protocol, score)
        return shown

    @property
    def _detects(self) -> bool:
        """A planner that never speaks of an object does not detect; one that does is judged on
        all its answers, those that see nothing among them."""
        return any(decision.detections for decision in self.decisions)

    def figures(self, protocols: Sequence[PlanningProtocol], seed: int) -> Json:
        """The planner's object of results.json."""
        return {
            "protocols": {
                p.name: p.summarise(self.scores[p.name], seed=seed).to_json()
                for p in protocols
                if self.scores[p.name]
            },
            "failures": failure_counts(self.decisions),
            "consistency": consistency(self.decisions),
            "detection": detection_figures(self.detections) if self._detects else None,
            "tokens": _tokens(self.decisions),
            "ms": _milliseconds(self.decisions),
        }


def _shown(protocol: PlanningProtocol, score: SampleScore | None) -> dict[str, float | None]:
    names = [f"{protocol.name} L2 {c} (m)" for c in COLUMNS]
    names += [f"{protocol.name} collision {c}" for c in COLUMNS]
    if score is None:
        return dict.fromkeys(names)
    values = clip_values([score], protocol.rule.averaging)[0]
    known = known_columns([score])
    shown = [float(v) if k else None for v, k in zip(values, known, strict=True)]
    return dict(zip(names, shown, strict=True))


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
