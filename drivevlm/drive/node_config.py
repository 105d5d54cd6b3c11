"""Settings of the node around the runtime: its inputs, its rig and its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

import numpy as np

from drivevlm.drive.config import DriveConfig
from drivevlm.world.boxes import CATEGORIES
from drivevlm.world.pose import Floats, Pose3

EMBEDDED = "embedded"


class Transport(str, Enum):
    """How pictures come."""

    COMPRESSED = "compressed"  # sensor_msgs/CompressedImage, JPEG or PNG
    RAW = "raw"  # sensor_msgs/Image


class ObjectsType(str, Enum):
    """Which message tells of objects."""

    NONE = "none"
    PREDICTED = "predicted_objects"  # autoware_perception_msgs/PredictedObjects
    DETECTION = "detection3d"  # vision_msgs/Detection3DArray


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """What holds for all cameras.

    Attributes:
        transport: How pictures come.
        rectified: Pictures are rectified: of their camera_info, P and R count and not K.
        calibrated: Only cameras whose matrix and pose are known have a part in decisions.
    """

    transport: Transport = Transport.COMPRESSED
    rectified: bool = False
    calibrated: bool = True


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of one camera beforehand; what is left empty comes from camera_info and tf.

    Attributes:
        size_px: Width and height of its pictures.
        intrinsics: The nine numbers of its pinhole matrix in pixels, row by row.
        translation_m: Where its lens is in the ego frame (x, y, z).
        quaternion_xyzw: How its optical frame (x right, y down, z ahead) is turned in it.
        frame_id: Its optical frame in tf, where no camera_info names it.
    """

    size_px: tuple[int, ...] = ()
    intrinsics: tuple[float, ...] = ()
    translation_m: tuple[float, ...] = ()
    quaternion_xyzw: tuple[float, ...] = ()
    frame_id: str = ""

    def __post_init__(self) -> None:
        wanted = {"size_px": 2, "intrinsics": 9, "translation_m": 3, "quaternion_xyzw": 4}
        for name, count in wanted.items():
            numbers = getattr(self, name)
            if len(numbers) not in (0, count) or not np.isfinite(numbers).all():
                raise ValueError(f"{name} holds {count} finite numbers, got {list(numbers)}")
        if self.size_px and min(self.size_px) < 1:
            raise ValueError(f"size_px is positive, got {list(self.size_px)}")
        if bool(self.translation_m) != bool(self.quaternion_xyzw):
            raise ValueError(f"translation_m and quaternion_xyzw come together, got {self}")
        if self.quaternion_xyzw and np.linalg.norm(self.quaternion_xyzw) < 1e-9:
            raise ValueError(f"quaternion_xyzw is not zero, got {list(self.quaternion_xyzw)}")

    @property
    def is_whole(self) -> bool:
        """Whether it says all of a camera: neither camera_info nor tf is needed."""
        return bool(self.size_px and self.intrinsics and self.translation_m)

    @property
    def matrix(self) -> Floats | None:
        """(3, 3) in pixels of ``size_px``."""
        return np.array(self.intrinsics).reshape(3, 3) if self.intrinsics else None

    @property
    def ego_from_camera(self) -> Pose3 | None:
        """The optical frame in the ego frame."""
        if not self.translation_m:
            return None
        wxyz = np.roll(np.array(self.quaternion_xyzw), 1)
        return Pose3.from_quaternion(wxyz=wxyz, translation_m=np.array(self.translation_m))


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """Objects of a detector: proposals for the planner, obstacles for the gate.

    Attributes:
        type: Which message tells of them.
        classes: What a detector's class ids mean, as in ``0=car``, where they are not told by name.
    """

    type: ObjectsType = ObjectsType.NONE
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, category in self.categories.items():
            if not name or category not in CATEGORIES:
                raise ValueError(
                    f"classes holds ID=CLASS with a class of {', '.join(CATEGORIES)}, got "
                    f"{name}={category}"
                )

    @property
    def categories(self) -> Mapping[str, str]:
        """By class id."""
        parts = (entry.rpartition("=") for entry in self.classes)
        return {name.strip(): category.strip() for name, _, category in parts}


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """What is used of a LaneletRoute: its goal, and no turn, for there is no map here.

    Attributes:
        use: Hear the route. Near its goal the command is stop_at_goal, whatever the navigation
            command says.
        near_m: The goal lies so near ahead at most, in a straight line.
        aside_m: And so far to either side at most, heading the ego's way: about in its lane.
        latched: The route's publisher gives late joiners the last one (transient local).
    """

    use: bool = False
    near_m: float = 30.0
    aside_m: float = 3.0
    latched: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.near_m < np.inf and 0 < self.aside_m < np.inf):
            raise ValueError(f"near_m and aside_m are positive and finite, got {self}")


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """What is published, where its message package is there.

    Attributes:
        trajectory: autoware_planning_msgs/Trajectory.
        candidate_trajectories: autoware_internal_planning_msgs/CandidateTrajectories.
        path: nav_msgs/Path.
        reasoning: Raw reply, request digest, stamp, gate verdict and decision, as JSON.
        objects: vision_msgs/Detection3DArray of what the planner says is there.
        markers: What RViz and Foxglove draw: plan, objects and words.
    """

    trajectory: bool = True
    candidate_trajectories: bool = True
    path: bool = True
    reasoning: bool = True
    objects: bool = True
    markers: bool = True

    @property
    def on(self) -> tuple[str, ...]:
        """Names of those that are switched on."""
        return tuple(part.name for part in fields(self) if getattr(self, part.name))


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """Which planner decides.

    Attributes:
        model_path: Folder of the model's weights; embedded for the one that ships with the
            package.
        settings: Further settings of the planner, as typed after ``drivevlm eval``, such as
            prompt.sections=[PLAN] for a plan without the words before it, which comes sooner.
    """

    model_path: str = EMBEDDED
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node.

    Attributes:
        base_frame: The ego frame: the rear axle, on the ground, x ahead.
        autostart: Configure and activate at the start.
        use_sim_time: The node's clock is the topic /clock.
        calibration: By camera.
    """

    drive: DriveConfig = field(default_factory=DriveConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    objects: ObjectsConfig = field(default_factory=ObjectsConfig)
    route: RouteConfig = field(default_factory=RouteConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    base_frame: str = "base_link"
    autostart: bool = True
    use_sim_time: bool = False
    calibration: Mapping[str, Calibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.base_frame or self.base_frame.startswith("/"):
            raise ValueError(f"base_frame names a frame without a slash, got {self.base_frame!r}")
        if self.drive.gate.needs_objects and self.objects.type is ObjectsType.NONE:
            raise ValueError(
                "gate.needs_objects needs objects.type, or no plan would ever pass: got none"
            )
        strangers = sorted(set(self.calibration) - set(self.drive.sync.cameras))
        if strangers:
            raise ValueError(
                f"calibration names cameras of sync.cameras {self.drive.sync.cameras}, got "
                f"{strangers}"
            )

    def calibration_of(self, camera: str) -> Calibration:
        """What is known of a camera beforehand, which may be nothing."""
        return self.calibration.get(camera, Calibration())
