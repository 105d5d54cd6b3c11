"""Motion models: closed formulas that continue what the ego does now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.kinematics import unicycle
from drivevlm.world.plan import Plan
from drivevlm.world.pose import wrap_rad
from drivevlm.world.sets import FailureKind

SLOWEST_TURNING_MPS = 0.5
"""Below this speed a yaw rate is noise: the models drive straight."""
FIT_SPAN_S = 1.6
"""``ego_extrapolate`` fits the past poses of this span."""


class NoPastError(Exception):
    """The clip lacks the past that a baseline needs."""


Motion = Callable[[Clip, int, float], Plan]


def stop(clip: Clip, steps: int, dt_s: float) -> Plan:
    """Stand still where the ego is now."""
    return Plan(np.zeros((steps, 2)), dt_s=dt_s, yaw_ego_rad=np.zeros(steps))


def constant_velocity(clip: Clip, steps: int, dt_s: float) -> Plan:
    """Keep today's speed and heading."""
    return _drive(_status(clip).speed_mps, 0.0, steps, dt_s)


def ctrv(clip: Clip, steps: int, dt_s: float) -> Plan:
    """Keep today's speed and turn rate."""
    status = _status(clip)
    turn_radps = _turn_rate_radps(status)
    curvature_radpm = turn_radps / status.speed_mps if turn_radps else 0.0
    return _drive(status.speed_mps, curvature_radpm, steps, dt_s)


def ctra(clip: Clip, steps: int, dt_s: float) -> Plan:
    """Keep today's acceleration and turn rate; braking ends at standstill, also in reverse."""
    status = _status(clip)
    speed_mps, acceleration_mps2 = status.speed_mps, status.acceleration_mps2
    if acceleration_mps2 is None:
        raise NoPastError("the acceleration needs three past poses")
    end_s = np.arange(1, steps + 1) * dt_s
    if speed_mps * acceleration_mps2 < 0:
        end_s = np.minimum(end_s, -speed_mps / acceleration_mps2)
    turn_radps = _turn_rate_radps(status)
    # The velocity is smooth in time: this quadrature is exact to rounding.
    nodes, weights = np.polynomial.legendre.leggauss(12)  # type: ignore[no-untyped-call]
    at_s = end_s[:, None] * (nodes + 1) / 2
    run_m = (speed_mps + acceleration_mps2 * at_s) * end_s[:, None] * weights / 2
    x_m = (run_m * np.cos(turn_radps * at_s)).sum(axis=1)
    y_m = (run_m * np.sin(turn_radps * at_s)).sum(axis=1)
    yaw_ego_rad = wrap_rad(turn_radps * end_s)
    return Plan(np.stack([x_m, y_m], axis=1), dt_s=dt_s, yaw_ego_rad=yaw_ego_rad)


def ego_extrapolate(clip: Clip, steps: int, dt_s: float) -> Plan:
    """Continue a straight or parabolic fit of the poses of the last ``FIT_SPAN_S`` seconds.

    Position is fitted per axis, a line through two poses and a parabola through three or more,
    and always passes through the present.
    """
    history = _history(clip)
    t_s = (history.stamp_us - history.stamp_us[-1]) / 1e6
    recent = t_s >= -FIT_SPAN_S
    t_past, xy_past = t_s[recent][:-1], history.xy_ego_m[recent][:-1]
    if not len(t_past):
        raise NoPastError(f"no pose lies within the last {FIT_SPAN_S:g} s")
    powers = [1] if len(t_past) == 1 else [1, 2]
    basis = np.stack([t_past**p for p in powers], axis=1)
    coefficients = np.linalg.lstsq(basis, xy_past, rcond=None)[0]
    ahead_s = np.arange(1, steps + 1) * dt_s
    return Plan(np.stack([ahead_s**p for p in powers], axis=1) @ coefficients, dt_s=dt_s)


MOTIONS: dict[str, Motion] = {
    "stop": stop,
    "constant_velocity": constant_velocity,
    "ctrv": ctrv,
    "ctra": ctra,
    "ego_extrapolate": ego_extrapolate,
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A motion model as a planner: no memory, no images; a missing past is a counted failure.

    Attributes:
        name: A key of ``MOTIONS``.
        steps, dt_s: Waypoints of its plans.
    """

    name: str
    steps: int = 6
    dt_s: float = 0.5

    def __post_init__(self) -> None:
        if self.name not in MOTIONS:
            raise ValueError(f"baseline {self.name!r} is none of {', '.join(MOTIONS)}")

    def recall(self, clip: Clip) -> Clip:
        """The clip as it is: a motion model has no memory."""
        return clip

    def decide(self, clip: Clip) -> Decision:
        """The model's plan, or a NO_PAST failure."""
        try:
            return Decision(plan=MOTIONS[self.name](clip, self.steps, self.dt_s))
        except NoPastError as error:
            return Decision.failed(FailureKind.NO_PAST, str(error))

    def remember(self, clip: Clip, decision: Decision) -> None:
        """Keep nothing."""


def _status(clip: Clip) -> EgoStatus:
    if clip.status is None:
        raise NoPastError("no ego status is known: it needs two past poses, or a fresh CAN message")
    return clip.status


def _history(clip: Clip) -> EgoHistory:
    if clip.history is None or len(clip.history.stamp_us) < 2:
        raise NoPastError("the fit needs two past poses")
    return clip.history


def _turn_rate_radps(status: EgoStatus) -> float:
    if status.yaw_rate_radps is None:
        raise NoPastError("the yaw rate needs two past poses")
    return 0.0 if abs(status.speed_mps) < SLOWEST_TURNING_MPS else status.yaw_rate_radps


def _drive(speed_mps: float, curvature_radpm: float, steps: int, dt_s: float) -> Plan:
    xy_ego_m, yaw_ego_rad, _ = unicycle(
        speed_mps=speed_mps,
        acceleration_mps2=np.zeros(steps),
        curvature_radpm=np.full(steps, curvature_radpm),
        dt_s=dt_s,
    )
    return Plan(xy_ego_m, dt_s=dt_s, yaw_ego_rad=yaw_ego_rad)
