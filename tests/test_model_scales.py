"""Laws of numbers that are written as one word: neighbours count, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from train_cases import begun

from drivevlm.dialogue.control import ACCELERATIONS_MPS2, CURVATURES_RADPM, SPEEDS_MPS
from drivevlm.model.scales import Scales


def tokenizer():
    return begun()[1].tokenizer


def scales(spread_bins: float) -> Scales:
    return Scales(tokenizer(), spread_bins)


def bins(name: str) -> range:
    first = tokenizer().convert_tokens_to_ids(f"<{name}0>")
    return next(ids for ids in scales(1.0).ranges if ids.start == first)


def test_the_scales_of_a_vocabulary_are_those_of_the_codec():
    sizes = [len(table) for table in (SPEEDS_MPS, ACCELERATIONS_MPS2, CURVATURES_RADPM)]
    assert sorted(map(len, scales(1.0).ranges)) == sorted(sizes)
    assert scales(0.0).ranges == ()
    for name, size in zip("vak", sizes, strict=True):
        words = tokenizer().convert_ids_to_tokens(list(bins(name)))
        assert words == [f"<{name}{k}>" for k in range(size)]


def test_a_region_of_many_likely_bins_wins_over_one_bin_alone():
    ids = bins("a")
    scores = torch.full((len(tokenizer()),), -20.0)
    scores[ids[3]] = 1.0
    scores[[ids[k] for k in (40, 41, 42, 43, 44)]] = 0.5
    before = scores.clone()
    scales(0.0).settle(scores)
    assert torch.equal(scores, before)
    scales(2.0).settle(scores)
    assert int(scores.argmax()) == ids[42]


def test_forbidden_bins_and_words_that_are_no_bins_stay_as_they_are():
    ids = bins("k")
    scores = torch.full((len(tokenizer()),), -torch.inf)
    scores[[ids[10], ids[12]]] = torch.tensor([0.0, 0.0])
    scales(2.0).settle(scores)  # the middle between both is forbidden
    assert int(scores.argmax()) in (ids[10], ids[12])
    plain = torch.full((len(tokenizer()),), -20.0)
    plain[[5, ids[3]]] = torch.tensor([1.0, 0.9])
    before = plain.clone()
    scales(2.0).settle(plain)
    assert torch.equal(plain, before)


def test_a_sure_bin_stays_even_at_the_end_of_its_scale():
    for k in (0, 1, -2, -1):
        scores = torch.zeros(len(tokenizer()))
        scores[bins("v")[k]] = 20.0
        scales(2.0).settle(scores)
        assert int(scores.argmax()) == bins("v")[k]


def test_without_spread_losses_are_those_of_the_very_words():
    torch.manual_seed(0)
    logits = torch.randn(6, len(tokenizer()))
    targets = torch.tensor([3, bins("v")[0], bins("a")[9], bins("k")[62], 7, bins("a")[0]])
    plain = functional.cross_entropy(logits, targets, reduction="none")
    assert torch.equal(scales(0.0).losses(logits, targets), plain)
    spread = scales(1.0).losses(logits, targets)
    assert torch.equal(spread[[0, 4]], plain[[0, 4]])
    assert (spread[[1, 2, 3, 5]] - plain[[1, 2, 3, 5]]).abs().min() > 1e-3


def test_the_nearer_bin_costs_less_and_what_was_wanted_costs_nothing():
    ids, width = bins("a"), len(tokenizer())
    wanted = torch.tensor([ids[30]])
    shapes = []
    for middle in (30, 31, 40):
        logits = torch.full((1, width), -60.0)
        places = torch.arange(len(ids))
        logits[0, ids.start : ids.stop] = -0.5 * (places - middle) ** 2
        shapes.append(float(scales(1.0).losses(logits, wanted)))
    assert shapes[0] == pytest.approx(0.0, abs=1e-5)
    assert shapes[0] < shapes[1] < shapes[2]


def test_losses_teach_only_words_of_the_target_or_near_it():
    ids = bins("k")
    logits = torch.zeros(1, len(tokenizer()), requires_grad=True)
    scales(1.0).losses(logits, torch.tensor([ids[20]])).sum().backward()
    assert logits.grad is not None
    up = (logits.grad[0] < 0).nonzero().flatten().tolist()
    assert ids[20] in up
    assert set(up) <= set(ids[15:26])
