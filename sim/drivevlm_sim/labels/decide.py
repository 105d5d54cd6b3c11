"""What the driver decided, by rules on the log, and for which one cause.

Each rule asks what the traffic model knows now, and whether the ego then acts on it. The nearest
cause counts: behind a leader that waits at a red light the leader is the cause, not the light. What
was taken away in vain (see ``without``) is no cause, however near.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from drivevlm.world.kinematics import TURN_RAD
from drivevlm.world.pose import wrap_rad
from drivevlm.world.scene_labels import CRITICAL_M
from drivevlm.world.sets import Lateral, Longitudinal, MetaDecision, Signal
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.town.town import Turn
from drivevlm_sim.traffic.roads import Duty
from drivevlm_sim.traffic.signals import colour

TOLD_M = 80.0
"""Of whose middle is farther from the ego's rear axle nothing is told, not even a box."""
ACTS_S = 2.0
"""A driver acts on what it decided within this time."""
PLANNED_S = 3.0
"""Across the path a decision is what a plan of this length shows; see ``world.kinematics``."""
SLOWS_MPS = 0.5
STANDS_MPS = 0.5
ACROSS_M = 40.0
"""A crossing so far behind a junction's line is one of that junction."""
COMFORT_MPS2 = 2.0
REACTS_S = 0.8
SPARE_M = 16.0
"""Causes matter up to the distance of a gentle stop, and this much more."""
HEADWAY_S, NEAREST_M = 2.0, 6.0
"""A leader is followed when it is nearer than this."""
TURNS_WITHIN_M = 12.0


class Cause(str, Enum):
    """Why; also the names of the phrases."""

    BLOCKED = "blocked"
    RED_LIGHT = "red_light"
    AMBER_LIGHT = "amber_light"
    WALKER = "walker"
    FOE = "foe"
    STOP_LINE = "stop_line"
    LEADER_STANDS = "leader_stands"
    LEADER = "leader"
    TURN = "turn"
    GREEN_LIGHT = "green_light"
    FREE = "free"


