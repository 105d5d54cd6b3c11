"""The node's process: it notes what is published, what became of pictures, memory and errors."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil

from drivevlm.build.assets import asset_folder
from drivevlm.build.worlds import DemoConfig, put_on_disk
from drivevlm.data.nuscenes.config import DecisionTime
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.dialogue.sections import SectionName
from drivevlm.drive.bus import Message, Qos, Send
from drivevlm.drive.node import Node
from drivevlm.drive.publish import Ended
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.told import as_told
from drivevlm.drive.topics import TRAJECTORY, Names
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.planner import VLMPlanner
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.vlm.seam import ImagePart, Request
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, Truth

NAMES, REPLAY = Names("soaked"), ReplayConfig()
MODEL_S, FRAMES = 0.05, 2
SETTINGS = {"silent_s": 0.8, "gate.collision_s": 1.0}
"""Of the node. Two pictures a second come: one may be late, two are missing. And who truly drove
here knew that others would brake or turn, which the gate does not: so it looks less far ahead."""
WILD = "SCENE: none | Off it goes.\nPLAN: " + " ".join(f"{99 * k}.00,0.00" for k in range(1, 7))


@dataclass(frozen=True, slots=True)
class Sent:
    """A trajectory that is sent next.

    Attributes:
        stamp_us: Of its header.
        now_us: The node's clock.
        wall_s: The wall's.
        looked_us: The node's clock as the thread that sends saw it last, since the message was
            made; None where it did not look.
    """

    stamp_us: int
    now_us: int
    wall_s: float
    looked_us: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a picture of the anchor."""

    stamp_us: int
    what: str


@dataclass(frozen=True, slots=True)
class Memory:
    """How much the node's process holds."""

    wall_s: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Raised:
    """What should not have happened, in one line."""

    what: str


Note = Sent | Outcome | Memory | Raised | None
"""None is the last one."""


class Look(threading.local):
    """What a thread saw on the clock since it made a message."""

    now_us: int | None = None


class SpyBus(DdsBus):
    """Notes each trajectory just before it is sent, and the node's last look at the clock."""

    def __init__(self, config: DdsConfig, note: Callable[[Note], None]) -> None:
        self._look = Look()
        super().__init__(config)
        self._note = note

    def now_us(self) -> int:
        now_us = self._look.now_us = super().now_us()
        return now_us

    def make(self, type_name: str, **fields: Any) -> Message:
        self._look.now_us = None
        return super().make(type_name, **fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Send:
        send = super().publisher(topic, type_name, qos)
        if topic != NAMES.of(TRAJECTORY):
            return send

        def noted(message: Message) -> None:
            looked_us = self._look.now_us
            now_us, wall_s = self.now_us(), time.monotonic()
            self._note(Sent(stamp_us_of(message), now_us, wall_s, looked_us))
            send(message)

        return noted


class Log(logging.Handler):
    """A warning of anybody is noted."""

    def __init__(self, note: Callable[[Note], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(Raised(f"log: {record.getMessage()}"))


def run_node(domain_id: int, pipe: Connection, notes: multiprocessing.Queue[Note]) -> None:
    """Be a node until told to end. Sends "ready" when it hears."""
    note = notes.put
    logging.getLogger().addHandler(Log(note))
    threading.excepthook = lambda told: note(Raised(f"{told.thread}: {told.exc_value!r}"))
    sys.unraisablehook = lambda told: note(Raised(f"{told.object}: {told.exc_value!r}"))
    source = recording()
    planner = knowing_planner(source)

    def ended(what: Ended) -> None:
        note(Outcome(what.t0_us, words_of(what)))

    with SpyBus(DdsConfig(domain_id, loopback=True, use_sim_time=True), note) as bus:
        node = Node(bus, lambda _: planner, names=NAMES, ended=ended)
        sync = {"cameras": list(source.cameras), "frames": FRAMES, "top_k": 8}
        values = {"sync": sync, "objects.type": REPLAY.objects.value, **SETTINGS}
        if not (node.configure(values) and node.activate()):
            note(Raised(f"the node does not start: {node.failure}"))
        pipe.send("ready")
        process = psutil.Process()
        while not pipe.poll(1.0):
            note(Memory(time.monotonic(), process.memory_info().rss / 1e6))
        node.shutdown()
    note(None)


def words_of(ended: Ended) -> str:
    """What became of a picture, for a table."""
    if ended.reasoning is None:
        return ended.lost
    verdict, failure = ended.reasoning.verdict, ended.reasoning.decision.failure
    if verdict is None:
        return "failed" if failure is None else f"failed_{failure.kind.value}"
    return "gate_" + "+".join(c.name.value for c in verdict.failed) if verdict.failed else "passed"


def knowing_planner(source: NuScenesRecording) -> VLMPlanner:
    """Its model recognises the anchor's pictures, as they are shown to it."""
    config = PromptConfig(
        sections=(SectionName.SCENE, SectionName.PLAN), images=ImageConfig(width_px=64)
    )
    dialogue, known = Dialogue.of(config, BlockConfig(), asset_folder("prompts")), dict[str, str]()
    for token in (token for scene in source.scenes() for token in scene.tokens):
        clip, truth = as_told(source.clip(token), REPLAY.objects), source.truth(token)
        if truth is not None:
            answer = dialogue.answer(clip, Decision(plan=driven(truth)))
            known[shown(dialogue.ask(clip))] = answer

    def script(request: Request) -> str:
        vlm.requests.clear()  # it keeps all of them, and there are more than memory holds
        return known.get(shown(request), WILD)

    vlm = ScriptedVLM(script, delay_s=MODEL_S)
    return VLMPlanner("vlm", vlm, dialogue)


def driven(truth: Truth) -> Plan:
    """What was driven, and at the end of a scene straight on at the last speed."""
    now_from_global = truth.now.global_from_ego.planar().inverse()
    path_m = []
    for k in range(-1, FUTURE_STEPS + 1):
        if k in truth.steps:
            there = truth.steps[k].global_from_ego.planar()
            path_m.append(now_from_global.apply(np.array([there.x_m, there.y_m])))
        elif len(path_m) > 1:
            path_m.append(2 * path_m[-1] - path_m[-2])
    return Plan(np.array(path_m[-FUTURE_STEPS:]), dt_s=STEP_S)


def shown(request: Request) -> str:
    """A digest of the anchor's newest picture, as the model sees it."""
    label = f"{REPLAY.anchor}, now"
    (picture,) = (
        part
        for message in request.messages
        for part in message.parts
        if isinstance(part, ImagePart) and part.label.startswith(label)
    )
    return hashlib.sha256(picture.image_rgb.tobytes()).hexdigest()


def stamp_us_of(message: Message) -> int:
    """Of a message's header."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000 + int(stamp.nanosec) // 1000


def recording() -> NuScenesRecording:
    """The bundled scenes."""
    config = DemoConfig(frames=FRAMES, t0=DecisionTime.ANCHOR)
    return NuScenesRecording(put_on_disk(config, lambda text: print(text, file=sys.stderr)))
