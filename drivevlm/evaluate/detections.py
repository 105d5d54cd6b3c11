"""What a planner says is there, scored, and as a result file holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivevlm.data.recording import Recording
from drivevlm.metrics.detection import detection_counts, detection_figures, failed_answer
from drivevlm.metrics.nuscenes_detection import nuscenes_figures
from drivevlm.metrics.result_boxes import JudgedBoxes, ResultBoxes
from drivevlm.world.decision import Decision
from drivevlm.world.labels import boxes_now
from drivevlm.world.truth import Truth

Json = dict[str, Any]
Decisions = Mapping[str, Decision]
"""One planner's decisions, by token."""


def detects(decisions: Decisions) -> bool:
    """Whether a planner ever speaks of an object. One that does is judged on all its answers,
    those that see nothing among them; one that never does was not asked to detect."""
    return any(decision.detections for decision in decisions.values())


def detection(recording: Recording, decisions: Decisions) -> Json | None:
    """A planner's ``detection`` object of results.json; None for one that does not detect."""
    if not detects(decisions):
        return None
    counts, judged = [], {}
    for token, decision, truth in _with_truth(recording, decisions):
        labelled = boxes_now(truth)
        if decision.plan is None:
            counts.append(failed_answer(labelled))
        else:
            measured = {box.id for box in labelled}
            everything = boxes_now(truth, unmeasured=True)
            others = [box for box in everything if box.id not in measured]
            counts.append(detection_counts(decision.detections, labelled, others))
        judged[token] = JudgedBoxes.of(decision, truth)
    figures = detection_figures(counts)
    return None if figures is None else {**figures, "nuscenes": nuscenes_figures(judged)}


def boxes_to_write(recording: Recording, decisions: Decisions) -> dict[str, ResultBoxes]:
    """By token, what a planner says is there; nothing where its answer failed.

    Clips without a recorded pose are missing: nobody knows where in the world they are.
    """
    return {
        token: JudgedBoxes.of(decision, truth).said
        for token, decision, truth in _with_truth(recording, decisions)
    }


def _with_truth(
    recording: Recording, decisions: Decisions
) -> Iterator[tuple[str, Decision, Truth]]:
    for token, decision in decisions.items():
        truth = recording.truth(token)
        if truth is not None:
            yield token, decision, truth
