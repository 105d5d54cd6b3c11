"""The rules of a twin pair, each told from its two logs alone.

A rule measures one figure and bounds it. What lies after t0 is free but for two rules: the ego's
futures must part, and no ego may brake like in an accident. Other road users may do after t0 what
the changed scene makes them do: they are part of the cause's consequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.twins.twin_pair import TwinPair

PAST_STEPS = 30  # before t0, in which the ego and all others are the same
SAME = 1e-3  # m, rad, m/s and m/s2
CAUSE_THERE_S = 4.0
OTHERS_WITHIN_M = 60.0
OTHERS_DIFFER_M = 0.5
FUTURE_S = 3.0
FUTURES_APART_M = 3.0
HARDEST_BRAKING_MPS2 = 5.5
SEEN_PIXELS = 6
ALIKE_LEADER_M = 0.1


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: In counts and reports.
        measure: The figure of a pair that the rule bounds.
        keeps: Whether a figure keeps the rule.
        unit: Of the figure.
    """

    name: str
    measure: Callable[[TwinPair], float]
    keeps: Callable[[float], bool]
    unit: str = ""

    def holds(self, pair: TwinPair) -> bool:
        """Whether the pair keeps this rule."""
        return self.keeps(self.measure(pair))


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a pair breaks, and by what figure."""

    rule: str
    figure: float
    unit: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.figure:.4g} {self.unit}".rstrip()


def ego_difference(pair: TwinPair) -> float:
    """Greatest difference of the ego's pose, speed or acceleration from 3 s before t0 to t0.

    Infinite where the logs do not reach 3 s back.
    """
    if pair.t0 < PAST_STEPS:
        return float("inf")
    return max(_ego_differs(pair, step) for step in range(pair.t0 - PAST_STEPS, pair.t0 + 1))


def ego_parting(pair: TwinPair) -> float:
    """Difference of the ego's pose, speed or acceleration one step after t0."""
    if pair.t0 + 1 >= min(pair.a.steps, pair.b.steps):
        return 0.0
    return _ego_differs(pair, pair.t0 + 1)


def route_differs(pair: TwinPair) -> float:
    """In how many steps from 3 s before t0 to t0 the router says different things, or routes do."""
    steps = slice(max(pair.t0 - PAST_STEPS, 0), pair.t0 + 1)
    said = zip(pair.a.command[steps], pair.b.command[steps], strict=True)
    far = (pair.a.command_m[steps], pair.b.command_m[steps])
    alike = np.isclose(*far, rtol=0, atol=SAME, equal_nan=True)
    return float(sum(a != b for a, b in said) + (~alike).sum() + (pair.a.route != pair.b.route))


def cause_there_s(pair: TwinPair) -> float:
    """How long before t0 the road user that is the cause is there, or away, as it is at t0.

    Infinite for a signal; 0 where no scene has it at t0.
    """
    if pair.cause.signal:
        return float("inf")
    there = _cause_there(pair, pair.t0)
    if not any(there):
        return 0.0
    steps = 0
    while steps < pair.t0 and _cause_there(pair, pair.t0 - steps - 1) == there:
        steps += 1
    return steps * STEP_S


def cause_differs(pair: TwinPair) -> float:
    """Whether the cause looks different at t0: 1 or 0.

    A signal shows another colour; a road user is there in one scene only, stands elsewhere, or
    has other lamps on.
    """
    cause, t0 = pair.cause, pair.t0
    if cause.signal:
        shown = [log.signals[cause.signal][t0][cause.link].lower() for log in (pair.a, pair.b)]
        return float(shown[0] != shown[1])
    there = _cause_there(pair, t0)
    if not all(there):
        return float(any(there))
    a, b = pair.a.others[cause.instance], pair.b.others[cause.instance]
    row_a, row_b = t0 - a.first, t0 - b.first
    moved_m = float(np.linalg.norm(a.xy_m[row_a] - b.xy_m[row_b]))
    return float(moved_m > ALIKE_LEADER_M or a.lamps[row_a] != b.lamps[row_b])


def others_difference_m(pair: TwinPair) -> float:
    """How far any other road user near the ego is from its twin, from 3 s before t0 to t0.

    The cause is left out. Infinite where one is there in one scene only.
    """
    steps = range(max(pair.t0 - PAST_STEPS, 0), pair.t0 + 1)
    return max((_others_differ_m(pair, step) for step in steps), default=0.0)


