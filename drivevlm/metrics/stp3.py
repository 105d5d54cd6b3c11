"""ST-P3's protocol: who was seen so far, drawn round each later ego and warped back to now."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.footprints import (
    Footprints,
    heading_rad,
    recorded_path,
    swing_rad,
)
from drivevlm.metrics.grids import Block, GridSurface
from drivevlm.metrics.raster import Bools, fill
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
from drivevlm.metrics.surface import Paths
from drivevlm.metrics.uniad import PEERS_EGO, PEERS_GRID
from drivevlm.world.pose import Floats, rotation_from_wxyz
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, Truth

# T: future steps, S: cells along a side of the grid.
# Grids are in the axes of an ego: rows ahead (x), columns to the left (y).

Singles = NDArray[np.float32]

CLASS_WORDS = ("vehicle", "human")
"""One of them stands in the full category name of everything that is drawn."""
LEAST_VISIBLE = 1
"""nuScenes' token of boxes of which at most 40 % are seen; they do not count as seen."""
WITHOUT_SCENES = frozenset(
    f"scene-{number:04}"
    for number in (
        419,  # NuscenesData.py: it lacks the vehicle monitor's messages
        *(*range(161, 169), *range(170, 177), *range(309, 315)),  # nuscenes-devkit can_bus_api.py
    )
)
"""Scenes without CAN data, which ST-P3 reads speeds from. None is in nuScenes' val split."""
BLOCK = Block(PEERS_GRID, PEERS_EGO)


def occupied(truth: Truth) -> Bools:
    """(T, S, S) cells that are taken at each step, on the grid round the ego of now.

    Raises KeyError where the past or the future was not recorded.
    """
    return warped(drawn_later(truth), now_from_later(truth))


def drawn_later(truth: Truth) -> Bools:
    """(T, S, S) cells that are taken at each step, on the grid round the ego of that step."""
    footprints = seen_later(truth)
    corners_rc = PEERS_GRID.lattice(footprints.corners_m())
    return fill(corners_rc, footprints.step, layers=FUTURE_STEPS, cells=PEERS_GRID.cells)


def seen_later(truth: Truth) -> Footprints:
    """Whoever was seen so far, at each future step, in the axes of the ego of that step.

    This ego is level: of its rotation only the yaw is used.
    """
    seen = seen_so_far(truth)
    steps = [truth.steps[step] for step in range(1, FUTURE_STEPS + 1)]
    kept = [np.array([name in seen for name in s.boxes.instance], dtype=np.bool_) for s in steps]

    def gathered(values: Iterable[Floats]) -> Floats:
        return np.concatenate([rows[chosen] for rows, chosen in zip(values, kept, strict=True)])

    step = np.repeat(np.arange(FUTURE_STEPS), [rows.sum() for rows in kept])
    ego_m = np.array([s.global_from_ego.translation_m for s in steps])[step]
    ego_yaw_rad = swing_rad(np.array([s.global_from_ego.rotation for s in steps]))[step]
    x_m, y_m, _ = (gathered(s.boxes.center_global_m for s in steps) - ego_m).T
    cos, sin = np.cos(ego_yaw_rad), np.sin(ego_yaw_rad)
    yaw_rad = heading_rad(rotation_from_wxyz(gathered(s.boxes.wxyz_global for s in steps)))
    return Footprints(
        step,
        np.stack([cos * x_m + sin * y_m, cos * y_m - sin * x_m], axis=-1),
        yaw_rad - ego_yaw_rad,
        gathered(s.boxes.size_lwh_m for s in steps)[:, :2],
    )


def seen_so_far(truth: Truth) -> frozenset[str]:
    """Vehicles and humans that were visible enough in the last second or are now.

    Later they are drawn whatever their visibility; whoever appears later is not.
    """
    seen: set[str] = set()
    for step in range(-PAST_STEPS, 1):
        boxes = truth.steps[step].boxes
        drawn = {c for c in set(boxes.category) if any(word in c for word in CLASS_WORDS)}
        visible = (boxes.visibility != LEAST_VISIBLE).tolist()
        rows = zip(boxes.instance, boxes.category, visible, strict=True)
        seen.update(name for name, category, there in rows if there and category in drawn)
    return frozenset(seen)


def now_from_later(truth: Truth) -> Singles:
    """(T, 4, 4) the later egos seen from the ego of now, in single precision as ST-P3 has them.

    At the large coordinates of a city map that leaves errors of some 0.1 mm, step upon step.
    """
    global_from_ego = np.zeros((FUTURE_STEPS + 1, 4, 4), dtype=np.float32)
    global_from_ego[:, 3, 3] = 1.0
    for step in range(FUTURE_STEPS + 1):
        pose = truth.steps[step].global_from_ego
        global_from_ego[step, :3, :3] = pose.rotation
        global_from_ego[step, :3, 3] = pose.translation_m
    later_from_before = _product(_inverse(global_from_ego[1:]), global_from_ego[:-1])
    chained = _inverse(later_from_before)
    for step in range(1, FUTURE_STEPS):
        chained[step] = _product(chained[step - 1], chained[step])
    return chained


