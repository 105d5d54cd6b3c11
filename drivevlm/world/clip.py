"""What a planner may know at decision time. Nothing here comes after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivevlm.world.boxes import Box3
from drivevlm.world.camera import CameraSequence
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.plan import Plan
from drivevlm.world.sets import Command, Provenance

RIG_SPREAD_US = 100_000
"""Cameras of one rig fire within this span: a frame may lie so much after the anchor camera's
stamp. What is older than decision time is the past; what is younger than this is the future."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One or two sentences about the scene, and how old they are."""

    text: str
    age_s: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Proposals:
    """Scored boxes for the planner to keep or drop, nearest first, each with a name of its own.

    Attributes:
        boxes: With unique, non-empty ids.
        provenance: DETECTOR, FILE, or ORACLE where they were made from labels.
    """

    boxes: tuple[Box3, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        ids = [box.id for box in self.boxes]
        if len(set(ids)) != len(ids) or "" in ids:
            raise ValueError(f"every proposal needs an id of its own, got {ids}")

    @classmethod
    def best(
        cls, boxes: Sequence[Box3], provenance: Provenance, *, top_k: int, min_score: float
    ) -> Proposals:
        """The best boxes by score, nearest first, named p1, p2, ..."""
        scored = [box for box in boxes if (box.score or 0.0) >= min_score]
        best = sorted(scored, key=lambda box: -(box.score or 0.0))[:top_k]
        nearest = sorted(best, key=lambda box: box.distance_m)
        named = (replace(box, id=f"p{k + 1}") for k, box in enumerate(nearest))
        return cls(tuple(named), provenance)


@dataclass(frozen=True, slots=True)
class Prior:
    """The previous decision's plan, already moved into today's ego frame, and its age."""

    plan: Plan
    age_s: float


@dataclass(frozen=True, slots=True)
class RouteCommand:
    """What the router asks for, with optional words and distance to the manoeuvre."""

    command: Command
    provenance: Provenance
    text: str = ""
    distance_m: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Everything a planner may read for one decision.

    Attributes:
        token: Names the clip in its recording.
        scene: Clips of one scene follow each other in time.
        t0_us: Decision time.
        cameras: One sequence per camera that is there.
        status, history: Ego motion; None where the recording has no poses, or no past yet.
        summary, proposals, prior, command: The optional prompt inputs.
    """

    token: str
    scene: str
    t0_us: int
    cameras: tuple[CameraSequence, ...]
    status: EgoStatus | None = None
    history: EgoHistory | None = None
    summary: Summary | None = None
    proposals: Proposals | None = None
    prior: Prior | None = None
    command: RouteCommand | None = None

    def __post_init__(self) -> None:
        names = [sequence.camera.name for sequence in self.cameras]
        if len(set(names)) != len(names):
            raise ValueError(f"clip {self.token}: a camera appears twice in {names}")
        for sequence in self.cameras:
            late_us = sequence.frames[-1].stamp_us - self.t0_us
            if late_us > RIG_SPREAD_US:
                raise ValueError(
                    f"clip {self.token}: a frame of {sequence.camera.name} lies {late_us} us "
                    "after decision time: a clip holds no future"
                )
        if self.history is not None and self.history.stamp_us[-1] > self.t0_us:
            raise ValueError(f"clip {self.token}: the ego history reaches past decision time")
