"""Clips made ready for a protocol: everything that does not depend on a plan, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.body_point import Mounts
from drivevlm.metrics.raster import Bools, Ints
from drivevlm.metrics.rule import Axes, Excused, PlanningRule, Touch
from drivevlm.metrics.surface import PATH_DIGITS, Arrays, CannotJudgeError, Layer, Paths
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.truth import Truth

# C: clips given, N: clips counted, M: clips in which something can be judged, T: steps.


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One counted clip.

    Attributes:
        token, scene: The clip's.
        xy_m, yaw_rad: (T, 2) and (T,) recorded path in the protocol's axes.
        mount: ``ego_from_lidar`` now.
        drawn: By touch, the surface's part; the reason in words where it cannot be judged.
    """

    token: str
    scene: str
    xy_m: Floats
    yaw_rad: Floats
    mount: Pose3
    drawn: Mapping[str, Any]


def part_of(rule: PlanningRule, truth: Truth) -> Part | str:
    """One clip made ready, or why the protocol does not count it."""
    lacking = rule.lacks(truth)
    if lacking:
        return lacking
    try:
        xy_m, yaw_rad = rule.recorded(truth)
    except CannotJudgeError as missing:
        return str(missing)
    drawn: dict[str, Any] = {}
    for touch in rule.touches:
        try:
            drawn[touch.name] = touch.surface.prepare(truth)
        except CannotJudgeError as missing:
            drawn[touch.name] = str(missing)
    mount = truth.now.ego_from_lidar or Pose3.identity()
    return Part(truth.token, truth.scene, np.round(xy_m, PATH_DIGITS), yaw_rad, mount, drawn)


