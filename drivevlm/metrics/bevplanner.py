"""BEV-Planner's protocol: 0.1 m cells, an ego that turns, and the road's boundary."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.footprints import (
    VEHICLES,
    Footprints,
    joined,
    lidar_mount,
    of_classes,
    swing_rad,
)
from drivevlm.metrics.grids import GridSurface
from drivevlm.metrics.raster import Bools, fill
from drivevlm.metrics.road import boundary_grid
from drivevlm.metrics.rule import (
    Averaging,
    Axes,
    Counted,
    Figure,
    PlanningRule,
    Touch,
    collision,
    l2,
)
from drivevlm.metrics.surface import EgoBox
from drivevlm.metrics.turned_block import (
    FINE_GRID,
    LIDAR_AHEAD_M,
    TurnedBlock,
    cut_rc,
    step_headings_rad,
)
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import FUTURE_STEPS, Truth

EGO = EgoBox(length_m=4.084, width_m=1.85, ahead_m=0.5 + LIDAR_AHEAD_M)
BLOCK = TurnedBlock(FINE_GRID, EGO, np.float32)


def recorded(truth: Truth) -> tuple[Floats, Floats]:
    """(T, 2) displacement of the lidar along the ego's axes of decision time, and (T,) headings.

    It is not the path of the ego's origin, over which the ego is then drawn: after a turn of 90
    degrees they are 1.4 m apart. NaN where the future was not recorded.
    """
    now = truth.now.global_from_ego.inverse()
    start_m = lidar_mount(truth.now).translation_m
    xy_m = np.full((FUTURE_STEPS, 2), np.nan)
    for k in range(1, FUTURE_STEPS + 1):
        if k in truth.steps:
            step = truth.steps[k]
            lidar_m = step.global_from_ego.apply(lidar_mount(step).translation_m)
            xy_m[k - 1] = (now.apply(lidar_m) - start_m)[:2]
    return xy_m, truth.future_path()[1]


def agents(truth: Truth) -> Footprints:
    """The vehicles of each future keyframe with a lidar or radar point, in the ego's axes now."""
    ego_from_global = truth.now.global_from_ego.inverse()
    parts = []
    for k in sorted(k for k in truth.steps if k > 0):
        boxes = truth.steps[k].boxes
        kept = of_classes(boxes, VEHICLES) & (boxes.lidar_points + boxes.radar_points > 0)
        center_m = ego_from_global.apply(boxes.center_global_m[kept])[:, :2]
        rotation = ego_from_global.rotation @ rotation_from_wxyz(boxes.wxyz_global[kept])
        step = np.full(len(center_m), k - 1)
        parts.append(Footprints(step, center_m, swing_rad(rotation), boxes.size_lwh_m[kept, :2]))
    return joined(parts)


def agents_grid(truth: Truth) -> Bools:
    """(T, S, S) cells of ``agents``, their corners cut towards zero."""
    drawn = agents(truth)
    corners_rc = cut_rc(drawn.corners_m())
    return fill(corners_rc, drawn.step, layers=FUTURE_STEPS, cells=FINE_GRID.cells)


def headings_rad(xy_m: Floats) -> Floats:
    """(N, T) headings of the ego's box: of steps of 1 m or more."""
    return step_headings_rad(xy_m, precision=np.float32)


BEVPLANNER = PlanningRule(
    name="bevplanner",
    source="NVlabs/BEV-Planner 01c28d6, metric_stp3.py, naive_planner.py, loading.py, "
    "vector_map.py, create_data_bev_planner.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.EGO,
    point=(0.0, 0.0, 0.0),
    recorded=recorded,
    touches=(
        Touch("agents", GridSurface(FINE_GRID, agents_grid, BLOCK.cells)),
        Touch("boundary", GridSurface(FINE_GRID, boundary_grid, BLOCK.cells, layers=1), map=True),
    ),
    figures=(
        l2(Averaging.MEAN),
        collision(Averaging.ANY),
        Figure("ccr", "boundary", Averaging.ANY),
    ),
    agents="vehicles of each future keyframe with a lidar or radar point",
    grid="0.1 m cells",
    heading=headings_rad,
    quirks=(
        "the path is the lidar's displacement; the ego is drawn as if it were the rear axle's",
        "the ego is turned by its path where a step is 1 m or more, and not turned at all below",
        "a turned ego's cells are rounded one by one and leave gaps; its outline grows",
        "a path that leaves the grid is glued to its border, and so are boundaries beyond 50 m",
        "the boundary is that of roads and lanes within 51 m ahead and 25 m aside, each piece of "
        "it in 19 straight lines",
        "ccr: where no road is near the peer's code draws that of a place in Boston; "
        "here nothing can be touched",
        "ccr: an outline that crosses itself is mended, where the peer's code leaves it out",
    ),
)
