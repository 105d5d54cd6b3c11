"""What the recording knows of a moment, as numbers: light, lead, critical object, planned way.

Only rows that are marked as reading the truth may be told of them. Nothing here is of the future:
labels, boxes and their motion are those of decision time and of the second before it, and the way
is the route that was planned, not the path that was driven.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drivevlm.baselines.blind_mlp import nearness
from drivevlm.world.body import FRONT_M
from drivevlm.world.boxes import Box3
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import Floats
from drivevlm.world.scene_labels import RelationLabel, SceneLabels
from drivevlm.world.sets import LaneRelation, Signal
from drivevlm.world.truth import STEP_S, Truth
from drivevlm.world.twins import TwinPair

# F: facts of a moment. N: points of a route.
FAR_M = 60.0
"""What is further is told as this far."""
HARD_MPS2 = 8.0
"""Braking that is needed is told up to this."""
AHEAD_M = (5.0, 10.0, 20.0, 30.0)
"""The route is told at these distances along it."""
OFF_ROUTE_M = 8.0
"""Further from its route the ego is not on it."""
SAME_M = 3.0
"""An object of the same kind that is nearer than this to the twin's is the same."""
STATES = (Signal.RED, Signal.AMBER, Signal.GREEN)
KINDS = ("pedestrian", "other")

SIGNAL = (
    *(f"{state.value}{how}" for state in STATES for how in ("", ", near", ", braking for it")),
    "signal distance",
)
LEAD = (
    *("lead", "lead near", "lead gap", "lead speed", "lead gains", "lead acceleration"),
    "braking for the lead",
)
CRITICAL = (
    *(f"critical {kind}{how}" for kind in KINDS for how in ("", ", near")),
    *("critical ahead", "left to the critical", "critical speed along", "left speed of it"),
    *("braking for the critical", "critical crosses", "critical gap", "braking for its gap"),
    *("critical is a cause", "braking for a cause"),
)
ROUTE = tuple(f"{word} on the route at {m:g} m" for m in AHEAD_M for word in ("ahead", "left"))
FACTS = (*SIGNAL, *LEAD, *CRITICAL, *ROUTE)
"""Names of the F facts."""


def facts(truth: Truth, *, speed_mps: float, cause: str, route: Floats | None) -> Floats:
    """(F,) of a moment; NaN where something is not known, of the route only.

    Args:
        truth: With labels, else there is neither light nor lead.
        speed_mps: Of the ego.
        cause: Instance of a twin's cause (see ``cause_here``); "" for none.
        route: (N, 2) the planned way, global.
    """
    labels = truth.labels
    boxes = {box.id: box for box in boxes_now(truth, unmeasured=True)}
    name, is_cause = _critical_name(labels, cause, boxes)
    critical = boxes.get(name)
    relation = None if labels is None or critical is None else labels.relation(critical.id)
    told = [
        *_signal(labels, speed_mps),
        *_lead(truth, labels, boxes, speed_mps),
        *_critical(critical, relation, speed_mps, is_cause=is_cause),
    ]
    return np.concatenate([told, _route(truth, route)])


def cause_here(pair: TwinPair, mine: Truth, other: Truth) -> str:
    """The instance of a pair's cause on one side; "" where it is not there.

    The sides name their objects apart: an object of the cause's kind that stands where the cause
    stands on the other side is the same one, as is a leader that brakes on one side alone.
    """
    there, here = other.now.boxes, mine.now.boxes
    if pair.cause.name in here.instance:
        return pair.cause.name
    if pair.cause.name not in there.instance:
        return ""
    row = there.instance.index(pair.cause.name)
    off_m = here.center_global_m - there.center_global_m[row]
    alike = [
        (float(np.hypot(*off_m[k, :2])), name)
        for k, name in enumerate(here.instance)
        if here.category[k] == there.category[row]
    ]
    away_m, name = min(alike, default=(np.inf, ""))
    return name if away_m < SAME_M else ""


def _critical_name(
    labels: SceneLabels | None, cause: str, boxes: Mapping[str, Box3]
) -> tuple[str, bool]:
    """The object that matters most, and whether it is known to move the ego.

    A twin's cause and a tested one do; who crosses may.
    """
    causes = [cause, *(labels.critical if labels is not None else ())]
    found = next((name for name in causes if name in boxes), "")
    if found or labels is None:
        return found, bool(found)
    crossing = (r.instance for r in labels.relations if r.lane is LaneRelation.CROSSING)
    return next((name for name in crossing if name in boxes), ""), False


