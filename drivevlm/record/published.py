"""What a node published during a replay (published.jsonl), a trajectory a line, as it was heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from drivevlm.record.decision_json import Json
from drivevlm.record.run_folder import RecordError
from drivevlm.world.published import Published

__all__ = ["PUBLISHED", "Published", "append_published", "read_published"]

PUBLISHED = "published.jsonl"
_ARRAYS = ("time_s", "xy_global_m", "yaw_global_rad")


def append_published(folder: Path, published: Published) -> None:
    """Add a line to a run folder; whole in the file before this returns."""
    line = {
        "scene": published.scene,
        "stamp_us": published.stamp_us,
        "heard_us": published.heard_us,
        "fallback": published.fallback,
        **{name: getattr(published, name).tolist() for name in _ARRAYS},
    }
    with (folder / PUBLISHED).open("ab") as file:
        file.write(json.dumps(line, allow_nan=False).encode() + b"\n")


def read_published(folder: Path) -> list[Published]:
    """All whole lines of a run folder, in the order heard; empty where it has no such file.

    A torn last line, which a killed replay may leave, is passed over. Raises RecordError.
    """
    path = folder / PUBLISHED
    if not path.exists():
        return []
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                found.append(_published(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(
                    f"{path}, line {number}: expected a published trajectory, got {line[:60]!r} "
                    f"({error!r}): delete that line to score the others"
                ) from None
    return found


def _published(value: Json) -> Published:
    scene, fallback = value["scene"], value["fallback"]
    stamp_us, heard_us = value["stamp_us"], value["heard_us"]
    if type(scene) is not str or type(fallback) is not bool:
        raise TypeError(f"scene is text and fallback true or false, got {scene!r}, {fallback!r}")
    if type(stamp_us) is not int or type(heard_us) is not int:
        raise TypeError(f"stamps are whole microseconds, got {stamp_us!r}, {heard_us!r}")
    return Published(
        scene,
        stamp_us,
        heard_us,
        fallback,
        *(np.asarray(value[name], dtype=np.float64) for name in _ARRAYS),
    )
