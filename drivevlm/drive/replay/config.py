"""Settings of a replay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivevlm.drive.node_config import ObjectsType

SLOWEST_ODOMETRY_HZ = 10.0
"""A node interpolates over no gap of more than 0.2 s."""


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What is published of a recording.

    Attributes:
        anchor: The camera whose stamps are decision times, as the recording was opened with.
        odometry_hz: Odometry comes at least so often, and at every recorded pose.
        clock_hz: ``/clock`` comes so often; 0: it does not come.
        objects: Which message tells of the proposals. ``predicted_objects`` knows no barriers,
            traffic cones and construction vehicles, ``detection3d`` no speeds.
        base_frame: The ego frame.
    """

    anchor: str = "CAM_FRONT"
    odometry_hz: float = 20.0
    clock_hz: float = 50.0
    objects: ObjectsType = ObjectsType.PREDICTED
    base_frame: str = "base_link"

    def __post_init__(self) -> None:
        if not SLOWEST_ODOMETRY_HZ <= self.odometry_hz <= 1000:
            raise ValueError(
                f"odometry_hz lies in [{SLOWEST_ODOMETRY_HZ:g}, 1000], got {self.odometry_hz:g}"
            )
        if not 0 <= self.clock_hz <= 1000:
            raise ValueError(f"clock_hz lies in [0, 1000], got {self.clock_hz:g}")


@dataclass(frozen=True, slots=True)
class LockstepConfig:
    """How long a replay waits that goes on only after each answer.

    Attributes:
        node_s: For a node that is active.
        answer_s: For an answer. The replay's clock stands still meanwhile.
        silent: So many clips in a row without an answer end it.
    """

    node_s: float = 60.0
    answer_s: float = 60.0
    silent: int = 3

    def __post_init__(self) -> None:
        for name in ("node_s", "answer_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is finite and not negative, got {getattr(self, name)}")
        if self.silent < 1:
            raise ValueError(f"silent is at least 1, got {self.silent}")
