"""LoRA of PEFT on the language model, the projector trained beside it, the eyes frozen."""

from dataclasses import replace

import pytest
import torch
from model_cases import ANSWERS, NANO, SMALL, inputs, lesson, nano, replies, trained

from drivevlm.model.adapters import with_adapters
from drivevlm.model.config import AdapterConfig, ModelError
from drivevlm.model.storage import load_model, save_model

peft = pytest.importorskip("peft", reason="the [train] extra is not installed")
LORA = AdapterConfig(rank=8, alpha=32.0, targets=("q_proj", "v_proj", "down_proj"))


def fresh(kind):
    return nano(decoder=replace(NANO.decoder, kind=kind, layers=2))


@pytest.fixture(scope="module", params=["llama", "qwen3", "gemma"])
def taught(request):
    """A kind, a model with adapters that has learned, and its processor."""
    model, processor = fresh(request.param)
    torch.manual_seed(0)
    adapted = with_adapters(model, LORA)
    before = {n: p.detach().clone() for n, p in adapted.named_parameters() if not p.requires_grad}
    trained(adapted, lesson(processor), steps=60, rate=1e-2)
    return request.param, adapted, processor, before


@torch.no_grad()
def logits(model, processor):
    return model(**inputs(processor, SMALL)).logits


def test_adapters_and_projector_learn_and_nothing_else_moves(taught):
    _, adapted, processor, before = taught
    assert replies(adapted, processor) == ANSWERS
    after = dict(adapted.named_parameters())
    assert any("vision_encoder" in name for name in before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    learning = [name for name, p in after.items() if p.requires_grad]
    ours = ("lora_", "projector", "trainable_tokens")
    assert all(any(part in name for part in ours) for name in learning)


def test_saved_adapters_give_the_same_on_a_fresh_model(taught, tmp_path):
    kind, adapted, processor, _ = taught
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(fresh(kind)[0], tmp_path).eval()
    assert (tmp_path / "adapter_model.safetensors").is_file()
    assert torch.equal(logits(again, processor), logits(adapted, processor))


def test_a_merged_model_gives_the_same_and_saves_as_any_other(taught, tmp_path):
    kind, adapted, processor, _ = taught
    adapted.save_pretrained(tmp_path / "adapters")
    again = peft.PeftModel.from_pretrained(fresh(kind)[0], tmp_path / "adapters")
    merged = again.merge_and_unload()
    expected = logits(adapted, processor)
    torch.testing.assert_close(logits(merged, processor), expected, atol=1e-4, rtol=1e-4)
    save_model(merged, processor, tmp_path / "whole")
    whole, reader = load_model(tmp_path / "whole")
    assert torch.equal(logits(whole, reader), logits(merged, processor))
    assert replies(whole, reader) == ANSWERS


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_adapters_learn_with_checkpointed_layers():
    model, processor = fresh("llama")
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    adapted = with_adapters(model, LORA)
    trained(adapted, lesson(processor), steps=1)
    gradients = [p.grad for n, p in adapted.named_parameters() if "lora_B" in n]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)


def test_codec_tokens_are_learned_for_reading_and_writing_alike():
    """A tied head that did not learn them too would come apart from the words when merged."""
    model, processor = fresh("llama")
    torch.manual_seed(0)
    known = model.get_input_embeddings().weight.detach().clone()
    adapted = with_adapters(model, LORA)
    trained(adapted, lesson(processor), steps=3, rate=1e-2)
    expected = logits(adapted, processor)
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(logits(merged, processor), expected, atol=1e-4, rtol=1e-4)
    words = merged.get_input_embeddings().weight
    assert words is merged.get_output_embeddings().weight
    moved = (words != known).any(dim=1).nonzero().flatten().tolist()
    assert moved == list(model.config.codec_ids)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (AdapterConfig(), r"adapter\.rank is 0"),
        (AdapterConfig(rank=8, targets=("query",)), "query is no layer of llama"),
    ],
)
def test_adapters_that_cannot_be_put_on_are_refused(config, line):
    with pytest.raises(ModelError, match=line):
        with_adapters(fresh("llama")[0], config)
