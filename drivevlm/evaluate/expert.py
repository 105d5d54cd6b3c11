"""Rows and examples made from the truth, which only a job may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivevlm.data.recording import DataError, Recording
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.labels import (
    decision_from_truth,
    detections_from_truth,
    labelled_decision,
)
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind
from drivevlm.world.truth import STEP_S, Truth


@dataclass(frozen=True, slots=True)
class Expert:
    """The recorded future as a planner: it checks the metrics, it is no competitor.

    Where the recording ends before the horizon the last recorded pose is held; no protocol
    scores those steps.

    Attributes:
        recording: That knows what was driven.
        name: As tables call it.
        reasons: Whether it also says what it sees and why, which takes most of its time.
    """

    recording: Recording
    name: str = "expert"
    reasons: bool = True

    def recall(self, clip: Clip) -> Clip:
        """The clip as it is."""
        return clip

    def decide(self, clip: Clip) -> Decision:
        """What was driven, with the answer that the labels give where the future is whole."""
        truth = self.recording.truth(clip.token)
        if truth is None:
            return Decision.failed(FailureKind.NO_FUTURE, "the recording has no poses")
        if not self.reasons:
            return Decision(plan=_held(truth))
        if truth.future_valid.all():
            return decision_from_truth(truth, clip.proposals)
        if truth.labels is not None:
            return labelled_decision(truth, truth.labels, _held(truth), clip.proposals)
        detections = detections_from_truth(truth, clip.proposals)
        return Decision(plan=_held(truth), detections=detections)

    def remember(self, clip: Clip, decision: Decision) -> None:
        """Keep nothing."""


def _held(truth: Truth) -> Plan:
    xy_ego_m, yaw_ego_rad = truth.future_path()
    last_xy, last_yaw = np.zeros(2), 0.0
    for k, valid in enumerate(truth.future_valid):
        if valid:
            last_xy, last_yaw = xy_ego_m[k], float(yaw_ego_rad[k])
        xy_ego_m[k], yaw_ego_rad[k] = last_xy, last_yaw
    return Plan(xy_ego_m, dt_s=STEP_S, yaw_ego_rad=yaw_ego_rad)


Example = tuple[Clip, Decision]


def examples_from(
    recording: Recording, *, count: int, seed: int
) -> Callable[[Clip], tuple[Example, ...]]:
    """Few-shot examples for a clip: drawn by seed from other scenes, with a whole future.

    The draw depends on seed and scene alone, so all clips of a scene share their examples (and an
    engine its prefix). Raises DataError where no other scene has one.
    """
    kept: dict[str, tuple[Example, ...]] = {}

    def examples(clip: Clip) -> tuple[Example, ...]:
        if clip.scene not in kept:
            kept[clip.scene] = _draw(recording, clip.scene, count=count, seed=seed)
        return kept[clip.scene]

    return examples


def _draw(recording: Recording, scene: str, *, count: int, seed: int) -> tuple[Example, ...]:
    others = [s for s in recording.scenes() if s.name != scene]
    tokens = [token for other in others for token in other.tokens]
    rng = np.random.default_rng([seed, *scene.encode()])
    drawn: list[Example] = []
    for k in rng.permutation(len(tokens)):
        if len(drawn) == count:
            break
        truth = recording.truth(tokens[k])
        if truth is not None and truth.future_valid.all():
            example = recording.clip(tokens[k])
            drawn.append(
                (replace(example, prior=None), decision_from_truth(truth, example.proposals))
            )
    if len(drawn) < count:
        raise DataError(
            f"few-shot wants {count} examples from scenes other than {scene}, found {len(drawn)}: "
            "choose more scenes, or fewer examples"
        )
    return tuple(drawn)
