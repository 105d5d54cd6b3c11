"""Inputs made from what the recording knows and a vehicle could not: marked as leaks everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from drivevlm.data.nuscenes.config import OracleConfig
from drivevlm.world.boxes import CATEGORIES, Box3
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import wrap_rad
from drivevlm.world.truth import Truth

TRUE_SCORE = (0.3, 1.0)
INVENTED_SCORE = (0.05, 0.6)
"""Scores are drawn evenly from these spans: they overlap, so no threshold tells them apart."""
INVENTED_SPEED_MPS = 0.5
NEAREST_INVENTED_M = 4.0


def blurred_labels(truth: Truth, config: OracleConfig) -> list[Box3]:
    """Labelled objects of now, some lost, moved and resized at random, and some invented.

    Objects of the ten classes with a measured point; velocities look back, not ahead. The draw
    depends on the seed and the clip's token alone, not on the order of clips.
    """
    name = hashlib.sha256(truth.token.encode()).digest()
    rng = np.random.default_rng([config.seed, *np.frombuffer(name[:16], dtype=np.uint32).tolist()])
    near = [box for box in boxes_now(truth) if box.distance_m <= config.range_m]
    kept = [box for box in near if rng.random() < config.recall]
    invented = rng.poisson(config.false_positives)
    return [
        *(_blurred(box, config, rng) for box in kept),
        *(_invented(config, rng) for _ in range(invented)),
    ]


def _blurred(box: Box3, config: OracleConfig, rng: np.random.Generator) -> Box3:
    shift_m = rng.normal(0.0, config.centre_noise_m, 2)
    turn_rad = rng.normal(0.0, config.yaw_noise_rad)
    return replace(
        box,
        center_ego_m=box.center_ego_m + np.array([*shift_m, 0.0]),
        size_lwh_m=box.size_lwh_m * np.exp(rng.normal(0.0, config.size_noise, 3)),
        yaw_ego_rad=float(wrap_rad(box.yaw_ego_rad + turn_rad)),
        score=float(rng.uniform(*TRUE_SCORE)),
    )


def _invented(config: OracleConfig, rng: np.random.Generator) -> Box3:
    distance_m = rng.uniform(min(NEAREST_INVENTED_M, config.range_m), config.range_m)
    bearing_rad = rng.uniform(-np.pi, np.pi)
    box = Box3.typical(
        CATEGORIES[int(rng.integers(len(CATEGORIES)))],
        x_ego_m=float(distance_m * np.cos(bearing_rad)),
        y_ego_m=float(distance_m * np.sin(bearing_rad)),
    )
    return replace(
        box,
        yaw_ego_rad=float(rng.uniform(-np.pi, np.pi)),
        velocity_ego_mps=rng.normal(0.0, INVENTED_SPEED_MPS, 2),
        score=float(rng.uniform(*INVENTED_SCORE)),
    )
