"""All that is collected, and the judge of trajectories, who knows where the ego truly was."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.drive.replay.event import Event, Line, SceneStream
from drivevlm.drive.replay.motion import EgoMotion
from drivevlm.drive.topics import COMPRESSED
from soaking.episodes import ANCHOR, LOSS, Episode
from soaking.node import Memory, Note, Outcome, Raised, Sent, stamp_us_of

DECIDING_US = 500_000
"""A decision takes less: a fault that begins so soon after a picture may touch it."""
ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning)\b")
FARTHEST_M, FASTEST_MPS = 0.5, 50.0
"""From where the ego is to where a trajectory begins, beside its own way; and along it."""


@dataclass(slots=True)
class Tick:
    """A picture of the anchor that was sent.

    Attributes:
        ego: Where the ego was then, and how it moved.
        frame: The odometry's fixed frame.
        fault: Kind of the fault that touched its decision, if any; else "".
        outcome: What the node says became of it.
        published: Whether a valid plan of it was heard.
    """

    ego: EgoMotion
    frame: str
    fault: str
    outcome: str = "never came"
    published: bool = False


@dataclass
class Soak:
    """All that was collected; invalid plans, errors and false alarms as one line each.

    Attributes:
        rate: So many seconds of the node pass in one of the wall.
    """

    rate: float
    episodes: list[Episode] = field(default_factory=list)
    ticks: dict[int, Tick] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    heard: int = 0
    false_alarms: list[str] = field(default_factory=list)
    late_s: float = 0.0
    _picture_s: float = math.nan

    def reached(self, egos: Mapping[str, EgoMotion], scene: SceneStream, event: Event) -> None:
        """An event of the vehicle is sent next; ``egos`` are by clip."""
        wall_s = time.monotonic()
        for episode in self.episodes[-2:]:
            if math.isnan(episode.last_picture_s) and event.at_us >= episode.from_us:
                episode.last_picture_s = self._picture_s
            if math.isnan(episode.over_s) and event.at_us >= episode.until_us:
                episode.over_s = wall_s
        if event.line == Line(COMPRESSED, ANCHOR):
            self._picture_s = wall_s
            if event.clip:
                fault = self._fault_at(event.at_us)
                self.ticks[event.stamp_us] = Tick(egos[event.clip], scene.scene, fault)

    def _fault_at(self, us: int) -> str:
        touched = [e for e in self.episodes[-2:] if e.from_us - DECIDING_US < us < e.until_us]
        return touched[-1].kind if touched else ""

    def on_trajectory(self, message: Message) -> None:
        """A plan came over the wire."""
        self.heard += 1
        stamp_us = stamp_us_of(message)
        tick = self.ticks.get(stamp_us)
        wrong = ["its stamp is no picture's"] if tick is None else faults_of(message, tick)
        if tick is None or wrong:
            self.invalid.append(f"{stamp_us}: {'; '.join(wrong)}")
        else:
            tick.published = True

    def on_diagnostics(self, message: Message) -> None:
        """What the node says of itself."""
        wall_s = time.monotonic()
        for status in message.status:
            if ERROR.search(status.message):
                self.raised.append(f"diagnostics: {status.message}")
            if f"{ANCHOR} is silent" in status.message:
                self._silent(wall_s, status.message)

    def _silent(self, wall_s: float, said: str) -> None:
        """It is true in a fault, and for two seconds of the node after it."""
        begun = [e for e in self.episodes if not math.isnan(e.last_picture_s)]
        on = [e for e in begun[-2:] if not wall_s > e.over_s + 2 / self.rate]
        if not on:
            self.false_alarms.append(said)
        for episode in on:
            if episode.kind == LOSS and math.isnan(episode.told_s):
                episode.told_s = wall_s

    def take(self, note: Note) -> None:
        """What the node's process noted."""
        if isinstance(note, Sent):
            self.sent.append(note)
        elif isinstance(note, Memory):
            self.memory.append(note)
        elif isinstance(note, Raised):
            self.raised.append(note.what)
        elif isinstance(note, Outcome) and note.stamp_us in self.ticks:
            self.ticks[note.stamp_us].outcome = note.what
            if note.what == "dropped_crashed":
                self.raised.append(f"the decision at {note.stamp_us} crashed")


def faults_of(message: Message, tick: Tick) -> list[str]:
    """What is wrong with a trajectory, in words, by the message itself and where the ego was."""
    if not message.points:
        return ["it has no points"]
    after = [point.time_from_start for point in message.points]
    time_s = np.array([float(one.sec) + one.nanosec / 1e9 for one in after])
    numbers = np.array([_numbers(point) for point in message.points])  # x, y, then others
    if not np.isfinite(numbers).all():
        return ["it holds numbers that are not finite"]
    found = []
    if message.header.frame_id != tick.frame:
        found.append(f"it is in the frame {message.header.frame_id} and not in {tick.frame}")
    if time_s[0] <= 0 or (np.diff(time_s) <= 0).any():
        return [*found, "its times do not increase"]
    turned = [point.pose.orientation for point in message.points]
    if any(abs(math.hypot(q.x, q.y, q.z, q.w) - 1) > 1e-3 for q in turned):
        found.append("a quaternion is none")
    path_m = np.vstack([tick.ego.fixed_from_ego.translation_m[:2], numbers[:, :2]])
    steps_m = np.hypot(*np.diff(path_m, axis=0).T)
    if steps_m[0] > FARTHEST_M + abs(tick.ego.speed_mps) * time_s[0]:
        found.append(f"it begins {steps_m[0]:.1f} m from the ego")
    fastest_mps = float((steps_m / np.diff(time_s, prepend=0.0))[1:].max(initial=0.0))
    if fastest_mps > FASTEST_MPS:
        found.append(f"it leaps, at {fastest_mps:.0f} m/s")
    return found


def _numbers(point: Message) -> list[float]:
    placed, turned = point.pose.position, point.pose.orientation
    motion = [
        point.longitudinal_velocity_mps,
        point.lateral_velocity_mps,
        point.acceleration_mps2,
        point.heading_rate_rps,
        point.front_wheel_angle_rad,
    ]
    return [placed.x, placed.y, placed.z, turned.x, turned.y, turned.z, turned.w, *motion]
