"""What is worth taking away to see whether an ego would drive otherwise: few things a moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from drivevlm_sim.labels.decide import LEADERS, candidates
from drivevlm_sim.scene_log import Body, SceneLog

MOST_SUSPECTS = 4
"""The nearest are tested; each costs a forked run."""


class Kind(str, Enum):
    """How a thing is taken away."""

    VEHICLE = "vehicle"
    WALKER = "walker"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A road user by the name of its track, or the ego's own light as ``PLAN/LINK``."""

    kind: Kind
    name: str


def suspects(log: SceneLog, step: int) -> tuple[Suspect, ...]:
    """What may hold the ego at a step, the nearest first; the leader is always among them."""
    found = candidates(log, step)
    things = list(dict.fromkeys(thing for one in found for thing in one.things))
    ahead = [thing for one in found if one.cause in LEADERS for thing in one.things]
    tested = list(dict.fromkeys([*ahead, *things]))[:MOST_SUSPECTS]
    return tuple(Suspect(_kind(log, thing), thing) for thing in things if thing in tested)


def _kind(log: SceneLog, thing: str) -> Kind:
    track = log.others.get(thing)
    if track is None:
        return Kind.LIGHT if "/" in thing else Kind.VEHICLE
    return Kind.WALKER if track.body is Body.PEDESTRIAN else Kind.VEHICLE
