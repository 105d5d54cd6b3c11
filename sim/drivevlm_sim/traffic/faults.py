"""What makes a window of traffic unfit to be shown."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm.world.sets import Signal
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S, SceneLog, Track
from drivevlm_sim.traffic.signals import colour

# S: steps of the scene. N: road users in a step.
LEAST_GAP_M = 0.25
LATERAL_MPS2 = 3.5
BRAKING_MPS2 = -5.5
STUCK_S = 12.0
APPEARS_M = 50.0
"""Nobody may come from nowhere, or go there, this near to the ego."""
_CHECK_EVERY = 2  # steps between checks of boxes
_NEAR_M = 60.0  # boxes of others are checked against each other up to here


def faults(scene: SceneLog, life: SceneLog) -> tuple[str, ...]:
    """Reasons to reject a scene, in words; ``life`` is the whole log of the same ego."""
    ego = scene.ego
    turn_radps = np.diff(np.unwrap(ego.yaw_rad)) / STEP_S
    found = {
        "lateral acceleration above 3.5 m/s2": np.abs(turn_radps * ego.speed_mps[1:]).max()
        > LATERAL_MPS2,
        "brakes harder than 5.5 m/s2": ego.acceleration_mps2.min() < BRAKING_MPS2,
        "stuck for over 12 s": _stuck(scene, life),
        "somebody appears or vanishes near the ego": any(
            _pops(scene, track) for track in scene.others.values()
        ),
        "ego closer than 0.25 m to somebody": _touches(scene),
        "others overlap": _others_overlap(scene),
    }
    return tuple(reason for reason, true in found.items() if true)


def footprint(track: Track, rows: NDArray[np.int64]) -> Floats:
    """(K, 4, 2) corners of a track's boxes in some of its rows."""
    size = SIZES[track.body]
    yaw_rad = track.yaw_rad[rows]
    along = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1) * size.length_m / 2
    across = np.stack([-np.sin(yaw_rad), np.cos(yaw_rad)], axis=1) * size.width_m / 2
    corners = [along + across, along - across, -along - across, -along + across]
    return np.stack([track.xy_m[rows] + corner for corner in corners], axis=1)


def _stuck(scene: SceneLog, life: SceneLog) -> bool:
    """Whether the ego stands for long, in part during the scene, and not for a red light."""
    stands = life.ego.speed_mps < 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], stands, [False]]).astype(np.int8)))
    first = _offset(scene, life)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        touches = begin < first + scene.steps and end > first
        if touches and (end - begin) * STEP_S > STUCK_S:
            letters = set(life.facts["signal_state"][begin:end].tolist())
            if not {colour(letter) for letter in letters if letter} & {Signal.RED, Signal.AMBER}:
                return True
    return False


def _offset(scene: SceneLog, life: SceneLog) -> int:
    """The row of the life in which the scene begins."""
    same = (life.ego.xy_m == scene.ego.xy_m[0]).all(axis=1)
    same &= life.ego.speed_mps == scene.ego.speed_mps[0]
    return int(np.flatnonzero(same)[0])


def _pops(scene: SceneLog, track: Track) -> bool:
    last = track.first + len(track) - 1
    ends = [(track.first, 0)] if track.first > 0 else []
    ends += [(last, -1)] if last < scene.steps - 1 else []
    return any(
        np.hypot(*(track.xy_m[row] - scene.ego.xy_m[step])) < APPEARS_M for step, row in ends
    )


def _touches(scene: SceneLog) -> bool:
    reach_m = SIZES[scene.ego.body].length_m
    for track in scene.others.values():
        rows = np.arange(len(track))
        away_m = np.hypot(*(track.xy_m - scene.ego.xy_m[track.first + rows]).T)
        near = rows[away_m < reach_m / 2 + SIZES[track.body].length_m / 2 + 2.0]
        if len(near):
            own = shapely.polygons(footprint(scene.ego, near + track.first))
            if (
                shapely.distance(own, shapely.polygons(footprint(track, near))) < LEAST_GAP_M
            ).any():
                return True
    return False


def _others_overlap(scene: SceneLog) -> bool:
    """Whether two vehicles run into each other within sight."""
    tracks = [track for track in scene.others.values() if SIZES[track.body].rear_overhang_m > 0]
    steps = np.arange(0, scene.steps, _CHECK_EVERY)
    xy_m = np.full((len(tracks), scene.steps, 2), np.inf)  # of who is within sight
    for track, places_m in zip(tracks, xy_m, strict=True):
        places_m[track.first : track.first + len(track)] = track.xy_m
    xy_m = xy_m[:, steps]
    xy_m[~(np.hypot(*np.moveaxis(xy_m - scene.ego.xy_m[steps], 2, 0)) < _NEAR_M)] = np.nan
    reach_m = np.array([np.hypot(*_half_m(track)) for track in tracks])
    for one, track in enumerate(tracks):
        rest = slice(one + 1, None)
        apart_m = np.hypot(*np.moveaxis(xy_m[rest] - xy_m[one], 2, 0))
        near = apart_m < (reach_m[rest] + reach_m[one])[:, None]
        for other in np.flatnonzero(near.any(axis=1)):
            at, second = steps[near[other]], tracks[one + 1 + other]
            bodies, others = (footprint(t, at - t.first) for t in (track, second))
            if np.any(shapely.intersects(shapely.polygons(bodies), shapely.polygons(others))):
                return True
    return False


def _half_m(track: Track) -> tuple[float, float]:
    size = SIZES[track.body]
    return size.length_m / 2, size.width_m / 2
