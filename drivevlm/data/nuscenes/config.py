"""What to read of a nuScenes-format recording, and where each prompt input comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum


class DecisionTime(str, Enum):
    """When a clip's decision is due."""

    KEYFRAME = "keyframe"  # the sample's stamp, which is the lidar's
    ANCHOR = "anchor"  # the anchor camera's stamp, as a vehicle would trigger


class EgoSource(str, Enum):
    """Where speed, acceleration and yaw rate come from."""

    PAST_POSES = "past_poses"
    CAN_BUS = "can_bus"


@dataclass(frozen=True, slots=True)
class OracleConfig:
    """How labels are blurred into proposals. Such proposals are marked ORACLE in every table.

    Attributes:
        recall: Share of labelled objects that are proposed.
        false_positives: Mean number of invented boxes a frame (a Poisson draw).
        centre_noise_m, size_noise, yaw_noise_rad: Standard deviations (the size's is relative).
        range_m: Objects beyond this distance are neither proposed nor invented.
        seed: Of the draw; each clip draws by its own token.
    """

    recall: float = 0.95
    false_positives: float = 3.0
    centre_noise_m: float = 0.3
    size_noise: float = 0.05
    yaw_noise_rad: float = 0.05
    range_m: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        noise = (self.false_positives, self.centre_noise_m, self.size_noise, self.yaw_noise_rad)
        if not 0 <= self.recall <= 1 or not all(0 <= value < math.inf for value in noise):
            raise ValueError(f"recall lies in [0, 1], noise is not negative, got {self}")
        if not 0 < self.range_m < math.inf or self.seed < 0:
            raise ValueError(f"range_m is positive and seed not negative, got {self}")


@dataclass(frozen=True, slots=True)
class NuScenesConfig:
    """A recording in the nuScenes v1.0 schema.

    Attributes:
        root: Folder that holds the version folder, ``samples/``, ``maps/`` ...
        version: Name of the version folder.
        split: An official or custom split; "" is ``val`` for v1.0-trainval, else every scene.
        scenes: Names of the scenes to take, of the split; empty takes all. Of twins, the pairs.
        cameras: Channels to take, in the order in which they are shown; empty takes all,
            clockwise from the front.
        frames: Images per camera at most, newest last. A scene's first clips have fewer.
        stride: Take every so many keyframes (with ``sweeps``: images; with ``t0=anchor``: those
            nearest to so many half seconds), back from the newest.
        sweeps: Take the images between keyframes too.
        past_poses: Poses of the ego history, the present one included: of keyframes, or half
            seconds apart with ``t0=anchor``.
        t0: Decision time.
        anchor: The camera of ``t0=anchor``; its pose also stands in where there is no lidar.
        ego: Source of the ego status. ``can_bus`` wants messages of every chosen scene.
        proposals: ``none``, ``oracle``, or the path of a nuScenes detection result file.
        top_k: Proposals kept, by score.
        min_score: Proposals below are left out.
        oracle: How oracle proposals are blurred.
        command: ``none``, ``gt_future`` (a LEAK), ``route`` (the recording's own route, of
            ``drivevlm_labels.jsonl``), or the path of a JSON file
            ``{sample_token: "left" | {"command", "text", "distance_m"} | null}`` that speaks of
            every chosen keyframe.
        summaries: Path of a JSON file ``{sample_token: text}``; "" for none. A text holds, with
            its age, until the scene's next one.
        cache: Folder of the index; "" is the user's cache folder.
    """

    root: str = ""
    version: str = "v1.0-mini"
    split: str = ""
    scenes: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    frames: int = 1
    stride: int = 1
    sweeps: bool = False
    past_poses: int = 5
    t0: DecisionTime = DecisionTime.KEYFRAME
    anchor: str = "CAM_FRONT"
    ego: EgoSource = EgoSource.PAST_POSES
    proposals: str = "none"
    top_k: int = 20
    min_score: float = 0.0
    oracle: OracleConfig = field(default_factory=OracleConfig)
    command: str = "none"
    summaries: str = ""
    cache: str = ""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "past_poses", "top_k"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}")
        if not self.version:
            raise ValueError("version is the name of the tables' folder, e.g. v1.0-mini")
        for name in ("scenes", "cameras"):
            chosen = getattr(self, name)
            if len(set(chosen)) < len(chosen):
                raise ValueError(f"{name} names one twice: {', '.join(chosen)}")
