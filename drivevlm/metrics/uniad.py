"""UniAD's protocol: every keyframe counts, and a figure at k s is that of the step at k s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.metrics.footprints import VEHICLES, Footprints, each_keyframe
from drivevlm.metrics.obstacles import EgoBox, GridRule
from drivevlm.metrics.planning import Counted, PlanningRule
from drivevlm.metrics.raster import Grid
from drivevlm.metrics.score import Averaging
from drivevlm.world.truth import Truth

PEERS_EGO = EgoBox(length_m=4.084, width_m=1.85, ahead_m=0.5)
PEERS_GRID = Grid(cell_m=0.5, cells=200)


def _agents(truth: Truth) -> Footprints:
    return each_keyframe(truth, classes=VEHICLES, precision=np.float32)


UNIAD = PlanningRule(
    name="uniad",
    source="OpenDriveLab/UniAD 532fc33 (main), planning_metrics.py, occflow_label.py",
    counted=Counted.EVERY_KEYFRAME,
    # The recorded pose is the floor of a box 1.56 m high round the lidar (trajectory_api.py).
    point_lidar_m=(0.0, 0.0, -0.78),
    precision=np.float32,
    agents=_agents,
    outlines=GridRule(PEERS_GRID, PEERS_EGO, ahead_first=False),
    averaging=Averaging.AT,
    quirks=(
        "steps after the scene's end add 0 to L2 and to collisions, and stay in the count",
        "all annotated vehicles of each future keyframe are drawn, pedestrians are not",
        "the ego's box is a block of 0.5 m cells that never turns",
        "no collision is counted at a step where the recorded ego itself touches something",
    ),
)

UNIAD_STP3 = replace(UNIAD, name="uniad_stp3", averaging=Averaging.MEAN)
"""UniAD's strategy ``stp3``: the same clips and boxes, steps averaged up to k s."""
