"""What there is to see: windows of a mask, lamps, the lead, and the path ahead."""

from __future__ import annotations

import json
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from train_cases import CONFIG, IMAGES, PLAIN, begun, data, desk, losses, task

from drivevlm.data.dense import DenseView, SignalHead
from drivevlm.dialogue.pictures import pictures_of
from drivevlm.train.checkpoint import restore_heads
from drivevlm.train.config import Stage
from drivevlm.train.heads import REACH_BETA_M, REACH_S, Heads
from drivevlm.train.learner import Learner, part_of
from drivevlm.train.lessons import Course, Place
from drivevlm.train.loop import BEST, LAST, train
from drivevlm.train.perceiving import perceived, told_apart
from drivevlm.train.percepts import (
    KINDS,
    SIGNALS,
    UNKNOWN,
    past_speed_mps,
    path_ahead_m,
    percepts_of,
    reach_m,
    shown_in,
)
from drivevlm.train.pupil import Pupil
from drivevlm.train.watch import Watch, silent
from drivevlm.world.sets import Signal

VIEW = DenseView(
    mask=np.array([[0, 0, 1, 1], [0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3]], dtype=np.uint16),
    instances=("car", "walker", "stranger"),
    depth_cm=None,
    heads=(
        SignalHead("light", Signal.RED, (10.0, 1.0, 12.0, 5.0)),
        SignalHead("beyond", Signal.GREEN, (90.0, 1.0, 92.0, 5.0)),
        SignalHead("above", Signal.AMBER, (1.0, -5.0, 3.0, -3.0)),
        SignalHead("dark", Signal.NONE, (1.0, 1.0, 2.0, 2.0)),
    ),
)


def test_a_window_shows_what_some_pixel_of_it_shows():
    shown = shown_in(VIEW, {"car": "vehicle", "walker": "human"}, (16, 16), (2, 2))
    expected = np.zeros((len(KINDS), 2, 2), dtype=bool)
    expected[KINDS.index("vehicle"), 0, 1] = True  # pixels 2 and 3 of the first row
    expected[KINDS.index("human"), 1, 0] = True
    expected[KINDS.index("red"), 0, 1] = True  # the head's middle is at (11, 3) of 16 x 16
    np.testing.assert_array_equal(shown, expected)  # nobody knows the stranger's kind


def test_the_path_ahead_lies_so_far_along_the_driven_way():
    truth = data().recording.truth(data().tokens[4])
    points = path_ahead_m(truth)
    driven = np.concatenate([np.zeros((1, 2)), truth.future_path()[0]])
    length_m = np.hypot(*np.diff(driven, axis=0).T).sum()
    assert np.isfinite(points[:, 0]).tolist() == [length_m >= 10, length_m >= 20, length_m >= 30]
    if length_m >= 10:
        assert np.hypot(*points[0]) == pytest.approx(10, abs=1.0)


def test_how_far_the_ego_gets_is_measured_along_its_path_after_each_second():
    truth = data().recording.truth(data().tokens[4])
    driven = np.concatenate([np.zeros((1, 2)), truth.future_path()[0]])
    steps_m = np.hypot(*np.diff(driven, axis=0).T)
    np.testing.assert_allclose(reach_m(truth), [steps_m[:k].sum() for k in (2, 4, 6)])
    short = replace(truth, steps={k: s for k, s in truth.steps.items() if k <= 3})
    assert np.isfinite(reach_m(short)).tolist() == [True, False, False]
    assert np.isnan(past_speed_mps(replace(truth, steps={0: truth.now})))


def test_a_light_that_no_camera_shows_is_no_lesson():
    recording = data().recording
    lit = [t for t in data().tokens if recording.truth(t).labels.signal.state is not Signal.NONE]
    for token in lit:
        truth = recording.truth(token)
        signal = truth.labels.signal
        hidden = replace(truth.labels, signal=replace(signal, visible=False))
        shown = replace(truth.labels, signal=replace(signal, visible=True))
        assert percepts_of(replace(truth, labels=hidden), {}, [], []).signal == UNKNOWN
        found = percepts_of(replace(truth, labels=shown), {}, [], []).signal
        assert SIGNALS[found] is signal.state
    assert lit