LEADERS = (Cause.LEADER_STANDS, Cause.LEADER)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something within reach that one may have to slow down for.

    Attributes:
        cause: Which it would be.
        away_m: How far it is from the front bumper.
        wait_m: How far it is to where one waits for it.
        names: Tracks that it is about, the most important first.
        light: ``PLAN/LINK`` of the ego's own light, where it is that; else "".
    """

    cause: Cause
    away_m: float
    wait_m: float
    names: tuple[str, ...] = ()
    light: str = ""

    @classmethod
    def at(
        cls, cause: Cause, away_m: float, names: tuple[str, ...] = (), light: str = ""
    ) -> Candidate:
        """Something right before which one waits."""
        return cls(cause, away_m, away_m, names, light)

    @property
    def is_doubtful(self) -> bool:
        """Whether only a test tells if one waits for it: one waits long before it."""
        return self.wait_m < self.away_m

    @property
    def things(self) -> tuple[str, ...]:
        """What could be taken away; nothing of a line on the road."""
        return (self.light,) if self.light else self.names


@dataclass(frozen=True, slots=True)
class Reason:
    """A decision with its cause.

    Attributes:
        meta: What was decided.
        cause: Why.
        away_m: How far the cause is from the front bumper; None where it has no place.
        names: Tracks that the cause is about, the most important first.
        light: The ego's own light, where it is the cause; else "".
        sure: False where the ego waits though nothing that is known holds it alone, as when two
            people cross at once.
    """

    meta: MetaDecision
    cause: Cause
    away_m: float | None
    names: tuple[str, ...] = ()
    light: str = ""
    sure: bool = True


_LONGITUDINAL = {
    Cause.BLOCKED: Longitudinal.STOP,
    Cause.RED_LIGHT: Longitudinal.STOP,
    Cause.AMBER_LIGHT: Longitudinal.STOP,
    Cause.STOP_LINE: Longitudinal.STOP,
    Cause.WALKER: Longitudinal.YIELD,
    Cause.FOE: Longitudinal.YIELD,
    Cause.LEADER_STANDS: Longitudinal.FOLLOW_LEAD,
    Cause.LEADER: Longitudinal.FOLLOW_LEAD,
    Cause.TURN: Longitudinal.ADAPT_TO_ROAD,
    Cause.GREEN_LIGHT: Longitudinal.TRACK_SPEED,
    Cause.FREE: Longitudinal.TRACK_SPEED,
}


def decided(log: SceneLog, step: int, moved_m: Mapping[str, float] | None = None) -> Reason:
    """The reason for what the ego does at a step.

    Args:
        log: The scene.
        step: Of the scene.
        moved_m: How far the ego's track moves without a thing, of those that were tested.
    """
    moved_m = moved_m or {}
    known = _Known(log, step)
    lateral = _lateral(log, step)

    def reason(candidate: Candidate, *, sure: bool) -> Reason:
        meta = MetaDecision(_LONGITUDINAL[candidate.cause], lateral)
        names = sorted(candidate.names, key=lambda name: -moved_m.get(name, 0.0))  # stable
        return Reason(meta, candidate.cause, candidate.away_m, tuple(names), candidate.light, sure)

    in_vain = None
    for candidate in candidates(log, step):
        tests = [moved_m[thing] for thing in candidate.things if thing in moved_m]
        if candidate.is_doubtful and not tests:
            continue
        if tests and max(tests) <= CRITICAL_M:
            in_vain = in_vain or candidate
        elif candidate.cause in LEADERS or known.waits or (tests and not known.gains):
            return reason(candidate, sure=True)
    turn_m = known.number("junction_m")
    bends = known.word("junction_turn") in (Turn.LEFT.value, Turn.RIGHT.value)
    takes_it = turn_m < TURNS_WITHIN_M and not known.gains and not known.stands
    if bends and turn_m < known.reach_m and (known.slows or takes_it):
        return reason(Candidate.at(Cause.TURN, turn_m), sure=True)
    if in_vain is not None and known.waits:
        return reason(in_vain, sure=False)
    if colour(known.word("signal_state")) is Signal.GREEN and known.signal_m < known.reach_m:
        green = Candidate.at(Cause.GREEN_LIGHT, known.signal_m, light=known.light)
        return reason(green, sure=not known.waits)
    meta = MetaDecision(_LONGITUDINAL[Cause.FREE], lateral)
    return Reason(meta, Cause.FREE, None, sure=not known.waits)


def candidates(log: SceneLog, step: int) -> list[Candidate]:
    """What one may have to slow down for at a step, the nearest first; of who is told of."""
    known = _Known(log, step)
    found = [*_ahead(known), *_lights(known), *_on_foot(known), *_junction(known)]
    near = (one for one in found if one.wait_m < known.reach_m)
    told = (
        replace(one, names=tuple(name for name in one.names if is_told(log, step, name)))
        for one in near
    )
    nameless = (Cause.RED_LIGHT, Cause.AMBER_LIGHT, Cause.STOP_LINE)
    kept = (one for one in told if one.names or one.cause in nameless)
    return sorted(kept, key=lambda one: one.wait_m)


def is_told(log: SceneLog, step: int, name: str) -> bool:
    """Whether a road user is so near that it is told of."""
    track = log.others.get(name)
    row = None if track is None else track.at(step)
    if track is None or row is None:
        return False
    return bool(np.hypot(*(track.xy_m[row] - log.rear_axle_m[step])) <= TOLD_M)


def _ahead(known: _Known) -> Iterator[Candidate]:
    """Who is ahead in the lane."""
    blocker, leader = known.word("blocker"), known.word("leader")
    gap_m = known.number("leader_gap_m")
    if blocker:
        yield Candidate.at(Cause.BLOCKED, known.number("blocked_m"), (blocker,))
    elif leader and (known.follows(gap_m) or known.brakes_for(gap_m)):
        stands = known.number("leader_speed_mps") < STANDS_MPS
        yield Candidate.at(Cause.LEADER_STANDS if stands else Cause.LEADER, gap_m, (leader,))


def _lights(known: _Known) -> Iterator[Candidate]:
    shown = colour(known.word("signal_state"))
    if shown in (Signal.RED, Signal.AMBER):
        cause = Cause.RED_LIGHT if shown is Signal.RED else Cause.AMBER_LIGHT
        yield Candidate.at(cause, known.signal_m, light=known.light)


def _on_foot(known: _Known) -> Iterator[Candidate]:
    """Who is in the way, on a crossing or not, and whoever else is on the next crossing."""
    walker, walkers = known.word("walker"), known.word("walkers").split()
    others = tuple(name for name in walkers if name != walker)
    if walker:
        yield Candidate.at(Cause.WALKER, known.number("walker_m"), (walker,))
    if others:
        away_m, line_m = known.number("crossing_m"), known.number("junction_m")
        # One does not stop inside a junction, but before it or where ways meet in it.
        beyond = line_m < away_m < line_m + ACROSS_M
        yield Candidate(Cause.WALKER, away_m, line_m if beyond else away_m, others)


def _junction(known: _Known) -> Iterator[Candidate]:
    """Who goes first there, unless the light holds the ego back anyway; or the line itself."""
    foes = tuple(known.word("foes").split())
    if foes and colour(known.word("signal_state")) is not Signal.RED:
        # Inside a junction ways meet some metres on: who stands right ahead is nearer.
        yield Candidate.at(Cause.FOE, known.number("junction_m") or NEAREST_M, foes)
    elif known.word("junction_duty") in (Duty.STOP.value, Duty.ALL_WAY_STOP.value):
        yield Candidate.at(Cause.STOP_LINE, known.number("stop_line_m"))


def _lateral(log: SceneLog, step: int) -> Lateral:
    known = _Known(log, step)
    side = known.word("lane_change")
    if side:
        return Lateral.CHANGE_LEFT if side == "left" else Lateral.CHANGE_RIGHT
    turn = known.word("junction_turn")
    if turn == Turn.LEFT.value and known.turned_rad > TURN_RAD:
        return Lateral.TURN_LEFT
    if turn == Turn.RIGHT.value and known.turned_rad < -TURN_RAD:
        return Lateral.TURN_RIGHT
    return Lateral.KEEP_LANE


class _Known:
    """The facts of one step, and what the ego does next."""

    def __init__(self, log: SceneLog, step: int) -> None:
        self._facts, self._step = log.facts, step
        speeds_mps, yaw_rad = log.ego.speed_mps, log.ego.yaw_rad
        later = min(step + round(ACTS_S / STEP_S), len(speeds_mps) - 1)
        self.speed_mps = float(speeds_mps[step])
        change_mps = float(speeds_mps[later]) - self.speed_mps
        self.slows, self.gains = change_mps < -SLOWS_MPS, change_mps > SLOWS_MPS
        self.stands = self.speed_mps < STANDS_MPS
        self.waits = self.slows or (self.stands and not self.gains)
        planned = min(step + round(PLANNED_S / STEP_S), len(yaw_rad) - 1)
        self.turned_rad = float(wrap_rad(yaw_rad[planned] - yaw_rad[step]))

    @property
    def reach_m(self) -> float:
        """Up to where causes matter at this speed."""
        return self.stop_m + REACTS_S * self.speed_mps + SPARE_M

    @property
    def stop_m(self) -> float:
        """To come to a stand."""
        return self.speed_mps**2 / (2 * COMFORT_MPS2)

    def follows(self, gap_m: float) -> bool:
        """Whether one so near ahead sets the pace."""
        return gap_m < HEADWAY_S * self.speed_mps + NEAREST_M

    def brakes_for(self, gap_m: float) -> bool:
        """Whether the ego waits, and it takes about so far to come down to the leader's speed."""
        left_m = self.number("leader_speed_mps") ** 2 / (2 * COMFORT_MPS2)
        return self.waits and gap_m < self.reach_m - left_m

    @property
    def signal_m(self) -> float:
        """To the line of the ego's own light."""
        return self.number("signal_m")

    @property
    def light(self) -> str:
        """The ego's own light: ``PLAN/LINK``."""
        return f"{self.word('signal')}/{int(self._facts['signal_link'][self._step])}"

    def word(self, name: str) -> str:
        return str(self._facts[name][self._step])

    def number(self, name: str) -> float:
        """Infinite where it is not known."""
        value = float(self._facts[name][self._step])
        return value if np.isfinite(value) else np.inf
