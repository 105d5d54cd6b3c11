"""A lidar's turn: the first things that its rays meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, Pose2, Pose3
from drivevlm_sim.keyframes import Cloud
from drivevlm_sim.render.camera import DepthsM, Names, view_through
from drivevlm_sim.render.names import names_and_depths, renamed
from drivevlm_sim.render.stage import Setting, Stage

# P: points of a turn. Q: rays of a quarter.
REACH_M = 80.0
RINGS_RAD = np.radians(np.linspace(-30.0, 10.0, 32))
"""Elevations of the rings, the lowest first: ring k of a cloud."""
GROUND_INTENSITY, THING_INTENSITY = 15.0, 60.0

_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Sweep:
    """How the lidar samples.

    Attributes:
        azimuths: Of a turn; nuScenes has about 1080.
        ground_every: Only so many-th azimuths keep points that lie on no road user.
        side_px: Pixels across a quarter turn. A ray takes the pixel that it passes through, and
            its point lies where that pixel's own ray meets the scene: exactly on a surface, less
            than a tenth of a degree off the nominal ray with 800, two tenths with 400.
    """

    azimuths: int = 1080
    ground_every: int = 1
    side_px: int = 800


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What one turn met.

    Attributes:
        sweep: How it was sampled.
        quarters: Of each quarter (Q,) whose pixel each ray passes, and its depth there.
        cloud: The points.
        cloud_of: (P,) number of the actor that each point lies on, 0 elsewhere.
    """

    sweep: Sweep
    quarters: tuple[tuple[Names, DepthsM], ...]
    cloud: Cloud
    cloud_of: Names


@dataclass(frozen=True, slots=True, eq=False)
class _Rays:
    """Rays of a quarter: rings, azimuths, pixels, and their ways in the quarter's camera."""

    ring: NDArray[np.int64]
    azimuth: NDArray[np.int64]
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    way: Floats


def turn(
    stage: Stage,
    setting: Setting,
    town_from_lidar: Pose3,
    sweep: Sweep,
    like: tuple[Setting, Turn] | None = None,
) -> Turn:
    """Points from four depth pictures round the lidar.

    Args:
        stage: The town.
        setting: What is in it.
        town_from_lidar: Where the lidar is.
        sweep: How it samples.
        like: A setting and its turn, with the same sweep from the same place: quarters in which
            both settings look the same are not drawn anew.
    """
    quarters = tuple(
        _quarter(k, stage, setting, town_from_lidar, sweep, like) for k in range(_QUARTERS)
    )
    cloud, cloud_of = _points(quarters, sweep, len(setting.actors))
    return Turn(sweep, quarters, cloud, cloud_of)


def _quarter(
    k: int,
    stage: Stage,
    setting: Setting,
    town_from_lidar: Pose3,
    sweep: Sweep,
    like: tuple[Setting, Turn] | None,
) -> tuple[Names, DepthsM]:
    intrinsics, size_px = _lens(sweep.side_px)
    view = view_through(intrinsics, size_px, town_from_lidar @ _lidar_from_camera(k), REACH_M)
    if like is not None:
        there, turned = like
        names = renamed(view, there, setting)
        if names is not None:
            then, depth_m = turned.quarters[k]
            return names[then], depth_m
    drawn, depths_m = names_and_depths(stage, setting, view)
    rays = _rays(sweep, k)
    return drawn[rays.row, rays.column], depths_m[rays.row, rays.column]


def _points(
    quarters: Sequence[tuple[Names, DepthsM]], sweep: Sweep, actors: int
) -> tuple[Cloud, Names]:
    parts, owners = [], []
    for k, (name, depth) in enumerate(quarters):
        rays, depth_m = _rays(sweep, k), depth.astype(np.float64)
        owner = np.where(name > actors, 0, name).astype(np.uint16)
        near = np.isfinite(depth_m)
        near &= np.where(near, depth_m, 0.0) * np.linalg.norm(rays.way, axis=1) < REACH_M
        near &= (owner > 0) | (rays.azimuth % sweep.ground_every == 0)
        xyz_m = _lidar_from_camera(k).apply(rays.way[near] * depth_m[near, None])
        intensity = np.where(owner[near] > 0, THING_INTENSITY, GROUND_INTENSITY)
        parts.append(np.column_stack([xyz_m, intensity, rays.ring[near]]))
        owners.append(owner[near])
    return np.concatenate(parts).astype(np.float32), np.concatenate(owners)


def _lidar_from_camera(quarter: int) -> Pose3:
    round_ = Pose3.from_pose2(Pose2(0.0, 0.0, quarter * 2 * np.pi / _QUARTERS))
    return Pose3(round_.rotation @ _OPTICAL, np.zeros(3))


@cache
def _lens(side_px: int) -> tuple[Floats, tuple[int, int]]:
    """A quarter turn wide, and high enough for all rings at its sides."""
    half = np.tan(np.pi / _QUARTERS)
    focal = side_px / 2 / half
    slope = np.tan(RINGS_RAD[[0, -1]]) * np.sqrt(1 + half**2)
    above, below = focal * slope[1] + 2, focal * -slope[0] + 2
    height = int(np.ceil(above + below))
    middle_x = (side_px - 1) / 2
    intrinsics = np.array([[focal, 0.0, middle_x], [0.0, focal, above], [0.0, 0.0, 1.0]])
    return intrinsics, (side_px, height)


@cache
def _rays(sweep: Sweep, quarter: int) -> _Rays:
    azimuths = np.arange(sweep.azimuths)
    way = azimuths * 2 * np.pi / sweep.azimuths - quarter * 2 * np.pi / _QUARTERS
    way = np.mod(way + np.pi, 2 * np.pi) - np.pi
    own = (way >= -np.pi / _QUARTERS) & (way < np.pi / _QUARTERS)
    intrinsics, (width, height) = _lens(sweep.side_px)
    side = np.tan(way[own])
    slope = np.tan(RINGS_RAD)[:, None] / np.cos(way[own])
    columns = np.round(intrinsics[0, 2] - intrinsics[0, 0] * side).astype(np.int64)
    rows = np.round(intrinsics[1, 2] - intrinsics[1, 1] * slope).astype(np.int64)
    shape = rows.shape
    ring, azimuth, column = (
        np.broadcast_to(values, shape).reshape(-1)
        for values in (
            np.arange(len(RINGS_RAD))[:, None],
            azimuths[own],
            np.clip(columns, 0, width - 1),
        )
    )
    row = np.clip(rows, 0, height - 1).reshape(-1)
    pixels = np.stack([column, row, np.ones(len(row))], -1)
    return _Rays(ring, azimuth, column, row, pixels @ np.linalg.inv(intrinsics).T)
