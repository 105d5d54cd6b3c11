"""Motion along a curve, exact between its steps and causal: no step knows a later one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivevlm.world.kinematics import distance_run
from drivevlm.world.pose import Floats, Pose2
from drivevlm_sim.curve import Curve

# K: steps of a motion.
STEP_S = 0.05
START_S = -1.0
"""Motions begin before the first keyframe, whose cameras fire a little earlier than it."""
HARDEST_BRAKE_MPS2 = 4.0
ACCELERATION_MPS2 = 1.5
COMFORT_BRAKE_MPS2 = 1.8
LATERAL_MPS2 = 2.0
HEADWAY_S = 1.1
SMALLEST_GAP_M = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A body whose origin follows a curve, heading along it.

    Attributes:
        curve: What it follows.
        run_m, speed_mps: (K + 1,) at ``START_S + k * STEP_S``.
        acceleration_mps2: (K,) constant within each step.
    """

    curve: Curve
    run_m: Floats
    speed_mps: Floats
    acceleration_mps2: Floats

    @classmethod
    def standing(cls, pose: Pose2) -> Motion:
        """One that never moves."""
        return cls(Curve.of(pose, (1.0, 0.0)), np.zeros(1), np.zeros(1), np.zeros(0))

    def at(self, time_s: float) -> State:
        """Where it is; before the first and after the last step it does not accelerate."""
        steps = (time_s - START_S) / STEP_S
        k = int(np.clip(np.floor(steps), 0, len(self.acceleration_mps2)))
        into_s = (steps - k) * STEP_S
        known = steps >= 0 and k < len(self.acceleration_mps2)
        acceleration = float(self.acceleration_mps2[k]) if known else 0.0
        ahead_m, speed = distance_run(float(self.speed_mps[k]), acceleration, into_s)
        return State(float(self.run_m[k]) + ahead_m, speed, acceleration)

    def pose_at(self, time_s: float) -> Pose2:
        """Its pose."""
        return self.curve.pose_at(self.at(time_s).run_m)


@dataclass(frozen=True, slots=True)
class State:
    """How far along its curve a motion is, how fast, and how it accelerates."""

    run_m: float
    speed_mps: float
    acceleration_mps2: float


class Hazard(Protocol):
    """Something ahead on the curve."""

    def rear_at(self, time_s: float) -> tuple[float, float] | None:
        """Position along the curve and speed of what must not be touched; None when free."""


@dataclass(frozen=True, slots=True, eq=False)
class Leader:
    """A vehicle on the same curve.

    Attributes:
        motion: Of its centre.
        length_m: Its own.
    """

    motion: Motion
    length_m: float

    def rear_at(self, time_s: float) -> tuple[float, float] | None:
        """Its rear bumper."""
        state = self.motion.at(time_s)
        return state.run_m - self.length_m / 2, state.speed_mps


@dataclass(frozen=True, slots=True)
class ClosedLine:
    """A line that must not be crossed for a while.

    Attributes:
        run_m: Where it lies on the curve.
        from_s, until_s: When it is closed.
    """

    run_m: float
    from_s: float
    until_s: float

    def rear_at(self, time_s: float) -> tuple[float, float] | None:
        """The line, while it is closed."""
        return (self.run_m, 0.0) if self.from_s <= time_s < self.until_s else None


def scheduled(
    curve: Curve, *, run_m: float, speed_mps: float, changes: Sequence[tuple[float, float]] = ()
) -> Motion:
    """Motion by a plan of its own.

    Args:
        curve: What it follows.
        run_m, speed_mps: At ``START_S``.
        changes: (time, acceleration) pairs in order of time; the last one goes on until
            standstill or for ever.
    """
    last_s = max([time_s for time_s, _ in changes], default=START_S)
    until_s = last_s + 10.0
    log = _Log(run_m, speed_mps)
    for time_s in _step_times(until_s):
        current = [acceleration for start_s, acceleration in changes if start_s <= time_s + 1e-9]
        log.step(current[-1] if current else 0.0)
    return log.motion(curve)


def following(
    curve: Curve,
    *,
    run_m: float,
    speed_mps: float,
    cruise_mps: float,
    front_m: float,
    hazards: Sequence[Hazard],
    until_s: float,
) -> Motion:
    """Motion of a driver who keeps a speed, slows for bends and keeps clear of hazards.

    The intelligent driver model (Treiber, Hennecke, Helbing 2000), fed with the present alone.

    Args:
        curve: What it follows.
        run_m, speed_mps: At ``START_S``.
        cruise_mps: On a straight and free road.
        front_m: From the origin to the front bumper.
        hazards: What may lie ahead.
        until_s: End of the last step.
    """
    log = _Log(run_m, speed_mps)
    for time_s in _step_times(until_s):
        wanted_mps = _bend_speed(curve, log.run_m, cruise_mps)
        acceleration = ACCELERATION_MPS2 * (1 - (log.speed_mps / wanted_mps) ** 4)
        for hazard in hazards:
            rear = hazard.rear_at(time_s)
            if rear is not None and rear[0] > log.run_m:
                gap_m = rear[0] - log.run_m - front_m
                acceleration = min(acceleration, _idm(log.speed_mps, wanted_mps, gap_m, rear[1]))
        log.step(max(acceleration, -HARDEST_BRAKE_MPS2))
    return log.motion(curve)


class _Log:
    """Steps taken so far."""

    def __init__(self, run_m: float, speed_mps: float) -> None:
        self.run_m, self.speed_mps = run_m, speed_mps
        self._runs, self._speeds = [run_m], [speed_mps]
        self._accelerations: list[float] = []

    def step(self, acceleration_mps2: float) -> None:
        ahead_m, speed = distance_run(self.speed_mps, acceleration_mps2, STEP_S)
        held = self.speed_mps == 0 and acceleration_mps2 < 0
        self._accelerations.append(0.0 if held else acceleration_mps2)
        if not held:
            self.run_m, self.speed_mps = self.run_m + ahead_m, speed
        self._runs.append(self.run_m)
        self._speeds.append(self.speed_mps)

    def motion(self, curve: Curve) -> Motion:
        arrays = [np.array(values) for values in (self._runs, self._speeds, self._accelerations)]
        return Motion(curve, *arrays)


def _step_times(until_s: float) -> Floats:
    return START_S + STEP_S * np.arange(int(np.ceil((until_s - START_S) / STEP_S)))


def _idm(speed_mps: float, wanted_mps: float, gap_m: float, rear_mps: float) -> float:
    closing = speed_mps * (speed_mps - rear_mps)
    brake = 2 * np.sqrt(ACCELERATION_MPS2 * COMFORT_BRAKE_MPS2)
    wish_m = SMALLEST_GAP_M + max(0.0, speed_mps * HEADWAY_S + closing / brake)
    free = 1 - (speed_mps / wanted_mps) ** 4 - (wish_m / max(gap_m, 0.1)) ** 2
    return float(ACCELERATION_MPS2 * free)


def _bend_speed(curve: Curve, run_m: float, cruise_mps: float) -> float:
    """The highest speed from which every bend ahead can be entered at comfort."""
    speed = cruise_mps
    for (start_m, curvature), piece in zip(curve.curvatures(), curve.arcs, strict=True):
        if piece.straight or run_m > start_m + piece.length_m:
            continue
        bend_mps = np.sqrt(LATERAL_MPS2 / abs(curvature))
        braking = 2 * COMFORT_BRAKE_MPS2 * max(0.0, start_m - run_m)
        speed = min(speed, float(np.sqrt(bend_mps**2 + braking)))
    return speed
