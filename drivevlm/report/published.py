"""Figures that others published of their own planners, or measured themselves, on nuScenes val.

A row stands here only where who measured it also published it. Figures that a work quotes from
another one are left out, and so are those whose protocol nobody can name:

- VAD with ego status, ST-P3 and UniAD in AD-MLP's README, and FF and EO in UniAD's paper, are
  quotations; ST-P3's own README has its row.
- LightEMMA, OpenEMMA and EMMA in Impromptu-VLA's README are quotations (it says so).
- PARA-Drive, BEV-Planner, OmniDrive, Senna, ORION, OpenDriveVLA, AutoVLA, GPT-Driver and
  Agent-Driver were read in other works' tables only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivevlm.metrics.rule import Counted

Row = tuple[float | None, float | None, float | None, float | None]
"""At 1, 2 and 3 s, and their mean; None where it was not published."""

NUSCENES_VAL = {
    Counted.EVERY_KEYFRAME: 6019,
    Counted.FULL_FUTURE: 5119,
    Counted.PAST_AND_FUTURE: 4819,
}
"""How many keyframes of nuScenes' val split a protocol counts."""
NUSCENES_NAME = "nuscenes v1.0-trainval"
"""How the name of a recording begins that has that split."""


@dataclass(frozen=True, slots=True)
class Published:
    """One planner under one protocol, as published.

    Attributes:
        method: Its name.
        protocol: The protocol's name here. A name that is none compares with nothing here.
        l2_m, collision_pct: At 1, 2, 3 s and their mean.
        ego_status: Whether speed, CAN data or past poses go into the planner; None where the
            source does not say.
        source: Where it stands.
        note: What else a reader should know.
    """

    method: str
    protocol: str
    l2_m: Row
    collision_pct: Row
    ego_status: bool | None
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        for row in (self.l2_m, self.collision_pct):
            *steps, mean = row
            known = [value for value in steps if value is not None]
            if mean is not None and len(known) == 3 and abs(math.fsum(known) / 3 - mean) > 0.0101:
                raise ValueError(f"{self.method}: {mean} is not the mean of {known}")


NOT_PUBLISHED: Row = (None, None, None, None)
_UNIAD = "arXiv 2212.10156, table 7; avg. collision in github.com/OpenDriveLab/UniAD README too"
_UNIAD_PR = "github.com/OpenDriveLab/UniAD pull request 173 (merged)"
_VAD = "github.com/hustvl/VAD README"
_STP3 = "github.com/OpenDriveLab/ST-P3 README"
_ADMLP = "github.com/E2E-AD/AD-MLP README of 2023-10-20; arXiv 2305.10430, table 1"
_SPARSEDRIVE = "github.com/swc-17/SparseDrive README"
_IMPROMPTU = "github.com/ahydchh/Impromptu-VLA README"
_MEAN = "the source gives 1, 2 and 3 s; avg. is their mean"
_OLDER = (
    "the paper counted collisions with older code that missed some (README); left out, since they "
    "do not compare"
)
_RELEASED = "measured by SparseDrive's authors with the released code"
_UNNAMED = "L2 averaged over the steps up to k s; whose clips and axes is not said"

PUBLISHED: tuple[Published, ...] = (
    Published(
        "UniAD", "uniad", (0.48, 0.96, 1.65, 1.03), (0.05, 0.17, 0.71, 0.31), None, _UNIAD,
        "its collisions are counted after a post-optimisation on predicted occupancy; the released "
        "checkpoint v1.0.1 has 0.29 % (README)",
    ),
    Published(
        "UniAD", "uniad_stp3", (0.42, 0.64, 0.91, 0.66), (0.07, 0.10, 0.22, None), None, _UNIAD_PR,
        f"the released checkpoint, steps averaged; {_MEAN}",
    ),
    Published(
        "VAD-Tiny", "vad", (0.46, 0.76, 1.12, 0.78), (0.21, 0.35, 0.58, 0.38), None, _VAD
    ),
    Published(
        "VAD-Base", "vad", (0.41, 0.70, 1.05, 0.72), (0.07, 0.17, 0.41, 0.22), None, _VAD
    ),
    Published(
        "ST-P3", "stp3", (1.33, 2.11, 2.90, 2.11), (0.23, 0.62, 1.27, 0.71), None, _STP3, _MEAN
    ),
    Published(
        "AD-MLP", "stp3", (0.20, 0.26, 0.41, 0.29), (0.17, 0.18, 0.24, 0.19), True, _ADMLP,
        "no camera: ego status and command alone; earlier versions of the README have other "
        "figures (before a fix)",
    ),
    Published(
        "SparseDrive-S (paper)", "sparsedrive", (0.29, 0.58, 0.96, 0.61), NOT_PUBLISHED, None,
        _SPARSEDRIVE, _OLDER,
    ),
    Published(
        "SparseDrive-B (paper)", "sparsedrive", (0.29, 0.55, 0.91, 0.58), NOT_PUBLISHED, None,
        _SPARSEDRIVE, _OLDER,
    ),
    Published(
        "SparseDrive-S (released)", "sparsedrive", (0.30, 0.58, 0.95, 0.61),
        (0.01, 0.05, 0.23, 0.10), None, _SPARSEDRIVE, _RELEASED,
    ),
    Published(
        "VAD", "sparsedrive", (0.41, 0.70, 1.05, 0.72), (0.03, 0.21, 0.49, 0.24), None,
        _SPARSEDRIVE, _RELEASED,
    ),
    Published(
        "UniAD", "sparsedrive", (0.45, 0.70, 1.04, 0.73), (0.66, 0.66, 0.72, 0.68), None,
        _SPARSEDRIVE, _RELEASED,
    ),
    Published(
        "UniAD without post-optimisation", "sparsedrive", (0.32, 0.58, 0.94, 0.61),
        (0.17, 0.27, 0.42, 0.29), None, _SPARSEDRIVE, _RELEASED,
    ),
    Published(
        "Impromptu-VLA 3B, nuScenes", "l2_mean", (0.14, 0.30, 0.58, 0.34), NOT_PUBLISHED, True,
        _IMPROMPTU, _UNNAMED,
    ),
    Published(
        "Impromptu-VLA 3B, Impromptu + nuScenes", "l2_mean", (0.13, 0.27, 0.52, 0.30),
        NOT_PUBLISHED, True, _IMPROMPTU, _UNNAMED,
    ),
    Published(
        "Impromptu-VLA 7B, nuScenes", "l2_mean", (0.13, 0.28, 0.55, 0.32), NOT_PUBLISHED, True,
        _IMPROMPTU, _UNNAMED,
    ),
    Published(
        "Impromptu-VLA 7B, Impromptu + nuScenes", "l2_mean", (0.13, 0.27, 0.53, 0.30),
        NOT_PUBLISHED, True, _IMPROMPTU, _UNNAMED,
    ),
)  # fmt: skip
"""By protocol. Rows of different protocols do not compare."""


def published_under(protocol: str) -> tuple[Published, ...]:
    """The rows of one protocol."""
    return tuple(row for row in PUBLISHED if row.protocol == protocol)
