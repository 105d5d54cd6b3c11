"""Twin pairs from a town's traffic: forked runs, cut, measured and held to the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import shapely

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S, Body, SceneLog, Track
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.faults import LATERAL_MPS2, LEAST_GAP_M, faults, footprint
from drivevlm_sim.traffic.record import Recording, recording
from drivevlm_sim.traffic.scene import NEAR_M, Scenes, Sky, facts_in
from drivevlm_sim.traffic.signals import SHOWN_EARLY_STEPS
from drivevlm_sim.traffic.sumo import Snapshot
from drivevlm_sim.twins.fork import Outcome, Trial, forked
from drivevlm_sim.twins.occasions import occasions
from drivevlm_sim.twins.rules import (
    FUTURE_S,
    FUTURES_APART_M,
    breaches,
)
from drivevlm_sim.twins.story import Story
from drivevlm_sim.twins.twin_pair import AFTER_STEPS, BEFORE_STEPS, Family, TwinPair

NO_BOUND: Mapping[Family, int] = {}
CAUSE_WITHIN_M = 60.0
TURNS_FAST = "lateral acceleration above 3.5 m/s2"
LEADER_MOVED_M = 0.01
"""Whoever is ahead of the ego reacts before it if it is this far from its twin at t0."""
AGAIN_STEPS = 20
"""Pairs of one family and ego are that far apart in time at least."""
_NEAR_M = NEAR_M + 15.0
_SETTLE_STEPS = 5  # before a log's first step, so that its accelerations are whole


@dataclass(slots=True)
class Counts:
    """What became of the trials of a family.

    Attributes:
        tries: Forked runs.
        pairs: That keep all rules.
        rejects: All others by reason.
    """

    tries: int = 0
    pairs: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Found:
    """All pairs of a run, and what became of all trials, by family."""

    pairs: tuple[TwinPair, ...]
    counts: dict[Family, Counts]


def find_pairs(
    story: Story,
    *,
    families: Iterable[Family] = tuple(Family),
    most_tries: Mapping[Family, int] = NO_BOUND,
    most_pairs: Mapping[Family, int] = NO_BOUND,
    sky: Sky | None = None,
) -> Found:
    """Try what is worth trying in a run; the same story gives the same pairs.

    Args:
        story: Run A.
        families: To try.
        most_tries: Of a family, drawn from all there are; all of one that is not named.
        most_pairs: Of a family; once it has so many, the rest of its trials is left out.
        sky: Of all pairs.
    """
    families = tuple(families)
    counts = {family: Counts() for family in families}
    pairs: list[TwinPair] = []
    taken: set[tuple[Family, str, int]] = set()

    def wanted(trial: Trial) -> bool:
        most = most_pairs.get(trial.family)
        return most is None or counts[trial.family].pairs < most

    trials = chosen_trials(story, families, most_tries)
    for trial, outcome in forked(story, trials, wanted=wanted):
        mine = counts[trial.family]
        mine.tries += 1
        made: TwinPair | str = "much like another pair"
        if not _is_taken(taken, trial.family, outcome):
            made = judge(story, trial, outcome, sky=sky or Sky())
        if isinstance(made, TwinPair):
            mine.pairs += 1
            pairs.append(made)
            taken.add((trial.family, outcome.ego, outcome.t0 // AGAIN_STEPS))
        else:
            mine.rejects[made] += 1
    return Found(tuple(pairs), counts)


def chosen_trials(
    story: Story, families: Iterable[Family], most_tries: Mapping[Family, int] = NO_BOUND
) -> list[Trial]:
    """What is worth trying, by family no more than asked for, drawn by the story's seed."""
    by_family: dict[Family, list[Trial]] = {}
    for trial in occasions(story, families):
        by_family.setdefault(trial.family, []).append(trial)
    chosen: list[Trial] = []
    for family, trials in by_family.items():
        rng = Random(f"{story.seed} trials {family.value}")
        most = most_tries.get(family, len(trials))
        chosen += rng.sample(trials, most) if most < len(trials) else trials
    return chosen


