"""SparseDrive's protocol: exact rectangles round all that is annotated, and an ego that turns."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.footprints import (
    Footprints,
    joined,
    lidar_mount,
    recorded_path,
    swing_rad,
)
from drivevlm.metrics.polygons import PolygonSurface
from drivevlm.metrics.rule import (
    Averaging,
    Axes,
    Counted,
    PlanningRule,
    Touch,
    collision,
    l2,
)
from drivevlm.metrics.uniad import PEERS_EGO
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import Truth

# N: clips, T: steps. Lidar axes: x right, y ahead.

STILL_M = 0.5
"""A path whose last waypoint is nearer than this to its first one points straight ahead."""


def central_headings_rad(xy_m: Floats) -> Floats:
    """(N, T) headings of paths (N, T, 2) that begin at the origin.

    A waypoint's heading is the direction from the waypoint before it (at first the origin) to the
    one after it; the last one's is that of the last step. A reversing ego is turned round. All are
    straight ahead where the path ends nearer than ``STILL_M`` to its first waypoint: a path that
    circles back is one of these.
    """
    start = np.zeros_like(xy_m[:, :1])
    path_m = np.concatenate([start, xy_m], axis=1)
    along_m = path_m[:, 2:] - path_m[:, :-2]
    along_m = np.concatenate([along_m, path_m[:, -1:] - path_m[:, -2:-1]], axis=1)
    run_m = xy_m[:, -1] - xy_m[:, 0]
    stands = np.hypot(run_m[:, 0], run_m[:, 1]) < STILL_M
    return np.where(stands[:, None], np.pi / 2, np.arctan2(along_m[..., 1], along_m[..., 0]))


def _agents(truth: Truth) -> Footprints:
    """Everything annotated at each future keyframe in which the lidar measured a point.

    As in SparseDrive a box's yaw is read off in the later lidar's axes, and its direction there is
    then turned in space with the lidar.
    """
    global_from_now = truth.now.global_from_ego @ lidar_mount(truth.now)
    parts = []
    for step in sorted(k for k in truth.steps if k > 0):
        later = truth.steps[step]
        global_from_later = later.global_from_ego @ lidar_mount(later)
        seen = later.boxes.lidar_points > 0
        box_rotation = rotation_from_wxyz(later.boxes.wxyz_global[seen])
        yaw_rad = swing_rad(global_from_later.rotation.T @ box_rotation)
        along = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=-1)
        along = along @ (global_from_now.rotation.T @ global_from_later.rotation)[:2, :2].T
        center_m = global_from_now.inverse().apply(later.boxes.center_global_m[seen])[:, :2]
        parts.append(
            Footprints(
                np.full(len(center_m), step - 1),
                center_m,
                np.arctan2(along[:, 1], along[:, 0]),
                later.boxes.size_lwh_m[seen, :2],
            )
        )
    return joined(parts)


def _recorded(truth: Truth) -> tuple[Floats, Floats]:
    return recorded_path(truth, point_lidar_m=(0.0, 0.0, 0.0), precision=np.float64)


SPARSEDRIVE = PlanningRule(
    name="sparsedrive",
    source="swc-17/SparseDrive ec0225d, planning_eval.py, nuscenes_3d_dataset.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.LIDAR,
    point=(0.0, 0.0, 0.0),
    recorded=_recorded,
    touches=(Touch("agents", PolygonSurface(_agents, PEERS_EGO)),),
    figures=(l2(Averaging.MEAN), collision(Averaging.MEAN)),
    agents="everything annotated with a lidar point at each future keyframe",
    grid="exact rectangles",
    heading=central_headings_rad,
    quirks=(
        "all annotated boxes with a lidar point count, whatever they are: barriers, cones, debris, "
        "bicycle racks and animals too (no class filter is applied to the future's boxes)",
        "the ego's heading is read off its path by central differences; straight ahead where the "
        "path ends within 0.5 m of its first waypoint",
        "the ego's box lies 0.5 m ahead of the lidar along that heading",
        "rectangles that touch collide",
        "the paper's table was made with an older collision metric (README of the source)",
    ),
)
