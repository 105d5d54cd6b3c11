"""Why the driver did what it did: reasons that a recording knows for certain.

Worlds that were simulated know them: the light that concerns the ego, the vehicle ahead, the
decision, and which objects matter, each tested by driving on without it. Gaps are free metres
from the ego's front bumper; distances to a stop line run from there along the route.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from drivevlm.world.clip import RouteCommand
from drivevlm.world.sets import LaneRelation, MetaDecision, Signal

CRITICAL_M = 0.5
"""An object is critical when without it the ego would be further off than this within 4 s."""


@dataclass(frozen=True, slots=True)
class SignalLabel:
    """The light that concerns the ego.

    Attributes:
        state: NONE where no light does.
        distance_m: To its stop line; None where there is no light.
        visible: Whether some camera showed it within the last 2 s.
    """

    state: Signal
    distance_m: float | None
    visible: bool

    def __post_init__(self) -> None:
        _not_negative((self.distance_m,), "a signal's distance_m")

    @property
    def seen(self) -> Signal:
        """What a perfect viewer can say: a light that no camera shows is unknown."""
        hidden = self.state is not Signal.NONE and not self.visible
        return Signal.UNKNOWN if hidden else self.state


@dataclass(frozen=True, slots=True)
class LeadLabel:
    """The vehicle that the ego follows, or would run into next."""

    instance: str
    gap_m: float
    visible: bool

    def __post_init__(self) -> None:
        _not_negative((self.gap_m,), "a lead's gap_m")


@dataclass(frozen=True, slots=True)
class TestedCause:
    """An object, or the ego's own light, that was taken away to see what the ego does without it.

    Attributes:
        name: The object's instance, or the name of the light.
        is_signal: Whether it is the light.
        moved_m: How far the ego's track moves within 4 s.
        visible: Whether some camera showed it within the last 2 s.
    """

    __test__ = False  # no test of pytest's

    name: str
    is_signal: bool
    moved_m: float
    visible: bool

    def __post_init__(self) -> None:
        _not_negative((self.moved_m,), "a test's moved_m")

    @property
    def critical(self) -> bool:
        """Whether it matters to the ego."""
        return self.moved_m > CRITICAL_M


@dataclass(frozen=True, slots=True)
class RelationLabel:
    """Where an object stands or moves relative to the ego; as in ``CriticalObject``."""

    instance: str
    lane: LaneRelation
    gap_m: float
    ttc_s: float | None
    visible: bool

    def __post_init__(self) -> None:
        _not_negative((self.gap_m, self.ttc_s), "a relation's gap_m and ttc_s")


@dataclass(frozen=True, slots=True)
class SceneLabels:
    """The reasons at one keyframe.

    Attributes:
        signal: The light that concerns the ego.
        lead: None where nobody is ahead.
        meta: What the driver decided.
        tested: What was taken away, and what then happened.
        relations: Of objects near the ego, one each.
        summary: The scene in a sentence or two; "" for none.
        route: What the route asks for next; None where nothing is known of it.
        sentences: The chain of thought; it speaks of critical things alone, and of visible ones.
        paraphrases: Number of the set of paraphrases that the sentences are from.
    """

    signal: SignalLabel
    lead: LeadLabel | None
    meta: MetaDecision
    tested: tuple[TestedCause, ...]
    relations: tuple[RelationLabel, ...]
    summary: str
    route: RouteCommand | None
    sentences: tuple[str, ...]
    paraphrases: int

    def __post_init__(self) -> None:
        for what, names in (
            ("tested", [cause.name for cause in self.tested]),
            ("relations", [relation.instance for relation in self.relations]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} speaks of one thing twice: {names}")

    @property
    def critical(self) -> tuple[str, ...]:
        """Instances of the critical objects that could be seen, the weightiest first."""
        mine = [c for c in self.tested if c.critical and c.visible and not c.is_signal]
        return tuple(c.name for c in sorted(mine, key=lambda cause: -cause.moved_m))

    def relation(self, instance: str) -> RelationLabel | None:
        """Of an object; None where nothing is said of it."""
        return next((r for r in self.relations if r.instance == instance), None)


def _not_negative(values: Iterable[float | None], what: str) -> None:
    wrong = [v for v in values if v is not None and not (math.isfinite(v) and v >= 0)]
    if wrong:
        raise ValueError(f"{what} must be finite and not negative, got {wrong[0]}")
