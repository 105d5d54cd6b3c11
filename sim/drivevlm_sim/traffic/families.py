"""What a stretch of driving is an example of, by a rule on the ego's log alone.

Each rule finds moments: the step in which a cause is in view and the ego has not reacted yet, or,
where there is no such step (a manoeuvre along the route), the step in which it comes up. Most read
the future of the log; they choose what to show and are no input of a planner.

Not offered, since SUMO's traffic does not show them by itself: red runners, construction, emergency
vehicles, zipper merges, and nudging past a vehicle across the middle of the road (a car behind one
on a single lane waits).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm.world.sets import Signal
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.traffic.jaywalker import JAYWALKER
from drivevlm_sim.traffic.roads import Duty
from drivevlm_sim.traffic.signals import colour

# S: steps of the log.
_Mask = NDArray[np.bool_]


class Family(str, Enum):
    """What a scene is for."""

    SIGNAL_STRAIGHT = "signal_straight"
    SIGNAL_LEFT = "signal_left"
    SIGNAL_RIGHT = "signal_right"
    PERMISSIVE_LEFT = "permissive_left"
    RED_LIGHT = "red_light"
    GREEN_LIGHT = "green_light"
    LATE_YELLOW = "late_yellow"
    CAR_FOLLOWING = "car_following"
    HARD_BRAKING_LEAD = "hard_braking_lead"
    CUT_IN = "cut_in"
    BLOCKED_LANE = "blocked_lane"
    LANE_CHANGE = "lane_change"
    CROSSWALK = "crosswalk"
    JAYWALKER = "jaywalker"
    PRIORITY = "priority"
    YIELD = "yield"
    STOP_SIGN = "stop_sign"
    ALL_WAY_STOP = "all_way_stop"
    ROUNDABOUT = "roundabout"
    SLOW_CYCLIST = "slow_cyclist"


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of a log and what it is an example of.

    Attributes:
        onset: Whether the ego has not reacted to the cause yet and soon will.
    """

    family: Family
    step: int
    onset: bool


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A log's columns, each (S,)."""

    log: SceneLog
    speed: Floats
    brakes_from: NDArray[np.int64]

    def num(self, name: str) -> Floats:
        return np.asarray(self.log.facts[name], dtype=np.float64)

    def text(self, name: str) -> NDArray[np.str_]:
        return np.asarray(self.log.facts[name], dtype=np.str_)

    def light(self, *colours: Signal) -> _Mask:
        return np.array([colour(letter) in colours for letter in self.text("signal_state")])

    def first_in_line(self) -> _Mask:
        """Nobody between the ego and the line of its next signal or junction."""
        line_m = np.fmin(self.num("signal_m"), self.num("junction_m"))
        return ~(self.num("leader_gap_m") < line_m)


REACT_MPS2 = -0.7
"""Braking harder than this is a reaction."""
STILL_MPS = 0.3
"""Slower than this is standing."""
_SOON = round(3.0 / STEP_S)
_AGAIN = round(6.0 / STEP_S)  # moments of a family that are closer than this are one


def moments(log: SceneLog) -> tuple[Moment, ...]:
    """All moments of all families in an ego's log, by step."""
    view = _View(log, log.ego.speed_mps, _next(log.ego.acceleration_mps2 < REACT_MPS2))
    found = [
        Moment(family, step, onset)
        for family, rule in RULES.items()
        for step, onset in _apart(rule(view))
    ]
    return tuple(sorted(found, key=lambda moment: (moment.step, moment.family.value)))


