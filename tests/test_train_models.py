"""Every kind of model goes through the training itself: taught, saved, loaded, and the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from looking import WORDS, Sixteen
from model_cases import NANO, letters
from safetensors.torch import load_file
from train_cases import CONFIG, begun, data, losses, native, task
from transformers import LlamaConfig, LlamaForCausalLM

from drivevlm.app import main
from drivevlm.model.config import Pooling
from drivevlm.model.storage import load_model
from drivevlm.train.loop import LAST, train
from drivevlm.train.watch import Watch, silent
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.native.prompt import prompt_of

RANK = 4


def written(model, processor) -> list[int]:
    """The greedy answer to a clip, prompt and all."""
    asked = prompt_of(Chat(processor), native().ask(data()[data().tokens[0]][0]))
    ids = asked.ids[None]
    images = {name: getattr(asked, name) for name in ("rays", "ages_s", "grids")}
    answered = model.eval().generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=asked.pixels,
        **images,
        max_new_tokens=24,
        do_sample=False,
    )
    return answered[0].tolist()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_every_projector_is_taught_saved_and_answers_as_before(pooling, tmp_path):
    model, processor = begun(projector=replace(NANO.projector, pooling=pooling))
    ready = task(tmp_path, replace(CONFIG, steps=20, save_every=100), begin=(model, processor))
    train(ready, Watch(tmp_path, silent, every=1))
    told = losses(tmp_path)
    assert len(told) == 20
    assert told[-1] < told[0]
    expected = written(ready.pupil.model, processor)
    assert written(*load_model(tmp_path / LAST)) == expected
    assert written(model, processor) != expected  # what it began with answers otherwise


# A language model that was taught before, as ``smol`` has it.


@pytest.fixture(scope="module")
def smol(tmp_path_factory):
    """Trains a stage of ``model=smol`` with a small language model in SmolLM2's place; the run."""
    pytest.importorskip("peft", reason="the [train] extra is not installed")
    pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")
    folder = tmp_path_factory.mktemp("smol")
    packed, words = Sixteen().packed(folder / "packed"), letters()
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
    config = LlamaConfig(
        **sizes,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(words),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "llama")
    words.save_pretrained(folder / "llama")

    def trained(stage):
        out = folder / stage
        told = [f"data.path={packed}", *WORDS, "model=smol", f"model.adapter.rank={RANK}"]
        told += [f"model.decoder.weights={folder / 'llama'}", "model.encoder.weights=random"]
        told += ["train.steps=2", "train.batch=2", "train.warmup=0", f"cache={folder / 'cache'}"]
        assert main(["train", *told, f"stage=[{stage}]", f"out={out}"]) == 0
        return out

    return trained


def changes(run) -> dict[str, torch.Tensor]:
    """By how much each tensor that is not the same to the last bit was moved."""
    before, after = (load_file(run / name / "model.safetensors") for name in ("start", LAST))
    assert before.keys() == after.keys()
    return {n: after[n] - before[n] for n in before if not torch.equal(after[n], before[n])}


def test_aligning_a_taught_language_model_moves_the_projector_alone(smol):
    changed = changes(smol("align"))
    assert changed
    assert all(name.startswith("projector.") for name in changed)


def test_adapters_add_little_to_their_layers_and_to_the_words_the_codec_alone(smol):
    run = smol("sft")
    changed = {n: c for n, c in changes(run).items() if not n.startswith("projector.")}
    words = changed.pop("language_model.model.embed_tokens.weight")
    assert {name.split(".")[-2] for name in changed} == set(NANO.adapter.targets)
    for change in changed.values():
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= RANK < min(change.shape)
    codec_ids = load_model(run / LAST)[0].config.codec_ids
    assert words.any(dim=1).nonzero().flatten().tolist() == list(codec_ids)
