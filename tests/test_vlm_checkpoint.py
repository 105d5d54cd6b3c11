"""Laws of model folders: what is refused before loading, and what a revision covers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from drivevlm.vlm import checkpoint
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.loading import load
from drivevlm.vlm.quantise import Int8Linear
from drivevlm.vlm.seam import Message, Request, Role, TextPart, VLMError
from drivevlm.vlm.untrained import make_untrained


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    make_untrained(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


def refused(folder, match, **options):
    with pytest.raises(VLMError, match=match) as caught:
        load(HfConfig(model=str(folder), local_files_only=True, **options))
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_an_unknown_hub_model_end_in_one_line(tmp_path):
    refused(tmp_path / "nothing", "no model folder at")
    refused("nobody/no-such-model", "no folder here, nor a model in the local hub cache")
    refused("", "no model named")


def test_a_folder_with_only_pickles_is_refused_before_loading(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, r"holds no weights: expected \*\.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02never read")
    refused(folder, r"only as pickles \(pytorch_model\.bin\)")


def test_a_folder_without_config_or_with_cut_weights_is_refused(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1000])
    refused(folder, "was cut off")
    (folder / "model.safetensors").write_bytes(b"rubbish")
    refused(folder, "not a safetensors file")
    (folder / "config.json").unlink()
    refused(folder, "has no config.json")


def test_a_folder_that_lacks_a_weight_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("q_proj.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "lacks 1 weights")


def test_code_that_comes_with_a_model_does_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "novel", "auto_map": {"AutoConfig": "novel.NovelConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novel.py").write_text("raise SystemExit('code ran')")
    refused(folder, "trust_remote_code|does not load")


def test_a_model_of_words_only_is_refused(folder):
    config = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, "does not load")


def test_a_bare_tokenizer_is_no_processor(folder):
    (folder / "processor_config.json").unlink()
    refused(folder, "does not load|no processor for images")


def test_a_model_that_does_not_fit_is_told_before_loading(folder):
    with pytest.raises(VLMError, match=r"needs about [\d.]+ GiB on cpu, [\d.]+ GiB are free"):
        checkpoint.check_fits(folder, bytes_per_number=1e9, device="cpu")
    checkpoint.check_fits(folder, bytes_per_number=4, device="cpu")
    assert checkpoint.memory_at_hand("cpu") > 0


@pytest.mark.parametrize(
    "wrong",
    [{"dtype": "float8"}, {"quantisation": "int3"}, {"batch_size": 0}, {"batch_wait_ms": -1.0}],
)
def test_a_senseless_config_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HfConfig(model="m", **wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_this_machine_lacks_is_named(folder):
    refused(folder, "sees no GPU", device="cuda")
    refused(folder, "pip install bitsandbytes", quantisation="bnb_4bit")


def test_a_revision_is_the_same_for_a_copy_and_another_for_one_other_weight(made, folder):
    before = checkpoint.digest(folder)
    assert before == checkpoint.digest(made)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert checkpoint.digest(folder) != before


def test_a_large_file_is_digested_by_header_and_a_piece_of_every_tensor(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "_HASHED_WHOLE_BYTES", 1000)
    before = checkpoint.digest(folder)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        changed = {n: w + 0.5 if n == name else w for n, w in weights.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        assert checkpoint.digest(folder) != before, name


def test_a_hub_model_is_known_by_its_commit(folder, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--org--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(folder, repo / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    loaded = load(HfConfig(model="org/name", local_files_only=True))
    assert loaded.revision == f"org/name@{commit} float32"


def test_bfloat16_is_another_revision(folder):
    half = load(HfConfig(model=str(folder), dtype="bfloat16"))
    assert half.revision == f"{checkpoint.digest(folder)} bfloat16"


def prompt(chat, *turns):
    messages = tuple(Message(role, (TextPart(text),)) for role, text in turns)
    return chat.prompt(Request(messages, max_tokens=1))


def test_a_template_of_the_users_own_takes_the_place_of_the_models(folder, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text("{% for m in messages %}~{{ m['content'][0]['text'] }}{% endfor %}")
    loaded = load(HfConfig(model=str(folder), chat_template=str(own)))
    assert prompt(loaded.chat, (Role.USER, "hello")) == "~hello"
    assert loaded.revision != load(HfConfig(model=str(folder))).revision  # it asks otherwise
    refused(folder, "no chat template at", chat_template=str(tmp_path / "none.jinja"))
    (folder / "chat_template.jinja").unlink()
    refused(folder, "has no chat template")


def test_a_template_that_drops_or_refuses_a_turn_is_no_silent_loss(folder, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text(
        "{% if messages | length > 2 %}{{ raise_exception('two turns at most') }}{% endif %}"
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'][0]['text'] }}{% endfor %}"
    )
    chat: Chat = load(HfConfig(model=str(folder), chat_template=str(own))).chat
    with pytest.raises(VLMError, match="dropped a part: 'be brief'"):
        prompt(chat, (Role.SYSTEM, "be brief"), (Role.USER, "hello"))
    with pytest.raises(VLMError, match="two turns at most"):
        prompt(chat, *[(Role.USER, "hello")] * 3)
    with pytest.raises(VLMError, match="chat template"):
        prompt(chat, (Role.USER, "hello"), (Role.ASSISTANT, "PLAN "))


def test_int8_is_within_two_percent():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(128, 96)
        x = torch.randn(3, 5, 128)
    with torch.inference_mode():
        exact, small = linear(x), Int8Linear(linear)(x)
    assert small.shape == exact.shape
    assert float((small - exact).norm() / exact.norm()) < 0.02
