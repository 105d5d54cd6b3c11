"""What a recording holds: how the ego drives, and what is annotated round it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivevlm.data.recording import Recording
from drivevlm.evaluate.prepared import Progress, kinds
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoStatus
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

# C: clips.

STANDS_M = 0.5
"""An ego that moves less than this in the next 3 s stands."""


@dataclass(frozen=True, slots=True, eq=False)
class DataStats:
    """Counts and distributions.

    Attributes:
        clips, scenes: How many.
        whole: Clips with a recorded future of 3 s.
        standing: Of these, clips whose ego stands for the whole 3 s.
        kinds: By kind of clip (``metrics.splits``), how many.
        values: By name with unit, (C,) a value a clip; NaN where it is not known.
        categories: By nuScenes category, boxes over all keyframes.
    """

    clips: int
    scenes: int
    whole: int
    standing: int
    kinds: Mapping[str, int]
    values: Mapping[str, Floats]
    categories: Mapping[str, int]


def data_stats(
    recording: Recording,
    *,
    cache: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> DataStats:
    """Read every clip and its truth once, without its images."""
    scenes = recording.scenes()
    tokens = [token for scene in scenes for token in scene.tokens]
    rows: list[dict[str, float]] = []
    categories: Counter[str] = Counter()
    for number, token in enumerate(tokens, start=1):
        truth = recording.truth(token)
        rows.append(_row(recording.clip(token), truth))
        if truth is not None:
            categories.update(truth.now.boxes.category)
        progress("reading", number, len(tokens))
    values = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}
    travelled_m = values.get("travelled in 3 s (m)", np.zeros(0))
    members = kinds(recording, tokens, cache=cache, progress=progress)
    return DataStats(
        len(tokens),
        len(scenes),
        int(np.isfinite(travelled_m).sum()),
        int((travelled_m < STANDS_M).sum()),
        {name: len(found) for name, found in members.items()},
        values,
        dict(categories.most_common()),
    )


_STATUS: Mapping[str, Callable[[EgoStatus], float | None]] = {
    "speed (m/s)": lambda status: status.speed_mps,
    "acceleration (m/s2)": lambda status: status.acceleration_mps2,
    "yaw rate (rad/s)": lambda status: status.yaw_rate_radps,
}


def _row(clip: Clip, truth: Truth | None) -> dict[str, float]:
    row = {name: _known(clip.status, of) for name, of in _STATUS.items()}
    row |= dict.fromkeys(("travelled in 3 s (m)", "turned in 3 s (rad)", "boxes"), np.nan)
    row["nearest box (m)"] = np.nan
    if truth is not None:
        xy_ego_m, yaw_ego_rad = truth.future_path()
        row["travelled in 3 s (m)"] = _length_m(xy_ego_m)
        row["turned in 3 s (rad)"] = float(yaw_ego_rad[-1])
        row["boxes"] = float(len(truth.now.boxes))
        if len(truth.now.boxes):
            off_m = truth.now.boxes.center_global_m - truth.now.global_from_ego.translation_m
            row["nearest box (m)"] = float(np.hypot(off_m[:, 0], off_m[:, 1]).min())
    return row


def _known(status: EgoStatus | None, of: Callable[[EgoStatus], float | None]) -> float:
    value = None if status is None else of(status)
    return np.nan if value is None else value


def _length_m(xy_m: Floats) -> float:
    """Along the path from the origin; NaN where a step is not recorded."""
    return float(np.linalg.norm(np.diff(xy_m, axis=0, prepend=np.zeros((1, 2))), axis=1).sum())


def drawn(recording: Recording, *, count: int, seed: int) -> Sequence[str]:
    """Tokens of some clips, each as likely as the other, in the order of the recording."""
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(tokens), size=min(count, len(tokens)), replace=False)
    return [tokens[k] for k in sorted(chosen)]
