"""The plans that a node publishes while a recording is played, and when each of them came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.messages.fields import BadMessageError, pose3
from drivevlm.drive.messages.stamps import NS_PER_S, ns_of, us_of
from drivevlm.drive.replay.event import CLOCK, Event, SceneStream
from drivevlm.drive.topics import PATH, TRAJECTORY, Names, Topic
from drivevlm.world.pose import Floats
from drivevlm.world.published import Published

# N: points of a plan.


class PlayClock:
    """Time as ``/clock`` tells it, finer than its ticks: between events it goes with the wall's.

    Any thread may ask.

    Attributes:
        rate: So many seconds of the recording pass in one of the wall.
        wall_s: The wall clock.
    """

    def __init__(self, rate: float, *, wall_s: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.wall_s = wall_s
        self._told_ahead_us = 0
        self._reached: dict[str, tuple[int, float]] = {}

    def reached(self, scene: SceneStream, event: Event) -> None:
        """The event is sent next."""
        if event.line.topic is CLOCK:
            self._told_ahead_us = event.stamp_us - event.at_us
        elif scene.scene not in self._reached:
            self._told_ahead_us = 0
        self._reached[scene.scene] = event.at_us + self._told_ahead_us, self.wall_s()

    def now_us(self, scene: str) -> int | None:
        """The time now, also of a scene that is over; None of one that was never played."""
        reached = self._reached.get(scene)
        if reached is None:
            return None
        stamp_us, then_s = reached
        return stamp_us + round((self.wall_s() - then_s) * self.rate * 1e6)


class Plans:
    """Hears the plans of one node: its trajectories, or its paths where it publishes no other.

    Attributes:
        unusable: How many could not be used.
        why: The last reason, in one line.
    """

    def __init__(self, bus: Bus, names: Names, clock: PlayClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[Topic, list[tuple[str, int, Message]]] = {TRAJECTORY: [], PATH: []}
        self._has_trajectories = False
        self.unusable = 0
        self.why = ""
        self._ends = [
            bus.subscribe(names.of(topic), topic.type_name, topic.qos, partial(self._on, topic))
            for topic in self._heard
        ]

    def of(self, scene: str, is_fresh: Callable[[int], bool]) -> Iterator[Published]:
        """Those heard so far in a scene, in their order, each told once.

        The first of a stamp that ``is_fresh`` is the planner's, all others are fallbacks: such a
        plan bears its old stamp again, or one at which nothing was decided.
        """
        with self._lock:
            topic = TRAJECTORY if self._has_trajectories else PATH
            heard = [plan for plan in self._heard[topic] if plan[0] == scene]
            for other, plans in self._heard.items():
                self._heard[other] = [plan for plan in plans if plan[0] != scene]
        seen = set[int]()
        for _, heard_us, message in heard:
            try:
                stamp_us = us_of(message.header.stamp)
                fallback = stamp_us in seen or not is_fresh(stamp_us)
                seen.add(stamp_us)
                points = points_of(message)
                yield Published(scene, stamp_us, heard_us, fallback, *points)
            except (BadMessageError, ValueError) as error:
                self._unusable(str(error))

    def close(self) -> None:
        """Hear no more."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def _on(self, topic: Topic, message: Message) -> None:
        frame = str(message.header.frame_id).lstrip("/")
        heard_us = self._clock.now_us(frame)  # the odometry's frame bears the scene's name
        with self._lock:
            self._has_trajectories = self._has_trajectories or topic is TRAJECTORY
            if heard_us is not None:
                self._heard[topic].append((frame, heard_us, message))
                return
        self._unusable(f"frame_id: expected that of the odometry, got {frame!r}")

    def _unusable(self, why: str) -> None:
        with self._lock:
            self.unusable, self.why = self.unusable + 1, why


def points_of(message: Message) -> tuple[Floats, Floats, Floats]:
    """Times after the stamp (N,) in s, positions (N, 2) in m and headings (N,) of a plan's message.

    Of an ``autoware_planning_msgs/Trajectory`` or a ``nav_msgs/Path``. Raises BadMessageError.
    """
    if hasattr(message, "points"):
        after_ns = [_duration_ns(point.time_from_start) for point in message.points]
        return _columns(after_ns, [point.pose for point in message.points])
    stamp_ns = ns_of(message.header.stamp)
    after_ns = [ns_of(placed.header.stamp) - stamp_ns for placed in message.poses]
    return _columns(after_ns, [placed.pose for placed in message.poses])


def _columns(after_ns: Sequence[int], poses: Sequence[Message]) -> tuple[Floats, Floats, Floats]:
    placed = [pose3(pose.position, pose.orientation, "pose").planar() for pose in poses]
    return (
        np.array(after_ns, dtype=np.float64) / NS_PER_S,
        np.array([(pose.x_m, pose.y_m) for pose in placed], dtype=np.float64).reshape(-1, 2),
        np.array([pose.yaw_rad for pose in placed], dtype=np.float64),
    )


def _duration_ns(duration: Message) -> int:
    return int(duration.sec) * NS_PER_S + int(duration.nanosec)