def judge(story: Story, trial: Trial, outcome: Outcome, *, sky: Sky) -> TwinPair | str:
    """The pair that a forked run makes with run A, or the reason why it makes none."""
    if outcome.reason:
        return outcome.reason
    t0, ego = outcome.t0, outcome.ego
    first = t0 - BEFORE_STEPS - _SETTLE_STEPS
    last = t0 + AFTER_STEPS + SHOWN_EARLY_STEPS
    if first < 0 or last >= story.steps:
        return "too near to an end of the run"
    run_a = list(story.snapshots[first : last + 1])
    run_b = (list(story.snapshots[: trial.fork + 1]) + list(outcome.snapshots))[first : last + 1]
    gap_m = _gap_m(run_a, run_b, ego, BEFORE_STEPS + _SETTLE_STEPS)
    if gap_m is None:
        return "the ego comes or goes"
    if gap_m < FUTURES_APART_M - 1.0:  # of the front bumpers; the rule is on rear axles
        return "futures_apart"
    parts = [_recording(story, snapshots, first, ego) for snapshots in (run_a, run_b)]
    if any(_turns_fast(part.vehicles[ego].track) for part in parts):  # told before all else is
        return TURNS_FAST
    a, b = (_log(part, ego, sky) for part in parts)
    pair = _pair(story, trial, ego, t0, a, b)
    reason = _wrong(pair)
    if reason:
        return reason
    pair = replace(pair, a=_told(pair.a, parts[0], ego), b=_told(pair.b, parts[1], ego))
    return _wrong_cause(pair) or pair


def _pair(story: Story, trial: Trial, ego: str, t0: int, a: SceneLog, b: SceneLog) -> TwinPair:
    name = f"{story.town.name}/{story.seed}/{trial.family.value}/{t0}-{ego}-{trial.fork}"
    seen_m = trial.spot_m
    for log in (a, b):
        track = log.others.get(trial.cause.instance)
        row = track.at(BEFORE_STEPS) if track is not None else None
        if track is not None and row is not None:
            seen_m = track.xy_m[row]
    away_m = float(np.hypot(*(seen_m - a.rear_axle_m[BEFORE_STEPS])))
    return TwinPair(
        name=name,
        family=trial.family,
        town=story.town.name,
        a=replace(a, name=f"{name}/a", family=trial.family.value),
        b=replace(b, name=f"{name}/b", family=trial.family.value),
        t0=BEFORE_STEPS,
        cause=replace(trial.cause, distance_m=away_m),
    )


def _wrong(pair: TwinPair) -> str:
    """Why a pair is none; "" where it is one."""
    if pair.cause.distance_m > CAUSE_WITHIN_M:
        return "the cause is far"
    for breach in breaches(pair):
        return breach.rule
    for log in (pair.a, pair.b):
        for fault in faults(log, log):
            return fault
    if pair.family is Family.JAYWALKER and _walked_into(pair.b, pair.cause.instance):
        return "somebody drives through the walker"
    return ""


def _walked_into(log: SceneLog, name: str) -> bool:
    """Whether a vehicle touches a walker whom only the ego's lane knows of."""
    walker = log.others[name]
    for other in log.others.values():
        first = max(walker.first, other.first)
        steps = np.arange(first, min(walker.first + len(walker), other.first + len(other)))
        rows = steps - walker.first, steps - other.first
        away_m = np.hypot(*(walker.xy_m[rows[0]] - other.xy_m[rows[1]]).T)
        near = away_m < SIZES[other.body].length_m
        if name == other.name or other.body is Body.PEDESTRIAN or not near.any():
            continue
        boxes = [
            shapely.polygons(footprint(track, row[near]))
            for track, row in zip((walker, other), rows, strict=True)
        ]
        if (shapely.distance(boxes[0], boxes[1]) < LEAST_GAP_M).any():
            return True
    return False


def _wrong_cause(pair: TwinPair) -> str:
    """Why what was changed is not what the ego reacts to."""
    t0 = pair.t0
    if pair.cause.signal:
        state = pair.a.facts["signal"][t0], pair.a.facts["signal_link"][t0]
        return "" if state == (pair.cause.signal, pair.cause.link) else "past the stop line"
    leader = str(pair.a.facts["leader"][t0])
    if pair.family is Family.OPPONENT and leader == pair.cause.instance:
        return "the opponent was the leader"
    for log in (pair.a, pair.b):
        track = log.others.get(pair.cause.instance)
        row = track.at(t0) if track is not None else None
        if track is not None and row is not None and _ahead_m(log, t0, track.xy_m[row]) < -1.0:
            return "the cause is behind"
    if leader and leader != pair.cause.instance and _moved_m(pair, leader) > LEADER_MOVED_M:
        return "the leader reacts first"
    return ""


