"""Which windows of a recording become scenes.

Training windows are chosen: first those whose moment is a decision point (the cause is in view,
the ego has not reacted yet), families in turn, and few keyframes in which the ego just stands.
Windows to measure on are drawn at random within each family, by no error of any planner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from drivevlm_sim.bodies import CARS
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.traffic.demand import BLOCKER, FILL_S
from drivevlm_sim.traffic.families import Family, moments
from drivevlm_sim.traffic.faults import faults
from drivevlm_sim.traffic.scene import Scenes, Sky

KEYFRAME_STEPS = 5
STANDING_SHARE = 0.2
"""At most this share of the training keyframes stand for the whole next 3 s."""
LEAST_CARS, CARS_PER_WINDOW = 40, 4
"""What cars live through takes long to find out: so many are looked at, drawn by the seed."""
_FUTURE_STEPS = 30
_LEAD_KEYFRAMES = (5, 9)  # from a window's start to its moment
_STANDING_M = 0.2


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an ego's way.

    Attributes:
        ego: Name of the vehicle.
        first, steps: Of the recording.
        family: What it is an example of.
        moment: The step of the window in which the cause is there; a keyframe.
        onset: Whether the ego has not reacted yet then.
    """

    ego: str
    first: int
    steps: int
    family: Family
    moment: int
    onset: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Windows, and what became of the others.

    Attributes:
        found: By family, how many windows there were.
        rejected: By reason, how many of those looked at were unfit; one may have several.
    """

    windows: tuple[Window, ...]
    found: Mapping[str, int]
    rejected: Mapping[str, int]


def candidates(scenes: Scenes, *, steps: int, rng: Random, cars: int) -> list[Window]:
    """A window around every moment of so many cars, if the car is there for all of it."""
    found = []
    there = [
        (ego, mover)
        for ego, mover in sorted(scenes.recording.vehicles.items())
        if mover.track.body in CARS and not ego.startswith(BLOCKER) and len(mover.track) >= steps
    ]
    for ego, mover in rng.sample(there, min(cars, len(there))):
        begin = max(mover.track.first, round(FILL_S / STEP_S))
        end = mover.track.first + len(mover.track)
        for moment in moments(scenes.life(ego)):
            at = mover.track.first + moment.step
            least, most = max(begin, at - steps + _FUTURE_STEPS + 1), min(end - steps, at)
            leads = [
                lead
                for lead in range(_LEAD_KEYFRAMES[0], _LEAD_KEYFRAMES[1] + 1)
                if least <= at - lead * KEYFRAME_STEPS <= most
            ]
            if leads:
                lead = rng.choice(leads) * KEYFRAME_STEPS
                found.append(Window(ego, at - lead, steps, moment.family, lead, moment.onset))
    return found


def for_training(
    scenes: Scenes, *, count: int, steps: int, seed: int, families: Sequence[Family] = ()
) -> Choice:
    """Up to ``count`` windows, families in turn, decision points first."""
    rng = Random(f"training {seed}")
    cars = max(LEAST_CARS, CARS_PER_WINDOW * count)
    found = _wanted(candidates(scenes, steps=steps, rng=rng, cars=cars), families)
    rng.shuffle(found)
    found.sort(key=lambda window: not window.onset)
    return _taken(scenes, found, count=count, per_family=count, standing=STANDING_SHARE)


def at_random(
    scenes: Scenes, *, per_family: int, steps: int, seed: int, families: Sequence[Family] = ()
) -> Choice:
    """Up to ``per_family`` windows of each family, drawn at random."""
    rng = Random(f"at random {seed}")
    cars = max(LEAST_CARS, CARS_PER_WINDOW * per_family * len(families or Family))
    found = _wanted(candidates(scenes, steps=steps, rng=rng, cars=cars), families)
    rng.shuffle(found)
    return _taken(scenes, found, count=len(found), per_family=per_family, standing=1.0)


def standing_keyframes(scene: SceneLog) -> tuple[int, int]:
    """How many keyframes stand for the whole next 3 s, of how many with so much future."""
    rows = np.arange(0, scene.steps - _FUTURE_STEPS, KEYFRAME_STEPS)
    moved_m = np.hypot(*(scene.rear_axle_m[rows + _FUTURE_STEPS] - scene.rear_axle_m[rows]).T)
    return int((moved_m < _STANDING_M).sum()), len(rows)


def _wanted(found: list[Window], families: Sequence[Family]) -> list[Window]:
    return [window for window in found if not families or window.family in families]


def _taken(
    scenes: Scenes, found: Sequence[Window], *, count: int, per_family: int, standing: float
) -> Choice:
    taken: list[Window] = []
    rejected: Counter[str] = Counter()
    had: Counter[Family] = Counter()
    stood, keyframes = 0, 0
    for window in _in_turn(found):
        if len(taken) >= count:
            break
        if had[window.family] >= per_family or any(_meets(window, other) for other in taken):
            continue
        scene = scenes.scene(window.ego, first=window.first, steps=window.steps, sky=Sky())
        reasons = faults(scene, scenes.life(window.ego))
        stands, frames = standing_keyframes(scene)
        if not reasons and stood + stands > standing * (keyframes + frames):
            reasons = ("too many keyframes stand still",)
        if reasons:
            rejected.update(reasons)
            continue
        taken.append(window)
        had[window.family] += 1
        stood, keyframes = stood + stands, keyframes + frames
    return Choice(
        windows=tuple(taken),
        found=dict(Counter(window.family.value for window in found)),
        rejected=dict(rejected),
    )


def _in_turn(found: Sequence[Window]) -> Iterator[Window]:
    """One window of each family after the other, each family in its own order."""
    queues = {family: [window for window in found if window.family == family] for family in Family}
    for place in range(max(map(len, queues.values()), default=0)):
        yield from (queue[place] for queue in queues.values() if place < len(queue))


def _meets(one: Window, other: Window) -> bool:
    """Whether two windows show the same ego at the same time."""
    apart = abs(one.first - other.first) >= min(one.steps, other.steps)
    return one.ego == other.ego and not apart
