"""What the recording knows and a planner must not: the future, and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose3, wrap_rad
from drivevlm.world.scene_labels import SceneLabels

if TYPE_CHECKING:
    from shapely import Polygon

# N: labelled boxes of one keyframe. T: future keyframes.
PAST_STEPS = 2
FUTURE_STEPS = 6
STEP_S = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes:
    """All annotated boxes of one keyframe, in the global frame.

    Attributes:
        center_global_m: (N, 3) geometric centres.
        size_lwh_m: (N, 3) length, width, height.
        wxyz_global: (N, 4) unit quaternions (w, x, y, z).
        category: N full nuScenes category names, e.g. ``vehicle.bus.rigid``.
        instance: N names; the same object has the same name at every step.
        annotation, following: N names of these rows and of each object's next row ("" at the end).
        lidar_points, radar_points: (N,) measured points inside.
        visibility: (N,) 1 (least visible) to 4; 0 where unknown.
        attribute: N names such as ``vehicle.parked``, "" where a box has none; None where the
            source tells none.
    """

    center_global_m: Floats
    size_lwh_m: Floats
    wxyz_global: Floats
    category: tuple[str, ...]
    instance: tuple[str, ...]
    annotation: tuple[str, ...]
    following: tuple[str, ...]
    lidar_points: NDArray[np.int64]
    radar_points: NDArray[np.int64]
    visibility: NDArray[np.int64]
    attribute: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.category)
        shapes = [self.center_global_m.shape, self.size_lwh_m.shape, self.wxyz_global.shape]
        if shapes != [(n, 3), (n, 3), (n, 4)]:
            raise ValueError(f"{n} boxes need (N, 3), (N, 3) and (N, 4), got {shapes}")
        rows: tuple[Sized, ...] = (self.instance, self.annotation, self.following)
        rows += (self.lidar_points, self.radar_points, self.visibility)
        if self.attribute is not None:
            rows += (self.attribute,)
        lengths = [len(row) for row in rows]
        if set(lengths) - {n}:
            raise ValueError(f"{n} boxes need rows of the same length, got {lengths}")

    def __len__(self) -> int:
        return len(self.category)


@dataclass(frozen=True, slots=True, eq=False)
class TruthStep:
    """One recorded keyframe.

    Attributes:
        stamp_us: Of the keyframe.
        global_from_ego: Recorded pose.
        ego_from_lidar: Extrinsics of the main lidar; None where the recording has none.
        boxes: What was annotated.
    """

    stamp_us: int
    global_from_ego: Pose3
    ego_from_lidar: Pose3 | None
    boxes: LabelledBoxes


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The recording around one decision time, from -1 s to +3 s, in keyframes of 0.5 s.

    Attributes:
        token: The clip's token.
        scene: The clip's scene.
        steps: By offset from decision time in keyframes, ``-PAST_STEPS`` to ``FUTURE_STEPS``;
            an offset that the scene does not have is missing.
        description: What the recording's people wrote about the scene; "" where nothing.
        map_polygons: By map layer, near the ego, in the global frame; empty without a map.
        labels: True reasons of the decision; None where the recording has none.
    """

    token: str
    scene: str
    steps: Mapping[int, TruthStep]
    description: str = ""
    map_polygons: Mapping[str, tuple[Polygon, ...]] = field(default_factory=dict)
    labels: SceneLabels | None = None

    def __post_init__(self) -> None:
        if 0 not in self.steps:
            raise ValueError(f"truth of {self.token} lacks the keyframe of decision time itself")
        outside = [k for k in self.steps if not -PAST_STEPS <= k <= FUTURE_STEPS]
        if outside:
            raise ValueError(f"truth of {self.token} has steps {outside} out of range")

    @property
    def now(self) -> TruthStep:
        """The keyframe of decision time."""
        return self.steps[0]

    @property
    def future_valid(self) -> NDArray[np.bool_]:
        """(FUTURE_STEPS,) which future keyframes were recorded."""
        return np.array([k in self.steps for k in range(1, FUTURE_STEPS + 1)])

    def future_path(self) -> tuple[Floats, Floats]:
        """Recorded rear-axle positions (T, 2) and headings (T,) in the ego frame of decision time.

        NaN where the future was not recorded.
        """
        ego_from_global = self.now.global_from_ego.inverse()
        xy_ego_m = np.full((FUTURE_STEPS, 2), np.nan)
        yaw_ego_rad = np.full(FUTURE_STEPS, np.nan)
        for k in range(1, FUTURE_STEPS + 1):
            if k in self.steps:
                ego_from_later = ego_from_global @ self.steps[k].global_from_ego
                xy_ego_m[k - 1] = ego_from_later.translation_m[:2]
                yaw_ego_rad[k - 1] = wrap_rad(ego_from_later.yaw_rad)
        return xy_ego_m, yaw_ego_rad

    def future_plan(self) -> Plan | None:
        """The recorded future as a plan with its recorded headings; None where incomplete."""
        if not self.future_valid.all():
            return None
        xy_ego_m, yaw_ego_rad = self.future_path()
        return Plan(xy_ego_m, dt_s=STEP_S, yaw_ego_rad=yaw_ego_rad)
