"""Small real things that the report's tests look at: results, a rig with images, a clip."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from drivevlm.world.boxes import Box3
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.pose import Pose3
from drivevlm.world.sets import Command, Provenance
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep

T0_US = 1_000_000_000
SIZE_PX = (160, 90)
NAMES = ("FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT")
YAWS = dict(zip(NAMES, np.radians([55, 0, -55, 110, 180, -110]), strict=True))


def score(n: int, n_total: int, l2: tuple[float | None, ...], col: tuple[float | None, ...]) -> Any:
    steps = ("1s", "2s", "3s", "avg")
    return {
        "n": n,
        "n_total": n_total,
        "l2_m": dict(zip(steps, l2, strict=True)),
        "collision": dict(zip(steps, col, strict=True)),
        "ci95": None,
        "lenient": None,
        "notes": [],
    }


def results() -> dict[str, Any]:
    """Two protocols and three planners, one of which failed three times."""
    mine = score(120, 120, (0.52, 1.31, 2.6, 1.4766), (0.0, 0.0083, 0.025, 0.0111))
    mine["ci95"] = {"l2_m": {"avg": [1.31, 1.66]}, "collision": {"avg": [0.0, 0.0221]}}
    mine["lenient"] = score(117, 120, (0.41, 1.2, 2.4, 1.337), (0.0, 0.0085, 0.0171, 0.0085))
    vad = score(102, 120, (0.31, 0.77, 1.4, 0.8266), (0.0, 0.0, 0.0098, 0.0033))
    vad["notes"] = ["needs a complete future of 3 s"]
    expert = score(120, 120, (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    return {
        "format": 1,
        "synthetic": True,
        "data": {
            "name": "demo flat",
            "digest": "f00d",
            "clips": 120,
            "scenes": 3,
            "provenance": {"ego_status": "past_poses", "command": "gt_future"},
        },
        "leaks": ["command: gt_future"],
        "prompt": {"name": "base", "digest": "3f2a91c0ffee"},
        "fallback": "stop",
        "planners": {
            "drivevlm": {
                "label": "embedded tiny-vlm",
                "untrained": True,
                "model": {"name": "tiny-vlm", "revision": "a1b2c3"},
                "protocols": {"uniad": mine, "vad": vad},
                "failures": {
                    "total": 120,
                    "failed": 3,
                    "by_kind": {"truncated": 2, "image": 1, "model": 0},
                },
                "consistency": {
                    "rate": 0.712,
                    "judged": 117,
                    "total": 120,
                    "own_constant": {"decision": "follow_lead / keep_lane", "rate": 0.641},
                },
                "detection": {"kept_precision": 0.81, "added": 14, "recall": None},
                "tokens": {"prompt_mean": 3120.4, "reply_mean": 188.2, "n": 117},
                "ms": {"mean": 812.0, "p50": 790.2, "p95": 1201.0, "n": 117},
            },
            "expert": {
                "label": "expert",
                "untrained": False,
                "model": None,
                "protocols": {"uniad": expert, "vad": None},
                "failures": {"total": 120, "failed": 0, "by_kind": {}},
                "consistency": None,
                "detection": None,
                "tokens": None,
                "ms": {"mean": 0.04, "p50": None, "p95": None},
            },
            "silent": {
                "label": None,
                "protocols": {"uniad": score(0, 120, (None,) * 4, (None,) * 4)},
            },
        },
    }


STEPS = ("1s", "2s", "3s", "avg")


def every_kind() -> dict[str, Any]:
    """As ``results``, and two protocols more: one with further figures and kinds of clips, one
    with single numbers, no collision and a number that could not be judged."""
    told = results()
    exact = score(110, 120, (0.5, 1.2, 2.4, 1.3667), (0.0, 0.0182, 0.0455, 0.0212))
    exact["off_drivable"] = dict(zip(STEPS, (0.01, 0.02, 0.04, 0.0233), strict=True))
    exact["collision_at"] = dict.fromkeys(STEPS)
    exact["ci95"] = {
        "l2_m": {"avg": [1.2, 1.5]},
        "collision": {"avg": None},
        "off_drivable": {"avg": [0.0, 0.05]},
        "collision_at": {"avg": None},
    }
    exact["splits"] = {
        "straight": score(100, 120, (0.4, 1.0, 2.0, 1.1333), (0.0, 0.01, 0.04, 0.0167)),
        "turning": score(10, 120, (1.5, 3.2, 6.4, 3.7), (0.0, 0.1, 0.1, 0.0667)),
        "standing": score(0, 120, (None,) * 4, (None,) * 4),
    }
    exact["splits"]["turning"]["off_drivable"] = dict(zip(STEPS, (0.1, 0.2, 0.3, 0.2), strict=True))
    exact["splits"]["straight"]["ci95"] = {"l2_m": {"avg": [1.0, 1.3]}}
    light = score(110, 120, (0.4, 1.6, 3.1, 1.7), (None,) * 4)
    light |= {"ade_m": 1.71, "fde_m": 3.5, "miss_rate": None}
    light["ci95"] = {"ade_m": {"3s": [1.6, 1.9]}, "fde_m": {"3s": None}, "miss_rate": {"3s": None}}
    told["planners"]["drivevlm"]["protocols"] |= {"exact": exact, "lightemma": light}
    still = score(110, 120, (4.0, 8.0, 12.0, 8.0), (0.0, 0.0, 0.0, 0.0))
    still["off_drivable"] = dict.fromkeys(STEPS, 0.0)
    told["planners"]["expert"]["protocols"]["exact"] = still
    return told


def image_of(color: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE_PX, color).save(out, "PNG")
    return out.getvalue()


def camera(name: str, *, calibrated: bool = True) -> Camera:
    """Looks along its yaw from 1.5 m above the rear axle, 90 degrees wide."""
    if not calibrated:
        return Camera(name, SIZE_PX)
    yaw = YAWS[name]
    ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    rotation = np.column_stack([right, [0.0, 0.0, -1.0], ahead])
    intrinsics = np.array([[80.0, 0.0, 80.0], [0.0, 80.0, 45.0], [0.0, 0.0, 1.0]])
    return Camera(name, SIZE_PX, intrinsics, Pose3(rotation, np.array([0.0, 0.0, 1.5])))


def clip(*, token: str = "clip-1", calibrated: bool = True, names: tuple[str, ...] = NAMES) -> Clip:
    cameras = tuple(
        CameraSequence(
            camera(name, calibrated=calibrated),
            (Frame(T0_US, SIZE_PX, image_of((40 * k, 90, 90))),),
        )
        for k, name in enumerate(names)
    )
    command = RouteCommand(Command.LEFT, Provenance.GT_FUTURE)
    return Clip(token, "scene-1", T0_US, cameras, command=command)


def truth(token: str = "clip-1") -> Truth:
    """Ten metres per second straight ahead; one car stands 20 m ahead, 5 m to the left."""
    one = np.array([4], dtype=np.int64)
    boxes = LabelledBoxes(
        np.array([[20.0, 5.0, 0.8]]),
        np.array([[4.6, 1.9, 1.6]]),
        np.array([[1.0, 0.0, 0.0, 0.0]]),
        ("vehicle.car",),
        ("car-1",),
        ("ann-1",),
        ("",),
        one,
        one * 0,
        one,
    )
    steps = {
        k: TruthStep(T0_US + 500_000 * k, Pose3(np.eye(3), np.array([5.0 * k, 0, 0])), None, boxes)
        for k in range(7)
    }
    return Truth(token, "scene-1", steps)


def car(name: str) -> Box3:
    return Box3.typical("car", x_ego_m=20.0, y_ego_m=5.0, id=name)
