"""No future reaches a clip: change all that comes after t0 and nothing in it moves."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from tiny_tables import write_tables

from drivevlm.data.nuscenes.config import DecisionTime, EgoSource, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording


def plain(value: Any) -> Any:
    """Everything that a value holds, comparable. Paths are cut to their file names."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def perturbed(source: Path, target: Path, *, after_us: int) -> Path:
    """A copy whose poses and annotations after a time are somewhere else."""
    tables = target / "v1.0-mini"
    shutil.copytree(source / "v1.0-mini", tables)
    tables.chmod(0o755)
    for file in tables.iterdir():
        file.chmod(0o644)
    for folder in ("maps", "can_bus"):
        if (source / folder).exists():
            (target / folder).symlink_to(source / folder)
    read = {name: json.loads((tables / f"{name}.json").read_text()) for name in PERTURBED}
    late = {row["token"] for row in read["sample"] if row["timestamp"] > after_us}
    for pose in read["ego_pose"]:
        if pose["timestamp"] > after_us:
            x_m, y_m, z_m = pose["translation"]
            pose["translation"] = [x_m + 7.0, y_m - 30.0, z_m + 1.0]
            pose["rotation"] = [0.6, 0.0, 0.0, 0.8]
    for box in read["sample_annotation"]:
        if box["sample_token"] in late:
            box["translation"] = [v - 5.0 for v in box["translation"]]
            box["rotation"], box["size"] = [0.8, 0.0, 0.0, 0.6], [1.0, 2.0, 3.0]
            box["num_lidar_pts"] = box["num_radar_pts"] = 0
    for name, rows in read.items():
        (tables / f"{name}.json").write_text(json.dumps(rows))
    return target


PERTURBED = ("sample", "ego_pose", "sample_annotation")
WAYS = {
    "keyframes": NuScenesConfig(frames=3, proposals="oracle"),
    "sweeps": NuScenesConfig(frames=5, sweeps=True, proposals="oracle"),
    "anchor": NuScenesConfig(frames=3, t0=DecisionTime.ANCHOR),
    "anchor_sweeps": NuScenesConfig(frames=4, t0=DecisionTime.ANCHOR, sweeps=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_clip_holds_no_future(tmp_path: Path, way: str) -> None:
    config = replace(WAYS[way], cache=str(tmp_path / "cache"))
    root = write_tables(tmp_path / "data")
    recording = NuScenesRecording(replace(config, root=str(root)))
    for token in ("scene-2001-00", "scene-2001-01", "scene-2001-04"):
        clip = recording.clip(token)
        other = perturbed(root, tmp_path / token, after_us=clip.t0_us)
        again = NuScenesRecording(replace(config, root=str(other)))
        assert plain(again.clip(token)) == plain(clip)
        ahead, moved = (r.truth(token).future_path()[0] for r in (recording, again))
        assert not np.allclose(ahead, moved)


@pytest.mark.parametrize("ego", EgoSource)
def test_a_real_clip_holds_no_future(tmp_path: Path, ego: EgoSource) -> None:
    root = reference("nuscenes_mini_real")
    config = NuScenesConfig(
        scenes=("scene-0103",), frames=3, proposals="oracle", ego=ego, cache=str(tmp_path / "c")
    )
    recording = NuScenesRecording(replace(config, root=str(root)))
    token = recording.scenes()[0].tokens[12]
    clip = recording.clip(token)
    other = perturbed(root, tmp_path / "other", after_us=clip.t0_us)
    again = NuScenesRecording(replace(config, root=str(other)))
    assert plain(again.clip(token)) == plain(clip)


def test_only_the_leaking_command_sees_the_future(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    config = NuScenesConfig(str(root), command="gt_future", cache=str(tmp_path / "cache"))
    recording = NuScenesRecording(config)
    clip = recording.clip("scene-2001-02")
    other = perturbed(root, tmp_path / "other", after_us=clip.t0_us)
    again = NuScenesRecording(replace(config, root=str(other))).clip("scene-2001-02")
    assert clip.command is not None
    assert clip.command.provenance.leaks
    assert plain(again.command) != plain(clip.command)
    assert plain(replace(again, command=None)) == plain(replace(clip, command=None))
