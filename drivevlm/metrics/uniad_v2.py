"""UniAD's v2.0 branch, the repository's default one: every road user is drawn crosswise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.metrics.footprints import VEHICLES, Footprints, each_keyframe
from drivevlm.metrics.grids import Block
from drivevlm.metrics.rule import Touch
from drivevlm.metrics.uniad import PEERS_EGO, PEERS_GRID, UNIAD
from drivevlm.world.truth import Truth


def _agents(truth: Truth) -> Footprints:
    """Those of the main branch, as wide as they are long and as long as they are wide."""
    drawn = each_keyframe(truth, classes=VEHICLES, precision=np.float32)
    return replace(drawn, size_lw_m=drawn.size_lw_m[:, ::-1])


UNIAD_V2 = replace(
    UNIAD,
    name="uniad_v2",
    source="OpenDriveLab/UniAD v2.0, uniad_nuscenes_converter.py l. 339; the rest as uniad",
    touches=(Touch("agents", Block(PEERS_GRID, PEERS_EGO).surface(_agents)),),
    agents="vehicles of each future keyframe, length and width swapped",
    quirks=(
        "length and width of every road user are swapped, so it lies across its own heading: "
        "the branch moved to mmdet3d 1.0, which takes sizes in another order",
        *UNIAD.quirks,
    ),
)
"""For comparison with numbers made from that branch; ``uniad`` is the protocol of the paper."""
