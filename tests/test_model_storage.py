"""Saved models: the same numbers come back, as the right types, or one line says why not."""

import json
import resource
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from model_cases import FIVE, NANO, inputs, letters, nano
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

from drivevlm.model import DriveVLM, DriveVLMConfig, DriveVLMProcessor, load_model
from drivevlm.model.assembly import new_model
from drivevlm.model.config import DecoderConfig, ModelError
from drivevlm.model.storage import save_model

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
ELSEWHERE = """
import sys, drivevlm.model, drivevlm.model.config
assert not {"torch", "transformers"} & set(sys.modules)
folder, batch, kinds, threads = sys.argv[1:]
drivevlm.model.DriveVLM
import torch, transformers
model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
made = f"{type(model).__name__} {type(processor).__name__} {type(model.config).__name__}"
assert made == kinds, made
torch.set_num_threads(int(threads))
given = torch.load(batch, weights_only=True)
with torch.no_grad():
    assert torch.equal(model(**given["inputs"]).logits, given["logits"])
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, processor = new_model(NANO, letters(), codec_tokens=["<a0>"], chat_template=TEMPLATE)
    folder = tmp_path_factory.mktemp("saved")
    save_model(model, processor, folder)
    return model, processor, folder


@pytest.fixture
def spoilt(saved, tmp_path):
    """A copy to damage."""
    return shutil.copytree(saved[2], tmp_path / "copy")


@torch.no_grad()
def logits(model, batch):
    return model(**batch).logits


def rewrite(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_nothing_but_safetensors_and_json_is_written(saved):
    assert {file.suffix for file in saved[2].iterdir()} == {".safetensors", ".json", ".jinja"}


def test_a_loaded_model_is_the_saved_one(saved):
    model, processor, folder = saved
    again, reader = load_model(folder)
    batch, other = inputs(processor, FIVE), inputs(reader, FIVE)
    assert torch.equal(batch["input_ids"], other["input_ids"])
    assert torch.equal(logits(model, batch), logits(again, other))
    assert again.state_dict().keys() == model.state_dict().keys()
    assert again.config.codec_ids == model.config.codec_ids
    assert again.config.projector_config == NANO.projector
    assert reader.budgets == processor.budgets
    turns = [{"role": "user", "content": "go?"}]
    assert reader.apply_chat_template(turns) == "user: go?\n"
    ends = again.generation_config
    assert (ends.eos_token_id, ends.pad_token_id) == (256, 257)


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText])
def test_the_auto_classes_know_it(saved, auto):
    model, processor, folder = saved
    again = auto.from_pretrained(folder)
    assert type(again) is DriveVLM
    assert type(AutoConfig.from_pretrained(folder)) is DriveVLMConfig
    assert type(AutoProcessor.from_pretrained(folder)) is DriveVLMProcessor
    assert AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<a0>") == 259
    batch = inputs(processor, FIVE)
    assert torch.equal(logits(model, batch), logits(again, batch))


def test_another_process_that_knows_only_this_package_gets_the_same(saved, tmp_path):
    model, processor, folder = saved
    batch = dict(inputs(processor, FIVE))
    torch.save({"inputs": batch, "logits": logits(model, batch)}, tmp_path / "batch.pt")
    command = [sys.executable, "-c", ELSEWHERE, folder, tmp_path / "batch.pt"]
    kinds, threads = "DriveVLM DriveVLMProcessor DriveVLMConfig", str(torch.get_num_threads())
    subprocess.run([*command, kinds, threads], check=True)  # sums depend on how many add them


@pytest.mark.parametrize("tied", [True, False])
def test_words_and_head_stay_tied_or_apart(tmp_path, tied):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = LlamaConfig(**sizes, vocab_size=300, num_hidden_layers=1, tie_word_embeddings=tied)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    decoder = DecoderConfig(weights=str(tmp_path / "llama"))
    model, processor = nano(decoder=decoder)
    save_model(model, processor, tmp_path / "whole")
    again, _ = load_model(tmp_path / "whole")
    words, head = again.get_input_embeddings().weight, again.get_output_embeddings().weight
    assert (words is head) is tied
    batch = inputs(processor, FIVE)
    assert torch.equal(logits(model, batch), logits(again, batch))


def test_options_of_loading_reach_every_part(saved):
    model, _ = load_model(saved[2], dtype=torch.bfloat16, attn_implementation="eager")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.language_model.config._attn_implementation == "eager"
    batch = inputs(saved[1], FIVE)
    found, expected = logits(model, batch), logits(saved[0], batch)
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def test_another_kind_of_model_is_refused(tmp_path):
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"holds a 'llama' model, expected 'drivevlm'"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match=r"holds no model: expected config\.json"):
        load_model(tmp_path / "nowhere")


def test_a_processor_of_another_class_is_refused(spoilt):
    (spoilt / "processor_config.json").unlink()
    file = spoilt / "tokenizer_config.json"
    words = json.loads(file.read_text())
    words.pop("processor_class", None)
    file.write_text(json.dumps(words))
    with pytest.raises(ModelError) as caught:
        load_model(spoilt)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"strides": [16]}, r"3 mismatched \(projector.lift.0.bias, "),
        ({"strides": [8, 16, 64]}, "no map of stride 64: it offers 4, 8, 16"),
        ({"strides": "eight"}, "no map of stride e"),
        ({"projector": {"pooling": "max"}}, "does not load: 'max' is not a valid Pooling"),
        ({"projector": {"pooling": "average", "budgets": [{"rows": 1}]}}, "does not load"),
        ({"text_config": {"model_type": "no_such"}}, "knows no model_type 'no_such'"),
        ({"model_type": "no_such"}, "does not load"),
    ],
)
def test_a_wrong_config_ends_in_one_line(spoilt, changes, line):
    rewrite(spoilt, **changes)
    with pytest.raises(ModelError, match=line) as caught:
        load_model(spoilt)
    assert "\n" not in str(caught.value)


def test_weights_that_a_config_does_not_ask_for_are_refused(spoilt, saved):
    projector = dict(saved[0].config.projector) | {"pooling": "average"}
    rewrite(spoilt, projector=projector)
    with pytest.raises(ModelError, match=r"other weights than its config asks for: 4 unexpected"):
        load_model(spoilt)


def test_weights_that_are_missing_or_cut_are_refused(spoilt):
    file = spoilt / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="does not load"):
        load_model(spoilt)
    file.unlink()
    torch.save({}, spoilt / "pytorch_model.bin")  # a pickle is none
    with pytest.raises(ModelError, match="does not load"):
        load_model(spoilt)


def test_a_disk_that_is_full_at_the_tokenizer_says_so(saved, tmp_path):
    """tokenizers itself raises a bare Exception, which nobody could tell from a bug."""
    wrote = SimpleNamespace(save_pretrained=lambda folder: None)  # what comes before fitted
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_model(wrote, saved[1], tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_processor_that_counts_other_cells_is_refused(spoilt):
    file = spoilt / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"cell_px": 32}))
    with pytest.raises(ModelError, match="processor counts cells of 32 px, the model of 16 px"):
        load_model(spoilt)


def test_one_seed_gives_one_model():
    first, second = nano()[0].state_dict(), nano()[0].state_dict()
    other = nano(seed=1)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    name = "projector.lift.1.weight"
    assert not torch.equal(first[name], other[name])
