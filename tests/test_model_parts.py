"""Parts of a new model: vision classes and language models, from folders or random."""

import importlib.util
import json
from dataclasses import replace

import pytest
import torch
import transformers
from model_cases import CODEC, FIVE, NANO, SIX, inputs, letters, nano

from drivevlm.model import published
from drivevlm.model.assembly import new_model
from drivevlm.model.config import (
    PUBLISHED,
    RANDOM,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    ModelError,
)
from drivevlm.model.storage import load_model, save_model

KINDS = ("siglip_vision_model", "clip_vision_model", "dinov2", "convnext", "efficientnet_lite0")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
}
WORDS = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
TOWER = SIZES | {"intermediate_size": 64}
READER = WORDS | {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
STAGES = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}


def eyes(kind, strides=(16,), **changes):
    small = {"width": 32, "layers": 1, "heads": 2, "weights": RANDOM}
    return EncoderConfig(kind=kind, strides=strides, **(small | changes))


def kept(model, folder):
    """A folder of a vision model, and how it scales colours."""
    model.eval().save_pretrained(folder)
    scale = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(scale))
    return EncoderConfig(kind=model.config.model_type, weights=str(folder), strides=(16,))


@pytest.mark.parametrize("rig", [SIX, FIVE], ids=["six cameras", "five of other sizes"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_vision_class_sees_every_rig_and_comes_back(kind, rig, tmp_path):
    model, processor = nano(encoder=eyes(kind))
    batch = inputs(processor, rig)
    with torch.no_grad():
        features = model.encode(batch["pixel_values"])
        logits = model(**batch).logits
    cells = [(-(-h // 16), -(-w // 16)) for w, h in rig]
    assert [tuple(f.shape[1:]) for f in features] == cells
    assert logits.isfinite().all()
    assert all(f.std() > 1e-3 for f in features)
    save_model(model, processor, tmp_path)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)[0](**batch).logits, logits)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_encoded_alone_as_among_others(kind):
    model, processor = nano(encoder=eyes(kind))
    images = inputs(processor, FIVE)["pixel_values"]
    with torch.no_grad():
        for image, among in zip(images, model.encode(images), strict=True):
            torch.testing.assert_close(model.encode([image])[0], among, atol=1e-5, rtol=1e-5)


def test_features_are_the_same_to_the_bit_on_any_number_of_threads():
    model, processor = nano(encoder=eyes("efficientnet_lite0"))
    images = inputs(processor, FIVE)["pixel_values"]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                found.append(model.encode(images) + model.encode(images[:1]))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("kind", ["convnext", "efficientnet_lite0"])
def test_a_fine_map_adds_its_channels_to_every_coarse_cell(kind):
    both, fine, coarse = (
        nano(encoder=eyes(kind, strides=s))[0].vision_encoder for s in ((8, 16), (8,), (16,))
    )
    assert both.channels == 4 * fine.channels + coarse.channels


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_encoder_gets_no_gradient(kind):
    model, processor = nano(encoder=eyes(kind))
    model.vision_encoder.requires_grad_(False)
    batch = inputs(processor, FIVE[2:4])
    model.train()(**batch, labels=batch["input_ids"]).loss.backward()
    assert all(p.grad is None for p in model.vision_encoder.parameters())
    learning = [*model.projector.parameters(), *model.language_model.parameters()]
    assert all(p.grad is not None for p in learning)


@pytest.mark.parametrize(
    ("whole", "sees"),
    [
        ("SiglipModel", lambda m, x: m.vision_model(x).last_hidden_state),
        ("CLIPModel", lambda m, x: m.vision_model(x).last_hidden_state[:, 1:]),
        ("Dinov2ForImageClassification", lambda m, x: m.dinov2(x).last_hidden_state[:, 1:]),
    ],
)
def test_a_folder_gives_the_eyes_their_weights_and_colours(whole, sees, tmp_path):
    kind = getattr(transformers, whole)
    two = {"vision_config": TOWER, "text_config": READER}
    config = kind.config_class(**(SIZES if "Dinov2" in whole else two))
    original = kind(config)
    model, _ = nano(encoder=kept(original, tmp_path))
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.5, 0.4, 0.3], [0.2, 0.25, 0.5]))
    with torch.no_grad():
        patches = sees(original, (image[None] / 255 - mean) / std)[0]
        found = model.encode([image])[0].flatten(1).T
    torch.testing.assert_close(found, patches, atol=1e-4, rtol=1e-4)


def test_a_folder_of_a_convnext_gives_maps_of_two_strides(tmp_path):
    original = transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**STAGES))
    model, _ = nano(encoder=replace(kept(original, tmp_path), strides=(8, 16)))
    theirs, ours = original.convnext.state_dict(), model.vision_encoder.net.state_dict()
    assert theirs
    shared = [name for name in theirs if not name.startswith("layernorm")]
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
    assert model.vision_encoder.channels == 4 * 16 + 32


