"""How the ego moves, from what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, Pose2, Pose3, wrap_rad
from drivevlm.world.sets import Provenance

# N: past poses, oldest first, the last one being the present.


@dataclass(frozen=True, slots=True)
class EgoStatus:
    """The ego's motion at decision time. A value that cannot be known yet is None, never zero.

    Attributes:
        speed_mps: Along its heading, negative when reversing.
        acceleration_mps2: Along its heading.
        yaw_rate_radps: Counter-clockwise.
        provenance: Which source said so.
    """

    speed_mps: float
    acceleration_mps2: float | None
    yaw_rate_radps: float | None
    provenance: Provenance

    def __post_init__(self) -> None:
        known = [v for v in (self.acceleration_mps2, self.yaw_rate_radps) if v is not None]
        if not np.isfinite([self.speed_mps, *known]).all():
            raise ValueError(f"an ego status must be finite, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class EgoHistory:
    """Past poses of the rear axle in the ego frame of decision time.

    Attributes:
        stamp_us: (N,) increasing; the last is decision time.
        xy_ego_m: (N, 2); the last row is the origin.
        yaw_ego_rad: (N,); the last is 0.
    """

    stamp_us: NDArray[np.int64]
    xy_ego_m: Floats
    yaw_ego_rad: Floats

    def __post_init__(self) -> None:
        n = len(self.stamp_us)
        if not n or self.xy_ego_m.shape != (n, 2) or self.yaw_ego_rad.shape != (n,):
            raise ValueError(
                f"a history needs N > 0 stamps, (N, 2) positions and (N,) headings, got {n}, "
                f"{self.xy_ego_m.shape} and {self.yaw_ego_rad.shape}"
            )
        if (np.diff(self.stamp_us) <= 0).any():
            raise ValueError(f"stamps must increase, got {self.stamp_us}")
        if not (np.isfinite(self.xy_ego_m).all() and np.isfinite(self.yaw_ego_rad).all()):
            raise ValueError("a history must be finite")
        if np.abs([*self.xy_ego_m[-1], self.yaw_ego_rad[-1]]).max() > 1e-6:
            raise ValueError(f"a history ends at the ego's origin, got {self.xy_ego_m[-1]}")

    @classmethod
    def from_poses(cls, global_from_ego: Sequence[Pose2], *, stamp_us: Sequence[int]) -> EgoHistory:
        """From poses in any fixed frame, oldest first, the last being the present."""
        now_from_global = global_from_ego[-1].inverse()
        past = [now_from_global @ pose for pose in global_from_ego]
        return cls(
            np.asarray(stamp_us, dtype=np.int64),
            np.array([[p.x_m, p.y_m] for p in past]),
            np.array([p.yaw_rad for p in past]),
        )

    def pose_at(self, stamp_us: int) -> Pose2 | None:
        """``now_from_then``: the ego frame at an earlier time, linear between poses.

        None before the first pose or after the last.
        """
        if not self.stamp_us[0] <= stamp_us <= self.stamp_us[-1]:
            return None
        yaw = np.unwrap(self.yaw_ego_rad)
        columns = (self.xy_ego_m[:, 0], self.xy_ego_m[:, 1], yaw)
        x_m, y_m, yaw_rad = (float(np.interp(stamp_us, self.stamp_us, c)) for c in columns)
        return Pose2(x_m, y_m, float(wrap_rad(yaw_rad)))


def status_from_history(
    history: EgoHistory, provenance: Provenance = Provenance.PAST_POSES
) -> EgoStatus | None:
    """Ego status by backward differences, so that nothing of the future enters.

    The speed is the mean over the last step, the acceleration compares the last two steps, both
    therefore lag by about half a step. None with fewer than two poses; acceleration None with
    fewer than three.
    """
    if len(history.stamp_us) < 2:
        return None
    dt_s = np.diff(history.stamp_us[-3:]) / 1e6
    steps_m = np.diff(history.xy_ego_m[-3:], axis=0)
    middle_rad = _middle_headings_rad(history.yaw_ego_rad[-3:])
    along_m = steps_m[:, 0] * np.cos(middle_rad) + steps_m[:, 1] * np.sin(middle_rad)
    speeds = np.copysign(np.linalg.norm(steps_m, axis=1), along_m) / dt_s
    acceleration = None
    if len(speeds) == 2:
        acceleration = float((speeds[1] - speeds[0]) / (0.5 * (dt_s[0] + dt_s[1])))
    turn_rad = float(wrap_rad(history.yaw_ego_rad[-1] - history.yaw_ego_rad[-2]))
    return EgoStatus(float(speeds[-1]), acceleration, turn_rad / float(dt_s[-1]), provenance)


def pose_ahead(status: EgoStatus | None, dt_s: float) -> Pose3 | None:
    """``now_from_then`` a moment after now, at constant speed and turn rate; None without a past.

    For images of the present that were taken just after decision time: their recorded poses are
    of the future.
    """
    if status is None:
        return None
    turn_rad = (status.yaw_rate_radps or 0.0) * dt_s
    # The chord of an arc points half the turn to the side (its shortening is below a millimetre).
    x_m = status.speed_mps * dt_s * np.cos(turn_rad / 2)
    y_m = status.speed_mps * dt_s * np.sin(turn_rad / 2)
    return Pose3.from_pose2(Pose2(float(x_m), float(y_m), turn_rad))


def _middle_headings_rad(yaw_rad: Floats) -> Floats:
    return yaw_rad[:-1] + wrap_rad(np.diff(yaw_rad)) / 2
