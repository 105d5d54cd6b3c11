"""Two runs over the clips that both have: what changed, clip by clip, and whether it matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivevlm.data.recording import Recording, SceneClips
from drivevlm.evaluate.entrants import Decided, Fallback
from drivevlm.evaluate.prepared import Progress, kinds, prepared
from drivevlm.evaluate.score_run import Json, RunScores, answers
from drivevlm.metrics.paired import PairedProtocol, clip_differences, compared
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.score import Scores
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import MetaDecision

A, B = "a", "b"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one clip.

    Attributes:
        token, scene: The clip's.
        changed: Whether its plan, or the kind of its failure, differs.
        plan_distance_m: Mean distance of the two plans' waypoints; None where one run has none.
        difference: ``b - a`` of the first protocol's first figure (L2 avg, m), the fallback in
            place of a failed plan; None where it cannot be judged.
        failures: Of a and b: the kind, "" where there is a plan.
        decisions: Of a and b: ``longitudinal / lateral``, "" where none was made.
        same_reply: Whether both models' raw words are equal.
    """

    token: str
    scene: str
    changed: bool
    plan_distance_m: float | None
    difference: float | None
    failures: tuple[str, str]
    decisions: tuple[str, str]
    same_reply: bool

    @property
    def flipped(self) -> bool:
        """Whether both decided, and not the same."""
        return all(self.decisions) and self.decisions[0] != self.decisions[1]

    @property
    def size(self) -> tuple[float, float]:
        """How much changed: first by what it earned, then by how far the plans are apart."""
        return (
            -1.0 if self.difference is None else abs(self.difference),
            -1.0 if self.plan_distance_m is None else self.plan_distance_m,
        )

    def to_json(self) -> Json:
        """One of ``by_clip`` in ``compare.json``."""
        return {
            "token": self.token,
            "scene": self.scene,
            "changed": self.changed,
            "plan_distance_m": self.plan_distance_m,
            "difference": self.difference,
            "failures": [kind or None for kind in self.failures],
            "decisions": [words or None for words in self.decisions],
            "same_reply": self.same_reply,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of one run in another.

    Attributes:
        changes: Every clip that both runs have, in order.
        only: Clips that only a, and only b, has.
        scores: Of both runs on their common clips; its planners are called ``a`` and ``b``.
        protocols: By protocol; empty where nothing can be scored.
        answers: By run, what its answers to the common clips are like.
    """

    changes: tuple[Change, ...]
    only: tuple[int, int]
    scores: RunScores
    protocols: Mapping[str, PairedProtocol]
    answers: Mapping[str, Json]

    def most_changed(self, limit: int) -> tuple[Change, ...]:
        """The clips that changed, those that changed most first."""
        changed = [change for change in self.changes if change.changed]
        return tuple(sorted(changed, key=lambda c: c.size, reverse=True)[:limit])

    def to_json(self) -> Json:
        """What ``compare.json`` says of the clips."""
        changes = self.changes
        failed = Counter((bool(c.failures[0]), bool(c.failures[1])) for c in changes)
        flips = Counter(c.decisions for c in changes if c.flipped)
        cells = [cell for p in self.protocols.values() for cell in p.all_differences()]
        return {
            "clips": {"both": len(changes), "only_a": self.only[0], "only_b": self.only[1]},
            "scenes": len({change.scene for change in changes}),
            "changed": sum(change.changed for change in changes),
            "sorted_by": self.scores.sort_by,
            "protocols": {name: p.to_json() for name, p in self.protocols.items()},
            "intervals": {
                "told": sum(cell.ci95 is not None for cell in cells),
                "exclude_zero": sum(cell.excludes_zero for cell in cells),
            },
            "answers": dict(self.answers),
            "failures": {
                "only_a": failed[True, False],
                "only_b": failed[False, True],
                "both": failed[True, True],
            },
            "decisions": {
                "both_decided": sum(all(change.decisions) for change in changes),
                "flipped": flips.total(),
                "flips": [
                    {"a": a, "b": b, "clips": count} for (a, b), count in flips.most_common()
                ],
            },
            "same_reply": sum(change.same_reply for change in changes),
            "by_clip": [change.to_json() for change in changes],
        }


def compare_runs(
    recording: Recording,
    a: Mapping[str, Decision],
    b: Mapping[str, Decision],
    *,
    scenes: Sequence[SceneClips],
    protocols: Sequence[PlanningProtocol],
    fallback: Fallback,
    splits: Mapping[str, Collection[str]] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Comparison:
    """Compare the decisions of two runs, by token; all clips are of ``recording``.

    Args:
        recording: Of both runs' common clips.
        a, b: By token.
        scenes: In their order; clips of other scenes are left out.
        protocols: Who scores; the first one's first figure says how much a clip changed.
        fallback: Stands in for a failed plan.
        splits: Tokens by kind of clip; all of ``metrics.splits`` where left out.
        seed: Of the intervals.
        cache: Folder of prepared truths; None keeps nothing.
        progress: Is told of the work.

    Raises:
        ValueError: The runs have no clip of ``scenes`` in common.
    """
    scene_of = {token: scene.name for scene in scenes for token in scene.tokens}
    tokens = [token for token in scene_of if token in a and token in b]
    if not tokens:
        raise ValueError("the runs have no clip in common")
    sides = {A: {t: a[t] for t in tokens}, B: {t: b[t] for t in tokens}}
    cases = prepared(recording, tokens, protocols, cache=cache, progress=progress).cases
    if splits is None:
        splits = kinds(recording, tokens, cache=cache, progress=progress) if cases else {}
    scored = [protocol for protocol in protocols if protocol.name in cases]
    scores: dict[str, Mapping[str, Scores]] = {}
    for number, (side, decisions) in enumerate(sides.items(), start=1):
        judged = Decided.of(recording, decisions, fallback)
        scores[side] = {p.name: judged.scores(p, cases[p.name]) for p in scored}
        progress("scoring", number, len(sides))
    off: Mapping[str, float] = {}
    if scored:
        off = _differences(scored[0], scores[A][scored[0].name], scores[B][scored[0].name])
    return Comparison(
        tuple(_change(t, scene_of[t], a[t], b[t], off.get(t)) for t in tokens),
        (len(a) - len(tokens), len(b) - len(tokens)),
        RunScores(
            {},
            scores,
            tuple(scored),
            tuple(tokens),
            len(tokens),
            len({scene_of[t] for t in tokens}),
        ),
        {
            p.name: compared(
                p.rule,
                scores[A][p.name],
                scores[B][p.name],
                n_total=len(tokens),
                splits=splits,
                seed=seed,
            )
            for p in scored
        },
        {side: answers(recording, decisions) for side, decisions in sides.items()},
    )


def _differences(protocol: PlanningProtocol, a: Scores, b: Scores) -> dict[str, float]:
    off = clip_differences(protocol.rule.figures[0], a, b)
    return {t: float(v) for t, v in zip(a.tokens, off, strict=True) if np.isfinite(v)}


def _change(token: str, scene: str, a: Decision, b: Decision, difference: float | None) -> Change:
    failures = (_failure(a), _failure(b))
    return Change(
        token,
        scene,
        failures[0] != failures[1] or not _same_plan(a.plan, b.plan),
        plan_distance_m(a.plan, b.plan),
        difference,
        failures,
        (decision_words(a.meta), decision_words(b.meta)),
        a.reply == b.reply,
    )


def _failure(decision: Decision) -> str:
    return "" if decision.failure is None else decision.failure.kind.value


def decision_words(meta: MetaDecision | None) -> str:
    """``longitudinal / lateral``; "" where there is none."""
    return "" if meta is None else f"{meta.longitudinal.value} / {meta.lateral.value}"


def _same_plan(a: Plan | None, b: Plan | None) -> bool:
    if a is None or b is None:
        return a is b
    return (
        a.dt_s == b.dt_s
        and np.array_equal(a.xy_ego_m, b.xy_ego_m)
        and np.array_equal(a.headings_ego_rad(), b.headings_ego_rad())
    )


def plan_distance_m(a: Plan | None, b: Plan | None) -> float | None:
    """Mean distance of two plans at the times that both tell; None where there is no such time."""
    if a is None or b is None:
        return None
    rows = {round(k * b.dt_s * 1e6): k - 1 for k in range(1, len(b.xy_ego_m) + 1)}
    pairs = [
        (k - 1, rows[time_us])
        for k in range(1, len(a.xy_ego_m) + 1)
        if (time_us := round(k * a.dt_s * 1e6)) in rows
    ]
    if not pairs:
        return None
    of_a, of_b = (list(row) for row in zip(*pairs, strict=True))
    return float(np.linalg.norm(a.xy_ego_m[of_a] - b.xy_ego_m[of_b], axis=1).mean())
