"""Recordings replayed to a node: on a bus within one process, and what a reader makes of them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from conftest import reference
from drive_bus import LocalBus
from test_drive_same_decisions import planner

from drivevlm.data.nuscenes.config import DecisionTime, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import SceneClips
from drivevlm.drive.bus import Message, Qos
from drivevlm.drive.node import Node
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.told import as_told
from drivevlm.planner import plan_next

MINUTE_MS = 60_000.0
ANCHOR = "CAM_FRONT"
Said = dict[str, tuple[str, str]]


@dataclass
class LoopBus(LocalBus):
    """What anybody publishes is heard by all who subscribed, at once.

    ``/clock`` sets the clock, and timers beat with it.
    """

    published: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Callable[[Message], None]:
        def send(message: Message) -> None:
            self.published[topic].append(message)
            if topic == "/clock":
                time = message.clock
                self.clock.now_us = time.sec * 1_000_000 + time.nanosec // 1000
                self.tick(us=0)
            self.send(topic, message, latched=qos.latched)

        return send

    def sleep(self, seconds: float) -> None:
        """No time passes, but timers beat."""
        self.tick(us=0)


def active_node(bus, recording, config: ReplayConfig, *, frames: int, lockstep: bool = False):
    """A node that decides as the recording is read, however long it takes."""
    node = Node(bus, lambda _: planner(), lockstep=lockstep)
    assert node.configure(
        {
            "sync": {"cameras": list(recording.cameras), "frames": frames, "top_k": 8},
            "objects.type": config.objects.value,
            "max_latency_ms": MINUTE_MS,
        }
    )
    assert node.activate()
    return node


def planned(recording, scenes: list[SceneClips], config: ReplayConfig) -> Said:
    """Digests and replies by token, of planning the clips in order, as topics can tell them."""
    found, model = {}, planner()
    for scene in scenes:
        for token in scene.tokens:
            decision = plan_next(model, as_told(recording.clip(token), config.objects))
            assert decision.failure is None
            found[token] = decision.request_digest, decision.reply
    return found


def cut(recording: NuScenesRecording, **clips: int) -> list[SceneClips]:
    """The first clips of some scenes: ``scene_2001=16``."""
    wanted = {name.replace("_", "-"): count for name, count in clips.items()}
    return [
        SceneClips(scene.name, scene.tokens[: wanted[scene.name]])
        for scene in recording.scenes()
        if scene.name in wanted
    ]


def real_with_stand_ins(folder: Path, *, frames: int, scenes: tuple[str, ...] = ()):
    """The real scenes, with a small picture of its own size in each place where one is missing."""
    root = reference("nuscenes_mini_real")
    config = NuScenesConfig(
        str(folder / "data"),
        scenes=scenes,
        frames=frames,
        t0=DecisionTime.ANCHOR,
        proposals="oracle",
        top_k=8,
        cache=str(folder / "cache"),
    )
    (folder / "data").mkdir(exist_ok=True)
    for name in ("v1.0-mini", "maps"):
        os.symlink(root / name, folder / "data" / name)
    for k, path in enumerate(_pictures_of(NuScenesRecording(config))):
        there = root / path.relative_to(folder / "data")
        path.parent.mkdir(parents=True, exist_ok=True)
        if there.is_file():
            os.symlink(there, path)
        else:
            os.symlink(_stand_in(folder, k % 7), path)
    return NuScenesRecording(config)


def _pictures_of(recording: NuScenesRecording) -> list[Path]:
    """Where the chosen scenes' pictures lie or should lie."""
    paths = {
        frame.source
        for scene in recording.scenes()
        for token in scene.tokens
        for sequence in recording.clip(token).cameras
        for frame in sequence.frames
    }
    return sorted(paths)


def _stand_in(folder: Path, number: int) -> Path:
    """A grey picture as large as the real ones, one of a few."""
    path = folder / f"stand_in_{number}.jpg"
    if not path.exists():
        pixels = np.full((900, 1600, 3), 30 * number, dtype=np.uint8)
        pixels[100 * number : 100 * number + 100] = 255
        cv2.imwrite(str(path), pixels)
    return path
