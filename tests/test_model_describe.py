"""What a model costs: counted on the modules, and checked by hand on the smallest."""

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from model_cases import CODEC, NANO, letters, nano
from torch.utils.flop_counter import FlopCounterMode

from drivevlm.app import composed, main
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.model.config import (
    RANDOM,
    AdapterConfig,
    Budget,
    EncoderConfig,
    ModelConfig,
    ModelError,
)
from drivevlm.model.describe import describe
from drivevlm.model.description import ModelPart, Workload

LAYER = 2 * 96 * 96 + 2 * 96 * 48 + 3 * 96 * 256
"""Numbers of the matrices of one of nano's layers: q and o, k and v, the three of the MLP."""
FEW = Workload(
    cameras=2,
    frames=2,
    past_cameras=0,
    width_px=64,
    height_px=48,
    prompt_tokens=30,
    reply_tokens=10,
)


def sizes(description):
    return {part.name: part.parameters for part in description.parts}


def stages(description):
    return {stage.name: stage for stage in description.stages}


def test_parts_are_those_of_the_model_and_nothing_is_counted_twice():
    model, processor = nano()
    found = sizes(describe(NANO, replace(FEW, vocabulary=len(processor.tokenizer))))
    words = model.get_input_embeddings().weight.numel()
    assert found == {
        "encoder": sum(p.numel() for p in model.vision_encoder.parameters()),
        "projector": sum(p.numel() for p in model.projector.parameters()),
        "decoder": sum(p.numel() for p in model.language_model.parameters()) - words,
        "embeddings": words,
    }
    assert sum(found.values()) == sum(p.numel() for p in model.parameters())
    assert len(processor.tokenizer) == len(letters()) + 1 + len(CODEC)


def test_numbers_of_nano_are_those_found_by_hand():
    found = describe(NANO, FEW)
    assert sizes(found)["embeddings"] == 4096 * 96
    assert sizes(found)["decoder"] == 3 * (LAYER + 2 * 96) + 96
    assert [(image.rows, image.columns) for image in found.images] == 4 * [(2, 4)]
    assert found.visual_tokens == 32
    assert found.context_tokens == 30 + 32 + 10
    read, head = 62, 2 * 96 * 4096
    prefill = 2 * read * 3 * LAYER + 3 * 4 * read**2 * 96 + head
    assert stages(found)["prefill"].flops == pytest.approx(prefill, rel=1e-3)
    contexts = sum(range(63, 73))
    decode = 10 * (2 * 3 * LAYER + head) + 3 * 4 * contexts * 96
    assert stages(found)["decode"].flops == pytest.approx(decode, rel=1e-3)
    assert found.memory.cache_fp32 == 4 * 72 * 3 * 2 * 48
    assert found.memory.weights_fp32 == 2 * found.memory.weights_bf16
    assert found.memory.weights_fp32 == 4 * sum(sizes(found).values())


def test_images_are_those_that_the_native_prompt_sends():
    parts = Parts.of(
        Chosen.of(*composed(["data=demo", "data.frames=2", "prompt=native"])), lambda line: None
    )
    clip = parts.recording.clip(parts.recording.scenes()[0].tokens[4])
    sent, asked = parts.dialogue.ask(clip).images, Workload()
    newest_us = max(image.stamp_us for image in sent)
    told = [(image.label, (newest_us - image.stamp_us) / 1e6) for image in sent]
    assert [(f"{label}:", age_s) for label, age_s in asked.images] == told
    assert {image.image_rgb.shape[1::-1] for image in sent} == {(asked.width_px, asked.height_px)}


def test_older_images_are_counted_of_the_first_cameras_alone():
    labels = [label for label, _ in Workload(cameras=7, frames=3).images]
    assert labels[:3] == ["CAM_FRONT 1.0", "CAM_FRONT 0.5", "CAM_FRONT now"]
    assert labels[-2:] == ["CAM_BACK now", "CAM_7 now"]
    counts = [len(Workload(frames=3, past_cameras=n).images) for n in (1, 2, 6, 0)]
    assert counts == [8, 10, 18, 18]


def test_each_image_is_counted_by_its_own_budget():
    budgets = (Budget(2, 4, label="CAM_FRONT now"), Budget(1, 3, until_s=0.2), Budget(1, 1))
    config = replace(NANO, projector=replace(NANO.projector, budgets=budgets))
    found = describe(config, replace(FEW, cameras=3, past_cameras=1))
    assert [(image.label, image.rows * image.columns) for image in found.images] == [
        ("CAM_FRONT 0.5", 1),
        ("CAM_FRONT now", 8),
        ("CAM_FRONT_RIGHT now", 3),
        ("CAM_FRONT_LEFT now", 3),
    ]
    assert stages(found)["project"].count == found.visual_tokens == 15
    assert (stages(found)["encode"].count, found.context_tokens) == (4, 30 + 15 + 10)


