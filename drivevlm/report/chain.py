"""What a planner answered, section by section, and what the prompt gave it: plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drivevlm.report.results import DASH, shown
from drivevlm.report.view import ClipView
from drivevlm.world.boxes import Box3
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.kinematics import admits, kinematic_class
from drivevlm.world.plan import Plan
from drivevlm.world.sets import Provenance, Verdict
from drivevlm.world.truth import Truth

MOST_BOXES = 24
"""So many boxes are listed by name; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of an answer: its name, and pairs of term and words."""

    name: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PlanTable:
    """A plan step by step: times as column heads, rows of words with a head each."""

    times: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One planner's answer in words."""

    planner: str
    failure: str
    sections: tuple[Section, ...]
    plan: PlanTable | None
    cost: str
    reply: str
    request_digest: str


@dataclass(frozen=True, slots=True)
class Input:
    """One prompt block: what the clip holds for it, where that comes from, whether it leaks."""

    block: str
    words: str
    provenance: str = ""
    leaks: bool = False


def answers(view: ClipView) -> tuple[Answer, ...]:
    """The main planner's, then those of the others that said anything but a plan."""
    told = []
    for k, (name, decision) in enumerate(view.decisions.items()):
        sections = tuple(_sections(decision))
        if k == 0 or decision.reply or sections or decision.failure is not None:
            told.append(_answer(name, decision, sections, view.truth))
    return tuple(told)


def _answer(
    name: str, decision: Decision, sections: tuple[Section, ...], truth: Truth | None
) -> Answer:
    failure = decision.failure
    return Answer(
        planner=name,
        failure="" if failure is None else f"{failure.kind.value}: {failure.detail}",
        sections=sections,
        plan=None if decision.plan is None else plan_table(decision.plan, truth),
        cost=_cost(decision),
        reply=decision.reply,
        request_digest=decision.request_digest,
    )


def _sections(decision: Decision) -> Iterator[Section]:
    found = decision.detections
    if found:
        groups = []
        for verdict in Verdict:
            boxes = [d.box for d in found if d.verdict is verdict]
            if boxes:
                groups.append((f"{verdict.value} {len(boxes)}", _box_list(boxes)))
        yield Section("detect", tuple(groups))
    scene = []
    if decision.summary is not None:
        scene.append(("", decision.summary))
    if decision.signal is not None:
        scene.append(("signal", decision.signal.value))
    if scene:
        yield Section("scene", tuple(scene))
    if decision.critical:
        yield Section(
            "spatial",
            tuple(
                (c.id, f"{c.lane.value}, gap {c.gap_m:.1f} m, ttc {shown(c.ttc_s, 1)}{_s(c.ttc_s)}")
                for c in decision.critical
            ),
        )
    if decision.meta is not None:
        meta = decision.meta
        decided = [("", f"{meta.longitudinal.value} / {meta.lateral.value}")]
        if decision.plan is not None:
            kinematic = kinematic_class(decision.plan)
            fits = "fits" if admits(meta, kinematic) else "does not fit"
            speed, turn = kinematic
            decided.append(("plan", f"{speed.value} / {turn.value}: {fits} the decision"))
        yield Section("decide", tuple(decided))


def _s(value: float | None) -> str:
    return "" if value is None else " s"


def _box_list(boxes: list[Box3]) -> str:
    named = [_box_words(box) for box in boxes[:MOST_BOXES]]
    left = len(boxes) - len(named)
    return "; ".join(named) + (f"; and {left} more" if left else "")


def _box_words(box: Box3) -> str:
    x, y = box.center_ego_m[:2]
    score = "" if box.score is None else f" {box.score:.2f}"
    return f"{box.id} {box.category} ({x:.1f}, {y:.1f}){score}".strip()


def _cost(decision: Decision) -> str:
    usage = decision.usage
    parts = []
    if usage.prompt_tokens or usage.reply_tokens:
        parts.append(f"{usage.prompt_tokens} tokens in, {usage.reply_tokens} out")
    parts += [f"{stage} {ms:.0f} ms" for stage, ms in decision.timings_ms.items() if ms >= 0.5]
    return " · ".join(parts)


def plan_table(plan: Plan, truth: Truth | None) -> PlanTable:
    """Waypoints and speeds, and the distance to the recorded path where both have the step."""
    times = np.arange(1, len(plan.xy_ego_m) + 1) * plan.dt_s
    rows = [
        ("x m", tuple(f"{x:.2f}" for x in plan.xy_ego_m[:, 0])),
        ("y m", tuple(f"{y:.2f}" for y in plan.xy_ego_m[:, 1])),
        ("m/s", tuple(f"{v:.1f}" for v in plan.speeds_mps())),
    ]
    if truth is not None:
        rows.append(("off m", tuple(shown(d, 2) for d in _off_truth_m(plan, times, truth))))
    return PlanTable(tuple(f"{t:g} s" for t in times), tuple(rows))


def _off_truth_m(
    plan: Plan, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]], truth: Truth
) -> list[float | None]:
    recorded, _ = truth.future_path()
    off: list[float | None] = []
    for time_s, xy_m in zip(times, plan.xy_ego_m, strict=True):
        step = round(time_s * 2)
        same_time = abs(step / 2 - time_s) < 1e-6 and 1 <= step <= len(recorded)
        known = same_time and np.isfinite(recorded[step - 1]).all()
        off.append(float(np.hypot(*(xy_m - recorded[step - 1]))) if known else None)
    return off


def inputs(clip: Clip) -> tuple[Input, ...]:
    """The six blocks, those that are missing too."""
    images = sum(len(sequence.frames) for sequence in clip.cameras)
    given = [Input("cameras", f"{len(clip.cameras)} cameras, {images} images")]
    status, command, summary = clip.status, clip.command, clip.summary
    if status is not None:
        words = [f"{status.speed_mps:.1f} m/s"]
        words.append(f"{shown(status.acceleration_mps2, 1)} m/s²")
        words.append(f"{shown(status.yaw_rate_radps, 2)} rad/s")
        given.append(_sourced("ego_status", ", ".join(words), status.provenance))
    if summary is not None:
        words = [f"{summary.text} ({summary.age_s:.1f} s old)"]
        given.append(_sourced("scene_summary", words[0], summary.provenance))
    if clip.proposals is not None:
        count = f"{len(clip.proposals.boxes)} boxes"
        given.append(_sourced("proposals", count, clip.proposals.provenance))
    if clip.prior is not None:
        steps = len(clip.prior.plan.xy_ego_m)
        words = [f"{steps} waypoints left, {clip.prior.age_s:.1f} s old"]
        given.append(_sourced("prior", words[0], Provenance.MEMORY))
    if command is not None:
        words = [command.command.value, command.text]
        words.append("" if command.distance_m is None else f"in {command.distance_m:.0f} m")
        given.append(_sourced("command", " ".join(w for w in words if w), command.provenance))
    there = {item.block: item for item in given}
    return tuple(there.get(block, Input(block, DASH)) for block in _BLOCKS)


_BLOCKS = ("cameras", "ego_status", "scene_summary", "proposals", "prior", "command")


def _sourced(block: str, words: str, provenance: Provenance) -> Input:
    return Input(block, words, provenance.value, provenance.leaks)
