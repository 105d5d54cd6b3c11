"""The nuScenes category names and the ten classes of its detection task."""

from __future__ import annotations

DETECTION_CATEGORY: dict[str, str] = {
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "movable_object.barrier": "barrier",
    "movable_object.trafficcone": "traffic_cone",
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
}
"""As the nuScenes devkit maps them (``nuscenes.eval.detection.utils``). Names that are not here,
e.g. ambulances, strollers, wheelchairs and animals, belong to no detection class."""


def detection_category(name: str) -> str | None:
    """The detection class of a full nuScenes category name; None where it has none."""
    return DETECTION_CATEGORY.get(name)
