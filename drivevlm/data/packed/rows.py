"""Clips and keyframes as rows of a table, and rows as clips and keyframes: exact both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera, CameraSequence, Frame, Stored
from drivevlm.world.clip import Clip, Prior, Proposals, RouteCommand, Summary
from drivevlm.world.ego import EgoHistory, EgoStatus
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.sets import Command, Provenance
from drivevlm.world.truth import LabelledBoxes, TruthStep

Row = dict[str, Any]


def clip_row(clip: Clip, image_row: Callable[[str, Frame], int]) -> Row:
    """A clip as a row; ``image_row`` says where a camera's image is kept."""
    status, history, summary = clip.status, clip.history, clip.summary
    return {
        "token": clip.token,
        "scene": clip.scene,
        "t0_us": clip.t0_us,
        "cameras": [_camera_row(sequence, image_row) for sequence in clip.cameras],
        "status": status
        and {
            "speed_mps": status.speed_mps,
            "acceleration_mps2": status.acceleration_mps2,
            "yaw_rate_radps": status.yaw_rate_radps,
            "provenance": status.provenance.value,
        },
        "history": history
        and {
            "stamp_us": history.stamp_us,
            "xy_ego_m": history.xy_ego_m.ravel(),
            "yaw_ego_rad": history.yaw_ego_rad,
        },
        "summary": summary
        and {
            "text": summary.text,
            "age_s": summary.age_s,
            "provenance": summary.provenance.value,
        },
        "proposals": clip.proposals
        and {
            "boxes": [_box_row(box) for box in clip.proposals.boxes],
            "provenance": clip.proposals.provenance.value,
        },
        "prior": clip.prior and {"plan": _plan_row(clip.prior.plan), "age_s": clip.prior.age_s},
        "command": clip.command
        and {
            "command": clip.command.command.value,
            "text": clip.command.text,
            "distance_m": clip.command.distance_m,
            "provenance": clip.command.provenance.value,
        },
    }


def clip_of(row: Row, stored: Callable[[int], Stored]) -> Clip:
    """The clip of a row; ``stored`` gives the image of a row of the images."""
    status, history, summary = row["status"], row["history"], row["summary"]
    proposals, prior, command = row["proposals"], row["prior"], row["command"]
    return Clip(
        token=row["token"],
        scene=row["scene"],
        t0_us=row["t0_us"],
        cameras=tuple(_sequence(camera, stored) for camera in row["cameras"]),
        status=status and EgoStatus(**{**status, "provenance": Provenance(status["provenance"])}),
        history=history
        and EgoHistory(
            np.array(history["stamp_us"], dtype=np.int64),
            _floats(history["xy_ego_m"]).reshape(-1, 2),
            _floats(history["yaw_ego_rad"]),
        ),
        summary=summary and Summary(**{**summary, "provenance": Provenance(summary["provenance"])}),
        proposals=proposals
        and Proposals(
            tuple(_box(box) for box in proposals["boxes"]), Provenance(proposals["provenance"])
        ),
        prior=prior and Prior(_plan(prior["plan"]), prior["age_s"]),
        command=command
        and RouteCommand(
            Command(command["command"]),
            Provenance(command["provenance"]),
            command["text"],
            command["distance_m"],
        ),
    )


def step_row(step: TruthStep) -> Row:
    """A keyframe as a row."""
    boxes = {f.name: getattr(step.boxes, f.name) for f in fields(step.boxes)}
    flat = {name: boxes[name].ravel() for name in ("center_global_m", "size_lwh_m", "wxyz_global")}
    return {
        "stamp_us": step.stamp_us,
        "global_from_ego": _pose_row(step.global_from_ego),
        "ego_from_lidar": _pose_row(step.ego_from_lidar),
        "boxes": boxes | flat,
    }


