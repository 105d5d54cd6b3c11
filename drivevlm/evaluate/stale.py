"""What latency costs a run: its plans as a vehicle has them, beside the ideal and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from drivevlm.data.recording import Recording
from drivevlm.evaluate.entrants import Fallback
from drivevlm.evaluate.prepared import Progress, prepared
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.held import Held, Keyframe
from drivevlm.metrics.interval import too_few_scenes
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.stale import Judged, LateRow, Spread
from drivevlm.record.run_folder import RecordError
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.published import Published

PROTOCOL = PROTOCOLS["exact"]
SWEPT_S = tuple(k / 10 for k in range(21))
"""Artificial latencies."""
IDEAL, HEARD, MEASURED = "ideal", "as published", "as measured"
TOTAL = "total"

Decisions = Mapping[str, Decision]
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class StaleScore:
    """What latency costs a run.

    Attributes:
        planner: Whose plans.
        n_total: Clips that were decided on; a row's ``n`` of them are judged.
        scenes: Of those that are judged.
        rows: The ideal, the real latency where it is known, then baselines without latency.
        swept: By artificial latency in seconds.
        latency_s: The real latency, of the row that is called so; None where it is not known.
        stages_ms: How long the stages of a decision took.
        notes: What a reader of the numbers should know, a line each.
    """

    planner: str
    n_total: int
    scenes: int
    rows: Mapping[str, LateRow]
    swept: Mapping[float, LateRow]
    latency_s: Spread | None
    stages_ms: Mapping[str, Spread]
    notes: tuple[str, ...]

    def to_json(self) -> Json:
        """The object of ``node_score.json``, without whose run it is."""
        return {
            "planner": self.planner,
            "protocol": PROTOCOL.name,
            "n_total": self.n_total,
            "scenes": self.scenes,
            "latency_s": None if self.latency_s is None else self.latency_s.to_json(),
            "rows": {name: row.to_json() for name, row in self.rows.items()},
            "swept": [{"latency_s": s, **row.to_json()} for s, row in self.swept.items()],
            "stages_ms": {name: spread.to_json() for name, spread in self.stages_ms.items()},
            "notes": list(self.notes),
        }


def stale_score(
    recording: Recording,
    decisions: Decisions,
    published: Sequence[Published],
    *,
    planner: str,
    beside: Mapping[str, Decisions],
    fallback: Fallback,
    seed: int = 0,
    prepared_in: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> StaleScore:
    """Score what a vehicle has at each keyframe with a recorded future of 3 s.

    Args:
        recording: Of the run.
        decisions: The planner's, by token: the ideal is each clip's own. Where nothing was
            published the artificial latencies are put on these.
        published: What was heard of the node; empty for a run without a replay.
        planner: As tables call it.
        beside: Baselines that stand beside it, without latency.
        fallback: Stands in where there is no plan yet, in the strict reading.
        seed: Of the intervals.
        prepared_in: Folder of prepared truths; None keeps none.
        progress: Is told what goes on.

    Raises:
        RecordError: No keyframe can be judged.
    """
    tokens = list(decisions)
    ready = prepared(recording, tokens, [PROTOCOL], cache=prepared_in, progress=progress)
    cases = ready.cases.get(PROTOCOL.name)
    if cases is None or not len(cases):
        raise RecordError(f"{recording.name}: no keyframe has a recorded future of 3 s to judge by")
    keyframes = _keyframes(recording, tokens, progress)
    judge = _Judge(
        cases,
        tuple(keyframes[token] for token in cases.tokens),
        cache(lambda token: fallback(recording.clip(token))),
        seed,
    )
    own = _own(decisions, keyframes)
    heard = _Heard.of(decisions, own, published)
    ideal = judge.of(own)
    rows = {IDEAL: judge.row(ideal, ideal)}
    if heard.real:
        rows[heard.name] = judge.row(judge.at(heard.real), ideal)
    for other, made in beside.items():
        rows[other] = judge.row(judge.of(_own(made, keyframes)), ideal)
    swept = {}
    for number, latency_s in enumerate(SWEPT_S, start=1):
        swept[latency_s] = judge.row(judge.at(heard.plans, latency_s), ideal)
        progress("latencies", number, len(SWEPT_S))
    latencies_us = heard.latencies_us()
    return StaleScore(
        planner,
        len(decisions),
        len(set(cases.scenes)),
        rows,
        swept,
        Spread.of(latencies_us / 1e6) if len(latencies_us) else None,
        _stages_ms(decisions, heard_ms=latencies_us / 1e3 if published else np.empty(0)),
        (*_count_notes(cases, len(decisions)), *heard.notes()),
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges what a vehicle has at some keyframes.

    Attributes:
        cases: N keyframes, ready for the protocol.
        keyframes: The same.
        fallback: By token.
        seed: Of the intervals.
    """

    cases: Cases
    keyframes: tuple[Keyframe, ...]
    fallback: Callable[[str], Plan]
    seed: int

    def of(self, own: Mapping[str, Published]) -> Judged:
        """A plan of each keyframe's own, by token, without latency."""
        return self._judged(Held.of(self.keyframes, [own.get(t) for t in self.cases.tokens]))

    def at(self, published: Sequence[Published], latency_s: float | None = None) -> Judged:
        """What was heard by each keyframe."""
        return self._judged(Held.at(self.keyframes, published, latency_s=latency_s))

    def row(self, judged: Judged, ideal: Judged) -> LateRow:
        """In figures."""
        return LateRow.of(PROTOCOL, judged, ideal, seed=self.seed)

    def _judged(self, held: Held) -> Judged:
        return Judged.of(PROTOCOL, self.cases, held, self.fallback)


