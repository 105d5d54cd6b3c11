"""What the driver decided, by rules on the log, and for which one cause.

Each rule asks what the traffic model knows now, and whether the ego then acts on it. The nearest
cause counts: behind a leader that waits at a red light the leader is the cause, not the light.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm.world.sets import Lateral, Longitudinal, MetaDecision
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.town.town import Turn
from drivevlm_sim.traffic.roads import Duty

ACTS_S = 2.0
"""A driver acts on what it decided within this time."""
SLOWS_MPS = 0.5
STANDS_MPS = 0.5
COMFORT_MPS2 = 2.0
REACTS_S = 0.8
SPARE_M = 12.0
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
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Reason:
    """A decision with its cause.

    Attributes:
        meta: What was decided.
        cause: Why.
        away_m: How far the cause is from the front bumper; None where it has no place.
        names: Tracks that the cause is about, the most important first.
    """

    meta: MetaDecision
    cause: Cause
    away_m: float | None
    names: tuple[str, ...] = ()


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
    Cause.FREE: Longitudinal.TRACK_SPEED,
}


def decided(log: SceneLog, step: int) -> Reason:
    """The reason for what the ego does at a step."""
    cause, away_m, names = _cause(log, step)
    meta = MetaDecision(_LONGITUDINAL[cause], _lateral(log, step))
    return Reason(meta, cause, away_m, names)


def _cause(log: SceneLog, step: int) -> tuple[Cause, float | None, tuple[str, ...]]:
    known = _Known(log, step)
    leader, gap_m = known.word("leader"), known.number("leader_gap_m")
    waits = known.slows or known.stands
    candidates: list[tuple[float, Cause, tuple[str, ...]]] = []
    if waits:
        candidates += _to_wait_for(known)
    if leader and gap_m < max(NEAREST_M, HEADWAY_S * known.speed_mps + NEAREST_M):
        stands = known.number("leader_speed_mps") < STANDS_MPS
        candidates.append((gap_m, Cause.LEADER_STANDS if stands else Cause.LEADER, (leader,)))
    near = [one for one in candidates if one[0] < known.reach_m]
    if near:
        away_m, cause, names = min(near, key=lambda one: one[0])
        return cause, away_m, names
    turn_m = known.number("junction_m")
    bends = known.word("junction_turn") in (Turn.LEFT.value, Turn.RIGHT.value)
    if bends and turn_m < known.reach_m and (known.slows or turn_m < TURNS_WITHIN_M):
        return Cause.TURN, turn_m, ()
    return Cause.FREE, None, ()


def _to_wait_for(known: _Known) -> list[tuple[float, Cause, tuple[str, ...]]]:
    """What one may have to stop for, with its distance."""
    found: list[tuple[float, Cause, tuple[str, ...]]] = []
    blocker = known.word("blocker")
    if blocker:
        found.append((known.number("blocked_m"), Cause.BLOCKED, (blocker,)))
    letter, signal_m = known.word("signal_state"), known.number("signal_m")
    if letter in ("r", "R", "s", "o", "O"):
        found.append((signal_m, Cause.RED_LIGHT, ()))
    elif letter in ("y", "Y", "u"):
        found.append((signal_m, Cause.AMBER_LIGHT, ()))
    walkers, foes = known.word("walkers").split(), known.word("foes").split()
    if walkers:
        found.append((known.number("crossing_m"), Cause.WALKER, tuple(walkers)))
    line_m = known.number("stop_line_m")
    if foes:
        found.append((known.number("junction_m"), Cause.FOE, tuple(foes)))
    elif known.word("junction_duty") in (Duty.STOP.value, Duty.ALL_WAY_STOP.value):
        found.append((line_m, Cause.STOP_LINE, ()))
    return [one for one in found if np.isfinite(one[0])]


def _lateral(log: SceneLog, step: int) -> Lateral:
    known = _Known(log, step)
    side = known.word("lane_change")
    if side:
        return Lateral.CHANGE_LEFT if side == "left" else Lateral.CHANGE_RIGHT
    if known.number("junction_m") < TURNS_WITHIN_M and not known.stands:
        turns = {Turn.LEFT.value: Lateral.TURN_LEFT, Turn.RIGHT.value: Lateral.TURN_RIGHT}
        return turns.get(known.word("junction_turn"), Lateral.KEEP_LANE)
    return Lateral.KEEP_LANE


class _Known:
    """The facts of one step, and what the ego does next."""

    def __init__(self, log: SceneLog, step: int) -> None:
        self._facts, self._step = log.facts, step
        speeds_mps = log.ego.speed_mps
        later = min(step + round(ACTS_S / STEP_S), len(speeds_mps) - 1)
        self.speed_mps = float(speeds_mps[step])
        self.slows = float(speeds_mps[later]) < self.speed_mps - SLOWS_MPS
        self.stands = self.speed_mps < STANDS_MPS

    @property
    def reach_m(self) -> float:
        """Up to where causes matter at this speed."""
        braking_m = self.speed_mps**2 / (2 * COMFORT_MPS2) + REACTS_S * self.speed_mps
        return braking_m + SPARE_M

    def word(self, name: str) -> str:
        return str(self._facts[name][self._step])

    def number(self, name: str) -> float:
        """Infinite where it is not known."""
        value = float(self._facts[name][self._step])
        return value if np.isfinite(value) else np.inf