def step_of(row: Row) -> TruthStep:
    """The keyframe of a row."""
    boxes, pose = row["boxes"], _pose(row["global_from_ego"])
    if pose is None:
        raise ValueError("a keyframe has no pose")
    attribute = boxes["attribute"]
    return TruthStep(
        stamp_us=row["stamp_us"],
        global_from_ego=pose,
        ego_from_lidar=_pose(row["ego_from_lidar"]),
        boxes=LabelledBoxes(
            center_global_m=_floats(boxes["center_global_m"]).reshape(-1, 3),
            size_lwh_m=_floats(boxes["size_lwh_m"]).reshape(-1, 3),
            wxyz_global=_floats(boxes["wxyz_global"]).reshape(-1, 4),
            category=tuple(boxes["category"]),
            instance=tuple(boxes["instance"]),
            annotation=tuple(boxes["annotation"]),
            following=tuple(boxes["following"]),
            lidar_points=np.array(boxes["lidar_points"], dtype=np.int64),
            radar_points=np.array(boxes["radar_points"], dtype=np.int64),
            visibility=np.array(boxes["visibility"], dtype=np.int64),
            attribute=None if attribute is None else tuple(attribute),
        ),
    )


def _camera_row(sequence: CameraSequence, image_row: Callable[[str, Frame], int]) -> Row:
    camera = sequence.camera
    return {
        "name": camera.name,
        "width_px": camera.size_px[0],
        "height_px": camera.size_px[1],
        "intrinsics": None if camera.intrinsics is None else camera.intrinsics.ravel(),
        "ego_from_camera": _pose_row(camera.ego_from_camera),
        "frames": [
            {
                "stamp_us": frame.stamp_us,
                "now_from_then": _pose_row(frame.now_from_then),
                "image": image_row(camera.name, frame),
            }
            for frame in sequence.frames
        ],
    }


def _sequence(row: Row, stored: Callable[[int], Stored]) -> CameraSequence:
    size_px = (row["width_px"], row["height_px"])
    lens = row["intrinsics"]
    camera = Camera(
        name=row["name"],
        size_px=size_px,
        intrinsics=None if lens is None else _floats(lens).reshape(3, 3),
        ego_from_camera=_pose(row["ego_from_camera"]),
    )
    frames = tuple(
        Frame(f["stamp_us"], size_px, stored(f["image"]), _pose(f["now_from_then"]))
        for f in row["frames"]
    )
    return CameraSequence(camera, frames)


def _box_row(box: Box3) -> Row:
    return {
        "center_ego_m": box.center_ego_m,
        "size_lwh_m": box.size_lwh_m,
        "yaw_ego_rad": box.yaw_ego_rad,
        "category": box.category,
        "velocity_ego_mps": box.velocity_ego_mps,
        "score": box.score,
        "id": box.id,
    }


def _box(row: Mapping[str, Any]) -> Box3:
    velocity = row["velocity_ego_mps"]
    return Box3(
        _floats(row["center_ego_m"]),
        _floats(row["size_lwh_m"]),
        row["yaw_ego_rad"],
        row["category"],
        None if velocity is None else _floats(velocity),
        row["score"],
        row["id"],
    )


def _plan_row(plan: Plan) -> Row:
    return {
        "xy_ego_m": plan.xy_ego_m.ravel(),
        "dt_s": plan.dt_s,
        "yaw_ego_rad": plan.yaw_ego_rad,
    }


def _plan(row: Mapping[str, Any]) -> Plan:
    yaw = row["yaw_ego_rad"]
    return Plan(
        _floats(row["xy_ego_m"]).reshape(-1, 2),
        row["dt_s"],
        None if yaw is None else _floats(yaw),
    )


def _pose_row(pose: Pose3 | None) -> Floats | None:
    return None if pose is None else np.concatenate([pose.rotation.ravel(), pose.translation_m])


def _pose(numbers: list[float] | None) -> Pose3 | None:
    if numbers is None:
        return None
    twelve = _floats(numbers)
    return Pose3(twelve[:9].reshape(3, 3), twelve[9:])


def _floats(numbers: Any) -> Floats:
    return np.array(numbers, dtype=np.float64)
