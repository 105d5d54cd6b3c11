"""The rules of a twin pair, each told from tables, CAN messages and labels on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm.world.scene_labels import SceneLabels
from drivevlm_sim.check.disk import ALONG
from drivevlm_sim.check.findings import Finding, Rule
from drivevlm_sim.check.pair import FUTURE, NOW, PAST, Pair
from drivevlm_sim.twins.rules import (
    CAUSE_THERE_S,
    FUTURE_S,
    FUTURES_APART_M,
    HARDEST_BRAKING_MPS2,
    OTHERS_DIFFER_M,
    OTHERS_WITHIN_M,
    SAME,
    SEEN_PIXELS,
)
from drivevlm_sim.twins.twin_pair import Family

Labels = Mapping[str, SceneLabels]
CAN_GAP_US = 100_000
"""Messages come every 20 ms: a longer silence means that some are missing."""
STEP_MESSAGES = 5
"""Of a step of 0.1 s, in which the acceleration is constant; their mean has less noise."""
NOISE_MPS2 = 0.2
"""That noise (0.1 m/s2 a message) seldom adds more than this to a mean of five."""
BOXES_REACH_M = 65.0
"""Boxes reach 80 m: who is first boxed beyond this may have come from farther off."""
GAP_DIGITS_M = 2e-3
FEW = 4
"""Fewer pairs than this cannot keep a family below a quarter."""


def keyframes_missing(pair: Pair) -> float:
    """Keyframes of both sides that are missing from 3 s before t0 to 3 s after."""
    return float(sum(k not in side for side in pair.samples for k in range(PAST, FUTURE + 1)))


def t0_differs(pair: Pair) -> float:
    """Seconds by which a side's sample is not at ``t0_us``."""
    return max(abs(pair.disk.stamp_us(sample) - pair.line.t0_us) / 1e6 for sample in pair.now)


def poses_differ(pair: Pair) -> float | None:
    """Greatest difference of the ego's place (m) or heading (rad) at keyframes up to t0."""
    worst = [0.0]
    for _, a, b in pair.both():
        one, other = pair.disk.ego(a), pair.disk.ego(b)
        apart_m = np.linalg.norm(one.translation_m - other.translation_m)
        worst += [float(apart_m), float(abs(wrap_rad(one.yaw_rad - other.yaw_rad)))]
    return max(worst) if pair.both() else None


def messages_differ(pair: Pair) -> float:
    """Greatest difference of any number of the CAN pose messages from 3 s before t0 to t0.

    Infinite where a side lacks messages, or they come at other times.
    """
    rows = []
    for messages in pair.can:
        if messages is None:
            return math.inf
        late_us = messages[:, 0] - pair.line.t0_us
        chosen = messages[(late_us >= -3_000_000) & (late_us <= 0)]
        ends_us = [pair.line.t0_us - 3_000_000, *chosen[:, 0], pair.line.t0_us]
        if np.diff(ends_us).max() > CAN_GAP_US:
            return math.inf
        rows.append(chosen)
    if rows[0].shape != rows[1].shape:
        return math.inf
    return float(np.abs(rows[0] - rows[1]).max())


def routes_differ(pair: Pair) -> float | None:
    """Greatest difference of the navigation routes (m); None where there are none."""
    a, b = (pair.disk.can_route(scene.name) for scene in pair.scenes)
    if a is None or b is None:
        return None
    return float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else math.inf


def commands_differ(pair: Pair, labels: Labels) -> float | None:
    """At how many keyframes up to t0 the router says different things."""
    told = _labels(pair, labels)
    return float(sum(not _same_route(a, b) for a, b in told)) if told else None


def _same_route(a: SceneLabels, b: SceneLabels) -> bool:
    """Whether both sides say the same, distances to the digits that they are told in."""
    if a.route is None or b.route is None:
        return a.route is b.route
    away_m = [np.inf if r.distance_m is None else r.distance_m for r in (a.route, b.route)]
    near = away_m[0] == away_m[1] or abs(away_m[0] - away_m[1]) < GAP_DIGITS_M
    return replace(a.route, distance_m=None) == replace(b.route, distance_m=None) and near


