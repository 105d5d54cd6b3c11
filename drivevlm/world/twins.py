"""Twins: two moments equal in all that the ego knows of itself, different in one visible cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TwinCause:
    """What differs between the sides of a pair, at decision time.

    Attributes:
        kind: A word for it, e.g. ``signal`` or ``pedestrian``.
        name: The object's instance, or the name of the light.
        camera: The camera that shows it best.
        pixels: So many of that camera's pixels it covers.
        distance_m: From the ego.
    """

    kind: str
    name: str
    camera: str
    pixels: int
    distance_m: float


@dataclass(frozen=True, slots=True)
class TwinPair:
    """A pair of clips: only who looks at the pictures can tell which is which.

    Attributes:
        name: Unlike any other pair's.
        family: What the pair is about, e.g. ``jaywalker``.
        town: Where; towns differ in what a planner may have learned of them.
        tokens: Of the two clips; the first one's ego status, poses and command stand for both.
        cause: What differs.
        gap_3s_m: How far apart the two recorded egos are 3 s later.
    """

    name: str
    family: str
    town: str
    tokens: tuple[str, str]
    cause: TwinCause
    gap_3s_m: float