def test_published_eyes_come_with_the_default_model(tmp_path, monkeypatch):
    if importlib.util.find_spec(published.PACKAGE) is None:
        pytest.skip("the [train] extra is not installed")
    monkeypatch.setattr(published.platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    small = ModelConfig(decoder=NANO.decoder)
    model, processor = new_model(small, letters())
    weights = published.lite0_weights()
    ours = model.vision_encoder.net.state_dict()
    assert len(ours) > 100
    assert all(torch.equal(ours[name], weights[name]) for name in ours)
    assert model.vision_encoder.channels == 4 * 40 + 112
    assert processor.grid("", 0.0) == (4, 8)


def test_codec_tokens_lie_in_one_block_at_the_end_of_the_vocabulary():
    model, processor = nano()
    words, ids = processor.tokenizer, model.config.codec_ids
    assert [words.convert_ids_to_tokens(i) for i in ids] == list(CODEC)
    assert ids.stop == len(words) == len(model.get_input_embeddings().weight)
    text = "turn <a3><k1> now"
    assert words.decode(words(text)["input_ids"], skip_special_tokens=True) == text
    assert [i for i in words(text)["input_ids"] if i in ids] == [ids[3], ids[8]]


def test_codec_tokens_known_in_another_order_are_refused():
    words = letters()
    words.add_tokens(["<a1>"])
    with pytest.raises(ModelError, match="do not lie in one block"):
        new_model(NANO, words, codec_tokens=["<a0>", "<a1>"])


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma"])
def test_a_folder_gives_the_language_model_its_words_and_more(kind, tmp_path):
    config = transformers.AutoConfig.for_model(
        kind, **WORDS, vocab_size=258, num_hidden_layers=1, num_key_value_heads=1, head_dim=16
    )
    original = transformers.AutoModelForCausalLM.from_config(config).eval()
    original.save_pretrained(tmp_path)
    model, _ = nano(decoder=DecoderConfig(weights=str(tmp_path)))
    ids = torch.tensor([[1, 2, 3]])
    assert model.get_output_embeddings().weight.shape == (258 + 1 + len(CODEC), 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model(input_ids=ids).logits[..., :258], original(input_ids=ids).logits
        )


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma"])
def test_visual_tokens_are_as_large_as_words_are_to_the_layers(kind):
    """Gemma scales words up: left small, what is seen would drown in them."""
    model, processor = nano(decoder=replace(NANO.decoder, kind=kind))
    batch = inputs(processor, FIVE)
    with torch.no_grad():
        embedded = model.embed(
            batch["input_ids"],
            model.project(model.encode(batch["pixel_values"]), batch["rays"], batch["ages_s"]),
        )
        seen = batch["input_ids"] == model.config.image_token_id
        sizes = [embedded[places].square().mean().sqrt() for places in (seen, ~seen)]
    assert 0.8 < sizes[0] / sizes[1] < 1.25


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"encoder": eyes("siglip_vision_model", (8,))}, "no map of stride 8: it offers 16"),
        ({"encoder": eyes("efficientnet_lite0", (8, 64))}, "no map of stride 64"),
        ({"encoder": eyes("no_such")}, "transformers knows no model_type 'no_such'"),
        ({"encoder": eyes("llama")}, "encoder llama cannot be read"),
        ({"encoder": eyes("swin")}, "encoder swin cannot be read: expected a patch_size"),
        ({"encoder": eyes("dinov2", weights=PUBLISHED)}, "has no published weights here"),
        ({"encoder": eyes("dinov2", weights="/nowhere")}, "/nowhere holds no model: expected"),
        ({"encoder": eyes("efficientnet_lite0", weights="/x")}, "comes published or random"),
        ({"decoder": DecoderConfig(weights="/nowhere")}, "/nowhere holds no model: expected"),
        ({"decoder": DecoderConfig(kind="no_such")}, "transformers knows no model_type"),
        ({"decoder": DecoderConfig(kind="dinov2")}, "dinov2 with random weights: Unrecognized"),
        ({"decoder": DecoderConfig(layers="many")}, "llama of these settings: .*num_hidden_layers"),
    ],
)
def test_what_cannot_be_made_ends_in_one_line(changes, line):
    with pytest.raises(ModelError, match=line) as caught:
        nano(**changes)
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_tell_its_colours_or_lacks_weights_is_refused(tmp_path):
    config = transformers.Dinov2Config(**SIZES)
    encoder = kept(transformers.Dinov2Model(config), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="does not say how its colours are scaled"):
        nano(encoder=encoder)
    config.num_hidden_layers = 3
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks .* weights of Dinov2Backbone"):
        nano(encoder=encoder)


@pytest.mark.parametrize("strides", [(), (16, 8), (8, 12), (0, 16)])
def test_strides_that_do_not_fit_each_other_are_refused(strides):
    with pytest.raises(ValueError, match=r"strides must|every stride must"):
        EncoderConfig(strides=strides)