def _keyframes(
    recording: Recording, tokens: Sequence[str], progress: Progress
) -> Mapping[str, Keyframe]:
    """By token, of the clips with a pose."""
    found = {}
    for number, token in enumerate(tokens, start=1):
        truth = recording.truth(token)
        if truth is not None:
            found[token] = Keyframe.of(truth)
        progress("placing", number, len(tokens))
    return found


def _own(decisions: Decisions, keyframes: Mapping[str, Keyframe]) -> dict[str, Published]:
    """The plans of decisions, by token, heard at once."""
    return {
        token: Published.of(
            decision.plan,
            scene=keyframes[token].scene,
            stamp_us=keyframes[token].stamp_us,
            global_from_ego=keyframes[token].global_from_ego,
        )
        for token, decision in decisions.items()
        if decision.plan is not None and token in keyframes
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """The plans of a run as a vehicle gets them.

    Attributes:
        name: Of the row of the real latency.
        real: With the latency that they had, fallbacks among them; empty where it is not known.
        plans: The planner's, to put artificial latencies on.
    """

    name: str
    real: tuple[Published, ...]
    plans: tuple[Published, ...]

    @classmethod
    def of(
        cls, decisions: Decisions, own: Mapping[str, Published], published: Sequence[Published]
    ) -> _Heard:
        """Those that were published, else the decisions' own with the time that they took."""
        if published:
            return cls(HEARD, tuple(published), tuple(p for p in published if not p.fallback))
        took_ms = {token: decisions[token].timings_ms.get(TOTAL) for token in own}
        timed = tuple(
            replace(own[token], heard_us=own[token].stamp_us + round(ms * 1e3))
            for token, ms in took_ms.items()
            if ms is not None
        )
        return cls(MEASURED, timed if len(timed) == len(own) else (), tuple(own.values()))

    def latencies_us(self) -> Floats:
        """From the stamp of each plan to when it was first heard."""
        first: dict[tuple[str, int], int] = {}
        for plan in self.real:
            if not plan.fallback:
                key = plan.scene, plan.stamp_us
                first[key] = min(plan.latency_us, first.get(key, plan.latency_us))
        return np.array(list(first.values()), dtype=np.float64)

    def notes(self) -> Iterator[str]:
        """What must be known of these plans."""
        if not self.real:
            yield (
                "no real latency: no node was heard (drivevlm replay hears one), and the decisions "
                "were not all timed"
            )
        elif self.name == HEARD:
            fallbacks = len(self.real) - len(self.plans)
            yield (
                f"{HEARD}: {len(self.real)} trajectories were heard, {fallbacks} are fallbacks; "
                "they are as late as the recording's clock tells, `rate` times what the wall's does"
            )
        else:
            yield f"{MEASURED}: a plan is heard when the run's own planner had made it, no later"
        stamps: dict[str, set[int]] = {}
        for plan in self.plans:
            stamps.setdefault(plan.scene, set()).add(plan.stamp_us)
        apart_us = [gap for mine in stamps.values() for gap in np.diff(sorted(mine)).tolist()]
        if apart_us:
            yield (
                f"plans are {np.median(apart_us) / 1e6:.2f} s apart (median), and at a keyframe "
                "the next is just being made: what a vehicle has there is at its oldest"
            )


def _stages_ms(decisions: Decisions, *, heard_ms: Floats) -> dict[str, Spread]:
    """By stage of a decision in the order told, the whole of it, then from stamp to vehicle."""
    by_stage: dict[str, list[float]] = {}
    for decision in decisions.values():
        for stage, ms in decision.timings_ms.items():
            by_stage.setdefault(stage, []).append(ms)
    if TOTAL in by_stage:
        by_stage[TOTAL] = by_stage.pop(TOTAL)
    spreads = {stage: Spread.of(np.array(values)) for stage, values in by_stage.items()}
    return {**spreads, "stamp to heard": Spread.of(heard_ms)} if len(heard_ms) else spreads


def _count_notes(cases: Cases, total: int) -> Iterator[str]:
    if total > len(cases):
        yield f"{total - len(cases)} of {total} clips are not judged: they lack a future of 3 s"
    reason = too_few_scenes(cases.scenes)
    if reason:
        yield reason
