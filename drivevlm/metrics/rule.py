"""A planning protocol as data: which clips, whose path, what must not be touched, which figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np

from drivevlm.metrics.surface import Paths, Surface
from drivevlm.world.pose import Floats
from drivevlm.world.truth import PAST_STEPS, Truth

# N: clips, T: FUTURE_STEPS, of STEP_S each.

DISTANCE = "distance"
"""What a figure is of, if not of something touched: metres from the recorded point."""


class Axes(str, Enum):
    """The axes of decision time in which a protocol scores."""

    LIDAR = "x right, y ahead"
    EGO = "x ahead, y left"


class Counted(str, Enum):
    """Which clips a protocol counts."""

    EVERY_KEYFRAME = "every keyframe; what was not recorded adds 0 and stays in the count"
    FULL_FUTURE = "keyframes with a recorded future of 3 s"
    PAST_AND_FUTURE = "keyframes with a recorded past of 1 s and future of 3 s"

    def lacks(self, truth: Truth) -> str:
        """Why the clip is not counted; "" where it is."""
        if self is Counted.EVERY_KEYFRAME:
            return ""
        if not truth.future_valid.all():
            return "the recorded future ends before 3 s"
        wanted = range(-PAST_STEPS, 0) if self is Counted.PAST_AND_FUTURE else ()
        return "" if all(k in truth.steps for k in wanted) else "the recorded past is under 1 s"


class Averaging(str, Enum):
    """How the steps of a clip become its value at k seconds."""

    AT = "the step at k s"
    MEAN = "the mean of the steps up to k s"
    ANY = "any step up to k s"
    SEGMENT = "the mean of the steps of the k-th second alone"
    WHOLE = "the mean of all steps"
    LAST = "the last step"
    MISSED = "whether the largest is more than 2 m"

    @property
    def single(self) -> bool:
        """One number for the whole horizon, instead of one at each second."""
        return self in (Averaging.WHOLE, Averaging.LAST, Averaging.MISSED)


class Excused(str, Enum):
    """Where touching is not held against a plan."""

    RECORDED = "no {} is counted at a step where the recorded ego itself has one"
    START = "no {} is counted in a clip that begins with one"
    NEVER = ""


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that must not be touched.

    Attributes:
        name: E.g. ``agents``.
        surface: How it and the ego are laid over each other.
        excused: Where touching it is excused.
        map: Whether it is drawn from map polygons.
    """

    name: str
    surface: Surface
    excused: Excused = Excused.RECORDED
    map: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of numbers, at 1, 2 and 3 s and their mean, or a single number.

    Attributes:
        name: As results call it; with its unit where it has one.
        of: ``DISTANCE``, or a touch's name.
        averaging: From steps to the values.
        excused: Whether excused steps are left out of the numerator.
    """

    name: str
    of: str
    averaging: Averaging
    excused: bool = True


def l2(averaging: Averaging) -> Figure:
    """The distance from the recorded point."""
    return Figure("l2_m", DISTANCE, averaging)


def collision(averaging: Averaging) -> Figure:
    """Touching other road users."""
    return Figure("collision", "agents", averaging)


Point = tuple[float, float, float] | Literal["rear_axle"]
"""The body point whose path is scored: in the lidar's frame, or the ego's origin."""


@dataclass(frozen=True, slots=True)
class PlanningRule:
    """One protocol.

    Attributes:
        name: As tables and the command line call it.
        source: Whose code it follows, and at which commit.
        counted: Which clips.
        axes: Of all that is scored.
        point: Whose path is scored.
        recorded: The recorded path, (T, 2) positions and (T,) headings; NaN where not recorded.
        touches: What must not be touched.
        figures: What is reported; ``l2_m`` first.
        heading: (N, T) of the ego's box, from its path; None takes the path's own headings.
        admitted: What is made of a plan's path up to 1, 2 and 3 s, (N, t, 2), before it is judged
            up to there.
        without_scenes: Left out by name.
        split: Whether figures are also given for kinds of clips.
        agents, grid: What is drawn, and on what, in words.
        quirks: What a reader of the numbers should know, a line each.
    """

    name: str
    source: str
    counted: Counted
    axes: Axes
    point: Point
    recorded: Callable[[Truth], tuple[Floats, Floats]]
    touches: tuple[Touch, ...]
    figures: tuple[Figure, ...]
    agents: str
    grid: str
    heading: Callable[[Floats], Floats] | None = None
    admitted: Callable[[Floats], Floats] | None = None
    without_scenes: frozenset[str] = frozenset()
    split: bool = False
    quirks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {DISTANCE, *(touch.name for touch in self.touches)}
        unknown = [figure.of for figure in self.figures if figure.of not in known]
        if unknown:
            raise ValueError(f"{self.name}: a figure of {unknown[0]!r}, there are {sorted(known)}")

    def lacks(self, truth: Truth) -> str:
        """Why a clip is not counted; "" where it is."""
        if truth.scene in self.without_scenes:
            return f"{self.name} leaves {truth.scene} out"
        return self.counted.lacks(truth)

    def laid(self, paths: Paths) -> Paths:
        """The paths with the headings that this protocol gives the ego's box."""
        return paths if self.heading is None else Paths(paths.xy_m, self.heading(paths.xy_m))


def never_turns(xy_m: Floats) -> Floats:
    """(N, T) headings of an ego that is drawn as it stands now, whatever its path."""
    return np.zeros(xy_m.shape[:-1])
