"""A plan as a vehicle gets it: stamped with decision time, in a fixed frame, heard later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats, Pose2, wrap_rad

# N: points of a trajectory.


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """One trajectory of a node, as a replay heard it.

    Attributes:
        scene: The recording's scene that was being replayed.
        stamp_us: The trajectory's own stamp: the time that it was decided for.
        heard_us: When it reached the replay, on the recording's clock; never before its stamp.
        fallback: Whether the node declared it a fallback, not a fresh plan.
        time_s: (N,) of the points, after the stamp, increasing.
        xy_global_m: (N, 2) positions of the rear axle in the odometry's fixed frame, which is the
            global one of a nuScenes-format recording.
        yaw_global_rad: (N,) headings there.
    """

    scene: str
    stamp_us: int
    heard_us: int
    fallback: bool
    time_s: Floats
    xy_global_m: Floats
    yaw_global_rad: Floats

    def __post_init__(self) -> None:
        n = len(self.time_s)
        shapes = [self.time_s.shape, self.xy_global_m.shape, self.yaw_global_rad.shape]
        if not n or shapes != [(n,), (n, 2), (n,)]:
            raise ValueError(f"a trajectory needs (N,), (N, 2) and (N,) with N > 0, got {shapes}")
        if not all(
            np.isfinite(part).all() for part in (self.time_s, self.xy_global_m, self.yaw_global_rad)
        ):
            raise ValueError("a trajectory must be finite")
        if self.time_s[0] < 0 or (np.diff(self.time_s) <= 0).any():
            raise ValueError(f"time_s must increase from 0 or later, got {self.time_s.tolist()}")
        if self.heard_us < self.stamp_us:
            raise ValueError(
                f"heard at {self.heard_us} us, before its stamp {self.stamp_us} us: do the node "
                "and the replay use one clock?"
            )

    @classmethod
    def of(
        cls, plan: Plan, *, scene: str, stamp_us: int, global_from_ego: Pose2, latency_us: int = 0
    ) -> Published:
        """A plan decided at ``global_from_ego``, its waypoints as they are, heard so much later."""
        return cls(
            scene,
            stamp_us,
            stamp_us + latency_us,
            False,
            np.arange(1, len(plan.xy_ego_m) + 1) * plan.dt_s,
            global_from_ego.apply(plan.xy_ego_m),
            wrap_rad(plan.headings_ego_rad() + global_from_ego.yaw_rad),
        )

    @property
    def latency_us(self) -> int:
        """From its stamp to when it was heard."""
        return self.heard_us - self.stamp_us
