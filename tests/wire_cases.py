"""A second implementation of the wire, written apart from ours: cyclonedds-python's own types.

Its domain is another one than the bus's within this process, so that all goes through sockets.
"""

import itertools
import math
import os
import random
import struct
import time
from dataclasses import MISSING, dataclass, fields, is_dataclass

import numpy as np
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, byte, float32, float64, int32, sequence, uint8, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy
from cyclonedds.qos import Qos as DdsQos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from drivevlm.drive.wire.config import DdsConfig, loopback_config

PATIENCE_S = 10.0
DOMAINS = itertools.cycle(random.SystemRandom().sample(range(1, 101), 100))
STAMP_S, STAMP_NS = 1_700_000_000, 123_456_789


@dataclass
class String(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    data: str


@dataclass
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Duration(IdlStruct, typename="builtin_interfaces.msg.dds_.Duration_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    stamp: Time
    frame_id: str


@dataclass
class Point(IdlStruct, typename="geometry_msgs.msg.dds_.Point_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Vector3(IdlStruct, typename="geometry_msgs.msg.dds_.Vector3_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion(IdlStruct, typename="geometry_msgs.msg.dds_.Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose(IdlStruct, typename="geometry_msgs.msg.dds_.Pose_"):
    position: Point
    orientation: Quaternion


@dataclass
class Twist(IdlStruct, typename="geometry_msgs.msg.dds_.Twist_"):
    linear: Vector3
    angular: Vector3


@dataclass
class PoseWithCovariance(IdlStruct, typename="geometry_msgs.msg.dds_.PoseWithCovariance_"):
    pose: Pose
    covariance: array[float64, 36]


@dataclass
class TwistWithCovariance(IdlStruct, typename="geometry_msgs.msg.dds_.TwistWithCovariance_"):
    twist: Twist
    covariance: array[float64, 36]


@dataclass
class Odometry(IdlStruct, typename="nav_msgs.msg.dds_.Odometry_"):
    header: Header
    child_frame_id: str
    pose: PoseWithCovariance
    twist: TwistWithCovariance


@dataclass
class TrajectoryPoint(IdlStruct, typename="autoware_planning_msgs.msg.dds_.TrajectoryPoint_"):
    time_from_start: Duration
    pose: Pose
    longitudinal_velocity_mps: float32
    lateral_velocity_mps: float32
    acceleration_mps2: float32
    heading_rate_rps: float32
    front_wheel_angle_rad: float32
    rear_wheel_angle_rad: float32


@dataclass
class Trajectory(IdlStruct, typename="autoware_planning_msgs.msg.dds_.Trajectory_"):
    header: Header
    points: sequence[TrajectoryPoint]


@dataclass
class CompressedImage(IdlStruct, typename="sensor_msgs.msg.dds_.CompressedImage_"):
    header: Header
    format: str
    data: sequence[uint8]


@dataclass
class KeyValue(IdlStruct, typename="diagnostic_msgs.msg.dds_.KeyValue_"):
    key: str
    value: str


@dataclass
class DiagnosticStatus(IdlStruct, typename="diagnostic_msgs.msg.dds_.DiagnosticStatus_"):
    level: byte
    name: str
    message: str
    hardware_id: str
    values: sequence[KeyValue]


@dataclass
class DiagnosticArray(IdlStruct, typename="diagnostic_msgs.msg.dds_.DiagnosticArray_"):
    header: Header
    status: sequence[DiagnosticStatus]


TYPES = {
    f"{cls.__idl_typename__.split('.')[0]}/msg/{cls.__name__}": cls
    for cls in (String, Odometry, Trajectory, CompressedImage, DiagnosticArray)
}


def loopback():
    """A domain of this run. Other runs take others; where two meet, their topics differ."""
    return DdsConfig(next(DOMAINS), loopback=True)


def topic(name):
    """The topic's full name, of this process only."""
    return f"/test{os.getpid()}/{name}"


class Peer:
    """Another process, as far as the bus can tell."""

    def __init__(self, domain):
        inner = 1000 + domain
        discovery = f"<Discovery><ExternalDomainId>{domain}</ExternalDomainId>"
        self._domain = Domain(inner, loopback_config().replace("<Discovery>", discovery))
        self.participant = DomainParticipant(inner)

    def writer(self, name, cls, *, reliable=True, latched=False, depth=10):
        topic = Topic(self.participant, f"rt{name}", cls)
        return DataWriter(self.participant, topic, qos(reliable, latched, depth))

    def reader(self, name, cls, *, reliable=True, latched=False, depth=10):
        topic = Topic(self.participant, f"rt{name}", cls)
        return DataReader(self.participant, topic, qos(reliable, latched, depth))


def qos(reliable, latched, depth):
    return DdsQos(
        Policy.Reliability.Reliable(10**8) if reliable else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if latched else Policy.Durability.Volatile,
        Policy.History.KeepLast(depth),
    )


def until(condition, what):
    """Wait for what must come, and return it."""
    end_s = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end_s, f"{what} did not come within {PATIENCE_S} s"
        time.sleep(0.005)
    return value


def peers(end):
    """How many a writer or a reader of the peer is matched with."""
    if isinstance(end, DataWriter):
        return end.get_publication_matched_status().current_count
    return end.get_subscription_matched_status().current_count


def met(bus, *, hears=None, sends=None):
    """Wait until the two ends know each other."""
    if hears is not None:
        name, writer = hears
        until(lambda: bus.peers(name) and peers(writer), f"a peer of {name}")
    if sends is not None:
        name, reader = sends
        until(lambda: bus.peers(name) and peers(reader), f"a peer of {name}")


def taken(reader, cls):
    """The next message of a peer's reader."""
    return until(lambda: [m for m in reader.take(1) if isinstance(m, cls)], "a message")[0]


def plain(value):
    """A message of either implementation as names, lists and bits: NaN equals NaN."""
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.default is MISSING]  # no constants
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return value


def stamped(bus):
    """A header with the time of a real day."""
    stamp = bus.make("builtin_interfaces/msg/Time", sec=STAMP_S, nanosec=STAMP_NS)
    return bus.make("std_msgs/msg/Header", stamp=stamp, frame_id="map")


def example(bus, type_name):
    """A message with something in every field."""
    make = bus.make
    if type_name == "std_msgs/msg/String":
        return make(type_name, data="rechts überholt: 自転車 🚲")
    header = stamped(bus)
    if type_name == "sensor_msgs/msg/CompressedImage":
        return make(type_name, header=header, format="jpeg", data=bytes(range(256)))
    position = make("geometry_msgs/msg/Point", x=1.5, y=-2.25, z=math.nan)
    turned = make("geometry_msgs/msg/Quaternion", z=math.sqrt(0.5), w=math.sqrt(0.5))
    pose = make("geometry_msgs/msg/Pose", position=position, orientation=turned)
    if type_name == "nav_msgs/msg/Odometry":
        linear = make("geometry_msgs/msg/Vector3", x=6.25, y=-0.0, z=math.inf)
        twist = make("geometry_msgs/msg/Twist", linear=linear)
        return make(
            type_name,
            header=header,
            child_frame_id="base_link",
            pose=make(
                "geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.arange(36.0)
            ),
            twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist),
        )
    if type_name == "autoware_planning_msgs/msg/Trajectory":
        points = [
            make(
                "autoware_planning_msgs/msg/TrajectoryPoint",
                time_from_start=make("builtin_interfaces/msg/Duration", sec=1, nanosec=step),
                pose=pose,
                longitudinal_velocity_mps=0.25 * step,
                front_wheel_angle_rad=-0.03125,
            )
            for step in range(31)
        ]
        return make(type_name, header=header, points=points)
    pairs = [make("diagnostic_msgs/msg/KeyValue", key="rate", value="9.98 Hz")]
    status = make("diagnostic_msgs/msg/DiagnosticStatus", level=2, name="", values=pairs)
    return make(type_name, header=header, status=[status, status])
