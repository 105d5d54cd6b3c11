"""What a perfect planner would have answered: a decision read off the recording by rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.world.body import FRONT_M
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.categories import detection_category
from drivevlm.world.clip import Proposals
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.kinematics import SpeedClass, TurnClass, kinematic_class
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose3, rotation_from_wxyz, wrap_rad
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.sets import (
    Command,
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Signal,
    Verdict,
)
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

HALF_LANE_M = 1.8
"""Objects within this distance of the driven path stand in the ego's lane."""
NEXT_LANE_M = 5.4
"""Objects beyond this distance stand off the road (no map is asked)."""
MATCH_M = 2.0
"""A proposal is true when a labelled object of its class is nearer than this (nuScenes TP)."""
LEAD_M = 40.0
"""An object ahead in the ego's lane is a lead up to this gap."""
LEADS_NOBODY = ("barrier", "traffic_cone")
CROSSING_RAD = np.pi / 4
MOVING_MPS = 0.5
"""Slower objects have no direction of travel: they neither cross nor come towards us."""
BEYOND_M = 60.0
"""Beyond its end the driven path is taken to go straight on for this far."""
CLOSING_MPS = 0.1
LONGEST_TTC_S = 60.0
"""Gaps that close more slowly than this are said not to close."""
SIDE_M = 2.0
"""The peers' rule: a sideways displacement of the lidar of this much is a turn."""
MOST_CRITICAL = 3
MOST_ADDED = 4


def command_of_future(truth: Truth) -> Command:
    """UniAD's and VAD's rule: the lidar's sideways displacement at the last recorded future step.

    2 m or more to the right is ``right``, to the left ``left``. Anything else is ``straight``
    (their word is "go straight", asked whether or not there is a junction), also where the scene
    ends now.
    """
    then = truth.steps[max(truth.steps)]
    moved = _global_from_lidar(truth.now).inverse() @ _global_from_lidar(then)
    # The lidar's x points right; where there is no lidar the ego's y points left.
    x_m, y_m = moved.translation_m[:2]
    right_m = -y_m if truth.now.ego_from_lidar is None else x_m
    if right_m >= SIDE_M:
        return Command.RIGHT
    return Command.LEFT if right_m <= -SIDE_M else Command.STRAIGHT


def _global_from_lidar(step: TruthStep) -> Pose3:
    return step.global_from_ego @ (step.ego_from_lidar or Pose3.identity())


def boxes_now(truth: Truth, *, unmeasured: bool = False) -> tuple[Box3, ...]:
    """Labelled objects of the ten classes with a measured point, nearest first, in the ego frame.

    ``unmeasured``: those without a point too.
    Velocities are backward differences over the keyframe before; None where the object is new.
    """
    now = truth.now
    ego_from_global = now.global_from_ego.inverse()
    velocity = _velocities_global_mps(truth)
    boxes = []
    for i, name in enumerate(now.boxes.category):
        category = detection_category(name)
        points = int(now.boxes.lidar_points[i] + now.boxes.radar_points[i])
        if category is None or (points == 0 and not unmeasured):
            continue
        rotation = ego_from_global.rotation @ rotation_from_wxyz(now.boxes.wxyz_global[i])
        moving = velocity.get(now.boxes.instance[i])
        boxes.append(
            Box3(
                ego_from_global.apply(now.boxes.center_global_m[i]),
                now.boxes.size_lwh_m[i],
                float(np.arctan2(rotation[1, 0], rotation[0, 0])),
                category,
                None if moving is None else (ego_from_global.rotation @ moving)[:2],
                id=now.boxes.instance[i],
            )
        )
    return tuple(sorted(boxes, key=lambda box: box.distance_m))


def _velocities_global_mps(truth: Truth) -> dict[str, Floats]:
    before: TruthStep | None = truth.steps.get(-1)
    if before is None:
        return {}
    dt_s = (truth.now.stamp_us - before.stamp_us) / 1e6
    was = _centers(before.boxes)
    return {
        name: (center - was[name]) / dt_s
        for name, center in _centers(truth.now.boxes).items()
        if name in was
    }


def _centers(boxes: LabelledBoxes) -> dict[str, Floats]:
    return dict(zip(boxes.instance, boxes.center_global_m, strict=True))


def decision_from_truth(truth: Truth, proposals: Proposals | None = None) -> Decision:
    """The answer that the recording itself gives; a failure where its future is incomplete.

    Detections: a proposal within ``MATCH_M`` of a labelled object of its class is kept, others
    are dropped; of the objects that no proposal covers, those that matter and then the nearest
    are added. Critical objects: the nearest ahead of the ego within a lane of the driven path.
    The decision follows the kinematic class of the recorded plan and the nearest critical object.
    The signal is unknown: nuScenes does not record lights. Where the recording has labels, signal,
    decision, critical objects and summary are theirs.
    """
    plan = truth.future_plan()
    if plan is None:
        return Decision.failed(FailureKind.NO_FUTURE, "the recorded future is incomplete")
    if truth.labels is not None:
        return labelled_decision(truth, truth.labels, plan, proposals)
    objects, speed_mps = boxes_now(truth), _speed_mps(truth, plan)
    by_name = {str(k): box for k, box in enumerate(objects)}
    matter = [by_name[c.id] for c in _critical(by_name, plan, speed_mps=speed_mps)]
    detections, named = _verdicts(objects, proposals.boxes if proposals else (), first=matter)
    critical = _critical(named, plan, speed_mps=speed_mps)
    return Decision(
        plan=plan,
        detections=detections,
        critical=critical,
        signal=Signal.UNKNOWN,
        summary=truth.description or None,
        meta=_meta(plan, critical, named),
    )


