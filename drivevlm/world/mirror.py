"""The world as a mirror at the ego's side shows it: all that was left is right, roads included.

Everything turns, so every answer stays true: pictures, cameras, motions, boxes, words. The global
frame is mirrored as the ego frame is, by y to -y; angles and turn rates change their sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera
from drivevlm.world.clip import Proposals, RouteCommand, Summary
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.sets import Command, LaneRelation, Lateral, MetaDecision
from drivevlm.world.truth import LabelledBoxes, TruthStep

_ASIDE = np.array([1.0, -1.0, 1.0])
_ACROSS = np.array([-1.0, 1.0, 1.0])  # in a camera's frame, where x is right
_TURN = np.array([1.0, -1.0, 1.0, -1.0])  # of a quaternion w, x, y, z
_SIDES = re.compile(r"(?<![a-z])(left|right)(?! of way)(?![a-z])", re.IGNORECASE)
_OTHER: Mapping[str, str] = {"left": "right", "right": "left"}


def mirrored_words(text: str) -> str:
    """Left and right exchanged, in names such as ``CAM_FRONT_LEFT`` too; never "right of way"."""

    def other(found: re.Match[str]) -> str:
        side = found.group()
        word = _OTHER[side.lower()]
        return word.upper() if side.isupper() else word.title() if side.istitle() else word

    return _SIDES.sub(other, text)


def mirrored_pose(pose: Pose3) -> Pose3:
    """Of a frame whose y is the ego's, seen from such a frame."""
    return Pose3(pose.rotation * np.outer(_ASIDE, _ASIDE), pose.translation_m * _ASIDE)


def mirrored_camera(camera: Camera) -> Camera:
    """The camera of the other side, whose images are these turned about their vertical axis."""
    k, pose = camera.intrinsics, camera.ego_from_camera
    if k is not None:
        # Pixel centres are whole numbers: the last one becomes the first.
        last = camera.size_px[0] - 1
        k = np.array([[k[0, 0], -k[0, 1], last - k[0, 2]], k[1], k[2]])
    if pose is not None:
        rotation = pose.rotation * np.outer(_ASIDE, _ACROSS)
        pose = Pose3(rotation, pose.translation_m * _ASIDE)
    return Camera(mirrored_words(camera.name), camera.size_px, k, pose)


def mirrored_history(history: EgoHistory) -> EgoHistory:
    """The way come, on the other side."""
    xy_ego_m = history.xy_ego_m * _ASIDE[:2]
    return EgoHistory(history.stamp_us, xy_ego_m, -history.yaw_ego_rad)


def mirrored_status(status: EgoStatus) -> EgoStatus:
    """As fast, turning the other way."""
    turn = status.yaw_rate_radps
    return replace(status, yaw_rate_radps=None if turn is None else -turn)


def mirrored_plan(plan: Plan) -> Plan:
    """The same way on the other side."""
    yaw = plan.yaw_ego_rad
    return Plan(plan.xy_ego_m * _ASIDE[:2], plan.dt_s, None if yaw is None else -yaw)


def mirrored_box(box: Box3) -> Box3:
    """The same object on the other side."""
    v = box.velocity_ego_mps
    return replace(
        box,
        center_ego_m=box.center_ego_m * _ASIDE,
        yaw_ego_rad=-box.yaw_ego_rad,
        velocity_ego_mps=None if v is None else v * _ASIDE[:2],
    )


def mirrored_proposals(proposals: Proposals) -> Proposals:
    """All of them, with their names."""
    boxes = tuple(mirrored_box(box) for box in proposals.boxes)
    return Proposals(boxes, proposals.provenance)


def mirrored_summary(summary: Summary) -> Summary:
    """In words of the other side."""
    return replace(summary, text=mirrored_words(summary.text))


def mirrored_command(command: RouteCommand) -> RouteCommand:
    """The other way."""
    word = Command(mirrored_words(command.command.value))
    return replace(command, command=word, text=mirrored_words(command.text))


def mirrored_step(step: TruthStep) -> TruthStep:
    """One keyframe."""
    lidar = step.ego_from_lidar
    return TruthStep(
        step.stamp_us,
        mirrored_pose(step.global_from_ego),
        None if lidar is None else mirrored_pose(lidar),
        _mirrored_boxes(step.boxes),
    )


def _mirrored_boxes(boxes: LabelledBoxes) -> LabelledBoxes:
    center_global_m: Floats = boxes.center_global_m * _ASIDE
    return replace(boxes, center_global_m=center_global_m, wxyz_global=boxes.wxyz_global * _TURN)


def mirrored_labels(labels: SceneLabels) -> SceneLabels:
    """The same reasons on the other side."""
    relations = tuple(
        replace(each, lane=LaneRelation(mirrored_words(each.lane.value)))
        for each in labels.relations
    )
    lateral = Lateral(mirrored_words(labels.meta.lateral.value))
    return replace(
        labels,
        meta=MetaDecision(labels.meta.longitudinal, lateral),
        relations=relations,
        summary=mirrored_words(labels.summary),
        route=None if labels.route is None else mirrored_command(labels.route),
        sentences=tuple(mirrored_words(sentence) for sentence in labels.sentences),
    )
