"""Motion models and the kinematic classes: what a path does, by published thresholds."""

from __future__ import annotations

from enum import Enum

import numpy as np

from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, wrap_rad
from drivevlm.world.sets import Lateral, Longitudinal, MetaDecision

STOP_MPS = 0.5
"""A plan stops when its last step is slower than this."""
SPEED_CHANGE_MPS = 1.0
"""A plan accelerates or slows when its last step differs from its first by more than this."""
TURN_RAD = 0.35
"""A plan turns when its final heading differs from today's by more than this (20 degrees)."""


class SpeedClass(str, Enum):
    """What a plan does along its path."""

    ACCELERATE = "accelerate"
    KEEP = "keep"
    SLOW = "slow"
    STOP = "stop"


class TurnClass(str, Enum):
    """What a plan does across its path."""

    LEFT = "left"
    STRAIGHT = "straight"
    RIGHT = "right"


KinematicClass = tuple[SpeedClass, TurnClass]


def kinematic_class(plan: Plan) -> KinematicClass:
    """The class of a plan, from its waypoints and headings (tangents where it has none).

    Speed: STOP when the last step is below ``STOP_MPS``; else ACCELERATE or SLOW when the last
    step's speed differs from the first one's by more than ``SPEED_CHANGE_MPS``; else KEEP.
    Turn: LEFT or RIGHT when the last heading is beyond ``TURN_RAD``; else STRAIGHT.
    """
    speeds = plan.speeds_mps()
    change = speeds[-1] - speeds[0]
    if speeds[-1] < STOP_MPS:
        speed = SpeedClass.STOP
    elif change > SPEED_CHANGE_MPS:
        speed = SpeedClass.ACCELERATE
    elif change < -SPEED_CHANGE_MPS:
        speed = SpeedClass.SLOW
    else:
        speed = SpeedClass.KEEP
    yaw = float(wrap_rad(plan.headings_ego_rad()[-1]))
    if yaw > TURN_RAD:
        return speed, TurnClass.LEFT
    return speed, (TurnClass.RIGHT if yaw < -TURN_RAD else TurnClass.STRAIGHT)


_A, _K, _SL, _ST = SpeedClass.ACCELERATE, SpeedClass.KEEP, SpeedClass.SLOW, SpeedClass.STOP
_L, _S, _R = TurnClass.LEFT, TurnClass.STRAIGHT, TurnClass.RIGHT

SPEEDS_ADMITTED: dict[Longitudinal, frozenset[SpeedClass]] = {
    Longitudinal.TRACK_SPEED: frozenset({_A, _K}),
    Longitudinal.FOLLOW_LEAD: frozenset({_A, _K, _SL, _ST}),
    Longitudinal.ADAPT_TO_ROAD: frozenset({_K, _SL}),
    Longitudinal.SEARCH_GAP: frozenset({_A, _K, _SL}),
    Longitudinal.PASS: frozenset({_A, _K}),
    Longitudinal.YIELD: frozenset({_SL, _ST}),
    Longitudinal.STOP: frozenset({_SL, _ST}),
}
TURNS_ADMITTED: dict[Lateral, frozenset[TurnClass]] = {
    Lateral.KEEP_LANE: frozenset({_S}),
    Lateral.MERGE: frozenset({_L, _S, _R}),
    Lateral.SPLIT: frozenset({_L, _S, _R}),
    Lateral.NUDGE_LEFT: frozenset({_S}),
    Lateral.NUDGE_RIGHT: frozenset({_S}),
    Lateral.CHANGE_LEFT: frozenset({_L, _S}),
    Lateral.CHANGE_RIGHT: frozenset({_R, _S}),
    Lateral.TURN_LEFT: frozenset({_L}),
    Lateral.TURN_RIGHT: frozenset({_R}),
    Lateral.PULL_OVER: frozenset({_L, _S, _R}),
    Lateral.ABORT: frozenset({_S}),
}


def admits(meta: MetaDecision, kinematic: KinematicClass) -> bool:
    """Whether a decision allows a plan of this class.

    A plan that stands still cannot show its turn yet, so STOP with STRAIGHT fits any lateral.
    """
    speed, turn = kinematic
    if speed not in SPEEDS_ADMITTED[meta.longitudinal]:
        return False
    waiting = speed is SpeedClass.STOP and turn is TurnClass.STRAIGHT
    return waiting or turn in TURNS_ADMITTED[meta.lateral]


def unicycle(
    *, speed_mps: float, acceleration_mps2: Floats, curvature_radpm: Floats, dt_s: float
) -> tuple[Floats, Floats, Floats]:
    """Drive from the origin, heading 0, with one acceleration and curvature per step.

    Within a step both are constant, so the path is an exact circular arc. Braking ends at
    standstill and never turns into reversing; standstill is left forwards only.

    Args:
        speed_mps: Speed at the start, negative when reversing.
        acceleration_mps2, curvature_radpm: (T,) each.
        dt_s: Length of a step.

    Returns:
        Positions (T, 2), headings (T,) and speeds (T,) at the end of each step.
    """
    if acceleration_mps2.shape != curvature_radpm.shape or acceleration_mps2.ndim != 1:
        raise ValueError(
            "acceleration and curvature must both be (T,), got "
            f"{acceleration_mps2.shape} and {curvature_radpm.shape}"
        )
    steps = len(acceleration_mps2)
    xy, yaw, speeds = np.zeros((steps, 2)), np.zeros(steps), np.zeros(steps)
    position, heading, speed = np.zeros(2), 0.0, float(speed_mps)
    for k in range(steps):
        run_m, speed = distance_run(speed, float(acceleration_mps2[k]), dt_s)
        position, heading = arc(position, heading, run_m, float(curvature_radpm[k]))
        xy[k], yaw[k], speeds[k] = position, heading, speed
    return xy, np.asarray(wrap_rad(yaw)), speeds


def distance_run(speed_mps: float, acceleration_mps2: float, dt_s: float) -> tuple[float, float]:
    """Signed distance over ``dt_s`` and the speed after it; the sign of the speed never flips."""
    if speed_mps == 0 and acceleration_mps2 < 0:
        return 0.0, 0.0
    after = speed_mps + acceleration_mps2 * dt_s
    if min(speed_mps, after) >= 0 or max(speed_mps, after) <= 0:  # a product would underflow
        return speed_mps * dt_s + 0.5 * acceleration_mps2 * dt_s**2, after
    return -0.5 * speed_mps**2 / acceleration_mps2, 0.0


def arc(xy_m: Floats, yaw_rad: float, run_m: float, curvature_radpm: float) -> tuple[Floats, float]:
    """Position (2,) and heading after ``run_m`` along a circle of the given curvature."""
    turn = curvature_radpm * run_m
    chord_m = run_m * np.sinc(turn / (2 * np.pi))
    middle = yaw_rad + turn / 2
    return xy_m + chord_m * np.array([np.cos(middle), np.sin(middle)]), yaw_rad + turn