def light_told(pair: Pair, labels: Labels) -> float | None:
    """Whether the ego's own light is another at t0 just where it is the cause: 1 or 0."""
    told = _labels(pair, labels, first=NOW)
    if not told:
        return None
    a, b = (side.signal.state for side in told[0])
    return float((a != b) == bool(pair.line.cause.signal))


def told_there_s(pair: Pair) -> float | None:
    """For how long before t0 the cause was there; None where nothing tells, and of signals."""
    return pair.line.cause.there_s


def cause_unboxed(pair: Pair) -> float | None:
    """In how many keyframes from 3 s before t0 to t0 the cause lacks its box; None of signals.

    It may come within reach of the boxes later. Infinite where it has no box at t0.
    """
    if pair.line.cause.signal:
        return None
    absent = [_unboxed(pair, side, name) for side, name in enumerate(pair.cause) if name]
    there = any(
        name is not None and NOW in pair.agents[side][name].track
        for side, name in enumerate(pair.cause)
    )
    return float(max(absent)) if there else math.inf


def _unboxed(pair: Pair, side: int, name: str) -> int:
    track = pair.agents[side][name].track
    wanted = [k for k in range(PAST, NOW + 1) if k in pair.samples[side]]
    first = min(track)
    ego_m = pair.disk.ego(pair.samples[side][first]).translation_m[:2]
    far = np.hypot(*(track[first] - ego_m)) > BOXES_REACH_M
    return sum(k not in track for k in wanted if k >= first or not far)


def told_pixels(pair: Pair) -> float:
    """How many pixels the list says that the cause has."""
    return float(pair.line.cause.pixels)


def others_differ_m(pair: Pair) -> float:
    """How far another road user within 60 m is from its twin; infinite without a twin."""
    a, b = pair.agents
    mine, theirs = pair.cause
    matched = {x: y for x, y in pair.twin_of.items() if x != mine and y != theirs}
    worst = 0.0
    for one, other in matched.items():
        for k in a[one].track.keys() | b[other].track.keys():
            places = [agent.track.get(k) for agent in (a[one], b[other])]
            if any(_near(pair, side, k, place) for side, place in enumerate(places)):
                worst = max(worst, _distance_m(places))
    lonely = (a.keys() - matched.keys() - {mine}, b.keys() - set(matched.values()) - {theirs})
    for side, names in enumerate(lonely):
        for name in names:
            track = pair.agents[side][name].track
            if any(_near(pair, side, k, place) for k, place in track.items()):
                return math.inf
    return worst


def _near(pair: Pair, side: int, k: int, place_m: Floats | None) -> bool:
    if place_m is None:
        return False
    ego_m = pair.disk.ego(pair.samples[side][k]).translation_m[:2]
    return bool(np.hypot(*(place_m - ego_m)) < OTHERS_WITHIN_M)


def _distance_m(places: Sequence[Floats | None]) -> float:
    one, other = places
    return math.inf if one is None or other is None else float(np.hypot(*(one - other)))


def gap_m(pair: Pair) -> float:
    """How far the rear axles are apart 3 s after t0; NaN where a keyframe is missing."""
    then = pair.both(round(FUTURE_S * 2), round(FUTURE_S * 2))
    if not then:
        return math.nan
    _, a, b = then[0]
    apart_m = pair.disk.ego(a).translation_m - pair.disk.ego(b).translation_m
    return float(np.hypot(*apart_m[:2]))


def gap_mistold_m(pair: Pair) -> float:
    """By how much the list's gap is not that of the poses."""
    return abs(gap_m(pair) - pair.line.gap_3s_m)


def message_braking_mps2(pair: Pair) -> float | None:
    """Strongest mean deceleration over 0.1 s of either ego in its CAN messages."""
    kernel = np.full(STEP_MESSAGES, 1 / STEP_MESSAGES)
    found = [
        float(-np.convolve(messages[:, ALONG], kernel, mode="valid").min())
        for messages in pair.can
        if messages is not None and len(messages) >= STEP_MESSAGES
    ]
    return max(found) if found else None


