"""LoRA of PEFT on the language model, the projector trained beside it, the eyes frozen."""

from dataclasses import replace

import pytest
import torch
from model_cases import ANSWERS, SMALL, inputs, lesson, nano, replies, trained

from drivevlm.model.config import NANO
from drivevlm.model.storage import load_model, save_model

peft = pytest.importorskip("peft", reason="the [train] extra is not installed")
LORA = {
    "r": 8,
    "lora_alpha": 32,
    "target_modules": r"language_model\..*\.(q_proj|v_proj|down_proj)",
    "modules_to_save": ["projector"],
    "task_type": "CAUSAL_LM",
}


def fresh(kind):
    return nano(decoder=replace(NANO.decoder, kind=kind, layers=2))


@pytest.fixture(scope="module", params=["llama", "qwen3", "gemma"])
def taught(request):
    """A kind, a model with adapters that has learned, and its processor."""
    model, processor = fresh(request.param)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(model, peft.LoraConfig(**LORA))
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
    assert all("lora_" in name or "projector" in name for name in learning)


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
    lora = peft.LoraConfig(**(LORA | {"modules_to_save": None}))
    adapted = peft.get_peft_model(model, lora)
    trained(adapted, lesson(processor), steps=1)
    gradients = [p.grad for n, p in adapted.named_parameters() if "lora_B" in n]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)
