"""What a training is given and cannot use: left out and named, or one line before it begins."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from looking import WORDS, Sixteen
from model_cases import nano

from drivevlm.app import main
from drivevlm.model.storage import save_model
from drivevlm.world.camera import CameraSequence

pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")
SMALL = ("model=nano", "train.batch=4", "train.warmup=2", "train.threads=1", "train.tell_every=1")


class Damaged(Sixteen):
    """The images of one clip end half-way, and a box of another is labelled nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.lost = self.tokens[1], self.tokens[2]

    def clip(self, token):
        clip = super().clip(token)
        return replace(clip, cameras=tuple(map(_cut, clip.cameras))) if token == self.cut else clip

    def truth(self, token):
        truth = self._whole.truth(token)
        if token != self.lost:
            return truth
        boxes = truth.now.boxes
        nowhere = np.full_like(boxes.center_global_m, np.nan)
        now = replace(truth.now, boxes=replace(boxes, center_global_m=nowhere))
        return replace(truth, steps={**truth.steps, 0: now})


def _cut(sequence: CameraSequence) -> CameraSequence:
    frames = (replace(f, source=f.encoded[: len(f.encoded) // 2]) for f in sequence.frames)
    return CameraSequence(sequence.camera, tuple(frames))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    recording = Damaged()
    return recording, recording.packed(tmp_path_factory.mktemp("damaged") / "packed")


@pytest.mark.parametrize("cached", ["true", "false"])
def test_a_cut_image_and_a_label_that_is_no_number_are_left_out_counted_and_named(
    cached, damaged, tmp_path, capsys
):
    recording, folder = damaged
    told = [f"data.path={folder}", *WORDS, *SMALL, "train.steps=4", f"train.cached={cached}"]
    told += [f"cache={tmp_path / 'cache'}", f"out={tmp_path / 'run'}"]
    assert main(["train", *told]) == 0
    out = capsys.readouterr().out
    lost = "skipped 1 (a box must be finite"
    assert f"15 clips; {lost}" in out
    assert f", e.g. {recording.lost}" in out
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    skipped = [line for line in map(json.loads, lines) if "skipped" in line]
    position = json.loads((tmp_path / "run" / "last" / "position.json").read_text())
    assert position["skipped"] == len(skipped)
    if cached == "true":
        assert f"14 clips; {lost}" in out
        assert "expected a whole JPEG or PNG" in out
        assert f", e.g. {recording.cut}" in out
        assert not skipped
    else:
        assert {line["skipped"] for line in skipped} == {recording.cut}
        assert f"left out clip {recording.cut}: " in out
        assert "expected a whole JPEG or PNG" in skipped[0]["why"]


class Bomb:
    """Makes a folder when a pickle of it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_start_of_pickled_weights_is_refused_unopened(damaged, tmp_path, capsys):
    start, trace = tmp_path / "start", tmp_path / "trace"
    save_model(*nano(), start)
    (start / "model.safetensors").unlink()
    (start / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(trace)))
    capsys.readouterr()  # the bar of saving
    told = [f"data.path={damaged[1]}", *WORDS, *SMALL, f"start={start}", f"out={tmp_path / 'run'}"]
    assert main(["train", *told]) == 2
    error = capsys.readouterr().err
    assert f"{start} does not load: " in error
    assert "model.safetensors" in error
    assert len(error.strip().splitlines()) == 1
    assert not trace.exists()
