"""A recording small enough to check by hand: straight drives at constant speed, no images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.ego import EgoHistory, status_from_history
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import Command, Provenance
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, LabelledBoxes, Truth, TruthStep

HALF_SECOND_US = 500_000
LIDAR = Pose3(
    np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.94, 0.0, 1.84])
)


def no_boxes() -> LabelledBoxes:
    none = np.zeros(0, dtype=np.int64)
    flat = np.zeros((0, 3))
    return LabelledBoxes(flat, flat, np.zeros((0, 4)), (), (), (), (), none, none, none)


def one_car(x_global_m: float, y_global_m: float = 0.0, name: str = "car-1") -> LabelledBoxes:
    one = np.array([5], dtype=np.int64)
    return LabelledBoxes(
        np.array([[x_global_m, y_global_m, 0.8]]),
        np.array([[4.6, 1.9, 1.6]]),
        np.array([[1.0, 0.0, 0.0, 0.0]]),
        ("vehicle.car",),
        (name,),
        (f"{name}@{x_global_m:g}",),
        ("",),
        one,
        one * 0,
        one * 0 + 4,
    )


@dataclass
class SmallRecording:
    """Scenes ``s0``, ``s1``, ... driven straight along x, scene k at (k + 1) * 4 m/s."""

    count: int = 2
    keyframes: int = 10
    name: str = "small world"
    digest: str = "small"
    synthetic: bool = True
    most_proposals: int = 0
    cameras: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=lambda: {"ego_status": "past_poses"})

    def scenes(self) -> tuple[SceneClips, ...]:
        return tuple(
            SceneClips(f"s{s}", tuple(f"s{s}-{k}" for k in range(self.keyframes)))
            for s in range(self.count)
        )

    def _place(self, token: str) -> tuple[int, int]:
        scene, _, k = token[1:].partition("-")
        if not (k.isdecimal() and int(scene) < self.count and int(k) < self.keyframes):
            raise DataError(f"no clip {token}")
        return int(scene), int(k)

    def clip(self, token: str) -> Clip:
        scene, k = self._place(token)
        past = range(max(0, k - PAST_STEPS), k + 1)
        step_m = (scene + 1) * 2.0
        history = EgoHistory.from_poses(
            [Pose2(j * step_m, 0.0, 0.0) for j in past],
            stamp_us=[j * HALF_SECOND_US for j in past],
        )
        return Clip(
            token,
            f"s{scene}",
            k * HALF_SECOND_US,
            (),
            status=status_from_history(history),
            history=history,
            command=RouteCommand(list(Command)[scene], Provenance.ROUTE),
        )

    def truth(self, token: str) -> Truth:
        scene, k = self._place(token)
        step_m = (scene + 1) * 2.0
        return Truth(
            token,
            f"s{scene}",
            {
                j: TruthStep(
                    (k + j) * HALF_SECOND_US,
                    Pose3.from_pose2(Pose2((k + j) * step_m, 0.0, 0.0)),
                    LIDAR,
                    no_boxes(),
                )
                for j in range(-PAST_STEPS, FUTURE_STEPS + 1)
                if 0 <= k + j < self.keyframes
            },
        )

    def with_map(self, truth: Truth) -> Truth:
        return truth
