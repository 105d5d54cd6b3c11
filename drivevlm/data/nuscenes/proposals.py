"""Box proposals: from a nuScenes detection result file, or from blurred labels (ORACLE)."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.data.nuscenes.config import NuScenesConfig, OracleConfig
from drivevlm.data.nuscenes.files import file_digest
from drivevlm.data.recording import DataError
from drivevlm.world.boxes import CATEGORIES, Box3
from drivevlm.world.clip import Proposals
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import Floats, Pose3, rotation_from_wxyz
from drivevlm.world.sets import Provenance
from drivevlm.world.truth import Truth

FAR_M = 150.0
"""Detections farther from the ego than this are not in the global frame."""
INVENTED_WITHIN_M = 50.0


@dataclass(frozen=True, slots=True)
class Proposer:
    """Gives each clip its proposals: the best ``top_k`` by score, named p1, p2, ... nearest first.

    Attributes:
        config: The reader's settings.
        results: Boxes of a result file by token, in the global frame.
        digest: Of the file.
    """

    config: NuScenesConfig
    results: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    digest: str = ""

    @classmethod
    def of(
        cls, config: NuScenesConfig, *, known: Container[str], wanted: Sequence[str]
    ) -> Proposer:
        """From the settings; reads and checks a result file where one is named."""
        if config.proposals in ("none", "oracle"):
            return cls(config)
        results = _read_results(Path(config.proposals).expanduser(), known=known, wanted=wanted)
        return cls(config, results, file_digest(config.proposals))

    @property
    def words(self) -> str:
        """The source, for tables."""
        source = self.config.proposals
        return source if source in ("none", "oracle") else "detector"

    @property
    def needs_truth(self) -> bool:
        """Whether proposals are made from labels."""
        return self.config.proposals == "oracle"

    def check_frame(self, pose_of: Callable[[str], Pose3]) -> None:
        """Raise DataError where most boxes of a file lie nowhere near the ego."""
        apart_m = [
            np.linalg.norm(np.array(row["translation"][:2]) - pose_of(token).translation_m[:2])
            for token, rows in list(self.results.items())[:200]
            for row in rows
        ]
        if apart_m and float(np.median(apart_m)) > FAR_M:
            raise DataError(
                f"data.proposals: boxes of {self.config.proposals} lie {np.median(apart_m):.0f} m "
                "from the ego (median): expected the global frame, is it the ego's or the lidar's?"
            )

    def proposals(
        self, token: str, global_from_ego: Pose3, truth: Truth | None
    ) -> Proposals | None:
        """The proposals of a clip; None where there is no source."""
        if self.config.proposals == "none":
            return None
        if self.needs_truth:
            if truth is None:
                raise ValueError("oracle proposals need the truth")
            boxes = _blurred(boxes_now(truth), self.config.oracle, token)
            return Proposals(self._best(boxes), Provenance.ORACLE)
        ego_from_global = global_from_ego.inverse()
        found = [_box(row, ego_from_global) for row in self.results[token]]
        return Proposals(self._best(found), Provenance.DETECTOR)

    def _best(self, boxes: Sequence[Box3]) -> tuple[Box3, ...]:
        scored = [b for b in boxes if (b.score or 0.0) >= self.config.min_score]
        best = sorted(scored, key=lambda b: -(b.score or 0.0))[: self.config.top_k]
        nearest = sorted(best, key=lambda b: b.distance_m)
        return tuple(replace(box, id=f"p{k + 1}") for k, box in enumerate(nearest))


def _read_results(
    path: Path, *, known: Container[str], wanted: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    what = f"data.proposals: {path}"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{what} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{what} is not JSON ({error})") from None
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise DataError(f"{what} is no nuScenes result file: expected {{meta, results}}")
    strangers = [token for token in results if token not in known]
    if strangers:
        raise DataError(
            f"{what} has {len(strangers)} sample tokens that are not in this recording, "
            f"the first is {strangers[0]!r}: is it of another version?"
        )
    missing = [token for token in wanted if token not in results]
    if missing:
        raise DataError(f"{what} lacks {len(missing)} of {len(wanted)} samples: {missing[0]} ...")
    for token, rows in results.items():
        for number, row in enumerate(rows):
            _check(row, f"{what}, sample {token}, box {number}")
    return results


def _check(row: Any, where: str) -> None:
    try:
        numbers = [*row["translation"], *row["size"], *row["rotation"], row["detection_score"]]
        name = row["detection_name"]
        finite = len(numbers) == 11 and bool(np.isfinite(np.array(numbers, dtype=np.float64)).all())
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: expected a nuScenes detection, got {error!r}") from None
    if not finite:
        raise DataError(
            f"{where}: position, size, rotation and score must be finite, got {numbers}"
        )
    if name not in CATEGORIES:
        raise DataError(f"{where}: detection_name {name!r} is none of {', '.join(CATEGORIES)}")
    if min(row["size"]) <= 0 or not 0 <= row["detection_score"] <= 1:
        raise DataError(f"{where}: sizes must be positive and the score in [0, 1], got {numbers}")


def _box(row: Mapping[str, Any], ego_from_global: Pose3) -> Box3:
    rotation = ego_from_global.rotation @ rotation_from_wxyz(np.array(row["rotation"], dtype=float))
    width, length, height = (float(v) for v in row["size"])
    return Box3(
        ego_from_global.apply(np.array(row["translation"], dtype=np.float64)),
        np.array([length, width, height]),
        float(np.arctan2(rotation[1, 0], rotation[0, 0])),
        row["detection_name"],
        _velocity(row, ego_from_global),
        float(row["detection_score"]),
    )


def _velocity(row: Mapping[str, Any], ego_from_global: Pose3) -> Floats | None:
    """Detectors write NaN where they do not know a velocity."""
    velocity = np.array([*row.get("velocity", [np.nan, np.nan]), 0.0], dtype=np.float64)
    if not np.isfinite(velocity).all():
        return None
    turned: Floats = (ego_from_global.rotation @ velocity)[:2]
    return turned


def _blurred(boxes: Sequence[Box3], config: OracleConfig, token: str) -> list[Box3]:
    rng = np.random.default_rng([config.seed, *token.encode()])
    found = []
    for box in boxes:
        kept, score = rng.random() < config.recall, rng.uniform(0.3, 1.0)
        shift_m = rng.normal(0.0, config.centre_noise_m, 2)
        scale = np.exp(rng.normal(0.0, config.size_noise, 3))
        turn = rng.normal(0.0, config.yaw_noise_rad)
        if kept:
            found.append(
                replace(
                    box,
                    center_ego_m=box.center_ego_m + np.array([*shift_m, 0.0]),
                    size_lwh_m=box.size_lwh_m * scale,
                    yaw_ego_rad=box.yaw_ego_rad + float(turn),
                    score=float(score),
                )
            )
    for _ in range(int(rng.poisson(config.false_positives))):
        x_m, y_m = rng.uniform(-INVENTED_WITHIN_M, INVENTED_WITHIN_M, 2)
        category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]
        invented = Box3.typical(category, x_ego_m=float(x_m), y_ego_m=float(y_m))
        found.append(replace(invented, score=float(rng.uniform(0.05, 0.6))))
    return found
