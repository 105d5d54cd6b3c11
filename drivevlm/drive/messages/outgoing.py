"""What the node publishes, as messages. Numbers are cast: ROS Humble asserts types of fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.health import Diagnostic
from drivevlm.drive.messages.stamps import NS_PER_S, duration_message, time_message
from drivevlm.drive.plan_message import Trajectory
from drivevlm.world.boxes import Box3
from drivevlm.world.pose import Floats

# N: points of a trajectory.


def header_message(bus: Bus, stamp_ns: int, frame_id: str) -> Message:
    """A ``std_msgs/Header``."""
    return bus.make("std_msgs/msg/Header", stamp=time_message(bus, stamp_ns), frame_id=frame_id)


def pose_message(bus: Bus, xyz_m: Sequence[float] | Floats, yaw_rad: float) -> Message:
    """A ``geometry_msgs/Pose`` that stands upright."""
    x_m, y_m, z_m = (float(value) for value in xyz_m)
    half_rad = float(yaw_rad) / 2
    return bus.make(
        "geometry_msgs/msg/Pose",
        position=bus.make("geometry_msgs/msg/Point", x=x_m, y=y_m, z=z_m),
        orientation=bus.make(
            "geometry_msgs/msg/Quaternion", z=float(np.sin(half_rad)), w=float(np.cos(half_rad))
        ),
    )


def poses_of(bus: Bus, trajectory: Trajectory) -> list[Message]:
    """A pose per point, in the odometry's frame, at the height of the ego at decision time."""
    z_m = trajectory.z_odom_m
    rows = zip(trajectory.xy_odom_m.tolist(), trajectory.yaw_odom_rad.tolist(), strict=True)
    return [pose_message(bus, (*xy_m, z_m), yaw_rad) for xy_m, yaw_rad in rows]


def points_of(bus: Bus, trajectory: Trajectory) -> list[Message]:
    """An ``autoware_planning_msgs/TrajectoryPoint`` per point."""
    return [
        bus.make(
            "autoware_planning_msgs/msg/TrajectoryPoint",
            time_from_start=duration_message(bus, float(trajectory.time_s[k])),
            pose=pose,
            longitudinal_velocity_mps=float(trajectory.speed_mps[k]),
            acceleration_mps2=float(trajectory.acceleration_mps2[k]),
            heading_rate_rps=float(trajectory.heading_rate_radps[k]),
            front_wheel_angle_rad=float(trajectory.front_wheel_angle_rad[k]),
        )
        for k, pose in enumerate(poses_of(bus, trajectory))
    ]


def trajectory_message(bus: Bus, trajectory: Trajectory, stamp_ns: int) -> Message:
    """An ``autoware_planning_msgs/Trajectory``, stamped with decision time."""
    return bus.make(
        "autoware_planning_msgs/msg/Trajectory",
        header=header_message(bus, stamp_ns, trajectory.frame_id),
        points=points_of(bus, trajectory),
    )


def candidates_message(
    bus: Bus, trajectory: Trajectory, stamp_ns: int, *, generator: str, generator_id: bytes
) -> Message:
    """An ``autoware_internal_planning_msgs/CandidateTrajectories`` with the one plan there is.

    ``generator_id`` holds 16 bytes that name a generator and its configuration. A turn indicator,
    which newer versions of the type have, keeps its default.
    """
    names = "autoware_internal_planning_msgs/msg"
    uuid = np.frombuffer(generator_id, dtype=np.uint8)
    candidate = bus.make(
        f"{names}/CandidateTrajectory",
        header=header_message(bus, stamp_ns, trajectory.frame_id),
        generator_id=bus.make("unique_identifier_msgs/msg/UUID", uuid=uuid),
        points=points_of(bus, trajectory),
    )
    info = bus.make(
        f"{names}/GeneratorInfo",
        generator_id=bus.make("unique_identifier_msgs/msg/UUID", uuid=uuid),
        generator_name=string_message(bus, generator),
    )
    return bus.make(
        f"{names}/CandidateTrajectories",
        candidate_trajectories=[candidate],
        generator_info=[info],
    )


def path_message(bus: Bus, trajectory: Trajectory, stamp_ns: int) -> Message:
    """A ``nav_msgs/Path``; each pose is stamped with the time at which the ego is to be there."""
    frame_id, poses = trajectory.frame_id, poses_of(bus, trajectory)
    stamps_ns = [stamp_ns + round(float(time_s) * NS_PER_S) for time_s in trajectory.time_s]
    return bus.make(
        "nav_msgs/msg/Path",
        header=header_message(bus, stamp_ns, frame_id),
        poses=[
            bus.make(
                "geometry_msgs/msg/PoseStamped", header=header_message(bus, ns, frame_id), pose=pose
            )
            for ns, pose in zip(stamps_ns, poses, strict=True)
        ],
    )


def string_message(bus: Bus, text: str) -> Message:
    """A ``std_msgs/String``."""
    return bus.make("std_msgs/msg/String", data=text)


def stamped_string_message(bus: Bus, text: str, stamp_ns: int) -> Message:
    """An ``autoware_internal_debug_msgs/StringStamped``."""
    return bus.make(
        "autoware_internal_debug_msgs/msg/StringStamped",
        stamp=time_message(bus, stamp_ns),
        data=text,
    )


def detections_message(
    bus: Bus, boxes: Sequence[Box3], stamp_ns: int, *, base_frame: str
) -> Message:
    """A ``vision_msgs/Detection3DArray`` in the ego frame of decision time.

    A score is NaN where the planner named an object without one.
    """
    header = header_message(bus, stamp_ns, base_frame)
    return bus.make(
        "vision_msgs/msg/Detection3DArray",
        header=header,
        detections=[_detection(bus, box, header) for box in boxes],
    )


def _detection(bus: Bus, box: Box3, header: Message) -> Message:
    center = pose_message(bus, box.center_ego_m, box.yaw_ego_rad)
    length_m, width_m, height_m = box.size_lwh_m.tolist()
    hypothesis = bus.make(
        "vision_msgs/msg/ObjectHypothesis",
        class_id=box.category,
        score=float("nan") if box.score is None else float(box.score),
    )
    result = bus.make(
        "vision_msgs/msg/ObjectHypothesisWithPose",
        hypothesis=hypothesis,
        pose=bus.make("geometry_msgs/msg/PoseWithCovariance", pose=center),
    )
    size = bus.make("geometry_msgs/msg/Vector3", x=length_m, y=width_m, z=height_m)
    return bus.make(
        "vision_msgs/msg/Detection3D",
        header=header,
        results=[result],
        bbox=bus.make("vision_msgs/msg/BoundingBox3D", center=center, size=size),
        id=box.id,
    )


def diagnostics_message(bus: Bus, diagnostic: Diagnostic, now_us: int, *, node: str) -> Message:
    """A ``diagnostic_msgs/DiagnosticArray`` with one status.

    Its ``level`` is given as a number: a bus of rclpy, where it is a byte, makes one of it.
    """
    status = bus.make(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=int(diagnostic.level.value),
        name=diagnostic.name,
        message=diagnostic.message,
        hardware_id=node,
        values=[
            bus.make("diagnostic_msgs/msg/KeyValue", key=key, value=value)
            for key, value in diagnostic.values.items()
        ],
    )
    return bus.make(
        "diagnostic_msgs/msg/DiagnosticArray",
        header=header_message(bus, now_us * 1000, ""),
        status=[status],
    )
