"""Validations: which checkpoint is the best, what a kill costs, what is asked and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_cases import CONFIG, begun, native, task

from drivevlm.build.learning import _seeded
from drivevlm.build.learning_settings import Learning
from drivevlm.build.settings import SettingError
from drivevlm.build.table import DATA
from drivevlm.dialogue.sections import SectionName
from drivevlm.model.adapters import with_adapters
from drivevlm.model.config import AdapterConfig
from drivevlm.train.checkpoint import read_position
from drivevlm.train.config import FormShares
from drivevlm.train.form import Forms
from drivevlm.train.loop import Validated, train
from drivevlm.train.perceiving import with_figures
from drivevlm.train.watch import Watch, silent


def watch(folder: Path) -> Watch:
    return Watch(folder, silent, every=1)


def validations(folder: Path) -> list[int]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["step"] for line in lines if "validation" in line]


def test_the_best_checkpoint_is_that_of_the_best_validation(tmp_path):
    scores = iter([0.1, 0.3, 0.2])

    def validate(folder: Path) -> Validated:
        assert (folder / "config.json").is_file()
        return Validated({"l2_m": 1.0}, next(scores))

    config = replace(CONFIG, steps=6, val_every=2)
    position = train(task(tmp_path, config, validate=validate), watch(tmp_path))
    assert position.best == 0.3
    assert read_position(tmp_path / "best")["step"] == 4
    assert validations(tmp_path) == [2, 4, 6]


@pytest.mark.parametrize("killed_at", [2, 4])
def test_a_validation_that_was_broken_off_is_made_up_for(killed_at, tmp_path):
    config = replace(CONFIG, steps=4, val_every=2)
    steps = []

    def validate(folder: Path) -> Validated:
        steps.append(read_position(folder)["step"])
        if steps.count(killed_at) == 1 and steps[-1] == killed_at:
            raise KeyboardInterrupt
        return Validated({"l2_m": 1.0}, 1.0 / steps[-1])

    with pytest.raises(KeyboardInterrupt):
        train(task(tmp_path, config, validate=validate), watch(tmp_path))
    position = train(task(tmp_path, config, validate=validate), watch(tmp_path))
    assert validations(tmp_path) == [2, 4]
    assert (position.best, position.judged) == (0.5, 4)
    assert read_position(tmp_path / "best")["step"] == 2
    train(task(tmp_path, config, validate=validate), watch(tmp_path))
    assert validations(tmp_path) == [2, 4]  # whoever has finished is not validated again


def test_a_step_of_which_every_clip_is_broken_is_left_out(tmp_path):
    from drivevlm.world.camera import FrameError

    ready = task(tmp_path, replace(CONFIG, steps=3))
    sees, calls = ready.desk.see, []

    def see(number, lesson):
        calls.append(lesson.token)
        if len(calls) <= CONFIG.batch:
            raise FrameError("the JPEG is cut off")
        return sees(number, lesson)

    position = train(replace(ready, desk=replace(ready.desk, see=see)), watch(tmp_path))
    assert (position.step, position.skipped) == (3, CONFIG.batch)
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if "loss" in line] == [2, 3]


@pytest.mark.parametrize(
    ("shares", "asked"),
    [
        (FormShares(), tuple(SectionName)),
        (FormShares(full=0, plan_first=0, plan_only=0.9, brief=0), (SectionName.PLAN,)),
    ],
)
def test_what_is_validated_is_the_longest_answer_that_is_taught(shares, asked):
    assert Forms(native(), replace(CONFIG, forms=shares)).whole.format.sections == asked


def test_figures_of_a_second_data_set_stand_beside_the_first():
    scenes, twins = {"n": 3, "l2_m": 1.0}, {"twin_n": 2}
    told = with_figures(with_figures(with_figures({}, scenes), twins), {"n": 4, "l2_m": 2.0})
    assert told == scenes | twins | {"n 2": 4, "l2_m 2": 2.0}


def test_a_training_does_not_call_pictures_grey_that_it_sees():
    groups = {"data": "packed", "prompt": "native", "model": "nano"}
    values = {"data": {}, "prompt": {}, "model": {}, "block": {"cameras": "blank"}}
    with pytest.raises(SettingError, match="a training sees pictures"):
        Learning.of(values, groups, DATA["packed"].settings)


def test_fresh_adapters_are_drawn_by_the_seed():
    def drawn(seed: int) -> torch.Tensor:
        from copy import deepcopy

        with _seeded(seed):
            model = with_adapters(deepcopy(begun()[0]), AdapterConfig(rank=2))
        named = dict(model.named_parameters())
        return next(p for name, p in named.items() if "lora_A" in name)

    torch.manual_seed(5)
    first = drawn(0)
    torch.manual_seed(6)
    assert torch.equal(drawn(0), first)
    assert not torch.equal(drawn(1), first)