def _inverse(pose: Singles) -> Singles:
    """Of rigid poses (..., 4, 4)."""
    inverse = pose.copy()
    inverse[..., :3, :3] = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse[..., :3, 3:] = -_product(inverse[..., :3, :3], pose[..., :3, 3:])
    return inverse


def _product(a: Singles, b: Singles) -> Singles:
    """Matrix product, term by term in its own precision, so that every machine agrees."""
    terms = [a[..., :, k, None] * b[..., None, k, :] for k in range(a.shape[-1])]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def warped(drawn: Bools, now_from_later: Singles) -> Bools:
    """(T, S, S) grids round the later egos as ST-P3 carries them to the grid round the ego of now.

    Each cell takes the value of the cell on which its centre falls; from outside comes nothing.
    The centre is turned about the grid's centre and then shifted by the place of the later ego,
    whose part to the left is added, not subtracted. That is exact where the ego drives straight
    or along an arc. Where it turns more or less on the way, all things land beside their place:
    at 3 s by 0.5 m (median) and up to 5.3 m on 96 keyframes of three nuScenes scenes.
    """
    yaw_rad = np.arctan2(-now_from_later[:, 0, 1], now_from_later[:, 0, 0])
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.stack([cos, sin, -sin, cos], axis=-1).reshape(-1, 2, 2, 1)
    shift = now_from_later[:, :2, 3] / np.float32(PEERS_GRID.half_m) * np.array([-1, 1], np.float32)
    half = np.float32(PEERS_GRID.cells / 2)
    centre = np.linspace(-1, 1, PEERS_GRID.cells, dtype=np.float32) * (1 - np.float32(0.5) / half)
    side = PEERS_GRID.cells + 2
    framed = np.zeros((side, side), dtype=np.bool_)  # the frame stays empty
    out = np.empty_like(drawn)
    for step in range(len(drawn)):
        framed[1:-1, 1:-1] = drawn[step]
        # at: (2, S, S) row and column from which each cell takes, from -1 to 1 over the grid.
        at = (turn[step, :, 0] * centre)[:, :, None] + (turn[step, :, 1] * centre)[:, None, :]
        at += shift[step, :, None, None]
        at += np.float32(1)
        at *= half
        at -= np.float32(0.5)
        cell = np.rint(at, out=at).astype(np.int32)
        np.maximum(cell, -1, out=cell)
        row, column = np.minimum(cell, PEERS_GRID.cells, out=cell)
        out[step] = framed.ravel()[(row + 1) * side + column + 1]
    return out


def cells(paths: Paths) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N, T, B) rows and columns under the ego.

    The path of the lidar, from its place now, is laid round the ego's origin: about 0.95 m too
    far back.
    """
    return BLOCK.cells(Paths(paths.xy_m * [-1.0, 1.0], paths.yaw_rad))


def recorded(truth: Truth) -> tuple[Floats, Floats]:
    """The lidar's path and headings."""
    return recorded_path(truth, point_lidar_m=(0.0, 0.0, 0.0), precision=np.float64)


STP3 = PlanningRule(
    name="stp3",
    source="OpenDriveLab/ST-P3 6b11e13, stp3/metrics.py, stp3/datas/NuscenesData.py, evaluate.py",
    counted=Counted.PAST_AND_FUTURE,
    axes=Axes.LIDAR,
    point=(0.0, 0.0, 0.0),
    recorded=recorded,
    touches=(Touch("agents", GridSurface(PEERS_GRID, occupied, cells)),),
    figures=(l2(Averaging.MEAN), collision(Averaging.MEAN)),
    agents="those seen in the last second or now, at each future keyframe; pedestrians too",
    grid="0.5 m cells, warped",
    heading=never_turns,
    without_scenes=WITHOUT_SCENES,
    quirks=(
        "vehicles and humans annotated up to now with more than 40 % visible are drawn; "
        "who appears later, or was hidden so far, is not",
        "each future grid is drawn round the ego of that time and warped to now: what leaves "
        "either grid is lost, and on a way that is no arc all things land beside their place (at "
        "3 s by 0.5 m in median, 5.3 m at most, on 96 nuScenes keyframes)",
        "the lidar's path is scored round the rear axle: the ego's box stands about 0.95 m too "
        "far back",
        "the ego's box is a block of 0.5 m cells that never turns",
        "scenes without CAN data are left out",
    ),
)
