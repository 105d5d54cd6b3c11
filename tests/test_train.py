"""Teaching: the prompts are those that will be asked, and a broken training goes on as if whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file
from train_cases import CONFIG, PLAIN, begun, data, desk, losses, native, task

from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.sections import SectionName
from drivevlm.model.config import ModelError
from drivevlm.train.checkpoint import found_checkpoint, read_position, write_checkpoint
from drivevlm.train.config import (
    Dropout,
    EgoNoise,
    FormShares,
    Rates,
    SectionWeights,
    Stage,
    TrainConfig,
    TrainError,
)
from drivevlm.train.form import Forms, noisy
from drivevlm.train.learner import Learner, NotFiniteError, factor_at
from drivevlm.train.lesson import ENDS, check_fits, lesson_of
from drivevlm.train.lessons import Course, DataSet
from drivevlm.train.loop import LAST, train
from drivevlm.train.pupil import Pupil
from drivevlm.train.watch import Watch, silent
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.native.prompt import prompt_of

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def one_thread():
    """Sums have the same order in any process then."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def watch(folder: Path) -> Watch:
    return Watch(folder, silent, every=1)


def fresh(config: TrainConfig) -> Learner:
    pupil = Pupil(deepcopy(begun()[0]), None)
    names = frozenset(dict(pupil.named_parameters()))
    return Learner(pupil, config, Stage.SFT, Accelerator(cpu=True), names, PLAIN)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / LAST / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# What is taught is what will be asked.


@pytest.mark.parametrize("blocks", [{}, {"ego_status": Switch.OFF}, {"command": Switch.BLANK}])
def test_a_lesson_reads_token_for_token_what_the_model_will_be_asked(blocks):
    _, processor = begun()
    chat, asked = Chat(processor), native(**blocks)
    clip, decision = data()[data().tokens[3]]
    lesson = lesson_of(clip, asked.answer(clip, decision), asked, chat, SectionWeights())
    prompt = prompt_of(chat, asked.ask(clip))
    assert list(lesson.prompt_ids) == prompt.ids.tolist()
    assert lesson.grids == prompt.grids
    assert lesson.ages_s == pytest.approx(prompt.ages_s.tolist())


def test_an_answer_is_what_the_dialogue_writes_and_the_end():
    _, processor = begun()
    chat, asked = Chat(processor), native()
    clip, decision = data()[data().tokens[3]]
    lesson = lesson_of(
        clip, asked.answer(clip, decision), asked, chat, SectionWeights(detect=0.25, plan=4.0)
    )
    *answer, end = lesson.answer_ids
    assert chat.tokenizer.decode(answer) == asked.answer(clip, decision)
    assert end == chat.tokenizer.eos_token_id
    assert lesson.sections[-1] == ENDS
    assert list(dict.fromkeys(lesson.sections[:-1])) == list(range(len(SectionName)))
    by_section = dict(zip(lesson.sections, lesson.weights, strict=True))
    assert by_section[0] == 0.25
    assert by_section[list(SectionName).index(SectionName.PLAN)] == 4.0


def test_a_plan_takes_one_token_a_word_of_the_codec():
    _, processor = begun()
    clip, decision = data()[data().tokens[3]]
    lesson = lesson_of(
        clip, native().answer(clip, decision), native(), Chat(processor), SectionWeights()
    )
    codec = set(begun()[0].config.codec_ids)
    assert sum(token in codec for token in lesson.answer_ids) == 13


def test_a_lesson_longer_than_the_context_is_told_with_its_counts():
    _, processor = begun()
    clip, decision = data()[data().tokens[0]]
    lesson = lesson_of(
        clip, native().answer(clip, decision), native(), Chat(processor), SectionWeights()
    )
    check_fits(lesson, lesson.length)
    with pytest.raises(TrainError, match=r"tokens \(8 of its 1 images, .* 20 positions"):
        check_fits(lesson, 20)
    short = replace(desk(processor), context_tokens=20)
    with pytest.raises(TrainError, match=r"its blocks .*ego_status \d+.*, \d+ of the an"):
        short.check_longest()


# What is drawn.


def test_both_sides_of_a_pair_are_asked_alike():
    forms = Forms(native(), CONFIG)
    clip, _ = data()[data().tokens[5]]
    form = forms.draw("full", np.random.default_rng(1), ("CAM_FRONT",))
    a, b = (forms.shown(form, clip) for _ in range(2))
    assert a.status == b.status
    np.testing.assert_array_equal(a.history.xy_ego_m, b.history.xy_ego_m)


def test_a_batch_is_asked_for_one_answer_and_others_for_others():
    config = replace(CONFIG, forms=FormShares(full=0.5, plan_first=0.0, plan_only=0.5))
    ready = desk(begun()[1], config)
    course = Course([data()], (), clips=64, seed=0)
    wanted = set()
    for places in course.batches(4):
        batch = ready.batch(places)
        rows = {frozenset(row[row >= 0].tolist()) for row in batch.sections}
        assert len(rows) == 1
        wanted |= rows
    assert len(wanted) == 2


