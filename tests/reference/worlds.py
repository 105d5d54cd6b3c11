"""Seeded clips with everything that the planning protocols treat specially."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pyquaternion import Quaternion
from shapely import Polygon

from drivevlm.world.pose import Pose3
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, LabelledBoxes, Truth, TruthStep

CATEGORIES = (
    "vehicle.car",
    "vehicle.truck",
    "vehicle.bus.rigid",
    "vehicle.bicycle",
    "vehicle.emergency.police",
    "human.pedestrian.adult",
    "human.pedestrian.stroller",
    "movable_object.barrier",
    "animal",
)
SIZES_LWH_M = np.array(
    [
        *([4.6, 1.9, 1.7], [7.0, 2.5, 2.8], [11.0, 2.9, 3.5], [1.7, 0.6, 1.3], [4.9, 2.0, 1.6]),
        *([0.7, 0.7, 1.8], [0.9, 0.6, 1.1], [0.5, 2.5, 1.0], [0.9, 0.4, 0.6]),
    ]
)
AGENTS = 24


def quaternion(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Quaternion:
    turns = (([0, 0, 1], yaw), ([0, 1, 0], pitch), ([1, 0, 0], roll))
    q = Quaternion()
    for axis, angle in turns:
        q = q * Quaternion(axis=axis, angle=angle)
    return q


def pose(q: Quaternion, translation_m: list[float]) -> Pose3:
    return Pose3.from_quaternion(wxyz=q.elements, translation_m=np.array(translation_m))


def world(seed: int, *, future: int = FUTURE_STEPS) -> Truth:
    """A driving ego with a tilted lidar among agents, some of which appear, vanish or lack points.

    Half of the agents stand near the ego's path; one is far away.
    """
    rng = np.random.default_rng(seed)
    speed, turn = rng.uniform(0, 9), rng.normal(0, 0.15)
    mount = pose(quaternion(-np.pi / 2, *rng.normal(0, 0.015, 2)), [0.94, 0.0, 1.84])
    ego, xy, yaw = [], np.array([600.0, 1600.0]), rng.uniform(-np.pi, np.pi)
    for _ in range(future + 1):
        tilt = rng.normal(0, 0.004, 2)
        ego.append(pose(quaternion(yaw, *tilt), [*xy, 0.3]))
        xy = xy + speed * STEP_S * np.array([np.cos(yaw), np.sin(yaw)])
        yaw += turn * STEP_S
    agents = _Agents(rng, ego)
    steps = {
        k: TruthStep(1_000_000 + k * 500_000, ego[k], mount, agents.boxes(k, future))
        for k in range(future + 1)
    }
    return Truth(f"clip-{seed}", f"scene-{seed // 2}", steps)


class _Agents:
    def __init__(self, rng: np.random.Generator, ego: list[Pose3]) -> None:
        on_path = rng.integers(0, len(ego), AGENTS)
        near_m = rng.normal(0, 3.5, (AGENTS, 2)) * (np.arange(AGENTS) % 2)[:, None]
        near_m += rng.uniform(-33, 33, (AGENTS, 2)) * (1 - np.arange(AGENTS) % 2)[:, None]
        starts = [ego[k].apply(np.array([*d, 0.0])) for k, d in zip(on_path, near_m, strict=True)]
        self.start_m = np.array(starts)
        self.start_m[0] += [90.0, 0.0, 0.0]
        self.kind = rng.integers(0, len(CATEGORIES), AGENTS)
        self.size_m = SIZES_LWH_M[self.kind] * rng.uniform(0.9, 1.1, (AGENTS, 3))
        self.yaw = rng.uniform(-np.pi, np.pi, AGENTS)
        self.rate, self.speed = rng.normal(0, 0.2, AGENTS), rng.choice([0.0, 0.0, 2.0], AGENTS)
        self.first = rng.choice([0, 0, 0, 2], AGENTS)
        self.last = rng.choice([3, 9, 9, 9], AGENTS)
        self.points = rng.choice([0, 5, 50], AGENTS)

    def boxes(self, k: int, future: int) -> LabelledBoxes:
        there = np.flatnonzero((self.first <= k) & (k <= self.last))
        yaw = self.yaw + self.rate * k * STEP_S
        run = (self.speed * k * STEP_S)[:, None]
        center = self.start_m + run * np.stack([np.cos(yaw), np.sin(yaw), 0 * yaw], axis=-1)
        center[:, 2] += self.size_m[:, 2] / 2
        goes_on = k < future
        return LabelledBoxes(
            center[there],
            self.size_m[there],
            np.array([quaternion(yaw[i]).elements for i in there]).reshape(-1, 4),
            tuple(CATEGORIES[self.kind[i]] for i in there),
            tuple(f"agent-{i}" for i in there),
            tuple(f"agent-{i}@{k}" for i in there),
            tuple(f"agent-{i}@{k + 1}" if goes_on and k < self.last[i] else "" for i in there),
            self.points[there],
            np.zeros(len(there), dtype=np.int64),
            np.full(len(there), 4),
        )


def with_road(truth: Truth, seed: int) -> Truth:
    """The same clip on a road of abutting map polygons along the ego's path, one with a hole.

    The road is narrow in places, so that the ego sometimes leaves it. Seams run across it, where
    corners of one polygon lie anywhere on an edge of its neighbour.
    """
    rng = np.random.default_rng([7, seed])
    path = np.array([step.global_from_ego.translation_m[:2] for step in truth.steps.values()])
    yaw = truth.now.global_from_ego.yaw_rad
    ahead, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    polygons, along_m = [], -12.0
    while along_m < 50.0:
        length_m, right_m, left_m = rng.uniform(4, 9), rng.uniform(1, 6), rng.uniform(1, 6)
        corners = [
            path[0] + (along_m + length_m * u) * ahead + aside * left
            for u, aside in ((0, -right_m), (0, left_m), (1, left_m), (1, -right_m))
        ]
        polygons.append(Polygon(corners))
        along_m += length_m
    hole = Polygon(path[0] + (rng.uniform(2, 20) * ahead) + rng.uniform(-0.3, 0.3, (3, 2)))
    drivable = tuple(part for p in polygons for part in _polygons(p.difference(hole)))
    return replace(truth, map_polygons={"drivable_area": drivable, "road_segment": (), "lane": ()})


def _polygons(geometry: object) -> list[Polygon]:
    parts = getattr(geometry, "geoms", [geometry])
    return [part for part in parts if isinstance(part, Polygon)]
