"""Where the ego was: odometry samples, interpolated, and the past that a clip holds."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from drivevlm.drive.config import OdometryConfig
from drivevlm.world import track
from drivevlm.world.ego import EgoHistory
from drivevlm.world.pose import Pose3, wrap_rad

STEP_US = track.STEP_US
HARDEST_MPS2 = 10.0
SHARPEST_RADPS2 = 2.0
"""No vehicle changes its speed and its turning faster: what lies beyond is a jump."""


@dataclass(frozen=True, slots=True, eq=False)
class OdometrySample:
    """One odometry message.

    Attributes:
        stamp_us: Of the message.
        odom_from_ego: The ego in the odometry's fixed frame.
        speed_mps: Along its heading, negative when reversing.
        yaw_rate_radps: Counter-clockwise.
        frame_id: Names the fixed frame.
    """

    stamp_us: int
    odom_from_ego: Pose3
    speed_mps: float
    yaw_rate_radps: float
    frame_id: str = "odom"

    def __post_init__(self) -> None:
        if not np.isfinite([self.speed_mps, self.yaw_rate_radps]).all():
            raise ValueError(f"a twist must be finite, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Odometry samples by stamp, newest last.

    Attributes:
        samples: With increasing stamps.
        gap_us: Between samples farther apart than this nothing is known.
    """

    samples: tuple[OdometrySample, ...]
    gap_us: int

    @property
    def newest(self) -> OdometrySample | None:
        """The last sample."""
        return self.samples[-1] if self.samples else None

    def at(self, stamp_us: int) -> OdometrySample | None:
        """The ego at a stamp; None outside the samples and within a gap.

        Position and twist are linear in time, the heading turns the shorter way.
        """
        after = bisect_left(self.samples, stamp_us, key=lambda sample: sample.stamp_us)
        if after == len(self.samples):
            return None
        if self.samples[after].stamp_us == stamp_us:
            return self.samples[after]
        if after == 0:
            return None
        pair = self.samples[after - 1], self.samples[after]
        if pair[1].stamp_us - pair[0].stamp_us > self.gap_us:
            return None
        return _between(*pair, stamp_us)

    def history(self, t0_us: int, *, poses: int) -> EgoHistory | None:
        """Poses at ``t0_us`` and in steps of half a second before it, as far as they are known.

        The ego status of a clip is ``status_from_history`` of this, as in a recording. None where
        the ego's pose at ``t0_us`` is not known.
        """

        def pose_at(stamp_us: int) -> Pose3 | None:
            sample = self.at(stamp_us)
            return None if sample is None else sample.odom_from_ego

        return track.history_of(pose_at, t0_us, poses=poses)


def jump(before: OdometrySample, after: OdometrySample, config: OdometryConfig) -> str | None:
    """In words, how a pose does not follow from the one before; None where it does.

    The way between them may be what the faster of both speeds runs, plus hard braking or pulling
    away, plus ``jump_m``; the turn likewise. So a long pause excuses any way.
    """
    if after.frame_id != before.frame_id:
        return f"odometry changed its frame from {before.frame_id} to {after.frame_id}"
    dt_s = (after.stamp_us - before.stamp_us) / 1e6
    shift = after.odom_from_ego.translation_m - before.odom_from_ego.translation_m
    way_m = float(np.hypot(shift[0], shift[1]))
    fastest_mps = max(abs(before.speed_mps), abs(after.speed_mps))
    most_m = fastest_mps * dt_s + HARDEST_MPS2 * dt_s**2 / 2 + config.jump_m
    if way_m > most_m:
        return f"the pose jumped {way_m:.2f} m in {dt_s:.3f} s, expected at most {most_m:.2f} m"
    turn_rad = after.odom_from_ego.yaw_rad - before.odom_from_ego.yaw_rad
    turn_rad = abs(float(wrap_rad(turn_rad)))
    rate_radps = max(abs(before.yaw_rate_radps), abs(after.yaw_rate_radps))
    most_rad = rate_radps * dt_s + SHARPEST_RADPS2 * dt_s**2 / 2 + config.jump_rad
    if turn_rad > most_rad:
        return f"the pose turned {turn_rad:.2f} rad in {dt_s:.3f} s, at most {most_rad:.2f} rad"
    return None


def _between(before: OdometrySample, after: OdometrySample, stamp_us: int) -> OdometrySample:
    share = (stamp_us - before.stamp_us) / (after.stamp_us - before.stamp_us)
    one, other = (track.QuaternionPose.of(sample.odom_from_ego) for sample in (before, after))
    return OdometrySample(
        stamp_us,
        track.between(one, other, share).pose,
        (1 - share) * before.speed_mps + share * after.speed_mps,
        (1 - share) * before.yaw_rate_radps + share * after.yaw_rate_radps,
        before.frame_id,
    )
