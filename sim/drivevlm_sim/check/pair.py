"""A twin pair as it lies on disk: both sides' keyframes, messages, and who is who in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.check.disk import Disk, Rectangle
from drivevlm_sim.twins.twin_pair import Family
from drivevlm_sim.twins.twins_file import TwinLine

# K: keyframes. Sides are 0 and 1; a keyframe is named by its number from t0, -6 to 6.
KEYFRAME_US = 500_000
PAST, NOW, FUTURE = -6, 0, 6
LATE_US = 1_000
TWIN_WITHIN_M = 3.0
"""No road user of one side is the twin of one so far off on the other."""
CAUSE_WITHIN_M = 15.0
"""So far a leader that brakes may be, in the mean over 3 s, from where it is without."""
STARTS_ALIKE_M = 0.5
"""What causes the difference may move apart, yet begins at one place."""

Track = dict[int, Floats]
"""By keyframe, centre (2,) of a road user's box."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A road user of one side.

    Attributes:
        category: nuScenes' name.
        size_m: Length, width, height.
        track: Where it is.
    """

    category: str
    size_m: tuple[float, float, float]
    track: Track


class Pair:
    """One pair. Raises KeyError where a sample is not in the tables."""

    def __init__(self, disk: Disk, line: TwinLine) -> None:
        self.disk, self.line = disk, line
        now = [disk.sample_of[token] for token in line.samples]
        self.scenes = [disk.scene_of(sample) for sample in now]
        self.now = now
        self.samples = [self._keyframes(side) for side in range(2)]

    def _keyframes(self, side: int) -> dict[int, int]:
        """By number from t0, a side's keyframes."""
        found = {}
        for sample in self.scenes[side].samples:
            late_us = self.disk.stamp_us(sample) - self.line.t0_us
            number = round(late_us / KEYFRAME_US)
            if abs(late_us - number * KEYFRAME_US) <= LATE_US:
                found[number] = sample
        return found

    def both(self, first: int = PAST, last: int = NOW) -> list[tuple[int, int, int]]:
        """Keyframes that both sides have: number, and both rows."""
        a, b = self.samples
        return [(k, a[k], b[k]) for k in range(first, last + 1) if k in a and k in b]

    @cached_property
    def can(self) -> list[Floats | None]:
        """Both sides' pose messages."""
        return [self.disk.can_pose(scene.name) for scene in self.scenes]

    @cached_property
    def agents(self) -> list[dict[str, Agent]]:
        """By side and instance, who has a box from 3 s before t0 to t0."""
        return [self._agents_of(side) for side in range(2)]

    def _agents_of(self, side: int) -> dict[str, Agent]:
        found: dict[str, Agent] = {}
        for k in range(PAST, NOW + 1):
            if k not in self.samples[side]:
                continue
            boxes = self.disk.boxes(self.samples[side][k])
            for row, name in enumerate(boxes.instance):
                length, width, height = (float(v) for v in boxes.size_lwh_m[row])
                agent = found.setdefault(
                    name, Agent(boxes.category[row], (length, width, height), {})
                )
                agent.track[k] = np.asarray(boxes.center_global_m[row][:2])
        return found

    @cached_property
    def twin_of(self) -> dict[str, str]:
        """Who of side 0 is who of side 1: tokens differ between scenes, places do not."""
        a, b = self.agents
        near = sorted(
            (apart_m, one, other)
            for one, mine in a.items()
            for other, theirs in b.items()
            if (apart_m := _apart_m(mine, theirs)) < TWIN_WITHIN_M
        )
        matched: dict[str, str] = {}
        taken: set[str] = set()
        for _, one, other in near:
            if one not in matched and other not in taken:
                matched[one] = other
                taken.add(other)
        return matched

    @cached_property
    def cause(self) -> list[str | None]:
        """By side, the instance that is the cause, where it has a box there."""
        name = self.line.cause.instance
        a, b = self.agents
        if name in a:
            return [name, self._other_of(a[name], b, self.twin_of.get(name))]
        if name in b:
            one = next((x for x, y in self.twin_of.items() if y == name), None)
            return [self._other_of(b[name], a, one), name]
        return [None, None]

    def _other_of(self, cause: Agent, others: Mapping[str, Agent], twin: str | None) -> str | None:
        """The cause on its other side: its twin, or who starts where it starts and parts far."""
        if twin is not None:
            return twin if _starts_alike(cause, others[twin]) else None
        if self.line.family is not Family.LEADER_BRAKES:  # it is in one scene only
            return None
        taken = {*self.twin_of, *self.twin_of.values()}
        alike = [
            (_apart_m(cause, other), name)
            for name, other in others.items()
            if name not in taken and _apart_m(cause, other) < CAUSE_WITHIN_M
        ]
        return min(alike)[1] if alike else None

    def cause_px(self, camera: str) -> list[Rectangle]:
        """Where the cause's box lies in a camera's pictures at t0, of each side that has it."""
        found = []
        for side, name in enumerate(self.cause):
            if name is not None:
                rectangles = self.disk.rectangles(camera, self.now[side])
                found += [rectangles[name]] if name in rectangles else []
        return found


def _apart_m(one: Agent, other: Agent) -> float:
    """Mean distance where both are there; infinite where they are not of one kind."""
    shared = one.track.keys() & other.track.keys()
    if one.category != other.category or not shared:
        return float("inf")
    if not np.allclose(one.size_m, other.size_m, atol=1e-3):
        return float("inf")
    return float(np.mean([np.hypot(*(one.track[k] - other.track[k])) for k in shared]))


def _starts_alike(one: Agent, other: Agent) -> bool:
    first = min(one.track.keys() & other.track.keys())
    return bool(np.hypot(*(one.track[first] - other.track[first])) < STARTS_ALIKE_M)