def test_blocks_drop_out_as_often_as_told_and_cameras_never():
    config = replace(CONFIG, dropout=Dropout(ego_status=0.5, block=0.25))
    forms, rng = Forms(native(), config), np.random.default_rng(0)
    drawn = [forms.draw("full", rng, ()).dialogue.blocks for _ in range(2000)]
    assert np.mean([b.ego_status is Switch.OFF for b in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([b.command is Switch.OFF for b in drawn]) == pytest.approx(0.25, abs=0.04)
    assert all(b.cameras is Switch.ON for b in drawn)
    assert all(b.prior is Switch.OFF for b in drawn)  # as the dialogue has it


def test_noise_has_its_deviations_and_leaves_the_present_where_it_is():
    clip, _ = data()[data().tokens[5]]
    rng = np.random.default_rng(0)
    shown = [noisy(clip, EgoNoise(speed_mps=0.2, position_m=0.1), rng) for _ in range(500)]
    off = [s.status.speed_mps - clip.status.speed_mps for s in shown]
    assert np.std(off) == pytest.approx(0.2, rel=0.15)
    moved = np.array([s.history.xy_ego_m - clip.history.xy_ego_m for s in shown])
    assert np.std(moved[:, 0]) == pytest.approx(0.1, rel=0.15)
    assert not moved[:, -1].any()


def test_a_course_takes_every_clip_once_a_turn_and_does_not_depend_on_where_it_began():
    course = Course([data()], (), clips=64, seed=3)
    batches = list(course.batches(8))
    assert [len(batch) for batch in batches] == [8] * 8
    tokens = [place.unit[0] for batch in batches for place in batch]
    for turn in range(4):
        assert sorted(tokens[16 * turn : 16 * turn + 16]) == sorted(data().tokens)
    assert tokens[:16] != tokens[16:32]
    again = list(Course([data()], (), clips=64, seed=3).batches(8))
    assert [[p.number for p in b] for b in again] == [[p.number for p in b] for b in batches]


def test_a_mixture_draws_by_its_shares():
    small = DataSet(data().recording, data().units[:2], {}, data()._known)
    places = [p for b in Course([data(), small], (1, 3), clips=4000, seed=0).batches(4) for p in b]
    assert np.mean([p.data for p in places]) == pytest.approx(0.75, abs=0.03)
    with pytest.raises(TrainError, match="1 shares for 2 data sets"):
        Course([data(), small], (1,), clips=4, seed=0)


def test_the_rate_rises_straight_and_falls_to_a_twentieth():
    config = TrainConfig(steps=100, warmup=10)
    assert factor_at(0, config) == pytest.approx(0.1)
    assert factor_at(9, config) == 1.0
    assert factor_at(100, config) == pytest.approx(0.05)
    assert factor_at(55, config) == pytest.approx(0.525)


# What learns.


def test_align_moves_the_projector_alone(tmp_path):
    before = {name: p.clone() for name, p in begun()[0].state_dict().items()}
    train(task(tmp_path, replace(CONFIG, steps=2), stages=(Stage.ALIGN,)), watch(tmp_path))
    after = weights(tmp_path)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved
    assert all(name.startswith("projector.") for name in moved)


def test_a_loss_is_the_mean_over_weighted_tokens():
    config = replace(CONFIG, forms=FormShares(1, 0, 0))
    writer = desk(begun()[1], config)
    places = next(Course([data()], (), clips=4, seed=0).batches(4))
    learner = fresh(config)
    batch = writer.batch(places)
    with torch.no_grad():
        each, _ = learner.losses(batch)
    expected = float((each * batch.weights).sum() / batch.weights.sum())
    learned = learner.step([batch], 0)
    assert learned.loss == pytest.approx(expected, rel=1e-6)
    plan = list(SectionName).index(SectionName.PLAN)
    assert learned.sections["plan"] == pytest.approx(
        float(each[batch.sections == plan].mean()), rel=1e-6
    )


def test_two_batches_of_a_step_count_as_one():
    config = replace(CONFIG, forms=FormShares(1, 0, 0))  # a batch draws the answer that it wants
    writer = desk(begun()[1], config)
    places = next(Course([data()], (), clips=4, seed=0).batches(4))
    found = []
    for parts in ([places], [places[:2], places[2:]]):
        learner = fresh(config)
        batches = [writer.batch(part) for part in parts]
        found.append([learner.step(batches, k).loss for k in range(3)])
    assert found[1] == pytest.approx(found[0], rel=1e-5)


# Broken off, and gone on with.


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(task(whole, replace(CONFIG, save_every=100)), watch(whole))
    first = train(task(parts, replace(CONFIG, stop_after=12)), watch(parts))
    assert first.step == 12
    train(task(parts, replace(CONFIG, save_every=100)), watch(parts))
    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 30
    assert same(weights(parts), weights(whole))


def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(task(whole), watch(whole))
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import torch; torch.set_num_threads(1)\n"
        "from train_cases import task\n"
        "from drivevlm.train.loop import train\n"
        "from drivevlm.train.watch import Watch\n"
        "def tell(line):\n"
        "    if line['step'] == 14: os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder = Path(sys.argv[2])\n"
        "train(task(folder), Watch(folder, tell, every=1))\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(HERE), str(killed)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert read_position(found_checkpoint(killed / LAST))["step"] == 12
    assert len(losses(killed)) == 14
    train(task(killed), watch(killed))
    assert losses(killed) == losses(whole)
    assert same(weights(killed), weights(whole))


@pytest.mark.parametrize("stages", [(Stage.ALIGN, Stage.SFT), (Stage.SFT, Stage.ALIGN)])
def test_stages_follow_each_other_and_are_resumed_where_they_were(stages, tmp_path):
    """Also what rests in the second stage is what the first one made of it."""
    config = replace(CONFIG, steps=4, save_every=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(task(whole, config, stages), watch(whole))

    def tell(line):
        if (line["stage_number"], line["step"]) == (1, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(task(parts, config, stages), Watch(parts, tell, every=1))
    assert read_position(found_checkpoint(parts / LAST))["step"] == 2
    train(task(parts, config, stages), watch(parts))
    assert len(losses(whole)) == 8
    assert losses(parts) == losses(whole)
    assert same(weights(parts), weights(whole))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    def fills(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    kept = tmp_path / "last"
    write_checkpoint(kept, lambda folder: (folder / "model.safetensors").touch(), {"step": 1})
    with pytest.raises(TrainError, match=r"last cannot be written .*No space left.*is whole"):
        write_checkpoint(kept, fills, {"step": 2})
    assert read_position(found_checkpoint(kept)) == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]


@pytest.mark.parametrize("left", ["new", "old"])
def test_a_checkpoint_is_found_where_a_killed_exchange_left_it(tmp_path, left):
    kept = tmp_path / "last"
    write_checkpoint(kept, lambda folder: None, {"step": 3})
    kept.rename(tmp_path / f"last.{left}")
    assert read_position(found_checkpoint(kept)) == {"step": 3}


def test_a_loss_that_is_no_number_stops_before_anything_is_changed(tmp_path):
    broken = task(tmp_path, replace(CONFIG, steps=2))
    with torch.no_grad():
        broken.pupil.model.projector.norm.weight.fill_(torch.nan)
    before = {n: p.clone() for n, p in broken.pupil.named_parameters() if "decoder" in n}
    with pytest.raises(NotFiniteError, match=r"step 0: the loss is nan.*not-finite\.safetensors"):
        train(broken, watch(tmp_path))
    assert set(load_file(tmp_path / "not-finite.safetensors")) >= {"0.input_ids", "0.targets"}
    with safe_open(tmp_path / "not-finite.safetensors", "pt") as kept:
        clips = kept.metadata()["0.clips"].split()
    assert len(clips) == CONFIG.batch
    assert set(clips) <= set(data().tokens)
    assert all(torch.equal(p, before[n]) for n, p in broken.pupil.named_parameters() if n in before)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(task(tmp_path, replace(CONFIG, steps=2, stop_after=1)), watch(tmp_path))
    frozen = replace(CONFIG, steps=2, rates=Rates(encoder=0.0, projector=1e-3, decoder=0.0))
    with pytest.raises(TrainError, match=r"belongs to another model or stage: \d+ tensors differ"):
        train(task(tmp_path, frozen), watch(tmp_path))


def test_nothing_that_learns_is_refused(tmp_path):
    rates = Rates(encoder=0.0, projector=0.0, decoder=0.0)
    with pytest.raises(TrainError, match="nothing learns"):
        train(task(tmp_path, replace(CONFIG, rates=rates)), watch(tmp_path))


def test_a_clip_whose_image_is_broken_is_left_out_and_named(tmp_path):
    from drivevlm.world.camera import FrameError

    ready = task(tmp_path, replace(CONFIG, steps=2))
    sees, bad = ready.desk.see, data().tokens[0]

    def see(number, lesson):
        if lesson.token == bad:
            raise FrameError("the JPEG is cut off")
        return sees(number, lesson)

    places = tuple(p for b in Course([data()], (), clips=16, seed=0).batches(16) for p in b)
    batch = replace(ready.desk, see=see).batch(places)
    assert batch.faults == {bad: "the JPEG is cut off"}
    assert len(batch.input_ids) == 15


def test_a_training_is_not_stopped_before_where_it_stands(tmp_path):
    train(task(tmp_path, replace(CONFIG, stop_after=3)), watch(tmp_path))
    position = train(task(tmp_path, replace(CONFIG, stop_after=2)), watch(tmp_path))
    assert position.step == 3
    assert len(losses(tmp_path)) == 3


def test_two_processes_learn_what_one_learns_with_twice_the_batches(tmp_path):
    code = HERE / "two_processes.py"
    one, two = tmp_path / "one", tmp_path / "two"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, code, one, "2"], check=True, env=environment)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run([sys.executable, *launch, code, two, "1"], check=True, env=environment)
    assert len(losses(two)) == 5
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)


def test_an_unknown_model_folder_is_one_line(tmp_path):
    from drivevlm.model.tokenizer import pretrained_tokenizer

    with pytest.raises(ModelError, match="has no tokenizer that loads"):
        pretrained_tokenizer(tmp_path)
