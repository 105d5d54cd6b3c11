"""Folders of images without poses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from PIL import Image

from drivevlm.data.frames import FramesConfig, FramesRecording
from drivevlm.data.recording import DataError
from drivevlm.world.camera import FrameError


def folder(root: Path, *, entries: int = 3) -> Path:
    """Two cameras, one entry each half second."""
    rows = []
    for k in range(entries):
        t0_us = 1_000_000_000 + 500_000 * k
        cameras = {"left": f"left__{t0_us - 20_000}.png", "right": f"right_{k}.png"}
        for file in cameras.values():
            Image.fromarray(np.full((6, 8, 3), 10 * k, dtype=np.uint8)).save(root / file)
        rows.append({"log": "yard", "timestamp": t0_us, "cameras": cameras})
    (root / "frames.json").write_text(json.dumps(rows))
    return root


def test_the_four_real_keyframes_load_without_poses() -> None:
    recording = FramesRecording(FramesConfig(str(reference("drivelm_real"))))
    scenes = recording.scenes()
    assert [len(scene.tokens) for scene in scenes] == [1, 1, 1, 1]
    for scene in scenes:
        clip = recording.clip(scene.tokens[0])
        assert len(clip.cameras) == 6
        assert clip.status is clip.history is clip.command is clip.proposals is None
        assert recording.truth(clip.token) is None
        for sequence in clip.cameras:
            assert sequence.camera.size_px == (1600, 900)
            assert sequence.camera.intrinsics is sequence.camera.ego_from_camera is None
            assert abs(sequence.frames[-1].stamp_us - clip.t0_us) < 50_000
    assert clip.cameras[0].frames[-1].decode().shape == (900, 1600, 3)


def test_a_sequence_is_the_logs_own_past(tmp_path: Path) -> None:
    recording = FramesRecording(FramesConfig(str(folder(tmp_path)), frames=2))
    (scene,) = recording.scenes()
    assert [len(recording.clip(t).cameras[0].frames) for t in scene.tokens] == [1, 2, 2]
    left, right = recording.clip(scene.tokens[2]).cameras
    t0_us = recording.clip(scene.tokens[2]).t0_us
    assert [frame.stamp_us - t0_us for frame in left.frames] == [-520_000, -20_000]
    assert [frame.stamp_us - t0_us for frame in right.frames] == [-500_000, 0]


def test_a_broken_image_is_a_matter_of_who_reads_it(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "right_1.png").write_bytes(b"")
    (root / "right_2.png").unlink()
    recording = FramesRecording(FramesConfig(str(root)))
    for token in recording.scenes()[0].tokens[1:]:
        left, right = recording.clip(token).cameras
        assert left.frames[-1].decode().shape == (6, 8, 3)
        with pytest.raises(FrameError):
            right.frames[-1].decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "not readable as JSON"),
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ('[{"log": "a", "timestamp": 1}]', "entry 0: expected"),
        ('[{"log": "a", "timestamp": "now", "cameras": {"c": "p"}}]', "entry 0: expected"),
        ('[{"log": "a", "timestamp": 1, "cameras": {"c": 3}}]', "entry 0: expected"),
        ("[3]", "entry 0: expected"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "frames.json").write_text(content)
    with pytest.raises(DataError, match=words):
        FramesRecording(FramesConfig(str(tmp_path)))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds frames\.json"):
        FramesRecording(FramesConfig(str(tmp_path)))
    root = str(folder(tmp_path))
    with pytest.raises(DataError, match="there is no top, but left, right"):
        FramesRecording(FramesConfig(root, cameras=("top",)))
    with pytest.raises(DataError, match="no entry nothing"):
        FramesRecording(FramesConfig(root)).clip("nothing")
    rows: list[Any] = json.loads((tmp_path / "frames.json").read_text())
    (tmp_path / "frames.json").write_text(json.dumps([*rows, rows[0]]))
    with pytest.raises(DataError, match="two entries of one timestamp"):
        FramesRecording(FramesConfig(root))
