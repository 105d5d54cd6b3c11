"""OmniDrive's protocol: 0.1 m cells, the tracks of vehicles that are there now, drivable area."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.bevplanner import EGO
from drivevlm.metrics.footprints import Footprints, swing_rad, tracks
from drivevlm.metrics.grids import GridSurface
from drivevlm.metrics.raster import Bools, Grid, Ints, fill
from drivevlm.metrics.road import drivable_grid
from drivevlm.metrics.rule import (
    Averaging,
    Axes,
    Counted,
    Excused,
    Figure,
    PlanningRule,
    Touch,
    collision,
    l2,
)
from drivevlm.metrics.surface import EgoBox, Paths
from drivevlm.metrics.turned_block import (
    FINE_GRID,
    MARGIN,
    DrawnBox,
    TurnedBlock,
    rounded_rc,
    step_headings_rad,
    tangents_rad,
)
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import FUTURE_STEPS, Truth

ASSUMED_CATEGORIES = (
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
)
"""The 23-entry category table of plain nuScenes. OmniDrive draws rows of it by number; with the
32-entry table of nuScenes-lidarseg, which VAD needs, the same numbers name other things."""
DRAWN = frozenset(ASSUMED_CATEGORIES[8:18])

BLOCK = TurnedBlock(FINE_GRID, EGO, np.float64)
DRAWN_EGO = DrawnBox(FINE_GRID, EgoBox(length_m=4.08, width_m=1.85, ahead_m=EGO.ahead_m))
FLOOR_M = -0.78
"""The recorded pose is the floor of a box 1.56 m high round the ego's origin (trajectory_api.py);
where the road is not level that is not the path of the origin itself."""


def recorded(truth: Truth) -> tuple[Floats, Floats]:
    """(T, 2) path of the ego's origin in its axes of decision time, and (T,) headings.

    Carried from pose to pose in single precision, as the peer does. NaN where not recorded.
    """
    now = truth.now.global_from_ego
    xy_m = np.full((FUTURE_STEPS, 2), np.nan)
    for k in range(1, FUTURE_STEPS + 1):
        if k in truth.steps:
            later = truth.steps[k].global_from_ego
            point = _turned(np.array([0.0, 0.0, FLOOR_M]), later.rotation)
            point = point + later.translation_m.astype(np.float32)
            point = point - now.translation_m.astype(np.float32)
            xy_m[k - 1] = _turned(point, now.rotation.T)[:2]
    return xy_m, truth.future_path()[1]


def _turned(xyz: Floats, rotation: Floats) -> Floats:
    """(3,) turned in single precision, term by term, so that every machine agrees."""
    x, y, z = xyz.astype(np.float32)
    to = rotation.astype(np.float32)
    return np.asarray(to[:, 0] * x + to[:, 1] * y + to[:, 2] * z)


def agents(truth: Truth) -> Footprints:
    """The tracks of the vehicles that are annotated now, in the ego's axes now.

    No point-count or range filter. An object's n-th next annotation is taken for step n; the size
    is that of decision time.
    """
    ego_from_global = truth.now.global_from_ego.inverse()
    kept = np.array([name in DRAWN for name in truth.now.boxes.category], dtype=np.bool_)
    boxes, start_row, step, row = tracks(truth, kept)
    center_m = ego_from_global.apply(boxes.center_global_m[row])[:, :2]
    rotation = ego_from_global.rotation @ rotation_from_wxyz(boxes.wxyz_global[row])
    return Footprints(step, center_m, swing_rad(rotation), boxes.size_lwh_m[start_row, :2])


def agents_grid(truth: Truth) -> Bools:
    """(T, S, S) cells of ``agents``, their corners rounded."""
    drawn = agents(truth)
    corners_rc = rounded_rc(drawn.corners_m())
    return fill(corners_rc, drawn.step, layers=FUTURE_STEPS, cells=FINE_GRID.cells)


def headings_rad(xy_m: Floats) -> Floats:
    """(N, T) headings of the ego's box among road users: of steps of 1 m or more."""
    return step_headings_rad(xy_m, precision=np.float64)


def cells_on_road(paths: Paths) -> tuple[Ints, Ints]:
    """(N, T, B) rows and columns under the ego on the road, where it turns with every step."""
    return DRAWN_EGO.cells(Paths(paths.xy_m, tangents_rad(paths.xy_m)))


OMNIDRIVE = PlanningRule(
    name="omnidrive",
    source="NVlabs/OmniDrive 807c86a, eval_planning.py, planning_utils.py, trajectory_api.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.EGO,
    point="rear_axle",
    recorded=recorded,
    touches=(
        Touch("agents", GridSurface(FINE_GRID, agents_grid, BLOCK.cells)),
        Touch(
            "off_drivable",
            GridSurface(
                Grid(FINE_GRID.cell_m, FINE_GRID.cells + 2 * MARGIN),
                drivable_grid,
                cells_on_road,
                layers=1,
                off=True,
            ),
            excused=Excused.START,
            map=True,
        ),
    ),
    figures=(
        l2(Averaging.MEAN),
        collision(Averaging.ANY),
        Figure("off_drivable", "off_drivable", Averaging.ANY),
    ),
    agents="tracks of the vehicles that are there now",
    grid="0.1 m cells",
    heading=headings_rad,
    quirks=(
        "the vehicles annotated now are followed, seen or not; who appears later is not drawn",
        "the peer's code draws rows of the category table by number: vehicles in the 23 rows of "
        "plain nuScenes, other things in the 32 of nuScenes-lidarseg; here they go by name",
        "among road users the ego is turned by its path where a step is 1 m or more, and not "
        "turned at all below; on the road it turns with every step, however short",
        "on the road the ego is 4 mm shorter, and its centre stays 1.49 m along the axes of now",
        "among road users a path that leaves the grid is glued to its border; on the road what is "
        "beyond 50 m counts as drivable",
        "a clip of which no prediction can be read is left out by the peer's code; "
        "here the fallback is scored",
    ),
)
