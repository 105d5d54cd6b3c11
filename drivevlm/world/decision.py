"""What a planner answers: a chain of thought and a plan, or a failure that stays in the total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind, LaneRelation, MetaDecision, Signal, Verdict


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no plan, in one line."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class CriticalObject:
    """An object that matters to the plan, and where it is.

    Attributes:
        id: A detection's name.
        lane: Relative to the ego's lane.
        gap_m: Free distance ahead of the ego's front bumper (0 when beside or behind).
        ttc_s: Time to collision at present speeds; None when the gap does not close.
    """

    id: str
    lane: LaneRelation
    gap_m: float
    ttc_s: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one decision."""

    prompt_tokens: int = 0
    reply_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One answer. A section that was not asked for is None (or empty), never a default.

    Attributes:
        plan: None exactly when ``failure`` is set.
        detections: Proposals kept and dropped, then objects added.
        critical: The objects that matter, with their spatial relation.
        signal: The light that concerns the ego.
        summary: The scene in a sentence or two.
        meta: What the ego does.
        failure: Why there is no plan.
        reply: The model's raw words ("" for a baseline).
        request_digest: Names the request that was answered ("" for a baseline).
        usage: Tokens spent.
        timings_ms: Milliseconds by stage.
    """

    plan: Plan | None
    detections: tuple[Detection, ...] = ()
    critical: tuple[CriticalObject, ...] = ()
    signal: Signal | None = None
    summary: str | None = None
    meta: MetaDecision | None = None
    failure: Failure | None = None
    reply: str = ""
    request_digest: str = ""
    usage: Usage = Usage()
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.plan is None) == (self.failure is None):
            raise ValueError("a decision has either a plan or a failure, and not both")

    @classmethod
    def failed(cls, kind: FailureKind, detail: str) -> Decision:
        """A decision without a plan."""
        return cls(plan=None, failure=Failure(kind, detail))

    @property
    def seen(self) -> tuple[Box3, ...]:
        """The objects that the planner says are there: kept proposals and its own additions."""
        return tuple(d.box for d in self.detections if d.verdict is not Verdict.DROPPED)
