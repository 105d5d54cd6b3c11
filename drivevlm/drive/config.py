"""Settings of the runtime, each group a frozen value with units in its names."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import Enum

from drivevlm.world import body
from drivevlm.world.clip import RIG_SPREAD_US

SLACK_US = 50_000
"""A system's clock is set back by some milliseconds now and then, and ``/clock`` goes in steps:
that clears nothing, and makes no plan one of the future."""


class Fallback(str, Enum):
    """What is published in place of a plan that failed."""

    NONE = "none"
    PREVIOUS = "previous"  # the last plan that passed, with its own stamp, while it is young
    STOP = "stop"  # brake along the present bend, from where the ego is now


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How images and odometry become a clip.

    Attributes:
        cameras: The rig, in the order in which it is shown.
        anchor: The camera whose stamp is decision time.
        optional: Cameras without which a decision is made too.
        tolerance_ms: Another camera's image lies so near to decision time at most.
        max_age_ms: An image that is older than this on the node's clock is not used.
        wait_ms: The anchor's image waits so long for the other cameras and the odometry.
        frames: Images per camera at most, newest last; the model that ships was taught with two.
        stride: Half seconds between them.
        past_poses: Poses of the ego history, half a second apart, the present one included.
        top_k: Proposals kept, by score.
        min_score: Proposals below are left out.
        objects_age_ms: Objects older than this at decision time are left out.
    """

    cameras: tuple[str, ...] = ("CAM_FRONT",)
    anchor: str = "CAM_FRONT"
    optional: tuple[str, ...] = ()
    tolerance_ms: float = 100.0
    max_age_ms: float = 200.0
    wait_ms: float = 50.0
    frames: int = 2
    stride: int = 1
    past_poses: int = 5
    top_k: int = 20
    min_score: float = 0.0
    objects_age_ms: float = 500.0

    def __post_init__(self) -> None:
        if len(set(self.cameras)) < len(self.cameras) or self.anchor not in self.cameras:
            raise ValueError(
                f"cameras are named once each and hold the anchor, got {self.cameras} "
                f"and anchor {self.anchor}"
            )
        strangers = set(self.optional) - (set(self.cameras) - {self.anchor})
        if strangers:
            raise ValueError(f"optional names cameras beside the anchor, got {sorted(strangers)}")
        if not 0 <= self.tolerance_ms * 1e3 <= RIG_SPREAD_US:
            raise ValueError(
                f"tolerance_ms lies in [0, {RIG_SPREAD_US / 1e3:g}], got {self.tolerance_ms:g}"
            )
        _positive(self, "max_age_ms", "wait_ms", "objects_age_ms")
        if min(self.frames, self.stride, self.past_poses, self.top_k) < 1:
            raise ValueError(f"frames, stride, past_poses and top_k are at least 1, got {self}")


@dataclass(frozen=True, slots=True)
class OdometryConfig:
    """What is kept of the odometry, and what is no motion any more.

    Attributes:
        span_s: Samples are kept so long.
        gap_s: Between samples farther apart than this nothing is interpolated.
        jump_m: A pose so far from where the twist leads is a jump.
        jump_rad: A heading so far from where the twist leads is a jump.
    """

    span_s: float = 5.0
    gap_s: float = 0.2
    jump_m: float = 1.0
    jump_rad: float = 0.3

    def __post_init__(self) -> None:
        _positive(self, "span_s", "gap_s", "jump_m", "jump_rad")


@dataclass(frozen=True, slots=True)
class VehicleConfig:
    """The ego's box and steering.

    Attributes:
        length_m: Of its box.
        width_m: Of its box.
        ahead_m: From the rear axle forward to the box's centre.
        wheelbase_m: Between the axles.
    """

    length_m: float = body.LENGTH_M
    width_m: float = body.WIDTH_M
    ahead_m: float = body.CENTER_M
    wheelbase_m: float = body.WHEELBASE_M

    def __post_init__(self) -> None:
        _positive(self, "length_m", "width_m", "wheelbase_m")


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Limits that a trajectory must keep to be published.

    Attributes:
        max_plan_age_s: From decision time to publishing; a decision time more than 50 ms ahead of
            the clock is not allowed either.
        start_m: From where the ego is now to the path.
        start_speed_mps: Between the first point and the ego's speed at decision time.
        behind_m: How far behind the ego the first point, and now the last one, may lie.
        curvature_radpm: Where the plan is faster than 0.5 m/s; a slower path's bend is noise.
        speed_up_mps2: Pulling away along the path.
        brake_mps2: Braking along the path.
        lateral_mps2: Across the path.
        clearance_m: The way to every object is longer than this; touching is a collision.
        collision_s: Objects are extrapolated so far.
        needs_objects: A plan passes only while objects are told of, none at all being one way to
            tell; else a detector that falls silent for longer than ``sync.objects_age_ms`` is a
            warning, and the road counts as free.
    """

    max_plan_age_s: float = 1.0
    start_m: float = 1.0
    start_speed_mps: float = 3.0
    behind_m: float = 0.5
    curvature_radpm: float = 0.3
    speed_up_mps2: float = 7.0
    brake_mps2: float = 9.0
    lateral_mps2: float = 6.0
    clearance_m: float = 0.0
    collision_s: float = 3.0
    needs_objects: bool = False

    def __post_init__(self) -> None:
        others = ("clearance_m", "needs_objects")
        _positive(self, *(part.name for part in fields(self) if part.name not in others))
        if not 0 <= self.clearance_m < math.inf:
            raise ValueError(f"clearance_m is not negative, got {self.clearance_m}")


@dataclass(frozen=True, slots=True)
class FallbackConfig:
    """What happens where no plan can be published.

    Attributes:
        kind: Off unless it is declared.
        after_s: A newest plan older than this makes the fallback due.
        brake_mps2: How hard a stop brakes.
        horizon_s: How far ahead a stop is published.
    """

    kind: Fallback = Fallback.NONE
    after_s: float = 0.5
    brake_mps2: float = 3.0
    horizon_s: float = 3.0

    def __post_init__(self) -> None:
        _positive(self, "after_s", "brake_mps2", "horizon_s")


@dataclass(frozen=True, slots=True)
class DriveConfig:
    """One runtime.

    Attributes:
        name: Of the node, as the diagnostics call it.
        max_latency_ms: From decision time to the decision; a later one is thrown away.
        silent_s: A source that said nothing for longer than this is silent. The watchdog looks
            every 0.1 s, so that silence is told within half a second.
    """

    name: str = "drivevlm"
    max_latency_ms: float = 1000.0
    silent_s: float = 0.4
    sync: SyncConfig = field(default_factory=SyncConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)
    vehicle: VehicleConfig = field(default_factory=VehicleConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    fallback: FallbackConfig = field(default_factory=FallbackConfig)

    def __post_init__(self) -> None:
        _positive(self, "max_latency_ms", "silent_s")


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} is positive and finite, got {getattr(config, name)}")