def signals_differ(pair: TwinPair) -> float:
    """How many lights other than the cause differ in some step up to t0."""
    own = {(pair.cause.signal, link) for link in pair.cause.links}
    steps = slice(0, pair.t0 + 1)
    other: set[tuple[str, int]] = set()
    for plan in pair.a.signals.keys() | pair.b.signals.keys():
        if plan not in pair.a.signals or plan not in pair.b.signals:
            other.add((plan, -1))
            continue
        for a, b in zip(pair.a.signals[plan][steps], pair.b.signals[plan][steps], strict=True):
            other |= {(plan, link) for link, (x, y) in enumerate(zip(a, b, strict=True)) if x != y}
    return float(len(other - own))


def futures_apart_m(pair: TwinPair) -> float:
    """How far the rear axles are apart 3 s after t0; 0 where a log ends before."""
    gap_m = pair.gap_m(FUTURE_S)
    return 0.0 if np.isnan(gap_m) else gap_m


def hardest_braking_mps2(pair: TwinPair) -> float:
    """Strongest deceleration of either ego in the whole of its log."""
    return max(
        float(-min(values.min() for values in (log.ego.acceleration_mps2, _speed_slope(log))))
        for log in (pair.a, pair.b)
    )


RULES = (
    Rule("ego_identical", ego_difference, lambda x: x <= SAME),
    Rule("ego_parts_after_t0", ego_parting, lambda x: x > SAME),
    Rule("same_route", route_differs, lambda x: x == 0, "steps"),
    Rule("cause_there_in_time", cause_there_s, lambda x: x >= CAUSE_THERE_S - 1e-9, "s"),
    Rule("cause_differs", cause_differs, lambda x: x > 0),
    Rule("others_alike", others_difference_m, lambda x: x < OTHERS_DIFFER_M, "m"),
    Rule("signals_alike", signals_differ, lambda x: x == 0, "lights"),
    Rule("futures_apart", futures_apart_m, lambda x: x > FUTURES_APART_M, "m"),
    Rule("no_hard_braking", hardest_braking_mps2, lambda x: x <= HARDEST_BRAKING_MPS2, "m/s2"),
)


def breaches(pair: TwinPair) -> Iterator[Breach]:
    """The rules of ``RULES`` that a pair breaks, in their order."""
    for rule in RULES:
        figure = rule.measure(pair)
        if not rule.keeps(figure):
            yield Breach(rule.name, figure, rule.unit)


def cause_is_seen(pixels: int) -> bool:
    """Whether so many pixels of the cause at t0, in the camera that shows most, are enough."""
    return pixels >= SEEN_PIXELS


def _ego_differs(pair: TwinPair, step: int) -> float:
    rows = [_ego_row(log, step) for log in (pair.a, pair.b)]
    difference = rows[0] - rows[1]
    axle_m, body_m = np.hypot(*difference[:2]), np.hypot(*difference[2:4])
    return float(max(axle_m, body_m, abs(wrap_rad(difference[4])), *np.abs(difference[5:])))


def _ego_row(log: SceneLog, step: int) -> Floats:
    """Rear axle, middle of the body, yaw, speed and acceleration: (7,)."""
    ego = log.ego
    scalars = [ego.yaw_rad[step], ego.speed_mps[step], ego.acceleration_mps2[step]]
    return np.array([*log.rear_axle_m[step], *ego.xy_m[step], *scalars])


def _cause_there(pair: TwinPair, step: int) -> tuple[bool, bool]:
    a, b = (_is_there(log, pair.cause.instance, step) for log in (pair.a, pair.b))
    return a, b


def _is_there(log: SceneLog, name: str, step: int) -> bool:
    return name in log.others and log.others[name].at(step) is not None


def _others_differ_m(pair: TwinPair, step: int) -> float:
    """Of one step: see ``others_difference_m``."""
    near: list[dict[str, Floats]] = []
    whole: list[dict[str, Floats]] = []
    for log in (pair.a, pair.b):
        places = {
            name: track.xy_m[row]
            for name, track in log.others.items()
            if name != pair.cause.instance and (row := track.at(step)) is not None
        }
        ego_m = log.rear_axle_m[step]
        close = {n: xy for n, xy in places.items() if np.hypot(*(xy - ego_m)) < OTHERS_WITHIN_M}
        whole.append(places)
        near.append(close)
    worst = 0.0
    for name in near[0].keys() | near[1].keys():
        if name not in whole[0] or name not in whole[1]:
            return float("inf")
        worst = max(worst, float(np.hypot(*(whole[0][name] - whole[1][name]))))
    return worst


def _speed_slope(log: SceneLog) -> Floats:
    return np.diff(log.ego.speed_mps, prepend=log.ego.speed_mps[:1]) / STEP_S
