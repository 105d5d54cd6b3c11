"""What there is to see in a clip, from the truth: for heads that are thrown away after training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.data.dense import DenseView
from drivevlm.dialogue.pictures import Picture
from drivevlm.model.pooling import Grid
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Signal
from drivevlm.world.truth import Truth

SIGNALS = (Signal.NONE, Signal.RED, Signal.AMBER, Signal.GREEN)
KINDS = ("vehicle", "human", "other", "red", "amber", "green")
"""What a token may show: objects by the first word of their category, and lit lamps."""
AHEAD_M = (10.0, 20.0, 30.0)
REACH_STEPS = (2, 4, 6)
"""Keyframes after which it is told how far the ego has come: 1, 2 and 3 s."""
UNKNOWN = -1
LIT = {Signal.RED: 3, Signal.AMBER: 4, Signal.GREEN: 5}


@dataclass(frozen=True, slots=True, eq=False)
class Percepts:
    """What a perfect viewer would see now.

    Attributes:
        signal: A place in ``SIGNALS`` of the light that concerns the ego; ``UNKNOWN`` where no
            label tells it or no camera shows it.
        lead_m: Free distance to the vehicle ahead; infinite where there is none, NaN where
            unknown.
        ahead_m: (3, 2) where the driven path is after ``AHEAD_M`` along it, in the ego frame; NaN
            where it was not driven.
        speed_mps: Of the ego over the last half second; NaN where its past was not recorded.
        reach_m: (3,) how far along the driven path it is after ``REACH_STEPS``; NaN where that was
            not recorded.
        shown: By picture, (K, rows, columns) which of ``KINDS`` each token's window shows; None
            where unknown.
    """

    signal: int
    lead_m: float
    ahead_m: Floats
    speed_mps: float
    reach_m: Floats
    shown: tuple[NDArray[np.bool_] | None, ...]


def percepts_of(
    truth: Truth,
    dense: Mapping[str, DenseView],
    pictures: Sequence[Picture],
    grids: Sequence[Grid],
) -> Percepts:
    """Of a clip, its pictures having so many rows and columns of tokens."""
    labels = truth.labels
    signal, lead_m = UNKNOWN, np.nan
    if labels is not None:
        seen = labels.signal.seen
        signal = SIGNALS.index(seen) if seen in SIGNALS else UNKNOWN
        if labels.lead is None or labels.lead.visible:
            lead_m = np.inf if labels.lead is None else labels.lead.gap_m
    newest: dict[str, int] = {}
    for place, picture in enumerate(pictures):
        if not picture.is_crop:
            newest[picture.camera.name] = place
    kinds = {
        name: category.split(".")[0]
        for name, category in zip(truth.now.boxes.instance, truth.now.boxes.category, strict=True)
    }
    return Percepts(
        signal,
        float(lead_m),
        path_ahead_m(truth),
        past_speed_mps(truth),
        reach_m(truth),
        tuple(
            shown_in(dense[picture.camera.name], kinds, picture.camera.size_px, grid)
            if newest[picture.camera.name] == place and picture.camera.name in dense
            else None
            for place, (picture, grid) in enumerate(zip(pictures, grids, strict=True))
        ),
    )


def path_ahead_m(truth: Truth) -> Floats:
    """(3, 2) points of the driven path by their distance along it; NaN beyond its end."""
    xy_m, _ = truth.future_path()
    driven = np.concatenate([np.zeros((1, 2)), xy_m[truth.future_valid]])
    along_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(driven, axis=0).T))])
    found = np.stack([np.interp(AHEAD_M, along_m, driven[:, axis]) for axis in (0, 1)], axis=1)
    found[np.array(AHEAD_M) > along_m[-1]] = np.nan
    return found


def past_speed_mps(truth: Truth) -> float:
    """Mean speed since the keyframe before; NaN where there is none."""
    before = truth.steps.get(-1)
    if before is None:
        return float("nan")
    ego_from_before = truth.now.global_from_ego.inverse() @ before.global_from_ego
    dt_s = (truth.now.stamp_us - before.stamp_us) / 1e6
    return float(np.hypot(*ego_from_before.translation_m[:2]) / dt_s)


def reach_m(truth: Truth) -> Floats:
    """(3,) lengths of the driven path up to ``REACH_STEPS``; NaN where it was not recorded."""
    xy_m, _ = truth.future_path()
    along_m = np.cumsum(np.hypot(*np.diff(xy_m, axis=0, prepend=np.zeros((1, 2))).T))
    reached: Floats = along_m[np.array(REACH_STEPS) - 1]
    return reached


def shown_in(
    view: DenseView, kinds: Mapping[str, str], size_px: tuple[int, int], grid: Grid
) -> NDArray[np.bool_] | None:
    """(K, rows, columns) which kinds some pixel of each window shows; None without a mask."""
    if view.mask is None:
        return None
    rows, columns = grid
    height, width = view.mask.shape
    shown = np.zeros((len(KINDS), rows, columns), dtype=np.bool_)
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    for number in np.unique(view.mask[view.mask > 0]):
        kind = kinds.get(view.instances[number - 1])
        if kind is None:
            continue
        place = KINDS.index(kind) if kind in KINDS else KINDS.index("other")
        down, right = np.nonzero(view.mask == number)
        shown[place, row[down], column[right]] = True
    for head in view.heads:
        if head.state not in LIT:
            continue
        x = math.floor((head.box_px[0] + head.box_px[2]) / 2 * columns / size_px[0])
        y = math.floor((head.box_px[1] + head.box_px[3]) / 2 * rows / size_px[1])
        if 0 <= x < columns and 0 <= y < rows:
            shown[LIT[head.state], y, x] = True
    return shown