def _ahead_m(log: SceneLog, step: int, xy_m: Floats) -> float:
    """How far ahead of the rear axle a point is, along the body."""
    yaw_rad = log.ego.yaw_rad[step]
    return float((xy_m - log.rear_axle_m[step]) @ np.array([np.cos(yaw_rad), np.sin(yaw_rad)]))


def _moved_m(pair: TwinPair, name: str) -> float:
    tracks = [log.others.get(name) for log in (pair.a, pair.b)]
    places = [
        track.xy_m[row]
        for track in tracks
        if track is not None and (row := track.at(pair.t0)) is not None
    ]
    return float(np.hypot(*(places[0] - places[1]))) if len(places) == 2 else np.inf


def _gap_m(run_a: Sequence[Snapshot], run_b: Sequence[Snapshot], ego: str, t0: int) -> float | None:
    """Distance of the front bumpers 3 s after t0; None where the ego is not there all the time."""
    places = []
    for snapshots in (run_a, run_b):
        for step in (0, len(snapshots) - 1 - SHOWN_EARLY_STEPS):
            if ego not in snapshots[step].vehicles.names:
                return None
        vehicles = snapshots[t0 + round(FUTURE_S / STEP_S)].vehicles
        places.append(vehicles.front_xy_m[vehicles.names.index(ego)])
    return float(np.hypot(*(places[0] - places[1])))


def _turns_fast(track: Track) -> bool:
    turns_radps = wrap_rad(np.diff(track.yaw_rad)) / STEP_S
    rows = slice(_SETTLE_STEPS, None)
    return bool(np.abs(turns_radps * track.speed_mps[1:])[rows].max() > LATERAL_MPS2)


def _log(part: Recording, ego: str, sky: Sky) -> SceneLog:
    """A log without facts: most are rejected, and facts take the longest."""
    scenes = Scenes(Witness(part), with_facts=False)
    steps = BEFORE_STEPS + 1 + AFTER_STEPS
    return scenes.scene(ego, first=_SETTLE_STEPS, steps=steps, sky=sky)


def _told(log: SceneLog, part: Recording, ego: str) -> SceneLog:
    """The same log with its facts."""
    rows = slice(_SETTLE_STEPS, _SETTLE_STEPS + log.steps)
    return replace(log, facts=facts_in(Witness(part).facts(ego), rows))


def _near(snapshots: Sequence[Snapshot], ego: str) -> set[str]:
    """Who comes near the ego: a log leaves all others out anyhow."""
    near: set[str] = set()
    for snapshot in snapshots[::5]:
        names = snapshot.vehicles.names
        if ego not in names:
            break
        centre_m = snapshot.vehicles.front_xy_m[names.index(ego)]
        for who, xy_m in (
            (names, snapshot.vehicles.front_xy_m),
            (snapshot.persons.names, snapshot.persons.xy_m),
        ):
            close = np.hypot(*(xy_m - centre_m).T) < _NEAR_M
            near.update(who[row] for row in np.flatnonzero(close))
    return near


def _recording(story: Story, snapshots: Sequence[Snapshot], first: int, ego: str) -> Recording:
    """Some steps as tracks, whose bodies begin with the headings that they have in run A."""
    vehicles = snapshots[0].vehicles
    yaw_rad = vehicles.yaw_rad.copy()
    for row, name in enumerate(vehicles.names):
        mover = story.recording.vehicles.get(name)
        at = mover.track.at(first) if mover is not None else None
        if mover is not None and at is not None:
            yaw_rad[row] = mover.track.yaw_rad[at]
    begun = replace(snapshots[0], vehicles=replace(vehicles, yaw_rad=yaw_rad))
    routes = dict(story.routes)
    for name, lane in zip(snapshots[-1].vehicles.names, snapshots[-1].vehicles.lanes, strict=True):
        routes.setdefault(name, (lane.rsplit("_", 1)[0],))
    bare = replace(story.town, parking=())  # where cars park is known, and slow to find out
    part = recording(
        bare,
        story.roads,
        [begun, *snapshots[1:]],
        routes,
        seed=story.seed,
        among=_near(snapshots, ego),
    )
    return replace(part, parked=story.recording.parked)


def _is_taken(taken: set[tuple[Family, str, int]], family: Family, outcome: Outcome) -> bool:
    part = outcome.t0 // AGAIN_STEPS
    return any((family, outcome.ego, near) in taken for near in (part - 1, part, part + 1))
