"""What is kept of a drive through a bag: its records and lines, its counts, what a page shows."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TextIO

from drivevlm.baselines import Baseline
from drivevlm.drive.offline.drive import Driven, Tick
from drivevlm.drive.publish import verdict_to_json
from drivevlm.planner import Planner, VLMPlanner
from drivevlm.record.run_folder import Record, RunFolder
from drivevlm.report.clip_drawing import drawn
from drivevlm.report.drive_figures import SECONDS, Apart, DriveFigures, Reason
from drivevlm.report.drive_page import DriveMoment
from drivevlm.report.view import ClipView
from drivevlm.verbs.driven import apart_m, driven_truth
from drivevlm.verbs.finish import asked
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.truth import FUTURE_STEPS, STEP_S

BESIDE = "constant_velocity"
"""Its way to the driven path stands beside the planner's, which says nothing alone."""


@dataclass(slots=True)
class _Reasons:
    """Counts of one kind of thing, with the first of each in words."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, words: str) -> None:
        self.counts[what] += 1
        self.first.setdefault(what, words)

    def told(self) -> Mapping[str, Reason]:
        return {what: Reason(count, self.first[what]) for what, count in self.counts.most_common()}


class DriveBook:
    """Takes what a drive yields, in its order. Records are on disk before ``add`` returns.

    Attributes:
        moments: What the page shows, in the order of time.

    Args:
        run: Where decisions are recorded.
        lines: Gets a line of JSON for each picture of the anchor, once its driven path is known.
        planner: Who decides.
        label: How tables call it.
        start_us: Of the bag.
        every: Each so-many-th decision is drawn; 0 for none.
    """

    def __init__(
        self,
        run: RunFolder,
        lines: TextIO,
        planner: Planner,
        *,
        label: str,
        start_us: int,
        every: int,
    ) -> None:
        self.moments: list[DriveMoment] = []
        self._run, self._lines, self._planner = run, lines, planner
        self._label, self._start_us, self._every = label, start_us, every
        self._beside = Baseline(BESIDE, FUTURE_STEPS, STEP_S)
        self._waiting = deque[tuple[int, Tick]]()
        self._ticks = self._decided = self._passed = self._held_back = 0
        self._by_check, self._failed, self._lost = _Reasons(), _Reasons(), _Reasons()
        self._apart_m: dict[str, dict[int, list[float]]] = {}

    @property
    def ticks(self) -> int:
        """Pictures of the anchor so far."""
        return self._ticks

    def add(self, event: Tick | Driven) -> None:
        """A tick, or the driven path of the oldest tick that still waits for it."""
        if isinstance(event, Driven):
            number, tick = self._waiting.popleft()
            self._close(number, tick, event)
            return
        self._ticks += 1
        self._waiting.append((self._ticks, event))
        self._count(event)
        if event.clip is not None and event.ended.reasoning is not None:
            clip, decision = event.clip, event.ended.reasoning.decision
            self._run.append(Record(self._planner.name, clip.scene, clip.token, decision))

    def figures(self, anchor: str, unusable: Mapping[str, tuple[int, str]]) -> DriveFigures:
        """All counts so far."""
        return DriveFigures(
            anchor=anchor,
            ticks=self._ticks,
            planner=self._label,
            passed=self._passed,
            held_back=self._held_back,
            by_check=self._by_check.told(),
            failed=self._failed.told(),
            lost=self._lost.told(),
            unusable={topic: Reason(*told) for topic, told in unusable.items()},
            apart={
                name: {second: _median(self._apart_m[name].get(second, [])) for second in SECONDS}
                for name in (self._planner.name, BESIDE)
                if name in self._apart_m
            },
        )

    def _count(self, tick: Tick) -> None:
        ended = tick.ended
        if ended.reasoning is None:
            self._lost.add(ended.lost, ended.why)
            return
        failure, verdict = ended.reasoning.decision.failure, ended.reasoning.verdict
        if failure is not None:
            self._failed.add(failure.kind.value, failure.detail)
        elif verdict is not None and verdict.passed:
            self._passed += 1
        elif verdict is not None:
            self._held_back += 1
            for check in verdict.failed:
                self._by_check.add(check.name.value, str(check))

    def _close(self, number: int, tick: Tick, driven: Driven) -> None:
        ended, clip, ways = tick.ended, tick.clip, dict[str, Mapping[int, float]]()
        if clip is not None and ended.reasoning is not None:
            truth = driven_truth(clip, driven.poses)
            decisions = dict(self._decisions(clip, ended.reasoning.decision))
            ways = {name: apart_m(made.plan, truth) for name, made in decisions.items()}
            for name, by_second in ways.items():
                for second, metres in by_second.items():
                    self._apart_m.setdefault(name, {}).setdefault(second, []).append(metres)
            if self._every and self._decided % self._every == 0:
                scores = {name: _named(by_second) for name, by_second in ways.items()}
                view = ClipView(clip, truth, decisions, None, self._words(clip), scores)
                self.moments.append(self._moment(number, tick, view, ways))
            self._decided += 1
        verdict = None if ended.reasoning is None else ended.reasoning.verdict
        line = {
            "t0_us": ended.t0_us,
            "at_us": tick.at_us,
            "clip": None if clip is None else clip.token,
            "lost": ended.lost or None,
            "why": ended.why or None,
            "gate": verdict_to_json(verdict),
            "apart_m": ways,
        }
        self._lines.write(json.dumps(line, allow_nan=False) + "\n")
        self._lines.flush()

    def _decisions(self, clip: Clip, decision: Decision) -> Iterator[tuple[str, Decision]]:
        yield self._planner.name, decision
        if self._planner.name != BESIDE:
            yield BESIDE, self._beside.decide(clip)

    def _words(self, clip: Clip) -> str:
        return asked(self._planner, clip) if isinstance(self._planner, VLMPlanner) else ""

    def _moment(
        self, number: int, tick: Tick, view: ClipView, ways: Mapping[str, Mapping[int, float]]
    ) -> DriveMoment:
        reasoning, own = tick.ended.reasoning, ways[self._planner.name]
        verdict = None if reasoning is None else reasoning.verdict
        return DriveMoment(
            number=number,
            into_s=(tick.at_us - self._start_us) / 1e6,
            token=view.clip.token,
            held_back="" if verdict is None or verdict.passed else str(verdict),
            failed=reasoning is not None and reasoning.decision.failure is not None,
            apart=(own[max(own)], max(own)) if own else None,
            drawing=drawn(view),
        )


def _named(by_second: Mapping[int, float]) -> Mapping[str, float | None]:
    return {f"L2 {second} s (m)": by_second.get(second) for second in SECONDS}


def _median(metres: list[float]) -> Apart:
    return Apart(median(metres) if metres else None, len(metres))