def labelled_decision(
    truth: Truth, labels: SceneLabels, plan: Plan, proposals: Proposals | None = None
) -> Decision:
    """The answer that the labels give, beside a plan.

    A critical object is spoken of whether or not the lidar touched it.
    """
    measured = {box.id for box in boxes_now(truth)}
    order = labels.critical
    objects = tuple(
        box for box in boxes_now(truth, unmeasured=True) if box.id in measured or box.id in order
    )
    weighty = [box for box in objects if box.id in order]
    detections, named = _verdicts(objects, proposals.boxes if proposals else (), first=weighty)
    called = {box.id: name for name, box in named.items() if box.id in order}
    path, speed_mps = _long_path(plan), _speed_mps(truth, plan)
    critical = []
    for instance in (i for i in order if i in called):
        name, said = called[instance], labels.relation(instance)
        if said is None:
            critical.append(_related(name, named[name], path, speed_mps=speed_mps))
        else:
            critical.append(CriticalObject(name, said.lane, said.gap_m, said.ttc_s))
    return Decision(
        plan=plan,
        detections=detections,
        critical=tuple(critical[:MOST_CRITICAL]),
        signal=labels.signal.seen,
        summary=labels.summary or truth.description or None,
        meta=labels.meta,
    )


def detections_from_truth(
    truth: Truth, proposals: Proposals | None = None
) -> tuple[Detection, ...]:
    """Verdicts that need no future: as in ``decision_from_truth``, but the nearest are added."""
    return _verdicts(boxes_now(truth), proposals.boxes if proposals else ())[0]


def _verdicts(
    objects: tuple[Box3, ...], proposals: tuple[Box3, ...], first: Sequence[Box3] = ()
) -> tuple[tuple[Detection, ...], dict[str, Box3]]:
    """What to say of each proposal and which objects to add; and the true object by its name.

    There is room for few additions: ``first`` are those that must not be crowded out.
    """
    free = list(objects)
    detections, named = [], {}
    for proposal in proposals:
        near = [
            box
            for box in free
            if box.category == proposal.category and _apart_m(box, proposal) < MATCH_M
        ]
        if near:
            nearest = min(near, key=lambda box: _apart_m(box, proposal))
            free.remove(nearest)
            named[proposal.id] = nearest
        detections.append(Detection(proposal, Verdict.KEPT if near else Verdict.DROPPED))
    free.sort(key=lambda box: box not in first)  # stable: the nearest of each kind lead
    for k, box in enumerate(sorted(free[:MOST_ADDED], key=lambda box: box.distance_m)):
        x_m, y_m = (float(v) for v in box.center_ego_m[:2])
        said = Box3.typical(box.category, x_ego_m=x_m, y_ego_m=y_m, id=f"a{k + 1}")
        detections.append(Detection(said, Verdict.ADDED))
        named[said.id] = box
    return tuple(detections), named


def _apart_m(a: Box3, b: Box3) -> float:
    return float(np.hypot(*(a.center_ego_m[:2] - b.center_ego_m[:2])))


def _speed_mps(truth: Truth, plan: Plan) -> float:
    before = truth.steps.get(-1)
    if before is None:
        return float(plan.speeds_mps()[0])
    ego_from_before = truth.now.global_from_ego.inverse() @ before.global_from_ego
    dt_s = (truth.now.stamp_us - before.stamp_us) / 1e6
    return float(np.hypot(*ego_from_before.translation_m[:2]) / dt_s)


def _critical(
    named: dict[str, Box3], plan: Plan, *, speed_mps: float
) -> tuple[CriticalObject, ...]:
    path = _long_path(plan)
    ahead = {name: box for name, box in named.items() if box.center_ego_m[0] >= 0}
    every = [_related(name, box, path, speed_mps=speed_mps) for name, box in ahead.items()]
    found = [item for item in every if item.lane is not LaneRelation.OFF_ROAD]
    mine = (LaneRelation.EGO_LANE, LaneRelation.CROSSING)
    found.sort(key=lambda item: (item.lane not in mine, item.gap_m))
    return tuple(found[:MOST_CRITICAL])


