"""All that is labelled of one keyframe of a scene's log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from drivevlm.world.body import FRONT_M
from drivevlm.world.clip import RouteCommand
from drivevlm.world.scene_labels import (
    LeadLabel,
    RelationLabel,
    SceneLabels,
    SignalLabel,
    TestedCause,
)
from drivevlm.world.sets import Command, LaneRelation, Provenance, Signal
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.labels.decide import LEADERS, Cause, Reason, candidates, decided, is_told
from drivevlm_sim.labels.say import sentences, summary
from drivevlm_sim.labels.suspects import Kind, Suspect
from drivevlm_sim.scene_log import SceneLog, Track
from drivevlm_sim.traffic.signals import colour

CLOSING_MPS = 0.1
LONGEST_TTC_S = 60.0


def labels_of(
    log: SceneLog,
    step: int,
    *,
    seen: Collection[str],
    signal_seen: bool,
    paraphrases: int = 0,
    tested: Mapping[Suspect, float] | None = None,
) -> SceneLabels:
    """The reasons at a step.

    Drivers have bodies of their own, the cameras' car is one and the same: what is labelled is
    measured from its front, ``FRONT_M`` before the rear axle, as boxes on disk tell it.

    Args:
        log: The scene.
        step: Of the keyframe.
        seen: Tracks that some camera showed within the last 2 s.
        signal_seen: Whether it showed the ego's own light.
        paraphrases: Which set of words; see ``say.SETS``.
        tested: What was taken away, and how far that moves the ego.
    """
    tested = tested or {}
    reason = decided(log, step, {suspect.name: moved_m for suspect, moved_m in tested.items()})
    return SceneLabels(
        signal=_signal(log, step, visible=signal_seen),
        lead=_lead(log, step, seen),
        meta=reason.meta,
        tested=tuple(
            TestedCause(
                suspect.name,
                suspect.kind is Kind.LIGHT,
                moved_m,
                signal_seen if suspect.kind is Kind.LIGHT else suspect.name in seen,
            )
            for suspect, moved_m in tested.items()
            if suspect.kind is Kind.LIGHT or is_told(log, step, suspect.name)
        ),
        relations=_relations(log, step, seen),
        summary=summary(log, step),
        route=_route(log, step),
        sentences=_told(log, _from_front(log, reason), seen, signal_seen, paraphrases),
        paraphrases=paraphrases,
    )


def _told(
    log: SceneLog, reason: Reason, seen: Collection[str], signal_seen: bool, paraphrases: int
) -> tuple[str, ...]:
    """Nothing is said of what no camera showed, nor where no single thing is the cause."""
    hidden = (reason.light and not signal_seen) or any(
        name not in seen for name in reason.names[:1]
    )
    return () if hidden or not reason.sure else sentences(log, reason, paraphrases=paraphrases)


def _signal(log: SceneLog, step: int, *, visible: bool) -> SignalLabel:
    shown, away_m = colour(str(log.facts["signal_state"][step])), log.facts["signal_m"][step]
    if shown is Signal.NONE or not np.isfinite(away_m):
        return SignalLabel(Signal.NONE, None, visible=False)
    return SignalLabel(shown, max(float(away_m) + _front_behind_m(log), 0.0), visible)


def _lead(log: SceneLog, step: int, seen: Collection[str]) -> LeadLabel | None:
    name, gap_m = str(log.facts["leader"][step]), float(log.facts["leader_gap_m"][step])
    if not np.isfinite(gap_m) or not is_told(log, step, name):
        return None
    return LeadLabel(name, max(gap_m + _front_behind_m(log), 0.0), name in seen)


def _relations(log: SceneLog, step: int, seen: Collection[str]) -> tuple[RelationLabel, ...]:
    """Of the leader, and of those that one may have to wait for."""
    found: dict[str, RelationLabel] = {}
    leader = str(log.facts["leader"][step])
    if is_told(log, step, leader):
        gap_m = float(log.facts["leader_gap_m"][step])
        found[leader] = _relation(log, step, leader, LaneRelation.EGO_LANE, gap_m, seen)
    for one in candidates(log, step):
        for name in one.names if one.cause not in LEADERS else ():
            track = log.others.get(name)
            row = None if track is None else track.at(step)
            if track is None or row is None or name in found or not is_told(log, step, name):
                continue
            walks = one.cause is Cause.WALKER
            gap_m = one.away_m if walks else _ahead_m(log, step, track, row)
            found[name] = _relation(log, step, name, LaneRelation.CROSSING, gap_m, seen)
    return tuple(found.values())


def _relation(
    log: SceneLog, step: int, name: str, lane: LaneRelation, gap_m: float, seen: Collection[str]
) -> RelationLabel:
    track = log.others.get(name)
    row = None if track is None else track.at(step)
    theirs_mps = 0.0
    if track is not None and row is not None:
        turned = float(track.yaw_rad[row] - log.ego.yaw_rad[step])
        theirs_mps = float(track.speed_mps[row]) * float(np.cos(turned))
    gap_m = max(gap_m + _front_behind_m(log), 0.0)
    closing_mps = float(log.ego.speed_mps[step]) - theirs_mps
    ttc_s = gap_m / closing_mps if closing_mps > CLOSING_MPS else None
    within = ttc_s is not None and ttc_s <= LONGEST_TTC_S
    return RelationLabel(name, lane, gap_m, ttc_s if within else None, name in seen)


def _ahead_m(log: SceneLog, step: int, track: Track, row: int) -> float:
    """From the ego's front bumper, along its heading."""
    yaw_rad = float(log.ego.yaw_rad[step])
    off_m = track.xy_m[row] - log.ego.xy_m[step]
    along_m = float(off_m @ np.array([np.cos(yaw_rad), np.sin(yaw_rad)]))
    return along_m - SIZES[log.ego.body].length_m / 2


def _front_behind_m(log: SceneLog) -> float:
    """How far the front of the cameras' car lies behind the driver's own."""
    return SIZES[log.ego.body].rear_axle_from_front_m - FRONT_M


def _from_front(log: SceneLog, reason: Reason) -> Reason:
    if reason.away_m is None:
        return reason
    return replace(reason, away_m=reason.away_m + _front_behind_m(log))


def _route(log: SceneLog, step: int) -> RouteCommand:
    away_m = float(log.command_m[step])
    return RouteCommand(
        Command(log.command[step]),
        Provenance.ROUTE,
        distance_m=away_m if np.isfinite(away_m) else None,
    )
