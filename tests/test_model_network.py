"""The whole network: it learns, it writes what it would write without a cache, it takes any rig."""

import math
from dataclasses import replace

import pytest
import torch
from model_cases import (
    ANSWERS,
    FIVE,
    NANO,
    SMALL,
    inputs,
    lesson,
    nano,
    pictures,
    rays,
    replies,
    trained,
    two_scenes,
)

from drivevlm.model.config import RANDOM, Budget, EncoderConfig, ModelError, Pooling
from drivevlm.model.processor import IMAGE_TOKEN

LANGUAGE_MODELS = ("llama", "qwen3", "gemma")
BLIND = math.log(2) / 5
"""Loss of who guesses the first of an answer's five tokens and knows the others."""


@pytest.fixture(scope="module")
def pair():
    return nano()


def mixed(pooling=Pooling.ATTENTION, kind="llama"):
    return nano(
        projector=replace(NANO.projector, pooling=pooling),
        decoder=replace(NANO.decoder, kind=kind, layers=2),
    )


def slowly(model, batch, count):
    """Greedy tokens, everything computed anew for each: no cache."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    images = {k: v for k, v in batch.items() if k not in ("input_ids", "attention_mask")}
    for _ in range(count):
        with torch.no_grad():
            logits = model(ids, mask, use_cache=False, **images).logits[:, -1]
        logits[:, model.config.image_token_id] = -torch.inf
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return ids


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
@pytest.mark.parametrize("pooling", list(Pooling))
def test_every_projector_with_every_language_model_learns_to_look(pooling, kind):
    """The words are the same: only who looks can tell the two answers apart."""
    model, processor = mixed(pooling, kind)
    losses = trained(model, lesson(processor), steps=60)
    assert losses[-1] < BLIND / 2
    assert replies(model, processor) == ANSWERS


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_writing_with_a_cache_is_writing_without(kind):
    model, processor = mixed(kind=kind)
    batch = inputs(processor, FIVE)
    cached = model.generate(**batch, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    uncached = model.generate(
        **batch, max_new_tokens=8, min_new_tokens=8, do_sample=False, use_cache=False
    )
    ends = model.generation_config.eos_token_id
    model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: logits.index_fill(-1, torch.tensor(ends), -torch.inf)
    )
    torch.testing.assert_close(cached, slowly(model, batch, 8))
    torch.testing.assert_close(cached, uncached)


def test_a_prompt_in_a_batch_is_answered_as_alone(pair):
    model, processor = pair
    prompts = [IMAGE_TOKEN * 2 + "go?", "and " * 5 + IMAGE_TOKEN * 3 + "then?", "no picture"]
    sizes = [SMALL, FIVE[2:], ()]
    given = [(pictures(s, seed=k), rays(s)) for k, s in enumerate(sizes)]
    together = processor(prompts, [g[0] for g in given], [g[1] for g in given])
    assert (together["attention_mask"] == 0).any()
    written = model.generate(**together, max_new_tokens=8, do_sample=False)[:, -8:]
    with torch.no_grad():
        logits = model(**together).logits
    for row, prompt in enumerate(prompts):
        alone = processor([prompt], [given[row][0]], [given[row][1]])
        with torch.no_grad():
            count = alone["input_ids"].shape[1]
            torch.testing.assert_close(
                logits[row, -count:], model(**alone).logits[0], atol=1e-4, rtol=1e-4
            )
        single = model.generate(**alone, max_new_tokens=8, do_sample=False)[0, -8:]
        assert single.tolist() == written[row].tolist()


def test_beams_and_samples_look_at_the_same_images(pair):
    model, processor = pair
    batch = inputs(processor, SMALL)
    length = batch["input_ids"].shape[1]
    beams = model.generate(**batch, max_new_tokens=3, num_beams=3, num_return_sequences=3)
    samples = model.generate(**batch, max_new_tokens=3, do_sample=True, num_return_sequences=2)
    assert beams.shape[0] == 3
    assert samples.shape[0] == 2
    for written in (beams, samples):
        assert (written[:, :length] == batch["input_ids"]).all()


def test_the_image_token_is_never_written(pair):
    """It would keep a place for an image that does not come."""
    model, processor = pair
    image, other = model.config.image_token_id, 65
    hook = model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: logits.index_fill(-1, torch.tensor(image), 99.0)
    )
    batch = inputs(processor, SMALL)
    plain = model.generate(**batch, max_new_tokens=2, do_sample=False)[0, -2:]
    more = model.generate(**batch, max_new_tokens=2, do_sample=False, suppress_tokens=[other])
    hook.remove()
    assert image not in plain
    assert not {image, other} & set(more[0, -2:].tolist())


def test_features_made_before_serve_as_the_images_do(pair):
    model, processor = pair
    batch = inputs(processor, FIVE)
    with torch.no_grad():
        seen = model(**batch).logits
        features = model.encode(batch.pop("pixel_values"))
        remembered = model(**batch, features=features).logits
    assert torch.equal(seen, remembered)


def test_a_camera_may_drop_out_and_the_others_tokens_stay(pair):
    model, processor = pair
    five = inputs(processor, FIVE)
    keys = ("rays", "ages_s", "grids")
    with torch.no_grad():
        whole = model.project(model.encode(five["pixel_values"]), *(five[k] for k in keys))
        left = [0, 1, 3, 4]
        fewer = model.project(
            model.encode([five["pixel_values"][i] for i in left]),
            [five["rays"][i] for i in left],
            five["ages_s"][left],
            [five["grids"][i] for i in left],
        )
    for index, tokens in zip(left, fewer, strict=True):
        torch.testing.assert_close(tokens, whole[index], atol=1e-6, rtol=1e-5)
    four = processor([IMAGE_TOKEN * 4 + "see"], [[pictures(FIVE)[i] for i in left]])
    assert model(**four).logits.isfinite().all()
    assert model(**processor(["see"])).logits.isfinite().all()


def test_a_wrong_extrinsic_changes_what_is_said(pair):
    model, processor = pair
    batch = inputs(processor, FIVE)
    with torch.no_grad():
        right = model(**batch).logits[0, -1]
        batch["rays"] = [processor.cell_rays(r) for r in rays(FIVE, turned_rad=0.05)]
        wrong = model(**batch).logits[0, -1]
    assert (right - wrong).abs().max() > 1e-3


def test_each_image_gets_the_tokens_of_its_budget():
    budgets = (Budget(2, 4, label="FRONT", until_s=0.2), Budget(1, 1))
    model, processor = nano(projector=replace(NANO.projector, budgets=budgets))
    batch = processor(
        [IMAGE_TOKEN * 3],
        [pictures([(64, 48)] * 3)],
        ages_s=[[0.0, 0.5, 0.0]],
        labels=[["CAM_FRONT", "CAM_FRONT", "CAM_BACK"]],
    )
    assert batch["grids"] == [(2, 4), (1, 1), (1, 1)]
    assert int((batch["input_ids"] == model.config.image_token_id).sum()) == 10
    assert model(**batch).logits.shape[1] == 10


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kind", ["convnext", "siglip_vision_model"])
def test_checkpointed_layers_give_the_same_gradients(kind):
    eyes = EncoderConfig(kind=kind, weights=RANDOM, strides=(16,), width=32, layers=1)
    model, processor = nano(encoder=eyes)
    batch = lesson(processor)
    model.train()

    def gradients():
        model.zero_grad()
        model(**batch, use_cache=False).loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    runs = []
    model.language_model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    plain = gradients()
    assert len(runs) == 1
    model.gradient_checkpointing_enable()
    checkpointed = gradients()
    assert len(runs) == 3  # once more on the way back
    assert any(n.startswith("vision_encoder") for n in plain)
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"grids": [(1, 1)] * 4}, "keep 32 places for visual tokens, the images give 4"),
        ({"ages_s": None}, "4 images came without their ages"),
        ({"features": []}, "as pixels or as features, not as both"),
        ({"input_ids": None}, "neither input_ids nor inputs_embeds"),
        ({"ages_s": torch.zeros(3)}, "4 feature maps come with 4 rays, 3 ages and 4 grids"),
    ],
)
def test_images_that_do_not_fit_their_prompt_are_refused(pair, change, line):
    model, processor = pair
    with pytest.raises(ModelError, match=line):
        model(**(two_scenes(processor) | change))


def test_prompts_that_do_not_fit_their_images_are_refused(pair):
    processor = pair[1]
    with pytest.raises(ModelError, match=r"images per prompt are \[1\], prompts' places are \[2\]"):
        processor([IMAGE_TOKEN * 2], [pictures(SMALL[:1])])
    with pytest.raises(ModelError, match="2 images come with 1 rays"):
        processor([IMAGE_TOKEN * 2], [pictures(SMALL)], [rays(SMALL[:1])])
    with pytest.raises(ModelError, match=r"\(H, W, 3\) uint8, got \(48, 64\) float64"):
        processor([IMAGE_TOKEN], [[torch.zeros(48, 64, dtype=torch.float64)]])
    with pytest.raises(ModelError, match="must be a list of prompts"):
        processor("one prompt")