def _related(name: str, box: Box3, path: Floats, *, speed_mps: float) -> CriticalObject:
    """An object's relation to the path, by rule; ``speed_mps`` is the ego's."""
    place = _place_on_path(box, path)
    lane = _lane_relation(box, place)
    gap_m = max(0.0, place.ahead_m - place.half_length_m - FRONT_M)
    closing_mps = speed_mps - place.speed_mps
    closes = lane in (LaneRelation.EGO_LANE, LaneRelation.CROSSING, LaneRelation.ONCOMING)
    ttc_s = gap_m / closing_mps if closes and closing_mps > CLOSING_MPS else None
    if ttc_s is not None and ttc_s > LONGEST_TTC_S:
        ttc_s = None
    return CriticalObject(name, lane, gap_m, ttc_s)


def _long_path(plan: Plan) -> Floats:
    """(T + 2, 2) the driven path from here, and straight on beyond its end.

    So a lead stays a lead while we wait.
    """
    path = np.vstack([[0.0, 0.0], plan.xy_ego_m])
    yaw = float(plan.headings_ego_rad()[-1])
    return np.vstack([path, path[-1] + BEYOND_M * np.array([np.cos(yaw), np.sin(yaw)])])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object is relative to a path.

    Attributes:
        ahead_m: Length of the path from here to its nearest point to the object's centre.
        aside_m: Distance of the centre from there, left positive.
        turn_rad: Between the path's heading there and the object's, 0 to pi.
        half_length_m: Of the object, along the path.
        speed_mps: Of the object, along the path.
    """

    ahead_m: float
    aside_m: float
    turn_rad: float
    half_length_m: float
    speed_mps: float


def _place_on_path(box: Box3, path: Floats) -> _Place:
    start, step = path[:-1], np.diff(path, axis=0)
    length_m = np.linalg.norm(step, axis=1)
    xy_m = box.center_ego_m[:2]
    share = ((xy_m - start) * step).sum(axis=1) / np.maximum(length_m**2, 1e-12)
    off_m = xy_m - (start + np.clip(share, 0.0, 1.0)[:, None] * step)
    k = int(np.argmin((off_m**2).sum(axis=1)))
    side = step[k, 0] * off_m[k, 1] - step[k, 1] * off_m[k, 0]
    heading_rad = float(np.arctan2(step[k, 1], step[k, 0]))
    turn_rad = abs(float(wrap_rad(box.yaw_ego_rad - heading_rad)))
    length, width = (float(v) for v in box.size_lwh_m[:2])
    along = np.array([np.cos(heading_rad), np.sin(heading_rad)])
    velocity = np.zeros(2) if box.velocity_ego_mps is None else box.velocity_ego_mps
    return _Place(
        ahead_m=float(length_m[:k].sum() + np.clip(share[k], 0.0, 1.0) * length_m[k]),
        aside_m=float(np.copysign(np.hypot(*off_m[k]), side)),
        turn_rad=turn_rad,
        half_length_m=(abs(np.cos(turn_rad)) * length + abs(np.sin(turn_rad)) * width) / 2,
        speed_mps=float(velocity @ along),
    )


def _lane_relation(box: Box3, place: _Place) -> LaneRelation:
    velocity = box.velocity_ego_mps
    moving = velocity is not None and float(np.hypot(*velocity)) > MOVING_MPS
    if abs(place.aside_m) > NEXT_LANE_M:
        return LaneRelation.OFF_ROAD
    if moving and CROSSING_RAD < place.turn_rad < np.pi - CROSSING_RAD:
        return LaneRelation.CROSSING
    if moving and place.turn_rad >= np.pi - CROSSING_RAD:
        return LaneRelation.ONCOMING
    if abs(place.aside_m) <= HALF_LANE_M:
        return LaneRelation.EGO_LANE
    return LaneRelation.LEFT_LANE if place.aside_m > 0 else LaneRelation.RIGHT_LANE


_TURNS = {
    TurnClass.LEFT: Lateral.TURN_LEFT,
    TurnClass.STRAIGHT: Lateral.KEEP_LANE,
    TurnClass.RIGHT: Lateral.TURN_RIGHT,
}


def _meta(plan: Plan, critical: tuple[CriticalObject, ...], named: dict[str, Box3]) -> MetaDecision:
    speed, turn = kinematic_class(plan)
    first = critical[0] if critical else None
    in_way = first is not None and first.lane in (LaneRelation.EGO_LANE, LaneRelation.CROSSING)
    if first is not None and in_way and first.gap_m < LEAD_M:
        category = named[first.id].category
        crosses = category == "pedestrian" or first.lane is LaneRelation.CROSSING
        if not crosses and category not in LEADS_NOBODY:
            return MetaDecision(Longitudinal.FOLLOW_LEAD, _TURNS[turn])
        if crosses and speed in (SpeedClass.SLOW, SpeedClass.STOP):
            return MetaDecision(Longitudinal.YIELD, _TURNS[turn])
    longitudinal = {
        SpeedClass.STOP: Longitudinal.STOP,
        SpeedClass.SLOW: Longitudinal.ADAPT_TO_ROAD,
        SpeedClass.KEEP: Longitudinal.TRACK_SPEED,
        SpeedClass.ACCELERATE: Longitudinal.TRACK_SPEED,
    }[speed]
    return MetaDecision(longitudinal, _TURNS[turn])
