"""Checkpoints of a training that meet a full disk, or another model."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest
from model_cases import NANO
from train_cases import CONFIG, begun, losses, task

from drivevlm.model.config import Pooling
from drivevlm.train.checkpoint import found_checkpoint, read_position
from drivevlm.train.config import TrainError
from drivevlm.train.loop import LAST, train
from drivevlm.train.watch import Watch, silent


def watch(folder: Path) -> Watch:
    return Watch(folder, silent, every=1)


def weights(folder: Path) -> bytes:
    return (folder / LAST / "model.safetensors").read_bytes()


def test_a_disk_that_is_full_in_a_training_leaves_the_checkpoint_before_to_go_on_from(tmp_path):
    config = replace(CONFIG, steps=3, save_every=1)
    train(task(tmp_path, replace(config, stop_after=1)), watch(tmp_path))
    before = weights(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # the weights are larger
    try:
        with pytest.raises(TrainError, match=r"last cannot be written .*too large.*is whole; make"):
            train(task(tmp_path, config), watch(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert read_position(found_checkpoint(tmp_path / LAST))["step"] == 1
    assert weights(tmp_path) == before
    assert train(task(tmp_path, config), watch(tmp_path)).step == 3
    assert len(losses(tmp_path)) == 3


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        pytest.param({"pooling": Pooling.AVERAGE}, r"e\.g\. exp_avg\..*pool\.", id="other layers"),
        pytest.param({"width": 96}, r"e\.g\. exp_avg\..*cell_geometry", id="other sizes"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused_by_what_differs(change, differs, tmp_path):
    config = replace(CONFIG, steps=2)
    train(task(tmp_path, replace(config, stop_after=1)), watch(tmp_path))
    other = begun(projector=replace(NANO.projector, **change))
    said = rf"belongs to another model or stage: \d+ tensors differ, {differs}"
    with pytest.raises(TrainError, match=said):
        train(task(tmp_path, config, begin=other), watch(tmp_path))
