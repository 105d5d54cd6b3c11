"""VAD's protocol: keyframes with a whole future, and means over the steps up to k s."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.footprints import Footprints, recorded_path, tracked_from_now
from drivevlm.metrics.grids import Block
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
from drivevlm.metrics.uniad import PEERS_EGO, PEERS_GRID
from drivevlm.world.categories import detection_category
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

ASSUMED_CATEGORIES = (
    *("noise", "animal"),
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    *("flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain"),
    *("static.manmade", "static.other", "static.vegetation", "vehicle.ego"),
)
"""The 32-entry category table of nuScenes-lidarseg. VAD draws rows of it by number; with the
23-entry table of plain nuScenes the same numbers name other things. Here they go by name."""
_ROWS = (*ASSUMED_CATEGORIES[2:9], *ASSUMED_CATEGORIES[14:24])
DRAWN = frozenset(filter(None, map(detection_category, _ROWS)))
"""Humans and vehicles; a row without a detection class was filtered out before."""


def _agents(truth: Truth) -> Footprints:
    return tracked_from_now(truth, classes=DRAWN, ahead_m=30.0, aside_m=15.0)


def _recorded(truth: Truth) -> tuple[Floats, Floats]:
    return recorded_path(truth, point_lidar_m=(0.0, 0.0, 0.0), precision=np.float64)


VAD = PlanningRule(
    name="vad",
    source="hustvl/VAD 1688c4b, VAD.py, planner/metric_stp3.py, vad_nuscenes_converter.py",
    counted=Counted.FULL_FUTURE,
    axes=Axes.LIDAR,
    point=(0.0, 0.0, 0.0),
    recorded=_recorded,
    touches=(Touch("agents", Block(PEERS_GRID, PEERS_EGO, ahead_first=True).surface(_agents)),),
    figures=(l2(Averaging.MEAN), collision(Averaging.MEAN)),
    agents="those seen now within 15 x 30 m, followed; pedestrians too",
    grid="0.5 m cells",
    heading=never_turns,
    quirks=(
        "agents with a lidar point at decision time within 15 x 30 m are followed; "
        "who appears later is not drawn",
        "the ego's box never turns; at a stop it sits one cell (0.5 m) further back than UniAD's",
        "the peer's code draws rows of the category table by number: humans and vehicles in the 32 "
        "rows of nuScenes-lidarseg, other things in the 23 of plain nuScenes; here they go by name",
    ),
)