@dataclass(frozen=True, slots=True, eq=False)
class Touchable:
    """What a touch means in those of the counted clips in which it can be judged.

    Attributes:
        layer: Of M clips.
        rows: (M,) which of the N they are.
        excused: (M, T) where touching is excused.
        recorded: (M, T) where the recorded ego touches.
        reason: Why the others cannot be judged; "" where all can.
    """

    layer: Layer
    rows: Ints
    excused: Bools
    recorded: Bools
    reason: str

    def only(self, kept: Bools) -> Touchable:
        """Those of some of the N clips."""
        mine = np.flatnonzero(kept[self.rows])
        row = np.cumsum(kept) - 1
        return Touchable(
            self.layer.take(mine),
            row[self.rows[mine]],
            self.excused[mine],
            self.recorded[mine],
            self.reason,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """N counted clips, ready to judge any number of plans.

    Attributes:
        tokens, scenes: The clips'.
        recorded: Their recorded paths; NaN where not recorded.
        mounts: Where the lidar sits now.
        touchable: By touch.
        left_out: By token of a clip that is not counted, the reason.
    """

    tokens: tuple[str, ...]
    scenes: tuple[str, ...]
    recorded: Paths
    mounts: Mounts
    touchable: Mapping[str, Touchable]
    left_out: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def known(self) -> Bools:
        """(N, T) which steps were recorded."""
        return np.asarray(np.isfinite(self.recorded.xy_m).all(axis=-1))

    def only(self, chosen: Sequence[bool]) -> Cases:
        """Those of some of the clips, (N,)."""
        kept = np.asarray(chosen, dtype=np.bool_)
        if kept.all():
            return self
        rows = np.flatnonzero(kept)
        return Cases(
            tuple(self.tokens[i] for i in rows),
            tuple(self.scenes[i] for i in rows),
            Paths(self.recorded.xy_m[rows], self.recorded.yaw_rad[rows]),
            Mounts(self.mounts.rotation[rows], self.mounts.translation_m[rows]),
            {name: touchable.only(kept) for name, touchable in self.touchable.items()},
            self.left_out,
        )

    def arrays(self) -> Arrays:
        """All of it as plain arrays, for a file."""
        arrays: dict[str, NDArray[Any]] = {
            "tokens": np.array(self.tokens, dtype=np.str_),
            "scenes": np.array(self.scenes, dtype=np.str_),
            "xy_m": self.recorded.xy_m,
            "yaw_rad": self.recorded.yaw_rad,
            "mount_rotation": self.mounts.rotation,
            "mount_translation_m": self.mounts.translation_m,
            "left_out": np.array([*self.left_out.items()], dtype=np.str_).reshape(-1, 2),
        }
        for name, touchable in self.touchable.items():
            arrays[f"{name}/rows"] = touchable.rows
            arrays[f"{name}/excused"] = touchable.excused
            arrays[f"{name}/recorded"] = touchable.recorded
            arrays[f"{name}/reason"] = np.array(touchable.reason)
            for key, value in touchable.layer.arrays().items():
                arrays[f"{name}/layer/{key}"] = value
        return arrays


def loaded(rule: PlanningRule, arrays: Arrays) -> Cases:
    """Cases from their plain arrays. Raises KeyError where they are not this rule's."""
    touchable = {}
    for touch in rule.touches:
        layer_name = f"{touch.name}/layer/"
        own = {k.removeprefix(layer_name): v for k, v in arrays.items() if k.startswith(layer_name)}
        touchable[touch.name] = Touchable(
            touch.surface.load(own),
            arrays[f"{touch.name}/rows"],
            arrays[f"{touch.name}/excused"],
            arrays[f"{touch.name}/recorded"],
            str(arrays[f"{touch.name}/reason"]),
        )
    return Cases(
        tuple(arrays["tokens"].tolist()),
        tuple(arrays["scenes"].tolist()),
        Paths(arrays["xy_m"], arrays["yaw_rad"]),
        Mounts(arrays["mount_rotation"], arrays["mount_translation_m"]),
        touchable,
        dict(arrays["left_out"].tolist()),
    )


def joined(rule: PlanningRule, parts: Mapping[str, Part | str]) -> Cases:
    """Cases of many clips, by token in their order."""
    counted = [part for part in parts.values() if isinstance(part, Part)]
    recorded = Paths(
        _stacked([part.xy_m for part in counted], (0, 6, 2)),
        _stacked([part.yaw_rad for part in counted], (0, 6)),
    )
    return Cases(
        tuple(part.token for part in counted),
        tuple(part.scene for part in counted),
        recorded,
        Mounts.of([part.mount for part in counted]),
        {touch.name: _touchable(rule, touch, counted, recorded) for touch in rule.touches},
        {token: part for token, part in parts.items() if isinstance(part, str)},
    )


def _stacked(rows: Sequence[Floats], empty: tuple[int, ...]) -> Floats:
    return np.stack(rows) if rows else np.zeros(empty)


def _touchable(
    rule: PlanningRule, touch: Touch, counted: Sequence[Part], recorded: Paths
) -> Touchable:
    drawn = [part.drawn[touch.name] for part in counted]
    rows = np.array([i for i, d in enumerate(drawn) if not isinstance(d, str)], dtype=np.int64)
    layer = touch.surface.join([drawn[i] for i in rows])
    known = np.isfinite(recorded.xy_m[rows]).all(axis=-1)
    path = rule.laid(
        Paths(
            np.where(known[..., None], recorded.xy_m[rows], 0.0),
            np.where(known, recorded.yaw_rad[rows], 0.0),
        )
    )
    touched = layer.touched(path) & known
    excused = np.zeros_like(touched)
    if touch.excused is Excused.RECORDED:
        excused = touched
    elif touch.excused is Excused.START:
        excused = np.repeat(layer.touched(standing(rule, len(rows))), touched.shape[1], axis=1)
    reasons = sorted({d for d in drawn if isinstance(d, str)})
    return Touchable(layer, rows, excused, touched, "; ".join(reasons))


def standing(rule: PlanningRule, clips: int) -> Paths:
    """(N, 1) where the ego is now."""
    ahead_rad = np.pi / 2 if rule.axes is Axes.LIDAR else 0.0
    return Paths(np.zeros((clips, 1, 2)), np.full((clips, 1), ahead_rad))
