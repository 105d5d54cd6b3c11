"""AD-MLP's protocol: ST-P3's clips and grids, the paths mirrored, and a creeping plan stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.metrics.grids import GridSurface
from drivevlm.metrics.rule import Touch
from drivevlm.metrics.stp3 import BLOCK, STP3, occupied
from drivevlm.metrics.uniad import PEERS_GRID
from drivevlm.world.pose import Floats

STOPPED_M = 0.1
"""A path that stays within this of its start, along and across, is taken to stand still."""


def stopped_if_creeping(xy_m: Floats) -> Floats:
    """(N, T, 2) paths of which those that hardly leave their start become a stop."""
    creeps = np.abs(xy_m).max(axis=(1, 2), keepdims=True) < STOPPED_M
    return np.where(creeps, 0.0, xy_m)


ADMLP = replace(
    STP3,
    name="admlp",
    source="E2E-AD/AD-MLP 4b93ba0, pytorch/admlp/stp3/planning_metrics.py, PlanningMetric_3",
    # The peer negates x twice: columns count to the right, over a grid that counts to the left.
    touches=(Touch("agents", GridSurface(PEERS_GRID, occupied, BLOCK.cells)),),
    admitted=stopped_if_creeping,
    quirks=(
        "the planned and the recorded path are laid over ST-P3's grid mirrored, left for right",
        "a plan that stays within 0.1 m of its start, along and across, is scored as a stop; up "
        "to 1, 2 and 3 s that is decided anew",
        "a plan centimetres beside the recorded path may touch a cell that the recorded ego does "
        "not, and is then held to account: the expert itself, 5 cm off at 3 s by pitch and roll, "
        "in 1 of 576 steps of three real mini scenes",
        *STP3.quirks,
    ),
)