def pose_braking_mps2(pair: Pair) -> float | None:
    """Strongest deceleration of either ego between the half seconds of its keyframes."""
    found = []
    for scene in pair.scenes:
        xy_m = np.array([pair.disk.ego(sample).translation_m[:2] for sample in scene.samples])
        stamp_s = np.array([pair.disk.stamp_us(sample) for sample in scene.samples]) / 1e6
        if len(xy_m) > 2:
            speed = np.hypot(*np.diff(xy_m, axis=0).T) / np.diff(stamp_s)
            found.append(float((-np.diff(speed) / np.diff(stamp_s)[1:]).max()))
    return max(found) if found else None


Measure = Callable[[Pair], float | None]
MOTION_RULES: tuple[tuple[Rule, Measure], ...] = (
    (
        Rule("twin_keyframes", "keyframes from 3 s before t0 to 3 s after", most=0),
        keyframes_missing,
    ),
    (Rule("twin_t0", "both samples are at t0_us", "s", most=0), t0_differs),
    (Rule("twin_ego_pose", "ego_pose agrees, -3 s to t0", "m, rad", most=SAME), poses_differ),
    (
        Rule("twin_ego_can", "CAN place, speed, acceleration agree, -3 s to t0", "", most=SAME),
        messages_differ,
    ),
    (Rule("twin_route", "one navigation route", "m", most=SAME), routes_differ),
    (
        Rule("twin_cause_there", "the cause is there before t0", "s", least=CAUSE_THERE_S),
        told_there_s,
    ),
    (Rule("twin_cause_boxed", "keyframes, -3 s to t0, without its box", most=0), cause_unboxed),
    (Rule("twin_cause_told", "the list tells its pixels", "px", least=SEEN_PIXELS), told_pixels),
    (
        Rule("twin_others", "others within 60 m differ, -3 s to t0", "m", most=OTHERS_DIFFER_M),
        others_differ_m,
    ),
    (Rule("twin_futures", "axles apart at t0 + 3 s", "m", least=FUTURES_APART_M), gap_m),
    (Rule("twin_gap_told", "gap_3s_m is that of the poses", "m", most=GAP_DIGITS_M), gap_mistold_m),
    (
        Rule(
            "twin_braking_can",
            f"hardest braking in CAN, {NOISE_MPS2} of it noise",
            "m/s2",
            most=HARDEST_BRAKING_MPS2 + NOISE_MPS2,
        ),
        message_braking_mps2,
    ),
    (
        Rule("twin_braking_pose", "the same, of poses", "m/s2", most=HARDEST_BRAKING_MPS2),
        pose_braking_mps2,
    ),
)
COMMAND_RULE = Rule("twin_command", "keyframes, up to t0, of another command", most=0)
LIGHT_RULE = Rule("twin_light", "the own light differs at t0 where it is the cause", least=1)


def label_findings(pairs: Mapping[str, Pair], labels: Labels) -> list[Finding]:
    """The rules that only labels can tell."""
    return [
        Finding.of(rule, {name: measure(pair, labels) for name, pair in pairs.items()})
        for rule, measure in ((COMMAND_RULE, commands_differ), (LIGHT_RULE, light_told))
    ]


def family_finding(pairs: Mapping[str, Pair]) -> Finding:
    """No family has more than a quarter of the pairs, or its even share where they are few."""
    count = max(len(pairs), 1)
    evenly = math.ceil(count / len(Family)) / count
    most = max(0.25, evenly)
    families = Counter(pair.line.family.value for pair in pairs.values())
    shares = {family: held / count for family, held in sorted(families.items())}
    rule = Rule("twin_families", "a family's share of the pairs", most=most)
    return Finding(rule, shares) if count >= FEW else Finding(rule, {}, len(shares))


def _labels(pair: Pair, labels: Labels, first: int = PAST) -> list[tuple[SceneLabels, SceneLabels]]:
    tokens = pair.disk.index.sample_token
    named = [(tokens[a], tokens[b]) for _, a, b in pair.both(first)]
    return [(labels[a], labels[b]) for a, b in named if a in labels and b in labels]
