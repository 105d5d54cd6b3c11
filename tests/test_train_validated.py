"""Validations: which checkpoint is the best, what a kill costs, what is asked and told."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from train_cases import CONFIG, IMAGES, begun, desk, native, task

from drivevlm.build.learning_settings import Learning
from drivevlm.build.settings import SettingError
from drivevlm.build.table import DATA
from drivevlm.dialogue.sections import SectionName
from drivevlm.report.curves import write_curves
from drivevlm.train.checkpoint import read_position, write_position
from drivevlm.train.config import FormShares, TrainError
from drivevlm.train.form import Forms
from drivevlm.train.loop import Validated, train
from drivevlm.train.perceiving import with_figures
from drivevlm.train.watch import Watch, silent
from drivevlm.world.camera import FrameError


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


@pytest.mark.parametrize(("killed_at", "left"), [(2, ""), (4, ""), (2, ".new"), (4, ".old")])
def test_a_validation_that_was_broken_off_is_made_up_for(killed_at, left, tmp_path):
    config = replace(CONFIG, steps=4, val_every=2)
    steps = []

    def validate(folder: Path) -> Validated:
        steps.append(read_position(folder)["step"])
        if steps.count(killed_at) == 1 and steps[-1] == killed_at:
            raise KeyboardInterrupt
        return Validated({"l2_m": 1.0}, 1.0 / steps[-1])

    with pytest.raises(KeyboardInterrupt):
        train(task(tmp_path, config, validate=validate), watch(tmp_path))
    (tmp_path / "last").rename(tmp_path / f"last{left}")
    position = train(task(tmp_path, config, validate=validate), watch(tmp_path))
    assert validations(tmp_path) == [2, 4]
    assert (position.best, position.judged) == (0.5, 4)
    assert read_position(tmp_path / "best")["step"] == 2
    train(task(tmp_path, config, validate=validate), watch(tmp_path))
    assert validations(tmp_path) == [2, 4]  # whoever has finished is not validated again
    assert steps.count(killed_at) == 2


def test_a_validation_whose_end_was_not_kept_is_told_once(tmp_path):
    config = replace(CONFIG, steps=2)
    given = {"validate": lambda folder: Validated({"l2_m": 1.0}, 0.5)}
    position = train(task(tmp_path, config, **given), watch(tmp_path))
    write_position(tmp_path / "last", asdict(replace(position, judged=0)))
    train(task(tmp_path, config, **given), watch(tmp_path))
    assert validations(tmp_path) == [2]
    assert read_position(tmp_path / "last")["judged"] == 2


def test_a_training_that_learns_from_nothing_is_one_line(tmp_path):
    def blind(number, lesson):
        raise FrameError("the JPEG is cut off")

    ready = task(tmp_path, replace(CONFIG, steps=2))
    ready = replace(ready, desk=replace(ready.desk, see=blind))
    with pytest.raises(TrainError, match=r"no clip could be learned from; .*the JPEG is cut off"):
        train(ready, watch(tmp_path))
    nowhere = desk(begun()[1], dialogue=native(replace(IMAGES, cameras=("CAM_FORNT",))))
    with pytest.raises(TrainError, match=r"no clip can be asked: .*CAM_FORNT"):
        nowhere.check_longest()


def test_counts_of_a_validation_are_told_but_not_drawn(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    lines = [
        {"stage_number": 0, "step": 1, "steps": 1, "loss": 1.0, "sections": {"plan": 1.0}},
        {"stage_number": 0, "step": 1, "steps": 1, "validation": {"l2_m": 1.0, "twin_n": 238}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda axes, *values, **style: drawn.append(style["label"]))
    monkeypatch.setattr(Axes, "legend", lambda axes, **style: None)
    write_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert drawn == ["loss (weighted)", "plan", "l2_m"]


def test_a_step_of_which_every_clip_is_broken_is_left_out(tmp_path):
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
