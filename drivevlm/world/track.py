"""Where the ego was: poses by time, interpolated, and the past that a clip holds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.ego import EgoHistory
from drivevlm.world.pose import Floats, Pose3

# N: recorded poses, oldest first.

STEP_US = 500_000
"""Between the poses of an ego history, and between the images of a clip with stride 1."""
SMALL_RAD = 1e-6
"""Below this turn, the chord between two quaternions is as good as the arc."""


@dataclass(frozen=True, slots=True, eq=False)
class QuaternionPose:
    """A pose as it travels: the matrix of a quaternion gives it back only to rounding.

    Attributes:
        translation_m: (3,) origin.
        wxyz: (4,) quaternion of any length but zero.
    """

    translation_m: Floats
    wxyz: Floats

    @property
    def pose(self) -> Pose3:
        """With a matrix."""
        return Pose3.from_quaternion(wxyz=self.wxyz, translation_m=self.translation_m)

    @classmethod
    def of(cls, pose: Pose3) -> QuaternionPose:
        """Of a pose that is known by its matrix."""
        return cls(pose.translation_m, wxyz_of(pose.rotation))


def between(before: QuaternionPose, after: QuaternionPose, share: float) -> QuaternionPose:
    """The pose at ``share`` in [0, 1] of the way: straight, and turning evenly the shorter way.

    Where both are equal, so is what is between them, to the last bit.
    """
    way_m = after.translation_m - before.translation_m
    return QuaternionPose(
        before.translation_m + share * way_m, _turned(before.wxyz, after.wxyz, share)
    )


def wxyz_of(rotation: Floats) -> Floats:
    """(4,) unit quaternion (w, x, y, z) of a rotation (3, 3), with its largest number positive."""
    r = rotation
    trace = float(np.trace(r))
    # Four times each squared number: the largest one is a safe divisor for the others.
    squares = np.array([1 + trace, *(1 - trace + 2 * np.diag(r))])
    k = int(squares.argmax())
    columns = np.array(
        [
            [squares[0], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], squares[1], r[1, 0] + r[0, 1], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], squares[2], r[2, 1] + r[1, 2]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[2, 1] + r[1, 2], squares[3]],
        ]
    )
    return np.asarray(columns[k] / np.linalg.norm(columns[k]))


@dataclass(frozen=True, slots=True, eq=False)
class PoseTrack:
    """Recorded poses of the ego in one fixed frame.

    Attributes:
        stamp_us: (N,) increasing.
        xyz_m: (N, 3) origin of the ego in the fixed frame.
        wxyz: (N, 4) quaternions as they were recorded.
        gap_us: Between poses farther apart than this nothing is known.
    """

    stamp_us: NDArray[np.int64]
    xyz_m: Floats
    wxyz: Floats
    gap_us: int

    def __post_init__(self) -> None:
        n = len(self.stamp_us)
        if not n or self.xyz_m.shape != (n, 3) or self.wxyz.shape != (n, 4):
            raise ValueError(
                f"a track needs N > 0 stamps, (N, 3) positions and (N, 4) quaternions, got {n}, "
                f"{self.xyz_m.shape} and {self.wxyz.shape}"
            )
        if (np.diff(self.stamp_us) <= 0).any():
            raise ValueError(f"stamps of a track must increase, got {self.stamp_us}")

    def at(self, stamp_us: int) -> QuaternionPose | None:
        """``fixed_from_ego`` at a stamp; None outside the poses and within a gap."""
        after = int(np.searchsorted(self.stamp_us, stamp_us))
        if after == len(self.stamp_us):
            return None
        if self.stamp_us[after] == stamp_us:
            return self._row(after)
        if after == 0 or self.stamp_us[after] - self.stamp_us[after - 1] > self.gap_us:
            return None
        span_us = int(self.stamp_us[after] - self.stamp_us[after - 1])
        share = (stamp_us - int(self.stamp_us[after - 1])) / span_us
        return between(self._row(after - 1), self._row(after), share)

    def history(self, t0_us: int, *, poses: int) -> EgoHistory | None:
        """``history_of`` these poses. Those after ``t0_us`` have no part where it has one itself.

        None where the ego's pose at ``t0_us`` is not known.
        """

        def pose_at(stamp_us: int) -> Pose3 | None:
            found = self.at(stamp_us)
            return None if found is None else found.pose

        return history_of(pose_at, t0_us, poses=poses)

    def _row(self, row: int) -> QuaternionPose:
        return QuaternionPose(self.xyz_m[row], self.wxyz[row])


def history_stamps_us(t0_us: int, *, poses: int) -> range:
    """Stamps of a history, newest first: ``t0_us`` and half seconds before it."""
    return range(t0_us, t0_us - poses * STEP_US, -STEP_US)


def history_of(
    pose_at: Callable[[int], Pose3 | None], t0_us: int, *, poses: int
) -> EgoHistory | None:
    """Poses at ``t0_us`` and in steps of half a second before it, as far back as all are known.

    The one way in which a past is made of poses that come at any time: a vehicle's odometry, and a
    recording that is read as a vehicle would live it.

    Args:
        pose_at: ``fixed_from_ego`` at a stamp, where it is known.
        t0_us: Decision time. None is returned where the pose of then is not known.
        poses: At most, the present one included.
    """
    stamps, past = [], []
    for stamp_us in history_stamps_us(t0_us, poses=poses):
        pose = pose_at(stamp_us)
        if pose is None:
            break
        stamps.append(stamp_us)
        past.append(pose.planar())
    return EgoHistory.from_poses(past[::-1], stamp_us=stamps[::-1]) if past else None


def spaced_back(
    stamps_us: Sequence[int], newest_us: int, *, count: int, stride: int, within_us: int
) -> tuple[int, ...]:
    """Which of a camera's increasing stamps a clip takes, oldest first.

    The newest one, and before it those nearest to steps of ``stride`` half seconds. Where none
    lies within ``within_us`` of a step, that step is left out.
    """
    wanted = (newest_us - k * stride * STEP_US for k in range(1, count))
    past = (_nearest(stamps_us, stamp_us, within_us) for stamp_us in wanted)
    return tuple(sorted({newest_us, *_known(past)}))


def _turned(before_wxyz: Floats, after_wxyz: Floats, share: float) -> Floats:
    if np.array_equal(before_wxyz, after_wxyz):
        return before_wxyz
    one, other = (wxyz / np.linalg.norm(wxyz) for wxyz in (before_wxyz, after_wxyz))
    other = -other if one @ other < 0 else other
    half_turn_rad = 2 * np.arctan2(np.linalg.norm(other - one), np.linalg.norm(other + one))
    if half_turn_rad < SMALL_RAD:
        return np.asarray(one + share * (other - one))
    weights = np.sin(np.array([1 - share, share]) * half_turn_rad) / np.sin(half_turn_rad)
    return np.asarray(weights[0] * one + weights[1] * other)


def _nearest(stamps_us: Sequence[int], wanted_us: int, within_us: int) -> int | None:
    """The older one of two that are as near."""
    after = bisect_left(stamps_us, wanted_us)
    beside = stamps_us[max(0, after - 1) : after + 1]
    best = min(beside, key=lambda stamp_us: abs(stamp_us - wanted_us), default=None)
    return best if best is not None and abs(best - wanted_us) <= within_us else None


def _known(stamps_us: Iterable[int | None]) -> list[int]:
    return [stamp_us for stamp_us in stamps_us if stamp_us is not None]
