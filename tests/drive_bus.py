"""A bus within one process, which takes fields as strictly as ROS Humble does, and what to send."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from drive_cases import SPEED_MPS, START_US, Clock
from rosbags.interfaces import Nodetype

from drivevlm.drive.bus import Message, Qos
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.wire.make import Maker
from drivevlm.drive.wire.store import typestore

NODE = "/drivevlm"
ODOMETRY = f"{NODE}/input/kinematic_state"
OBJECTS = f"{NODE}/input/objects"
COMMAND = f"{NODE}/input/navigation_command"
ROUTE = f"{NODE}/input/route"
PYTHON = {"string": str, "bool": bool, "float32": float, "float64": float}


def image_topic(camera: str) -> str:
    return f"{NODE}/input/{camera}/image/compressed"


def info_topic(camera: str) -> str:
    return f"{NODE}/input/{camera}/camera_info"


def bad(text: str) -> AbstractContextManager[object]:
    """A message is refused, in one line."""
    return pytest.raises(BadMessageError, match=rf"^[^\n]*{text}[^\n]*$")


def output(name: str) -> str:
    return f"{NODE}/output/{name}"


@dataclass
class LocalBus:
    """What is sent goes over CDR and is heard before ``send`` returns.

    Attributes:
        lacks: Packages that are not there.
        clock: The node's clock.
        sent: What the node sent, by topic.
        refuses: Topics whose sending fails.
    """

    lacks: Collection[str] = ()
    clock: Clock = field(default_factory=Clock)
    sent: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    refuses: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._make = Maker(typestore())
        self._heard: dict[str, list[tuple[str, Callable[[Message], None]]]] = defaultdict(list)
        self._latched: dict[str, list[Message]] = defaultdict(list)
        self._timers: list[Callable[[], None]] = []
        self.qos: dict[str, Qos] = {}

    def knows(self, type_name: str) -> bool:
        return type_name.partition("/")[0] not in self.lacks and type_name in typestore().fielddefs

    def make(self, type_name: str, **fields: Any) -> Message:
        for name, (kind, detail) in typestore().fielddefs[type_name][1]:
            if kind is Nodetype.BASE and name in fields:
                wanted = PYTHON.get(detail[0], int)
                found = type(fields[name])
                assert found is wanted, f"{type_name}.{name}: {found} instead of {wanted}"
        return self._make(type_name, fields)

    def publisher(self, topic: str, type_name: str, qos: Qos) -> Callable[[Message], None]:
        assert topic not in self.qos, f"{topic} is published twice"
        self.qos[topic] = qos

        def send(message: Message) -> None:
            if topic in self.refuses:
                raise RuntimeError("the wire is cut\nin two")
            self.sent[topic].append(_travelled(message, type_name))

        return send

    def subscribe(
        self, topic: str, type_name: str, qos: Qos, callback: Callable[[Message], None]
    ) -> Callable[[], None]:
        self.qos[topic] = qos
        entry = type_name, callback
        self._heard[topic].append(entry)
        for message in self._latched[topic] if qos.latched else ():
            callback(_travelled(message, type_name))
        return lambda: self._heard[topic].remove(entry)

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        assert period_s == 0.1
        self._timers.append(callback)

    def now_us(self) -> int:
        return self.clock.now_us

    @property
    def topics(self) -> set[str]:
        """Those that are heard."""
        return {topic for topic, entries in self._heard.items() if entries}

    def send(self, topic: str, message: Message, *, latched: bool = False) -> None:
        """From outside; nobody need hear it."""
        if latched:
            self._latched[topic].append(message)
        for type_name, callback in list(self._heard[topic]):
            callback(_travelled(message, type_name))

    def tick(self, count: int = 1, *, us: int = 100_000) -> None:
        """The timers beat, a tenth of a second apart."""
        for _ in range(count):
            self.clock.now_us += us
            for timer in self._timers:
                timer()

    @property
    def told(self) -> Message:
        """The last status in the diagnostics."""
        return self.sent["/diagnostics"][-1].status[0]

    def stamp(self, stamp_us: int, rest_ns: int = 0) -> Message:
        sec, us = divmod(stamp_us, 1_000_000)
        return self.make("builtin_interfaces/msg/Time", sec=sec, nanosec=us * 1000 + rest_ns)

    def header(self, stamp_us: int, frame_id: str = "map", rest_ns: int = 0) -> Message:
        stamp = self.stamp(stamp_us, rest_ns)
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def vector(self, kind: str, xyz: Sequence[float]) -> Message:
        numbers = (float(number) for number in xyz)
        return self.make(f"geometry_msgs/msg/{kind}", **dict(zip("xyzw", numbers, strict=False)))

    def pose(
        self, xyz_m: Sequence[float], yaw_rad: float = 0.0, xyzw: Sequence[float] | None = None
    ) -> Message:
        turned = xyzw or (0.0, 0.0, float(np.sin(yaw_rad / 2)), float(np.cos(yaw_rad / 2)))
        return self.make(
            "geometry_msgs/msg/Pose",
            position=self.vector("Point", xyz_m),
            orientation=self.vector("Quaternion", turned),
        )

    def odometry(
        self,
        stamp_us: int,
        x_m: float = 0.0,
        y_m: float = 0.0,
        yaw_rad: float = 0.0,
        *,
        speed_mps: Sequence[float] = (SPEED_MPS, 0.0, 0.0),
        yaw_rate_radps: float = 0.0,
        xyzw: Sequence[float] | None = None,
        frame_id: str = "map",
        child: str = "base_link",
    ) -> Message:
        names = "geometry_msgs/msg"
        twist = self.make(
            f"{names}/Twist",
            linear=self.vector("Vector3", speed_mps),
            angular=self.vector("Vector3", (0.0, 0.0, yaw_rate_radps)),
        )
        pose = self.pose((x_m, y_m, 0.3), yaw_rad, xyzw)
        return self.make(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_us, frame_id),
            child_frame_id=child,
            pose=self.make(f"{names}/PoseWithCovariance", pose=pose),
            twist=self.make(f"{names}/TwistWithCovariance", twist=twist),
        )

    def compressed(self, stamp_us: int, data: bytes, rest_ns: int = 0) -> Message:
        header = self.header(stamp_us, "lens", rest_ns)
        array = np.frombuffer(data, np.uint8)
        return self.make("sensor_msgs/msg/CompressedImage", header=header, format="png", data=array)

    def info(self, size_px: tuple[int, int], k: Sequence[float], **more: Any) -> Message:
        fields = {"header": self.header(START_US, "lens"), "k": np.array(k, dtype=np.float64)}
        width, height = size_px
        return self.make(
            "sensor_msgs/msg/CameraInfo", width=width, height=height, **(fields | more)
        )

    def transform(
        self, parent: str, child: str, xyz_m: Sequence[float], xyzw: Sequence[float]
    ) -> Message:
        moved = self.make(
            "geometry_msgs/msg/Transform",
            translation=self.vector("Vector3", xyz_m),
            rotation=self.vector("Quaternion", xyzw),
        )
        return self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(START_US, parent),
            child_frame_id=child,
            transform=moved,
        )

    def tf(self, *edges: Message) -> Message:
        return self.make("tf2_msgs/msg/TFMessage", transforms=list(edges))

    def string(self, text: str) -> Message:
        return self.make("std_msgs/msg/String", data=text)

    def predicted(
        self,
        pose: Message,
        *,
        labels: Sequence[tuple[int, float]] = ((1, 1.0),),
        size_lwh_m: Sequence[float] = (4.0, 2.0, 1.5),
        velocity_mps: Sequence[float] = (0.0, 0.0, 0.0),
        existence: float = 0.5,
        footprint: Sequence[tuple[float, float]] = (),
    ) -> Message:
        names, geometry = "autoware_perception_msgs/msg", "geometry_msgs/msg"
        corners = [self.make(f"{geometry}/Point32", x=x, y=y) for x, y in footprint]
        twist = self.make(f"{geometry}/Twist", linear=self.vector("Vector3", velocity_mps))
        return self.make(
            f"{names}/PredictedObject",
            existence_probability=existence,
            classification=[
                self.make(f"{names}/ObjectClassification", label=label, probability=probability)
                for label, probability in labels
            ],
            kinematics=self.make(
                f"{names}/PredictedObjectKinematics",
                initial_pose_with_covariance=self.make(f"{geometry}/PoseWithCovariance", pose=pose),
                initial_twist_with_covariance=self.make(
                    f"{geometry}/TwistWithCovariance", twist=twist
                ),
            ),
            shape=self.make(
                f"{names}/Shape",
                type=2 if footprint else 0,
                footprint=self.make(f"{geometry}/Polygon", points=corners),
                dimensions=self.vector("Vector3", size_lwh_m),
            ),
        )

    def predicted_objects(self, stamp_us: int, frame_id: str, *objects: Message) -> Message:
        return self.make(
            "autoware_perception_msgs/msg/PredictedObjects",
            header=self.header(stamp_us, frame_id),
            objects=list(objects),
        )

    def detections(self, stamp_us: int, frame_id: str, *told: tuple[str, float]) -> Message:
        """Boxes 10 m, 20 m ... ahead, of these class ids and scores."""
        names = "vision_msgs/msg"
        boxes = []
        for k, (class_id, score) in enumerate(told):
            result = self.make(f"{names}/ObjectHypothesis", class_id=class_id, score=score)
            boxes.append(
                self.make(
                    f"{names}/Detection3D",
                    results=[self.make(f"{names}/ObjectHypothesisWithPose", hypothesis=result)],
                    bbox=self.make(
                        f"{names}/BoundingBox3D",
                        center=self.pose((10.0 * (k + 1), 0.0, 0.8)),
                        size=self.vector("Vector3", (4.0, 2.0, 1.6)),
                    ),
                )
            )
        return self.make(
            f"{names}/Detection3DArray",
            header=self.header(stamp_us, frame_id),
            detections=boxes,
        )

    def route(self, goal: Message, frame_id: str = "map") -> Message:
        return self.make(
            "autoware_planning_msgs/msg/LaneletRoute",
            header=self.header(START_US, frame_id),
            goal_pose=goal,
        )


def _travelled(message: Message, type_name: str) -> Message:
    store = typestore()
    return store.deserialize_cdr(bytes(store.serialize_cdr(message, type_name)), type_name)