def test_times_are_computing_or_reading_whichever_is_longer():
    slow = describe(NANO, replace(FEW, gflops=1.0, memory_gb_s=1e6))
    for stage in slow.stages:
        assert stage.ms == pytest.approx(stage.flops / 1e6)
    starved = stages(describe(NANO, replace(FEW, memory_gb_s=0.001)))["decode"]
    weights = sizes(slow)["decoder"] + sizes(slow)["embeddings"]
    cache = 3 * 2 * 48 * (62 + 5.5)
    assert starved.ms == pytest.approx(10 * 4 * (weights + cache) / 1e3)


def test_operations_of_the_eyes_are_those_of_real_pixels():
    model, _ = nano()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encode([torch.zeros(3, 48, 64)])
    assert stages(describe(NANO, FEW))["encode"].flops == 4 * counter.get_total_flops()


def test_what_is_frozen_is_not_trained_and_keeps_nothing():
    everything = describe(NANO, replace(FEW, frozen=()))
    assert all(part.trained == part.parameters for part in everything.parts)
    assert everything.memory.training == 4 * everything.memory.weights_fp32
    blind = describe(NANO, FEW)
    assert [part.name for part in blind.parts if not part.trained] == ["encoder"]
    assert 0 < blind.memory.activations < everything.memory.activations
    none = describe(NANO, replace(FEW, frozen=tuple(ModelPart)))
    assert none.memory.training == none.memory.weights_fp32


def test_adapters_are_a_part_of_their_own():
    if find_spec("peft") is None:
        pytest.skip("the [train] extra is not installed")
    adapter = AdapterConfig(rank=4, targets=("q_proj", "v_proj"))
    found = describe(replace(NANO, adapter=adapter), FEW)
    adapters = 3 * 4 * ((96 + 96) + (96 + 48))
    trained = {part.name: part.trained for part in found.parts}
    projector = sizes(found)["projector"]
    assert trained == {
        "encoder": 0,
        "projector": projector,
        "decoder": 0,
        "embeddings": 0,
        "adapters": adapters,
    }
    # PEFT trains a copy of the projector and keeps the old one.
    held = sum(sizes(found).values()) + projector
    assert found.memory.training == 4 * held + 12 * (adapters + projector)
    wrong = replace(NANO, adapter=AdapterConfig(rank=4, targets=("query",)))
    with pytest.raises(ModelError, match=r"adapter\.targets: query is no layer of llama"):
        describe(wrong, FEW)


@pytest.mark.parametrize(
    ("eyes", "reader"),
    [("siglip_vision_model", "qwen3"), ("dinov2", "gemma"), ("efficientnet_lite0", "llama")],
)
def test_every_kind_can_be_described(eyes, reader):
    encoder = EncoderConfig(kind=eyes, weights=RANDOM, strides=(16,), width=32, layers=1)
    config = replace(NANO, encoder=encoder, decoder=replace(NANO.decoder, kind=reader))
    found = describe(config, FEW)
    assert (found.encoder, found.decoder) == (eyes, reader)
    assert all(stage.flops > 0 for stage in found.stages)


def test_published_weights_are_not_needed_to_tell_their_size(monkeypatch):
    monkeypatch.setattr("drivevlm.model.parts.lite0_weights", lambda: pytest.fail("were read"))
    assert sizes(describe(ModelConfig(), FEW))["encoder"] == 700_768


def test_the_verb_prints_tables_and_at_last_the_file(tmp_path, capsys):
    words = ["model", "describe", "model=nano", "cameras=2", "prompt_tokens=30"]
    assert main([*words, f"out={tmp_path}/nano"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("encoder", "projector", "decoder", "embeddings", "prefill", "estimate", "GFLOP"):
        assert word in out
    assert "CAM_FRONT 0.5, CAM_FRONT now, CAM_FRONT_RIGHT now" in out
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/nano/model.json"
    told = json.loads((tmp_path / "nano" / "model.json").read_text())
    assert told["model"]["decoder"]["width"] == 96
    assert told["workload"]["cameras"] == 2
    assert {part["name"]: part["parameters"] for part in told["parts"]}["embeddings"] == 4096 * 96
    assert [stage["name"] for stage in told["stages"]] == [
        "encode",
        "project",
        "prefill",
        "decode",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cameras=0"], "cameras is at least 1, got 0"),
        (["past_cameras=-1"], "past_cameras is not negative, got -1"),
        (["gflops=0"], "gflops is positive, got 0"),
        (["frozen=[eyes]"], "frozen is one of encoder, projector, decoder, embeddings"),
        (["camera=6"], "camera is no setting, did you mean cameras"),
        (["model.decoder.kind=no_such"], "transformers knows no model_type 'no_such'"),
        (["model.decoder.weights=/nowhere"], "/nowhere holds no model"),
    ],
)
def test_what_cannot_be_described_ends_in_one_line(words, said, capsys):
    assert main(["model", "describe", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