def test_a_crop_does_not_hide_what_the_whole_picture_shows():
    token = data().tokens[0]
    pictures = pictures_of(data()[token][0], replace(IMAGES, fovea=("CAM_FRONT",)))
    assert [picture.is_crop for picture in pictures] == [False, True]
    truth = data().recording.truth(token)
    whole, crop = percepts_of(truth, {"CAM_FRONT": VIEW}, pictures, [(2, 2), (2, 2)]).shown
    assert whole is not None
    assert crop is None


def pupil() -> Pupil:
    model = begun()[0]
    torch.manual_seed(0)
    return Pupil(deepcopy(model), Heads(model.config.text_config.hidden_size))


def test_heads_learn_and_only_the_projector_with_them(tmp_path):
    config = replace(CONFIG, steps=25, save_every=100, val_every=5)
    learns = pupil()

    def validate(folder):
        raise AssertionError("nobody learns to answer: there is nothing to plan with")

    before = {name: p.clone() for name, p in learns.model.state_dict().items()}
    ready = task(
        tmp_path,
        config,
        stages=(Stage.PERCEIVE,),
        pupil=learns,
        learnable=frozenset(name for name, _ in learns.named_parameters()),
        desk=replace(desk(begun()[1], config), percepts=True),
        validate=validate,
    )
    train(ready, Watch(tmp_path, silent, every=1))
    assert losses(tmp_path)[-1] < 0.8 * losses(tmp_path)[0]
    moved = {n for n, p in learns.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all(name.startswith("projector.") for name in moved)
    assert (tmp_path / LAST / "model.safetensors").is_file()
    others = pupil().heads
    assert not torch.equal(others.queries, learns.heads.queries)
    assert restore_heads(others, tmp_path / LAST)  # the next training goes on with them
    assert all(
        torch.equal(p, q) for p, q in zip(*map(weights, (others, learns.heads)), strict=True)
    )
    assert not restore_heads(Heads(8), tmp_path / LAST)  # of another model
    assert not restore_heads(others, tmp_path)


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return list(module.state_dict().values())


def test_heads_beside_the_answers_add_their_loss_by_its_weight():
    batch = replace(desk(begun()[1]), percepts=True).batch(
        next(Course([data()], (), clips=4, seed=0).batches(4))
    )
    found = []
    for weight in (0.0, 2.0):
        learns = pupil()
        names = frozenset(name for name, _ in learns.named_parameters())
        config = replace(CONFIG, perception=weight)
        learner = Learner(learns, config, Stage.SFT, Accelerator(cpu=True), names, PLAIN)
        found.append(learner.step([batch], 0))
    assert found[0].sections["sees_ahead"] == pytest.approx(found[1].sections["sees_ahead"])
    assert found[1].gradient > found[0].gradient


def test_both_sides_of_a_pair_are_told_as_twins():
    pair, alone = data().tokens[:2], data().tokens[2]
    batch = desk(begun()[1]).batch([Place(0, 0, (alone,)), Place(1, 0, pair)])
    assert batch.twins == ((1, 2),)


def test_heads_that_cannot_tell_twins_apart_are_charged_for_their_difference():
    ready = replace(desk(begun()[1]), percepts=True)
    moving = [t for t in data().tokens if np.isfinite(reach_m(data().recording.truth(t))).all()]
    batch = ready.batch([Place(0, 0, (moving[0],)), Place(1, 0, (moving[-1],))])
    near, far = (replace(batch.seen[0], reach_m=torch.full((3,), m)) for m in (1.0, 9.0))
    images = [torch.zeros(4, begun()[0].config.text_config.hidden_size)] * len(batch.images)
    heads = pupil().heads
    same = replace(batch, seen=(near, replace(far, speed_mps=near.speed_mps)))
    apart = heads(images, same)["reach"]
    together = heads(images, replace(same, twins=((0, 1),)))["reach"]
    # Blind, both sides get one answer: its errors are 8 m in sum, and so is that of the difference.
    beta = REACH_BETA_M / 2
    assert float(together.detach()) == pytest.approx((2 * float(apart.detach()) + 8 - beta) / 3)


def test_the_decoder_is_taught_to_hold_how_far_the_ego_gets():
    ready = replace(desk(begun()[1]), percepts=True)
    batch = ready.batch(next(Course([data()], (), clips=4, seed=0).batches(4)))
    learns = pupil()
    _, percepts = learns(batch)
    percepts["meant"].backward()
    reached = {part_of(n) for n, p in learns.named_parameters() if (p.grad != 0).any()}
    assert reached >= {"projector", "decoder", "heads"}


def test_what_the_decoder_holds_is_read_where_each_prompt_ends():
    ready = replace(desk(begun()[1]), percepts=True)
    batch = ready.batch(next(Course([data()], (), clips=4, seed=0).batches(4)))
    learns = pupil().eval()
    before = learns(batch)[1]["meant"]
    answer = batch.sections >= 0
    ids = batch.input_ids.clone()
    ids[:, -answer.shape[1] :][answer] = batch.targets[answer].flip(0)
    after = learns(replace(batch, input_ids=ids))[1]["meant"]
    assert torch.equal(before, after)  # nothing of the answers is held yet
    first = ids.shape[1] - int(answer[0].sum()) - 1
    ids[0, first] = ids[0, first - 1]  # the last word of the first prompt
    assert not torch.equal(before, learns(replace(batch, input_ids=ids))[1]["meant"])


def test_a_clip_is_judged_by_itself_whatever_stands_beside_it():
    ready = replace(desk(begun()[1]), percepts=True)
    batch = ready.batch(next(Course([data()], (), clips=4, seed=0).batches(4)))
    width = begun()[0].config.text_config.hidden_size
    rng = torch.Generator().manual_seed(0)
    shown = torch.rand(len(KINDS), 2, 3, generator=rng) > 0.5
    seen = [
        replace(batch.seen[0], images=2, shown=(None, shown), lead_m=8.0, signal=1),
        replace(batch.seen[1], images=1, shown=(~shown,), lead_m=np.inf, signal=2),
    ]
    tokens = [torch.randn(6, width, generator=rng) for _ in range(3)]
    heads = pupil().heads
    both = heads(tokens, replace(batch, seen=tuple(seen), twins=()))
    alone = [
        heads(mine, replace(batch, seen=(each,), twins=()))
        for mine, each in ((tokens[:2], seen[0]), (tokens[2:], seen[1]))
    ]
    for name, loss in both.items():
        parts = [float(each[name].detach()) for each in alone if name in each]
        assert float(loss.detach()) == pytest.approx(np.mean(parts), rel=1e-5)
    assert both.keys() >= {"signal", "lead", "lead_gap", "shown"}


# A validation of what is seen.


def test_who_only_says_that_the_ego_keeps_its_speed_is_as_far_off_as_that():
    learns, ready = pupil(), replace(desk(begun()[1]), percepts=True)
    with torch.no_grad():
        learns.heads.reach[-1].weight.zero_()
        learns.heads.reach[-1].bias.zero_()
    told = perceived(learns, ready, batch=6, within=nullcontext)
    truths = [data().recording.truth(token) for token in data().tokens]
    off_m = [np.abs(past_speed_mps(t) * REACH_S.numpy() - reach_m(t)).mean() for t in truths]
    assert told == {"sees_n": 16, "sees_reach_m": pytest.approx(np.mean(off_m), rel=1e-5)}


def test_pairs_count_where_both_sides_are_nearer_to_their_own_way():
    near, far = np.array([1.0, 2.0, 3.0]), np.array([4.0, 8.0, 12.0])
    assert told_apart((near + 1, near), (far - 1, far))
    assert not told_apart((near, near), (near, far))
    assert not told_apart((far, near), (near, far))


def test_a_stage_that_teaches_to_see_tells_what_is_seen_and_makes_no_checkpoint_the_best(tmp_path):
    given = {"pupil": pupil(), "desk": replace(desk(begun()[1]), percepts=True)}
    config = replace(CONFIG, steps=4, val_every=2)
    names = frozenset(name for name, _ in given["pupil"].named_parameters())
    given |= {"learnable": names, "perceive": lambda: {"sees_reach_m": 1.0}}
    stages = (Stage.PERCEIVE,)
    train(task(tmp_path, config, stages=stages, **given), Watch(tmp_path, silent, every=1))
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    told = [(line["step"], line["validation"]) for line in lines if "validation" in line]
    assert told == [(step, {"sees_reach_m": 1.0}) for step in (2, 4)]
    assert (tmp_path / LAST).is_dir()
    assert not (tmp_path / BEST).exists()


def test_metres_are_told_in_single_precision_whatever_the_attention_is_in():
    heads = Heads(32)
    with torch.autocast("cpu", torch.bfloat16):
        assert heads._looked(torch.randn(5, 32), [2, 3]).dtype is torch.float32