def _apart(found: Iterator[tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
    last = -_AGAIN
    for step, onset in found:
        if step - last >= _AGAIN:
            last = step
            yield step, onset


def _runs(mask: _Mask) -> Iterator[tuple[int, int]]:
    """First and past-the-last step of each stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _next(mask: _Mask) -> NDArray[np.int64]:
    """(S,) the next step, this one included, in which the mask is true; S where there is none."""
    steps = np.where(mask, np.arange(len(mask)), len(mask))
    return np.minimum.accumulate(steps[::-1])[::-1].astype(np.int64)


def _before_braking(view: _View, mask: _Mask, *, least_mps: float) -> Iterator[tuple[int, bool]]:
    """In each stretch of a cause in view: the last step before the ego begins to brake."""
    for first, end in _runs(mask):
        begin = int(view.brakes_from[first])
        step = min(begin, end) - 1
        if first < begin < end and view.speed[step] > least_mps:
            yield step, True


def _turns(turn: str) -> Callable[[_View], Iterator[tuple[int, bool]]]:
    """The ego drives through a junction with signals: from 2 s before its line."""

    def rule(view: _View) -> Iterator[tuple[int, bool]]:
        ruled = (view.text("junction_duty") == Duty.SIGNALS.value) & (
            view.text("junction_turn") == turn
        )
        for first, end in _runs(ruled & (view.num("junction_m") == 0)):
            step = first - round(2.0 / STEP_S)
            if step >= 0 and end - first > 5 and ruled[step]:
                yield step, False

    return rule


def _permissive_left(view: _View) -> Iterator[tuple[int, bool]]:
    """A left turn on a green that others share: somebody with the right of way comes."""
    mask = (
        (view.text("junction_turn") == "left")
        & (view.text("signal_state") == "g")
        & (view.num("junction_m") < 35)
        & (view.text("foes") != "")
        & view.first_in_line()
    )
    yield from _before_braking(view, mask, least_mps=2.5)


def _red_light(view: _View) -> Iterator[tuple[int, bool]]:
    """The ego's light is red, it is first in line and has not begun to brake; then it stops."""
    mask = view.light(Signal.RED) & (view.num("signal_m") < 70) & view.first_in_line()
    yield from _before_braking(view, mask, least_mps=4.0)


def _green_light(view: _View) -> Iterator[tuple[int, bool]]:
    """First in line at a red light: the step in which it has just turned green."""
    waits = (view.speed < STILL_MPS) & (view.num("signal_m") < 12) & view.first_in_line()
    red, green = view.light(Signal.RED), view.light(Signal.GREEN)
    for step in np.flatnonzero(waits[1:] & red[:-1] & green[1:]) + 1:
        yield int(step), True


def _late_yellow(view: _View) -> Iterator[tuple[int, bool]]:
    """It has just turned yellow 1 to 4 s before the line; the ego stops or goes on."""
    away_s = view.num("signal_m") / np.maximum(view.speed, 0.1)
    yellow, green = view.light(Signal.AMBER), view.light(Signal.GREEN)
    mask = (away_s > 1) & (away_s < 4) & (view.speed > 4) & view.first_in_line()
    for step in np.flatnonzero(mask[1:] & green[:-1] & yellow[1:]) + 1:
        yield int(step), True


def _car_following(view: _View) -> Iterator[tuple[int, bool]]:
    """Behind the same leader for 5 s, both moving at some time: the leader changes its speed."""
    near = view.num("leader_gap_m") < 25
    leader = view.text("leader")
    change = np.abs(view.num("leader_acceleration_mps2")) > 1.0
    for first, end in _runs(near & (leader != "")):
        for begin, over in _same(leader, first, end):
            stretch = slice(begin, over)
            if over - begin >= 50 and view.speed[stretch].max() > 3:
                for step in np.flatnonzero(change[stretch])[:-30]:
                    yield begin + int(step), True


def _hard_braking_lead(view: _View) -> Iterator[tuple[int, bool]]:
    """The leader begins to brake hard; the ego has not, and does so within 3 s."""
    hard = view.num("leader_acceleration_mps2") < -2.0
    mask = hard & (view.num("leader_gap_m") < 35) & (view.num("leader_speed_mps") > 2)
    for first, end in _runs(mask):
        free = view.log.ego.acceleration_mps2[first] > REACT_MPS2
        soon = int(view.brakes_from[first]) - first < _SOON
        if end - first >= 6 and view.speed[first] > 4 and free and soon:
            yield first, True


def _cut_in(view: _View) -> Iterator[tuple[int, bool]]:
    """Somebody gets between the ego and its leader while the ego keeps its lane."""
    gap_m, leader, name = view.num("leader_gap_m"), view.text("leader"), view.text("lane_change")
    drop = np.nan_to_num(gap_m[:-1], nan=120.0) - gap_m[1:]
    own = (name[1:] != "") | (np.array(view.log.ego.lane[1:]) != np.array(view.log.ego.lane[:-1]))
    mask = (leader[1:] != leader[:-1]) & (drop > 8) & (gap_m[1:] < 25) & ~own
    for step in np.flatnonzero(mask & (view.speed[1:] > 3) & (view.num("junction_m")[1:] > 5)) + 1:
        yield int(step), True


def _blocked_lane(view: _View) -> Iterator[tuple[int, bool]]:
    """A vehicle stands in the lane ahead; the ego then stops or changes its lane."""
    mask = view.num("blocked_m") < 60
    changes = _next(view.text("lane_change") != "")
    for first, end in _runs(mask):
        reacts = min(int(view.brakes_from[first]), int(changes[first]))
        if first < reacts <= end and view.speed[reacts - 1] > 4:
            yield reacts - 1, True


def _lane_change(view: _View) -> Iterator[tuple[int, bool]]:
    """The ego begins to move into another lane of its road."""
    for first, end in _runs(view.text("lane_change") != ""):
        if end - first >= 12 and first > 0 and view.speed[first] > 3:
            yield first - 1, True


def _crosswalk(view: _View) -> Iterator[tuple[int, bool]]:
    """Somebody is on a crossing ahead, and nothing else keeps the ego: before it brakes for them,
    or, where it stands before them, as the crossing clears and it is about to go on.
    """
    away_m = view.num("crossing_m")
    mask = (away_m < 40) & ~view.light(Signal.RED, Signal.AMBER)
    mask &= ~(view.num("leader_gap_m") < away_m)
    # Inside a junction, or where the ego goes first, it does not brake for the junction's line.
    free = (view.num("junction_m") == 0) | view.light(Signal.GREEN)
    free |= view.text("junction_duty") == Duty.PRIORITY.value
    brakes = view.log.ego.acceleration_mps2 < REACT_MPS2
    begins = np.flatnonzero(mask[:-1] & free[:-1] & (away_m[:-1] < 30) & ~brakes[:-1] & brakes[1:])
    found = [
        (int(step), True)
        for step in begins
        if view.speed[step] - view.speed[step : step + 25].min() > 1.5
    ]
    goes = _next(view.speed > 1.0)
    for _, end in _runs(mask & (away_m < 8) & (view.speed < STILL_MPS)):
        if end < view.log.steps and goes[end] - end < 20:
            found.append((end - 1, True))
    yield from sorted(found)


def _jaywalker(view: _View) -> Iterator[tuple[int, bool]]:
    """Somebody off any crossing is in the way ahead, nearer than a leader; then the ego brakes."""
    jay = np.char.startswith(view.text("walker"), JAYWALKER)
    mask = jay & ~(view.num("leader_gap_m") < view.num("walker_m"))
    yield from _before_braking(view, mask, least_mps=3.0)


def _duty(*duties: Duty) -> Callable[[_View], Iterator[tuple[int, bool]]]:
    """The ego comes to a junction where it has to give way, first in line, and others come."""

    def rule(view: _View) -> Iterator[tuple[int, bool]]:
        owed = np.isin(view.text("junction_duty"), [duty.value for duty in duties])
        mask = owed & (view.num("junction_m") < 40) & view.first_in_line()
        mask &= view.text("foes") != ""
        found = list(_before_braking(view, mask, least_mps=3.0))
        for first, end in _runs(owed & (view.speed < STILL_MPS) & (view.num("junction_m") < 6)):
            if end < view.log.steps and view.first_in_line()[first]:
                found.append((max(first, end - 5), True))
        yield from sorted(found)

    return rule


def _priority(view: _View) -> Iterator[tuple[int, bool]]:
    """The ego has the right of way at a junction: from 25 m before its line."""
    owed = view.text("junction_duty") == Duty.PRIORITY.value
    for first, _ in _runs(owed & (view.num("junction_m") < 25) & (view.num("junction_m") > 0)):
        if view.speed[first] > 3:
            yield first, False


def _roundabout(view: _View) -> Iterator[tuple[int, bool]]:
    """The ego comes to a roundabout: from 25 m before its line."""
    ring = view.log.facts["roundabout"].astype(np.bool_)
    for first, _ in _runs(ring & (view.num("junction_m") < 25)):
        yield first, False


def _slow_cyclist(view: _View) -> Iterator[tuple[int, bool]]:
    """The ego closes in on a bicycle ahead, and has not begun to brake."""
    cycle = np.array([name.startswith(CYCLE) for name in view.text("leader_body")])
    mask = cycle & (view.num("leader_gap_m") < 40) & (view.num("leader_speed_mps") > 1)
    yield from _before_braking(view, mask, least_mps=4.0)


def _same(names: NDArray[np.str_], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches of equal names in a range."""
    cuts = [first, *(np.flatnonzero(names[first + 1 : end] != names[first : end - 1]) + first + 1)]
    for begin, over in zip(cuts, [*cuts[1:], end], strict=True):
        yield int(begin), int(over)


CYCLE = "bicycle"
RULES: Mapping[Family, Callable[[_View], Iterator[tuple[int, bool]]]] = MappingProxyType(
    {
        Family.SIGNAL_STRAIGHT: _turns("straight"),
        Family.SIGNAL_LEFT: _turns("left"),
        Family.SIGNAL_RIGHT: _turns("right"),
        Family.PERMISSIVE_LEFT: _permissive_left,
        Family.RED_LIGHT: _red_light,
        Family.GREEN_LIGHT: _green_light,
        Family.LATE_YELLOW: _late_yellow,
        Family.CAR_FOLLOWING: _car_following,
        Family.HARD_BRAKING_LEAD: _hard_braking_lead,
        Family.CUT_IN: _cut_in,
        Family.BLOCKED_LANE: _blocked_lane,
        Family.LANE_CHANGE: _lane_change,
        Family.CROSSWALK: _crosswalk,
        Family.JAYWALKER: _jaywalker,
        Family.PRIORITY: _priority,
        Family.YIELD: _duty(Duty.YIELD, Duty.RIGHT_BEFORE_LEFT),
        Family.STOP_SIGN: _duty(Duty.STOP),
        Family.ALL_WAY_STOP: _duty(Duty.ALL_WAY_STOP),
        Family.ROUNDABOUT: _roundabout,
        Family.SLOW_CYCLIST: _slow_cyclist,
    }
)
