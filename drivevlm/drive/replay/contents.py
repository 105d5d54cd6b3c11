"""What the vehicle says on each topic. Poses travel as the quaternions that were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.messages.outgoing import header_message, string_message
from drivevlm.drive.messages.stamps import time_message
from drivevlm.drive.replay.damage import damaged
from drivevlm.drive.replay.motion import EgoMotion
from drivevlm.world.camera import Camera, Frame
from drivevlm.world.pose import Floats
from drivevlm.world.track import QuaternionPose

GEOMETRY = "geometry_msgs/msg"
PNG = b"\x89PNG"


@dataclass(frozen=True, slots=True)
class Tick:
    """``/clock``."""

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``rosgraph_msgs/Clock``."""
        return bus.make("rosgraph_msgs/msg/Clock", clock=time_message(bus, stamp_us * 1000))


@dataclass(frozen=True, slots=True)
class Words:
    """A text."""

    text: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``std_msgs/String``."""
        return string_message(bus, self.text)


@dataclass(frozen=True, slots=True, eq=False)
class Mounts:
    """How sensors sit on the vehicle: by frame, seen from ``base_frame``."""

    base_frame: str
    base_from_sensor: Mapping[str, QuaternionPose]

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``tf2_msgs/TFMessage``."""
        edges = [
            _edge(bus, stamp_us, self.base_frame, child, pose)
            for child, pose in self.base_from_sensor.items()
        ]
        return bus.make("tf2_msgs/msg/TFMessage", transforms=edges)


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """What a camera says of itself; its frame bears its name."""

    camera: Camera

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``sensor_msgs/CameraInfo``; an uncalibrated camera has a matrix of zeros."""
        camera = self.camera
        width, height = camera.size_px
        matrix = np.zeros((3, 3)) if camera.intrinsics is None else camera.intrinsics
        return bus.make(
            "sensor_msgs/msg/CameraInfo",
            header=header_message(bus, stamp_us * 1000, camera.name),
            width=width,
            height=height,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=matrix.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack([matrix, np.zeros((3, 1))]).ravel(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image as it was recorded, byte for byte.

    Attributes:
        camera: Name of the camera, and of its frame.
        frame: Where it lies.
        damage: Seed of what was broken in it on the way; None where nothing was.
    """

    camera: str
    frame: Frame
    damage: int | None = None

    @property
    def encoded(self) -> bytes:
        """What is sent. Raises FrameError where it cannot be read."""
        encoded = self.frame.encoded
        return encoded if self.damage is None else damaged(encoded, seed=self.damage)

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``sensor_msgs/CompressedImage``."""
        encoded = self.encoded
        return bus.make(
            "sensor_msgs/msg/CompressedImage",
            header=header_message(bus, stamp_us * 1000, self.camera),
            format="png" if encoded.startswith(PNG) else "jpeg",
            data=np.frombuffer(encoded, np.uint8),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Odometry:
    """Where the ego is and how it moves."""

    motion: EgoMotion
    fixed_frame: str
    base_frame: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``nav_msgs/Odometry``."""
        motion, pose = self.motion, self.motion.fixed_from_ego
        twist = bus.make(
            f"{GEOMETRY}/Twist",
            linear=vector_message(bus, "Vector3", (motion.speed_mps, 0.0, 0.0)),
            angular=vector_message(bus, "Vector3", (0.0, 0.0, motion.yaw_rate_radps)),
        )
        placed = bus.make(
            f"{GEOMETRY}/Pose",
            position=vector_message(bus, "Point", pose.translation_m),
            orientation=vector_message(bus, "Quaternion", np.roll(pose.wxyz, -1)),
        )
        return bus.make(
            "nav_msgs/msg/Odometry",
            header=header_message(bus, stamp_us * 1000, self.fixed_frame),
            child_frame_id=self.base_frame,
            pose=bus.make(f"{GEOMETRY}/PoseWithCovariance", pose=placed),
            twist=bus.make(f"{GEOMETRY}/TwistWithCovariance", twist=twist),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the ego is, as a frame."""

    motion: EgoMotion
    fixed_frame: str
    base_frame: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``tf2_msgs/TFMessage``."""
        pose = self.motion.fixed_from_ego
        edge = _edge(bus, stamp_us, self.fixed_frame, self.base_frame, pose)
        return bus.make("tf2_msgs/msg/TFMessage", transforms=[edge])


@dataclass(frozen=True, slots=True, eq=False)
class Acceleration:
    """How the ego's speed changes."""

    motion: EgoMotion
    base_frame: str

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """A ``geometry_msgs/AccelWithCovarianceStamped``."""
        along = vector_message(bus, "Vector3", (self.motion.acceleration_mps2, 0.0, 0.0))
        told = bus.make(f"{GEOMETRY}/Accel", linear=along)
        return bus.make(
            f"{GEOMETRY}/AccelWithCovarianceStamped",
            header=header_message(bus, stamp_us * 1000, self.base_frame),
            accel=bus.make(f"{GEOMETRY}/AccelWithCovariance", accel=told),
        )


def _edge(
    bus: Bus, stamp_us: int, parent: str, child: str, parent_from_child: QuaternionPose
) -> Message:
    pose = parent_from_child
    moved = bus.make(
        f"{GEOMETRY}/Transform",
        translation=vector_message(bus, "Vector3", pose.translation_m),
        rotation=vector_message(bus, "Quaternion", np.roll(pose.wxyz, -1)),
    )
    return bus.make(
        f"{GEOMETRY}/TransformStamped",
        header=header_message(bus, stamp_us * 1000, parent),
        child_frame_id=child,
        transform=moved,
    )


def vector_message(bus: Bus, kind: str, numbers: Sequence[float] | Floats) -> Message:
    """A message of x, y, z and, of a quaternion, w."""
    named = zip("xyzw", (float(number) for number in numbers), strict=False)
    return bus.make(f"{GEOMETRY}/{kind}", **dict(named))
