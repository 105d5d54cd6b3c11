"""What a world hands to a writer: rigs, scenes and keyframes, all of them true."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Pose3
from drivevlm_sim.nuscenes_names import ATTRIBUTES, CATEGORIES, LOCATIONS

# P: points of a lidar sweep.
EARLIEST_SHOT_US = 100_000
"""A camera fires at most this long before its keyframe, and never after it."""

Cloud = NDArray[np.float32]
"""(P, 5) x, y, z in the lidar frame in metres, intensity 0..255, ring."""


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """The sensors of one vehicle.

    Attributes:
        cameras: With intrinsics and mounting, each of its own name.
        ego_from_lidar: Where LIDAR_TOP sits; nuScenes yaws it by -90 degrees.
    """

    cameras: tuple[Camera, ...]
    ego_from_lidar: Pose3

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a rig needs cameras of different names, got {names}")
        for camera in self.cameras:
            if camera.intrinsics is None or camera.ego_from_camera is None:
                raise ValueError(f"camera {camera.name!r} of a rig must be calibrated")


@dataclass(frozen=True, slots=True)
class Annotation:
    """An upright box round one object at the keyframe's stamp.

    Attributes:
        instance: Names the object within its scene.
        category: Full nuScenes name, e.g. ``vehicle.bus.rigid``.
        attribute: nuScenes name; "" where the category has none.
        center_global_m: Geometric centre.
        size_lwh_m: Length, width, height.
        yaw_global_rad: Heading of the length.
        visibility: 1 (at most 40 % of it seen by the cameras together) to 4 (80 % and more).
        lidar_points: Points inside; None where the keyframe's cloud tells and the writer counts.
    """

    instance: str
    category: str
    attribute: str
    center_global_m: tuple[float, float, float]
    size_lwh_m: tuple[float, float, float]
    yaw_global_rad: float
    visibility: int
    lidar_points: int | None = None

    def __post_init__(self) -> None:
        where = f"annotation of {self.instance!r}"
        if self.category not in CATEGORIES:
            raise ValueError(f"{where}: {self.category!r} is none of {', '.join(CATEGORIES)}")
        if self.attribute and self.attribute not in ATTRIBUTES:
            raise ValueError(f"{where}: {self.attribute!r} is none of {', '.join(ATTRIBUTES)}")
        if not 1 <= self.visibility <= 4:
            raise ValueError(f"{where}: visibility is 1 to 4, got {self.visibility}")
        numbers = [*self.center_global_m, *self.size_lwh_m, self.yaw_global_rad]
        if not np.isfinite(numbers).all() or min(self.size_lwh_m) <= 0:
            raise ValueError(f"{where}: a box is finite with positive size, got {numbers}")


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One image of one camera.

    Attributes:
        camera: Its name in the rig.
        stamp_us: When it was taken.
        global_from_ego: Where the vehicle was then.
        jpeg: Its bytes; None writes the table row without the file.
    """

    camera: str
    stamp_us: int
    global_from_ego: Pose3
    jpeg: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """One annotated moment.

    Attributes:
        stamp_us: Of the keyframe and its lidar sweep.
        global_from_ego: Where the vehicle was then.
        shots: At most one per camera.
        annotations: Each of another instance.
        cloud: The lidar sweep; None writes the row without the file.
    """

    stamp_us: int
    global_from_ego: Pose3
    shots: tuple[Shot, ...]
    annotations: tuple[Annotation, ...]
    cloud: Cloud | None

    def __post_init__(self) -> None:
        where = f"keyframe {self.stamp_us}"
        names = [shot.camera for shot in self.shots]
        instances = {a.instance for a in self.annotations}
        if len(set(names)) != len(names) or len(instances) != len(self.annotations):
            raise ValueError(f"{where}: a camera or an instance appears twice")
        for shot in self.shots:
            if not 0 <= self.stamp_us - shot.stamp_us <= EARLIEST_SHOT_US:
                raise ValueError(
                    f"{where}: {shot.camera} fires {self.stamp_us - shot.stamp_us} us before it, "
                    f"expected 0 to {EARLIEST_SHOT_US}"
                )
        if any((a.lidar_points is None) != (self.cloud is not None) for a in self.annotations):
            raise ValueError(f"{where}: lidar points are counted in the cloud or, without, given")
        if self.cloud is not None and (self.cloud.ndim != 2 or self.cloud.shape[1] != 5):
            raise ValueError(f"{where}: a cloud must be (P, 5), got {self.cloud.shape}")


@dataclass(frozen=True, slots=True)
class SceneHead:
    """What a scene is called and where it plays.

    Attributes:
        name: ``scene-2000`` to ``scene-9999``: lower numbers are those of nuScenes itself.
        description: One line; says that the scene is synthetic.
        location: One of the four map names that the devkit knows.
        vehicle: Who recorded it.
        date: Day of recording, ``yyyy-mm-dd``.
    """

    name: str
    description: str
    location: str
    vehicle: str
    date: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"scene-[2-9]\d{3}", self.name):
            raise ValueError(f"expected scene-2000 to scene-9999 as a name, got {self.name!r}")
        if self.location not in LOCATIONS:
            raise ValueError(f"location {self.location!r} is none of {', '.join(LOCATIONS)}")

    @property
    def log_name(self) -> str:
        """Every scene has a log of its own."""
        return f"{self.vehicle}-{self.date}-{self.name}"
