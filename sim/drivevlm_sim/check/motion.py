"""How an ego moves, from its poses at keyframes alone: the same for made and recorded scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm_sim.check.disk import Disk, Scene
from drivevlm_sim.check.findings import finite

# T: keyframes of a scene.
PERCENTILES = (50.0, 95.0, 99.0, 99.9)
STANDS_M = 0.5
"""An ego that moves less than this in the next 3 s stands."""
AHEAD = 6


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """One scene's ego; all by differences between keyframes.

    Attributes:
        speed_mps, lateral_mps2: (T - 1,) between keyframes.
        along_mps2: (T - 2,) how the speed changes.
        jerk_mps3: (T - 3,) how that changes.
        runs_m: (T - 6,) distance from each keyframe to that 3 s later.
    """

    speed_mps: Floats
    lateral_mps2: Floats
    along_mps2: Floats
    jerk_mps3: Floats
    runs_m: Floats


def driven(disk: Disk, scene: Scene) -> Driven:
    """Of a scene."""
    poses = [disk.ego(sample).planar() for sample in scene.samples]
    xy_m = np.array([[pose.x_m, pose.y_m] for pose in poses])
    stamp_s = np.array([disk.stamp_us(s) - disk.stamp_us(scene.samples[0]) for s in scene.samples])
    dt_s = np.diff(stamp_s / 1e6)
    turn_rad = wrap_rad(np.diff([pose.yaw_rad for pose in poses]))
    speed = np.linalg.norm(np.diff(xy_m, axis=0), axis=1) / dt_s
    along = np.diff(speed) / dt_s[1:]
    return Driven(
        speed,
        speed * turn_rad / dt_s,
        along,
        np.diff(along) / dt_s[2:],
        np.linalg.norm(xy_m[AHEAD:] - xy_m[:-AHEAD], axis=1),
    )


def distributions(disk: Disk) -> Mapping[str, Mapping[str, float | None]]:
    """By quantity with unit, percentiles of its size over all keyframes; NaN where there are none.

    Also the share of keyframes from which the ego stands for 3 s.
    """
    scenes = [driven(disk, scene) for scene in disk.scenes]
    columns = {
        "speed (m/s)": [d.speed_mps for d in scenes],
        "lateral acceleration (m/s2)": [d.lateral_mps2 for d in scenes],
        "acceleration (m/s2)": [d.along_mps2 for d in scenes],
        "jerk (m/s3)": [d.jerk_mps3 for d in scenes],
    }
    told: dict[str, Mapping[str, float | None]] = {}
    for name, parts in columns.items():
        values = np.abs(np.concatenate([*parts, np.zeros(0)]))
        found = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * len(PERCENTILES)
        told[name] = {f"{p:g} %": finite(v) for p, v in zip(PERCENTILES, found, strict=True)}
    runs_m = np.concatenate([*(d.runs_m for d in scenes), np.zeros(0)])
    standing = float((runs_m < STANDS_M).mean()) if len(runs_m) else np.nan
    told["stands for 3 s"] = {"share": finite(standing)}
    return told