def _needed_mps2(speed_mps: float, distance_m: float) -> float:
    """Braking that ends a speed within a distance."""
    return min(max(speed_mps, 0.0) ** 2 / (2 * max(distance_m, 0.5)), HARD_MPS2)


def _signal(labels: SceneLabels | None, speed_mps: float) -> list[float]:
    signal = None if labels is None else labels.signal
    distance_m = None if signal is None else signal.distance_m
    away_m = FAR_M if distance_m is None else min(distance_m, FAR_M)
    told = []
    for state in STATES:
        lit = float(signal is not None and signal.state is state)
        braking = _needed_mps2(speed_mps, away_m) if distance_m is not None else 0.0
        told += [lit, lit * nearness(distance_m), lit * braking]
    return [*told, away_m]


def _lead(
    truth: Truth, labels: SceneLabels | None, boxes: Mapping[str, Box3], speed_mps: float
) -> list[float]:
    lead = None if labels is None else labels.lead
    if lead is None:
        return [0.0, 0.0, FAR_M, speed_mps, 0.0, 0.0, 0.0]
    theirs_mps = _along_mps(boxes.get(lead.instance), unknown=speed_mps)
    closing_mps = speed_mps - theirs_mps
    gap_m = min(lead.gap_m, FAR_M)
    braking = _needed_mps2(closing_mps, lead.gap_m)
    faster = _acceleration_mps2(truth, lead.instance)
    return [1.0, nearness(lead.gap_m), gap_m, theirs_mps, -closing_mps, faster, braking]


def _critical(
    box: Box3 | None, relation: RelationLabel | None, speed_mps: float, *, is_cause: bool
) -> list[float]:
    told = []
    for kind in KINDS:
        is_it = box is not None and (box.category == "pedestrian") is (kind == "pedestrian")
        told += [float(is_it), nearness(box.distance_m) if box is not None and is_it else 0.0]
    if box is None:
        return [*told, FAR_M, 0.0, 0.0, 0.0, 0.0, 0.0, FAR_M, 0.0, 0.0, 0.0]
    x_m, y_m = (float(v) for v in np.clip(box.center_ego_m[:2], -FAR_M, FAR_M))
    along, across = (0.0, 0.0) if box.velocity_ego_mps is None else box.velocity_ego_mps
    ahead_m = x_m - FRONT_M - float(box.size_lwh_m[0]) / 2
    braking = _needed_mps2(speed_mps, ahead_m) if x_m > 0 else 0.0
    crosses, gap_m, stopping = 0.0, FAR_M, 0.0
    if relation is not None:
        crosses = float(relation.lane is LaneRelation.CROSSING)
        gap_m, stopping = min(relation.gap_m, FAR_M), _needed_mps2(speed_mps, relation.gap_m)
    place = [x_m, y_m, float(along), float(across), braking]
    matters = float(is_cause)
    return [*told, *place, crosses, gap_m, stopping, matters, matters * max(braking, stopping)]


def _along_mps(box: Box3 | None, *, unknown: float) -> float:
    if box is None or box.velocity_ego_mps is None:
        return unknown
    return float(box.velocity_ego_mps[0])


def _acceleration_mps2(truth: Truth, instance: str) -> float:
    """How an object's speed changed over the last second; 0 where that is not known."""
    places = []
    for step in (truth.steps.get(k) for k in (-2, -1, 0)):
        if step is None or instance not in step.boxes.instance:
            return 0.0
        places.append(step.boxes.center_global_m[step.boxes.instance.index(instance)])
    before, after = (np.linalg.norm(run) / STEP_S for run in np.diff(places, axis=0))
    return float((after - before) / STEP_S)


def _route(truth: Truth, route: Floats | None) -> Floats:
    """(2 A,) where the planned way leads, in the ego frame; NaN where the ego is not on it."""
    unknown = np.full(len(ROUTE), np.nan)
    if route is None:
        return unknown
    pose = truth.now.global_from_ego.planar().inverse()
    line_m = pose.apply(route)
    nearest = int(np.argmin(np.hypot(*line_m.T)))
    if np.hypot(*line_m[nearest]) > OFF_ROUTE_M:
        return unknown
    ahead_m = line_m[nearest:]
    run_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ahead_m, axis=0).T))])
    told = [np.interp(AHEAD_M, run_m, column, right=np.nan) for column in ahead_m.T]
    return np.stack(told, axis=1).ravel()
