"""A vehicle made by hand, the bundled scenes as a vehicle would meet them, and ears to listen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from dialogue_cases import camera, png

from drivevlm.data.nuscenes.config import DecisionTime, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.drive.buffers import Objects
from drivevlm.drive.config import DriveConfig, SyncConfig
from drivevlm.drive.gate import GateVerdict
from drivevlm.drive.health import Diagnostic
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.plan_message import Trajectory
from drivevlm.drive.publish import Reasoning
from drivevlm.drive.runtime import Runtime
from drivevlm.planner import Planner
from drivevlm.world.boxes import Box3
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose2, Pose3
from drivevlm_sim.bundle import unpacked

START_US = 1_000_000_000
RIG = ("CAM_FRONT", "CAM_BACK")
SPEED_MPS = 8.0
DELAY_US = 30_000
ODOMETRY_US = 50_000


@dataclass
class Clock:
    """The node's clock, set by hand."""

    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us


@dataclass
class Ears:
    """Keeps all that is published."""

    trajectories: list[Trajectory] = field(default_factory=list)
    reasonings: list[Reasoning] = field(default_factory=list)
    reports: list[Diagnostic] = field(default_factory=list)
    heard: Callable[[], None] = lambda: None

    def trajectory(self, trajectory: Trajectory) -> None:
        self.trajectories.append(trajectory)

    def reasoning(self, reasoning: Reasoning) -> None:
        self.reasonings.append(reasoning)
        self.heard()

    def diagnostics(self, diagnostic: Diagnostic) -> None:
        self.reports.append(diagnostic)

    @property
    def verdicts(self) -> list[GateVerdict | None]:
        return [reasoning.verdict for reasoning in self.reasonings]


@dataclass
class Puppet:
    """A planner that does what it is told, one answer after the other; the last one stays."""

    answers: list[Decision | Exception]
    name: str = "puppet"
    clips: list[Clip] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def recall(self, clip: Clip) -> Clip:
        return clip

    def decide(self, clip: Clip) -> Decision:
        self.clips.append(clip)
        self.before()
        answer = self.answers[min(len(self.clips), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def remember(self, clip: Clip, decision: Decision) -> None:
        pass


def straight(speed_mps: float = SPEED_MPS) -> Plan:
    x_m = speed_mps * np.arange(1, 7) * 0.5
    return Plan(np.stack([x_m, np.zeros(6)], axis=1))


def sample(
    stamp_us: int, x_m: float, y_m: float = 0.0, yaw_rad: float = 0.0, **more
) -> OdometrySample:
    more = {"speed_mps": SPEED_MPS, "yaw_rate_radps": 0.0} | more
    return OdometrySample(stamp_us, Pose3.from_pose2(Pose2(x_m, y_m, yaw_rad), 0.3), **more)


@dataclass
class Vehicle:
    """Drives straight along x, at 8 m/s, with two cameras at 10 Hz and odometry at 20 Hz."""

    planner: Planner
    config: DriveConfig = field(default_factory=lambda: DriveConfig(sync=SyncConfig(RIG)))
    lockstep: bool = True
    clock: Clock = field(default_factory=Clock)
    ears: Ears = field(default_factory=Ears)
    silent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.runtime = Runtime(
            self.planner, self.ears, self.config, clock_us=self.clock, lockstep=self.lockstep
        )
        self.runtime.start()
        for k, name in enumerate(self.config.sync.cameras):
            self.runtime.on_camera(camera(name, 180.0 * k))

    def drive(self, until_s: float, *, from_s: float = 0.0) -> Vehicle:
        """Seconds since the start; every 50 ms odometry, every 100 ms a tick and images."""
        for k in range(round(from_s * 20), round(until_s * 20) + 1):
            stamp_us = START_US + k * ODOMETRY_US
            self.clock.now_us = stamp_us + DELAY_US
            if "odometry" not in self.silent:
                self.runtime.on_odometry(sample(stamp_us, SPEED_MPS * k * 0.05))
            if k % 2 == 0:
                for shade, name in enumerate(self.config.sync.cameras):
                    if name not in self.silent:
                        self.runtime.on_image(name, stamp_us, png((k + shade) % 256))
                self.runtime.on_tick()
        return self

    @property
    def report(self) -> Diagnostic:
        return self.ears.reports[-1]

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.runtime.health.counts())


@cache
def bundled() -> NuScenesRecording:
    """The scenes inside the wheel, decided on at the front camera's stamps."""
    root = unpacked(Path(tempfile.gettempdir()) / "drivevlm-tests" / "worlds")
    return NuScenesRecording(
        NuScenesConfig(
            str(root),
            version="v1.0-synth",
            frames=2,
            t0=DecisionTime.ANCHOR,
            proposals="oracle",
            top_k=8,
            command="route",
        )
    )


@dataclass(frozen=True)
class Heard:
    """One thing that a vehicle in a recorded scene hears, in order of time."""

    stamp_us: int
    clip: Clip | None = None
    sample: OdometrySample | None = None

    @property
    def objects(self) -> tuple[Box3, ...]:
        assert self.clip is not None
        return () if self.clip.proposals is None else self.clip.proposals.boxes

    @property
    def command(self) -> RouteCommand | None:
        assert self.clip is not None
        return self.clip.command


def relived(recording: NuScenesRecording, scene: str) -> Iterator[Heard]:
    """A scene's clips, and odometry every 50 ms on the straight lines between its poses."""
    (tokens,) = [s.tokens for s in recording.scenes() if s.name == scene]
    clips = [recording.clip(token) for token in tokens]
    poses = [recording.truth(token).now.global_from_ego for token in tokens]
    yield Heard(clips[0].t0_us, sample=_sample(clips[0].t0_us, poses[0], poses[0], 1.0))
    yield Heard(clips[0].t0_us, clip=clips[0])
    for (before, after), (one, other) in zip(pairwise(clips), pairwise(poses), strict=True):
        span_us = after.t0_us - before.t0_us
        last = Pose3(other.rotation, other.translation_m)
        for us in range(ODOMETRY_US, span_us, ODOMETRY_US):
            share = us / span_us
            yaw = one.yaw_rad + share * float(np.angle(np.exp(1j * (other.yaw_rad - one.yaw_rad))))
            xyz_m = (1 - share) * one.translation_m + share * other.translation_m
            pose = Pose3.from_pose2(Pose2(float(xyz_m[0]), float(xyz_m[1]), yaw), float(xyz_m[2]))
            yield Heard(
                before.t0_us + us,
                sample=replace(
                    _sample(before.t0_us, one, other, span_us / 1e6), **_at(before, us, pose)
                ),
            )
        yield Heard(after.t0_us, sample=_sample(after.t0_us, one, last, span_us / 1e6, here=last))
        yield Heard(after.t0_us, clip=after)


def _at(before: Clip, us: int, pose: Pose3) -> dict[str, object]:
    return {"stamp_us": before.t0_us + us, "odom_from_ego": pose}


def _sample(
    stamp_us: int, one: Pose3, other: Pose3, span_s: float, here: Pose3 | None = None
) -> OdometrySample:
    way_m = other.translation_m - one.translation_m
    turn_rad = float(np.angle(np.exp(1j * (other.yaw_rad - one.yaw_rad))))
    speed_mps = float(np.hypot(way_m[0], way_m[1])) / span_s
    return OdometrySample(stamp_us, here or one, speed_mps, turn_rad / span_s, "map")


def objects_of(heard: Heard) -> Objects:
    return Objects(heard.stamp_us, heard.objects)
