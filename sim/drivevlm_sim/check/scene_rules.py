"""Rules of scenes: the ego keeps to the road and drives gently, boxes hold their points."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Point

from drivevlm.data.nuscenes.folder import map_file
from drivevlm.data.nuscenes.maps import Maps
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import LabelledBoxes
from drivevlm_sim.check.disk import Disk
from drivevlm_sim.check.findings import Finding, Rule
from drivevlm_sim.check.motion import STANDS_M, driven

# P: points.
MIDDLE_M = 1.4
"""From the rear axle to the middle of the body of a car."""
LATERAL_MPS2 = 3.5
ROUNDING_M = 1e-3
"""Points so near a box's face may lie on either side of it."""
NEAR_M = 30.0
WELL_SEEN = 4
"""The visibility token of what is hardly hidden: its points are asked for."""

ROAD_RULE = Rule(
    "ego_on_road", "rear axle and middle of the ego off the drivable area", "m", most=0, share=0.995
)
LATERAL_RULE = Rule(
    "ego_lateral", "lateral acceleration between keyframes", "m/s2", most=LATERAL_MPS2
)
COUNT_RULE = Rule("box_points", "boxes whose lidar count is not that of the sweep", most=0)
EMPTY_RULE = Rule(
    "box_empty",
    f"boxes in plain sight within {NEAR_M:g} m that no lidar point hits",
    "share",
    most=0.05,  # sweeps may be thinned
)
HULL_RULE = Rule(
    "box_hull",
    f"median IoU of hull and mask, cars in plain sight within {NEAR_M:g} m",
    least=0.7,
)
CAR = "vehicle.car"
STANDING_RULE = Rule("standing", "keyframes that stand for the whole next 3 s", "share", most=0.2)


def scene_findings(disk: Disk) -> list[Finding]:
    """All rules of one version's scenes."""
    return [
        _road(disk),
        Finding.of(
            LATERAL_RULE,
            {
                scene.name: float(np.abs(driven(disk, scene).lateral_mps2).max(initial=0.0))
                for scene in disk.scenes
            },
        ),
        Finding.of(COUNT_RULE, {where: _miscounted(disk, s) for where, _, s in disk.keyframes()}),
        _empty(disk),
        _hulls(disk),
    ]


def standing_finding(disk: Disk) -> Finding:
    """Asked of worlds whose scenes were chosen because something happens."""
    runs_m = np.concatenate([*(driven(disk, s).runs_m for s in disk.scenes), np.zeros(0)])
    share = float((runs_m < STANDS_M).mean()) if len(runs_m) else None
    return Finding.of(STANDING_RULE, {"all": share})


def _road(disk: Disk) -> Finding:
    maps = Maps(disk.root)
    figures: dict[str, float | None] = {}
    for where, scene, sample in disk.keyframes():
        if map_file(disk.root, scene.location).is_file():
            ego = disk.ego(sample)
            places_m = ego.apply(np.array([[0.0, 0.0, 0.0], [MIDDLE_M, 0.0, 0.0]]))[:, :2]
            figures[where] = max(_off_road_m(maps, scene.location, xy_m) for xy_m in places_m)
        else:
            figures[where] = None
    return Finding.of(ROAD_RULE, figures)


def _off_road_m(maps: Maps, location: str, xy_m: Floats) -> float:
    near = maps.near(location, xy_m).get("drivable_area", ())
    return min((float(area.distance(Point(xy_m))) for area in near), default=math.inf)


def _miscounted(disk: Disk, sample: int) -> float | None:
    """How many boxes hold fewer or more points than they say; None without the sweep."""
    cloud_m = disk.cloud_global_m(sample)
    if cloud_m is None:
        return None
    cloud_m = cloud_m[np.argsort(cloud_m[:, 0])]
    boxes = disk.boxes(sample)
    wrong = 0
    for row, told in enumerate(boxes.lidar_points):
        least, most = _inside(cloud_m, boxes, row)
        wrong += not least <= told <= most
    return float(wrong)


def _inside(cloud_m: Floats, boxes: LabelledBoxes, row: int) -> tuple[int, int]:
    """Points (P, 3), sorted by x, surely in a box, and those that may be."""
    center_m, half_m = boxes.center_global_m[row], boxes.size_lwh_m[row] / 2
    reach_m = float(np.linalg.norm(half_m)) + 2 * ROUNDING_M
    ends = np.searchsorted(cloud_m[:, 0], [center_m[0] - reach_m, center_m[0] + reach_m])
    away_m = cloud_m[ends[0] : ends[1]] - center_m
    beyond_m = np.abs(away_m @ rotation_from_wxyz(boxes.wxyz_global[row])) - half_m
    farthest_m = beyond_m.max(axis=1)
    return int((farthest_m <= -ROUNDING_M).sum()), int((farthest_m <= ROUNDING_M).sum())


def _plain(disk: Disk, sample: int) -> NDArray[np.bool_]:
    """Which boxes of a keyframe are near and hardly hidden."""
    boxes = disk.boxes(sample)
    away_m = boxes.center_global_m[:, :2] - disk.ego(sample).translation_m[:2]
    near = np.hypot(away_m[:, 0], away_m[:, 1]) < NEAR_M
    return np.asarray(near & (boxes.visibility == WELL_SEEN))


def _empty(disk: Disk) -> Finding:
    empty = plain = 0
    for _, _, sample in disk.keyframes():
        chosen = _plain(disk, sample)
        plain += int(chosen.sum())
        empty += int((chosen & (disk.boxes(sample).lidar_points == 0)).sum())
    return Finding.of(EMPTY_RULE, {"all": empty / plain if plain else None})


def _hulls(disk: Disk) -> Finding:
    found = [iou for _, _, sample in disk.keyframes() for iou in _ious(disk, sample)]
    return Finding.of(HULL_RULE, {"all": float(np.median(found)) if found else None})


def _ious(disk: Disk, sample: int) -> Iterator[float]:
    """Of the hulls of cars that lie wholly in a picture, with their instances' masks."""
    views = disk.dense(sample)
    boxes = disk.boxes(sample)
    cars = {
        boxes.instance[row]
        for row in np.flatnonzero(_plain(disk, sample))
        if boxes.category[row] == CAR
    }
    for camera, view in views.items():
        if view.mask is None or camera not in disk.cameras:
            continue
        corners_px, size_px = disk.corners_px(camera, sample), disk.size_px(camera, sample)
        if corners_px is None or size_px is None:
            continue
        height, width = view.mask.shape
        for name, corners in zip(boxes.instance, corners_px, strict=True):
            hull = corners * ((width, height) / size_px)
            whole = (hull >= 0).all() and (hull <= (width, height)).all()
            if not whole or name not in cars or name not in view.instances:
                continue
            outline = shapely.MultiPoint(hull - 0.5).convex_hull
            drawn = shapely.contains_xy(outline, *np.meshgrid(range(width), range(height)))
            mask = view.mask == view.instances.index(name) + 1
            yield float((mask & drawn).sum() / max((mask | drawn).sum(), 1))
