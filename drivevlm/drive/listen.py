"""Which of a node's inputs arrive: heard for a while, without a planner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.inputs import heard_topics
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.messages.stamps import us_of
from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.topics import CAMERA_INFO, KINEMATIC_STATE, Names, Topic

LEAST_HZ = {KINEMATIC_STATE.name: 5.0}
"""Odometry interpolates no gap of more than 0.2 s."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came on one topic.

    Attributes:
        topic: Its full name.
        type_name: Of its messages.
        camera: Whose it is; "" for none.
        needed: Without it no decision is made.
        count: Messages.
        rate_hz: Between the first and the last; None with fewer than two.
        age_ms: Median of how old a message is when it comes, on the node's clock; None where its
            type bears no stamp.
        skew_ms: Median way of a stamp to the nearest one of the anchor camera, later positive;
            None where no such two came.
        problem: In words, what is wrong with it; "" where nothing is.
    """

    topic: str
    type_name: str
    camera: str
    needed: bool
    count: int
    rate_hz: float | None
    age_ms: float | None
    skew_ms: float | None
    problem: str


@dataclass(slots=True)
class _Heard:
    """Of a topic: when messages came, their stamps, and the first that could not be read."""

    came_us: list[int]
    stamps_us: list[int]
    bad: str = ""


class Listener:
    """Hears what a node with these settings would hear, and keeps the times alone.

    Args:
        bus: Where messages come from.
        names: Of the topics.
        config: Settings of the node.
    """

    def __init__(self, bus: Bus, names: Names, config: NodeConfig) -> None:
        self._bus = bus
        self._config = config
        self._lock = threading.Lock()
        self._topics = [(names.of(topic, cam), topic, cam) for topic, cam in heard_topics(config)]
        self._heard = {name: _Heard([], []) for name, _, _ in self._topics}
        self._unknown = {name for name, topic, _ in self._topics if not bus.knows(topic.type_name)}
        self._ends: list[Callable[[], None]] = [
            bus.subscribe(name, topic.type_name, topic.qos, partial(self._on, name))
            for name, topic, _ in self._topics
            if name not in self._unknown
        ]

    def close(self) -> None:
        """Hear no more."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def arrivals(self) -> tuple[Arrival, ...]:
        """What came so far, topic by topic, in the order of the rig."""
        with self._lock:
            anchor = self._config.drive.sync.anchor
            ours = [
                self._heard[name].stamps_us
                for name, topic, camera in self._topics
                if camera == anchor and topic.name.startswith("~/input/{cam}/image")
            ]
            return tuple(
                self._arrival(name, topic, camera or "", ours[0])
                for name, topic, camera in self._topics
            )

    def _on(self, name: str, message: Message) -> None:
        now_us, header = self._bus.now_us(), getattr(message, "header", None)
        with self._lock:
            heard = self._heard[name]
            heard.came_us.append(now_us)
            if header is None:
                return
            try:
                heard.stamps_us.append(us_of(header.stamp))
            except BadMessageError as error:
                heard.bad = heard.bad or str(error)

    def _arrival(self, name: str, topic: Topic, camera: str, anchor_us: Sequence[int]) -> Arrival:
        heard, sync = self._heard[name], self._config.drive.sync
        needed = is_needed(topic, camera, self._config)
        rate_hz = None if topic.qos.latched else _rate_hz(heard.came_us)
        ages = [came - stamp for came, stamp in zip(heard.came_us, heard.stamps_us, strict=False)]
        skews = [_nearest(stamp, anchor_us) for stamp in heard.stamps_us] if anchor_us else []
        skew_ms = median(skews) / 1e3 if skews and camera else None
        problem = heard.bad
        if name in self._unknown:
            problem = f"{topic.type_name} is not known: source its package"
        elif needed and not heard.came_us:
            problem = "nothing came"
        elif rate_hz is not None and rate_hz < LEAST_HZ.get(topic.name, 0.0):
            problem = f"{LEAST_HZ[topic.name]:g} Hz are needed"
        elif skew_ms is not None and abs(skew_ms) > sync.tolerance_ms:
            problem = f"more than sync.tolerance_ms ({sync.tolerance_ms:g}) from the anchor"
        return Arrival(
            topic=name,
            type_name=topic.type_name,
            camera=camera,
            needed=needed,
            count=len(heard.came_us),
            rate_hz=rate_hz,
            age_ms=median(ages) / 1e3 if heard.stamps_us else None,
            skew_ms=skew_ms,
            problem=problem,
        )


def is_needed(topic: Topic, camera: str, config: NodeConfig) -> bool:
    """Whether no decision is made without this input; ``camera`` is "" for one of no camera."""
    if topic.qos.latched or camera in config.drive.sync.optional:
        return False
    if topic.name == CAMERA_INFO.name:
        told = config.calibration_of(camera)
        placed = told.translation_m or told.frame_id
        return config.camera.calibrated and not (told.size_px and told.intrinsics and placed)
    return bool(camera) or topic.name == KINEMATIC_STATE.name


def _rate_hz(came_us: Sequence[int]) -> float | None:
    span_us = came_us[-1] - came_us[0] if len(came_us) > 1 else 0
    return (len(came_us) - 1) / span_us * 1e6 if span_us > 0 else None


def _nearest(stamp_us: int, others_us: Sequence[int]) -> int:
    return min((stamp_us - other for other in others_us), key=abs)
