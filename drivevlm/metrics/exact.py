"""Our own protocol: exact outlines of the ego, of all road users and of the drivable area."""

from __future__ import annotations

import numpy as np
import shapely

from drivevlm.metrics.footprints import Footprints, heading_rad, joined
from drivevlm.metrics.polygons import AreaSurface, PolygonSurface
from drivevlm.metrics.rule import (
    DISTANCE,
    Averaging,
    Axes,
    Counted,
    Figure,
    PlanningRule,
    Touch,
    collision,
    l2,
)
from drivevlm.metrics.surface import CannotJudgeError, EgoBox
from drivevlm.world import body
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import Truth

# Ego axes: x ahead, y left, round the rear axle now.

EGO = EgoBox(body.LENGTH_M, body.WIDTH_M, ahead_m=body.CENTER_M)

ROAD_USERS = ("vehicle.", "human.pedestrian.")
"""How the category names begin of those that may be hit: everything with wheels, cyclists and
police cars among them, and everybody on foot, in a wheelchair, in a stroller or on a personal
mobility device. Animals, barriers, cones, debris and bicycle racks may not."""

DRIVABLE = "drivable_area"
SEAM_M = 0.01
"""Gaps in the map narrower than this are closed. Where a corner of one polygon lies on an edge of
its neighbour, rounding leaves such gaps, and no road has them."""
MITRE = 50.0
"""Corners down to 2 degrees stay sharp when gaps are closed."""
MAP_M = 100.0
"""Half side of the square round the ego in which the area is kept. A recording's map reaches 75 m
in all directions, and as far as the polygons that begin there; beyond, nothing is drivable."""


def road_users(truth: Truth) -> Footprints:
    """Everyone who may be hit, as annotated at each future keyframe, with or without points.

    Boxes are moved in space; what is kept is where they stand and point to on the ego's ground
    plane of now.
    """
    ego_from_global = truth.now.global_from_ego.inverse()
    parts = []
    for step in sorted(k for k in truth.steps if k > 0):
        boxes = truth.steps[step].boxes
        kept = np.array([name.startswith(ROAD_USERS) for name in boxes.category], dtype=np.bool_)
        turned = ego_from_global.rotation @ rotation_from_wxyz(boxes.wxyz_global[kept])
        center_m = ego_from_global.apply(boxes.center_global_m[kept])[:, :2]
        parts.append(
            Footprints(
                np.full(len(center_m), step - 1),
                center_m,
                heading_rad(turned),
                boxes.size_lwh_m[kept, :2],
            )
        )
    return joined(parts)


def drivable_area(truth: Truth) -> shapely.Geometry:
    """The union of the drivable polygons, laid flat at the ego's height and seen from the ego.

    The map is flat; laid so, it and the recorded path, which is moved in space, agree.
    """
    if DRIVABLE not in truth.map_polygons:
        raise CannotJudgeError("the recording has no map of the drivable area")
    from_ego = truth.now.global_from_ego
    x_m, y_m, z_m = from_ego.translation_m
    window = shapely.box(x_m - MAP_M, y_m - MAP_M, x_m + MAP_M, y_m + MAP_M)
    near = shapely.intersection(np.array(truth.map_polygons[DRIVABLE], dtype=object), window)
    wider = shapely.buffer(near, SEAM_M / 2, join_style="mitre", mitre_limit=MITRE)
    area = shapely.buffer(
        shapely.union_all(wider), -SEAM_M / 2, join_style="mitre", mitre_limit=MITRE
    )

    def seen(xy_global_m: Floats) -> Floats:
        xyz = np.c_[xy_global_m, np.full(len(xy_global_m), z_m)]
        return from_ego.inverse().apply(xyz)[:, :2]

    return shapely.transform(area, seen)


def _recorded(truth: Truth) -> tuple[Floats, Floats]:
    return truth.future_path()


EXACT = PlanningRule(
    name="exact",
    source="drivevlm's own",
    counted=Counted.FULL_FUTURE,
    axes=Axes.EGO,
    point="rear_axle",
    recorded=_recorded,
    touches=(
        Touch("agents", PolygonSurface(road_users, EGO)),
        Touch(DRIVABLE, AreaSurface(drivable_area, EGO), map=True),
    ),
    figures=(
        l2(Averaging.MEAN),
        Figure("l2_at_m", DISTANCE, Averaging.AT),
        collision(Averaging.ANY),
        Figure("collision_at", "agents", Averaging.AT),
        Figure("collision_all", "agents", Averaging.ANY, excused=False),
        Figure("collision_at_all", "agents", Averaging.AT, excused=False),
        Figure("off_drivable", DRIVABLE, Averaging.ANY),
        Figure("off_drivable_at", DRIVABLE, Averaging.AT),
        Figure("off_drivable_all", DRIVABLE, Averaging.ANY, excused=False),
        Figure("off_drivable_at_all", DRIVABLE, Averaging.AT, excused=False),
    ),
    agents="vehicles, cyclists and pedestrians of each future keyframe",
    grid="exact rectangles, map polygons",
    split=True,
    quirks=(
        "the ego's box is 4.084 x 1.85 m, its centre 1.486 m ahead of the rear axle, and turns "
        "with a plan's headings, or where it has none with its tangents, held below 0.1 m/s",
        "all annotated vehicles and humans count, with or without points: strollers, wheelchairs "
        "and personal mobility too; animals, barriers, cones, debris and bicycle racks do not",
        "rectangles that touch collide",
        "collision and off_drivable: at any step up to k s; with _at: at k s",
        "with _all: steps at which the recorded ego does the same are held against the plan too",
        "off_drivable: some of the ego's box lies outside the map's drivable area",
    ),
)
