"""UniAD's protocol: every keyframe counts, and a figure at k s is that of the step at k s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.metrics.footprints import VEHICLES, Footprints, each_keyframe, recorded_path
from drivevlm.metrics.grids import Block
from drivevlm.metrics.raster import Grid
from drivevlm.metrics.rule import (
    Averaging,
    Axes,
    Counted,
    PlanningRule,
    Touch,
    collision,
    l2,
    never_turns,
)
from drivevlm.metrics.surface import EgoBox
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

PEERS_EGO = EgoBox(length_m=4.084, width_m=1.85, ahead_m=0.5)
PEERS_GRID = Grid(cell_m=0.5, cells=200)
POINT = (0.0, 0.0, -0.78)
"""The recorded pose is the floor of a box 1.56 m high round the lidar (trajectory_api.py)."""


def _agents(truth: Truth) -> Footprints:
    return each_keyframe(truth, classes=VEHICLES, precision=np.float32)


def _recorded(truth: Truth) -> tuple[Floats, Floats]:
    return recorded_path(truth, point_lidar_m=POINT, precision=np.float32)


UNIAD = PlanningRule(
    name="uniad",
    source="OpenDriveLab/UniAD 532fc33 (main), planning_metrics.py, occflow_label.py",
    counted=Counted.EVERY_KEYFRAME,
    axes=Axes.LIDAR,
    point=POINT,
    recorded=_recorded,
    touches=(Touch("agents", Block(PEERS_GRID, PEERS_EGO).surface(_agents)),),
    figures=(l2(Averaging.AT), collision(Averaging.AT)),
    agents="vehicles of each future keyframe",
    grid="0.5 m cells",
    heading=never_turns,
    quirks=(
        "steps after the scene's end add 0 to L2 and to collisions, and stay in the count",
        "all annotated vehicles of each future keyframe are drawn, pedestrians are not",
        "the ego's box is a block of 0.5 m cells that never turns",
        "a path that leaves the grid is glued to its border",
    ),
)

UNIAD_STP3 = replace(
    UNIAD, name="uniad_stp3", figures=(l2(Averaging.MEAN), collision(Averaging.MEAN))
)
"""UniAD's strategy ``stp3``: the same clips and boxes, steps averaged up to k s."""
