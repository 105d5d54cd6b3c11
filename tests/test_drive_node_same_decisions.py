"""The law of the node: a recording that is sent over a bus gets the decisions it gets when read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from drive_bus import COMMAND, OBJECTS, ODOMETRY, LocalBus, image_topic, info_topic
from drive_cases import DELAY_US, bundled, relived
from test_drive_same_decisions import planner

from drivevlm.drive.node import Node
from drivevlm.drive.odometry import OdometrySample
from drivevlm.planner import plan_next
from drivevlm.world.boxes import Box3
from drivevlm.world.camera import CameraSequence
from drivevlm.world.clip import RouteCommand
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.bundle import unpacked

SCENE = "scene-2001"
LABELS = {"car": 1, "truck": 2, "bus": 3, "trailer": 4, "motorcycle": 5, "bicycle": 6}
LABELS |= {"pedestrian": 7}


def recorded_xyzw(table: str) -> dict[tuple[float, ...], tuple[float, ...]]:
    """Quaternions as they were recorded, by the translation beside them."""
    root = Path(unpacked(Path(tempfile.gettempdir()) / "drivevlm-tests" / "worlds"))
    rows = json.loads((root / "v1.0-synth" / f"{table}.json").read_text())
    return {tuple(row["translation"]): tuple(np.roll(row["rotation"], -1)) for row in rows}


class Sender:
    """Sends a recording as a vehicle would."""

    def __init__(self, bus: LocalBus) -> None:
        self.bus = bus
        self.turns = recorded_xyzw("ego_pose") | recorded_xyzw("calibrated_sensor")

    def turn(self, pose: Pose3) -> tuple[float, ...]:
        """The recorded quaternion; between recorded poses, that of the heading."""
        half_rad = pose.yaw_rad / 2
        flat = (0.0, 0.0, float(np.sin(half_rad)), float(np.cos(half_rad)))
        return self.turns.get(tuple(pose.translation_m), flat)

    def odometry(self, sample: OdometrySample) -> None:
        pose, bus = sample.odom_from_ego, self.bus
        message = bus.odometry(
            sample.stamp_us,
            speed_mps=(sample.speed_mps, 0.0, 0.0),
            yaw_rate_radps=sample.yaw_rate_radps,
            xyzw=self.turn(pose),
        )
        message.pose.pose.position = bus.vector("Point", pose.translation_m)
        bus.send(ODOMETRY, message)

    def camera(self, sequence: CameraSequence) -> None:
        one, bus, lens = sequence.camera, self.bus, f"{sequence.camera.name}_lens"
        pose, newest = one.ego_from_camera, sequence.frames[-1]
        assert pose is not None
        assert one.intrinsics is not None
        edge = bus.transform("base_link", lens, pose.translation_m, self.turn(pose))
        bus.send("/tf_static", bus.tf(edge))
        info = bus.info(one.size_px, one.intrinsics.ravel(), header=bus.header(1, lens))
        bus.send(info_topic(one.name), info)
        bus.send(image_topic(one.name), bus.compressed(newest.stamp_us, newest.encoded))

    def objects(self, stamp_us: int, boxes: tuple[Box3, ...]) -> None:
        told = [self._predicted(box) for box in boxes]
        self.bus.send(OBJECTS, self.bus.predicted_objects(stamp_us, "base_link", *told))

    def command(self, command: RouteCommand | None) -> None:
        text = ""
        if command is not None:
            told = {"command": command.command.value, "text": command.text}
            text = json.dumps(told | {"distance_m": command.distance_m})
        self.bus.send(COMMAND, self.bus.string(text))

    def _predicted(self, box: Box3):
        yaw = box.yaw_ego_rad
        along: Floats = np.full(3, np.nan)
        if box.velocity_ego_mps is not None:
            turned = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
            along = np.append(turned @ box.velocity_ego_mps, 0.0)
        return self.bus.predicted(
            self.bus.pose(box.center_ego_m.tolist(), yaw),
            labels=[(LABELS[box.category], 1.0)],
            size_lwh_m=box.size_lwh_m.tolist(),
            velocity_mps=along.tolist(),
            existence=float(box.score or 0.0),
        )


@pytest.fixture(scope="module")
def read() -> dict[int, tuple[str, str]]:
    """Digests and replies of planning the scene's clips in order, by decision time."""
    recording, model, found = bundled(), planner(), {}
    (tokens,) = [scene.tokens for scene in recording.scenes() if scene.name == SCENE]
    for token in tokens:
        clip = recording.clip(token)
        decision = plan_next(model, clip)
        found[clip.t0_us] = decision.request_digest, decision.reply
    return found


def test_a_recording_sent_over_a_bus_gets_the_decisions_it_gets_when_read(read):
    recording, bus, model = bundled(), LocalBus(), planner()
    node, sender = Node(bus, lambda config: model, lockstep=True), Sender(bus)
    assert node.configure(
        {
            "sync": {"cameras": list(recording.cameras), "frames": 2, "top_k": 8},
            "objects.type": "predicted_objects",
        }
    )
    assert node.activate()
    for heard in relived(recording, SCENE):
        bus.clock.now_us = heard.stamp_us + DELAY_US
        if heard.sample is not None:
            sender.odometry(heard.sample)
            continue
        assert heard.clip is not None
        sender.command(heard.command)
        sender.objects(heard.stamp_us, heard.objects)
        for sequence in heard.clip.cameras:
            sender.camera(sequence)
        bus.tick(us=0)
    told = [json.loads(message.data) for message in bus.sent["/drivevlm/output/reasoning"]]
    assert len(read) == 16
    assert {one["stamp_us"]: (one["request_digest"], one["reply"]) for one in told} == read
