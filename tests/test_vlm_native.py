"""Laws of our own engine, on a random model of the smallest size: reading, seeing, writing."""

import logging
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from dialogue_cases import dialogue, full_clip
from model_cases import NANO, letters, rays
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as hf_logging

from drivevlm.build.table import MODELS
from drivevlm.dialogue.control import CODEC_TOKENS
from drivevlm.dialogue.dialogue import PromptConfig
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.dialogue.sections import SectionName
from drivevlm.model.assembly import new_model
from drivevlm.model.processor import IMAGE_TOKEN
from drivevlm.model.storage import save_model
from drivevlm.planner import VLMPlanner, plan_next
from drivevlm.vlm.config import NativeConfig
from drivevlm.vlm.loading import quiet
from drivevlm.vlm.matcher import GrammarError, admits
from drivevlm.vlm.native.conversation import written
from drivevlm.vlm.native.engine import NativeVLM
from drivevlm.vlm.native.features import FeatureCache, picture_digest
from drivevlm.vlm.seam import (
    CancelError,
    DeadlineError,
    Finish,
    ImagePart,
    Message,
    Request,
    Role,
    TextPart,
    VLMError,
)

TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
PLAN = 'start: "plan: " V (A K)~6\nV: /<v[0-9]>/\nA: /<a[0-9]>/\nK: /<k[0-9]>/\n'
NOTE = 'start: "NOTE " /[a-z ]{5,40}/ "."\n'
CONTEXT = 6000
LOUD = 8.0
"""A fresh model hardly heeds what it reads; one with larger weights does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    decoder = replace(NANO.decoder, context_tokens=CONTEXT)
    model, processor = new_model(
        replace(NANO, decoder=decoder),
        letters(),
        codec_tokens=CODEC_TOKENS,
        chat_template=TEMPLATE,
    )
    with torch.no_grad():
        model.projector.token_size.mul_(LOUD)
        for weights in model.language_model.parameters():
            if weights.ndim == 2:
                weights.mul_(LOUD)
    folder = tmp_path_factory.mktemp("nano")
    with quiet():
        save_model(model, processor, folder)
    return folder


@pytest.fixture(scope="module")
def vlm(folder):
    vlm = NativeVLM(NativeConfig(model=str(folder)))
    yield vlm
    vlm.close()


@pytest.fixture(scope="module")
def batching(folder):
    vlm = NativeVLM(NativeConfig(model=str(folder), batch_size=8, batch_wait_ms=200.0))
    yield vlm
    vlm.close()


def picture(seed, size_px=(64, 48)):
    return np.random.default_rng(seed).integers(0, 256, (*size_px[::-1], 3), dtype=np.uint8)


def part(seed, stamp_us=0, size_px=(64, 48), turned_rad=None):
    seen = None if turned_rad is None else rays([size_px], turned_rad)[0]
    return ImagePart(picture(seed, size_px), f"camera {seed}", stamp_us, seen)


ONE = (part(1),)


def ask(text="what now?", images=ONE, prefix=None, **options):
    messages = [Message(Role.USER, (TextPart(text), *images))]
    if prefix is not None:
        messages.append(Message(Role.ASSISTANT, (TextPart(prefix),)))
    return Request(tuple(messages), **({"max_tokens": 120, "grammar": PLAN} | options))


def answer(vlm, request):
    return vlm.submit(request).result(timeout=60).texts[0]


def endless(**options):
    """Takes long if nobody stops it."""
    return ask(grammar='start: /[a-z ]{30000}/ "."', max_tokens=5_000, **options)


@pytest.fixture
def encoded(vlm, monkeypatch):
    """Sizes of the images that the encoder is given."""
    seen = []
    encode = vlm._loaded.model.encode
    monkeypatch.setattr(
        vlm._loaded.model,
        "encode",
        lambda images: seen.extend(tuple(i.shape) for i in images) or encode(images),
        raising=False,
    )
    return seen


def test_greedy_repeats_itself_and_follows_the_grammar(vlm):
    first, second = vlm.submit(ask()).result(), vlm.submit(ask()).result()
    assert first.texts == second.texts
    assert first.finish == (Finish.STOP,)
    assert admits(PLAN, first.texts[0])
    assert 0 < first.reply_tokens <= vlm.longest_reply_tokens(len(first.texts[0].encode()))
    stages = {"queue", "prepare", "encode", "project", "prefill", "decode"}
    assert set(first.timings_ms) == stages
    assert all(spent_ms >= 0 for spent_ms in first.timings_ms.values())


def test_a_plan_in_codec_tokens_costs_one_token_for_each(vlm):
    """A grammar speaks of bytes: the model may take the one token that says them all."""
    codec = torch.zeros(vlm._loaded.model.config.text_config.vocab_size)
    codec[list(vlm._loaded.model.config.codec_ids)] = 1e4
    hook = vlm._loaded.model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: logits + codec
    )
    reply = vlm.submit(ask()).result()
    hook.remove()
    assert admits(PLAN, reply.texts[0])
    assert reply.reply_tokens == len("plan: ") + 13
    assert vlm.count_tokens(reply.texts[0]) == reply.reply_tokens


def test_what_a_grammar_leaves_no_choice_in_is_written_in_codec_tokens(vlm):
    only = 'start: "plan: " "<v3>" "<a1>" "<k2>"\n'
    reply = vlm.submit(ask(grammar=only)).result()
    assert reply.texts == ("plan: <v3><a1><k2>",)
    assert reply.reply_tokens == len("plan: ") + 3


def test_without_a_grammar_codec_tokens_are_words_and_images_are_never_written(vlm):
    model = vlm._loaded.model
    wanted = torch.zeros(model.config.text_config.vocab_size)
    wanted[model.config.image_token_id], wanted[model.config.codec_first_id] = 2e4, 1e4
    hook = model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: logits + wanted
    )
    reply = vlm.submit(ask(grammar=None, max_tokens=3)).result()
    hook.remove()
    assert reply.texts == (CODEC_TOKENS[0] * 3,)
    assert reply.finish == (Finish.LENGTH,)


def test_pixels_rays_ages_and_words_all_change_what_is_said(vlm):
    free = {"grammar": None, "max_tokens": 40}
    old = part(2, stamp_us=-9_000_000)
    asked = [
        ask(**free),
        ask("and now?", **free),
        ask(images=(part(3),), **free),
        ask(images=(), **free),
        ask(images=(part(1, turned_rad=0.0),), **free),
        ask(images=(part(1, turned_rad=1.0),), **free),
        ask(images=(part(2), part(1)), **free),
        ask(images=(old, part(1)), **free),
    ]
    assert len({answer(vlm, request) for request in asked}) == len(asked)


def test_an_answer_is_continued_after_its_prefix_to_the_last_blank(vlm):
    whole = vlm.submit(ask()).result()
    head, rest = whole.texts[0][:6], whole.texts[0][6:]
    assert head == "plan: "
    tail = PLAN.replace('"plan: " ', "")
    continued = vlm.submit(ask(prefix=head, grammar=tail)).result()
    assert continued.texts == (rest,)
    assert continued.prompt_tokens == whole.prompt_tokens + len(head)


def test_a_batch_writes_what_each_would_be_answered_alone(vlm, batching):
    asked = [
        ask(),
        ask(images=()),
        ask("a longer question, so that the others are padded", grammar=NOTE),
        ask(images=(part(2, size_px=(32, 32)), part(3, turned_rad=0.5), part(4, 7))),
        ask(grammar=None, max_tokens=5),
        ask(images=(part(5),), grammar=NOTE, prefix="Well"),
        ask(max_tokens=9),
        ask("and?", images=(part(1), part(1))),
    ]
    together = [job.result() for job in [batching.submit(request) for request in asked]]
    assert len({reply.timings_ms["prepare"] for reply in together}) == 1
    alone = [vlm.submit(request).result() for request in asked]
    for one, other in zip(together, alone, strict=True):
        assert one.texts == other.texts
        assert one.prompt_tokens == other.prompt_tokens
        assert one.finish == other.finish


def test_one_bad_request_of_a_batch_fails_alone(batching):
    spells, long = ask("please <image> look"), ask(max_tokens=CONTEXT)
    jobs = [batching.submit(request) for request in (ask(), spells, long, ask("and?"))]
    with pytest.raises(VLMError, match="control token '<image>'"):
        jobs[1].result()
    with pytest.raises(VLMError, match=rf"[0-9]+ prompt tokens and {CONTEXT} of the reply") as told:
        jobs[2].result()
    assert "\n" not in str(told.value)
    assert admits(PLAN, jobs[0].result().texts[0])
    assert admits(PLAN, jobs[3].result().texts[0])


def test_samples_differ_and_their_seed_repeats_them(vlm):
    hot = {"samples": 3, "temperature": 1.0, "seed": 5}
    first, again = vlm.submit(ask(**hot)).result(), vlm.submit(ask(**hot)).result()
    assert len(set(first.texts)) == 3
    assert all(admits(PLAN, text) for text in first.texts)
    assert first.texts == again.texts
    assert vlm.submit(ask(**hot | {"seed": 6})).result().texts != first.texts


def test_a_picture_that_comes_again_is_not_encoded_again(vlm, encoded):
    then, now, next_ = (part(seed, stamp_us=seed * 500_000) for seed in (100, 101, 102))
    answer(vlm, ask(images=(then, now)))
    assert len(encoded) == 2
    first = answer(vlm, ask(images=(now, next_)))
    assert len(encoded) == 3
    assert answer(vlm, ask(images=(now, next_))) == first
    assert len(encoded) == 3
    vlm._features = FeatureCache(vlm._encode, most=256)
    assert answer(vlm, ask(images=(now, next_))) == first
    assert len(encoded) == 5


def test_the_pictures_that_were_asked_for_last_are_kept():
    seen = []
    cache = FeatureCache(lambda pixels: seen.extend(pixels) or [p + 1 for p in pixels], most=2)
    pixels = {name: torch.tensor(float(k)) for k, name in enumerate("abc")}

    def look(names):
        seen.clear()
        features = cache.of(list(names), [pixels[name] for name in names])
        assert features == [pixels[name] + 1 for name in names]
        return len(seen)

    encoded = [("abab", 2), ("a", 0), ("c", 1), ("a", 0), ("b", 1), ("abc", 1)]
    assert [(names, look(names)) for names, _ in encoded] == encoded


def test_a_digest_tells_pixels_and_sizes_apart():
    flat = np.zeros((2, 6, 3), dtype=np.uint8)
    wide = picture(1, (96, 48))
    others = [flat, flat.reshape(6, 2, 3), flat + 1, wide, wide[:, ::2]]
    assert len({picture_digest(image) for image in others}) == len(others)
    assert picture_digest(wide[:, ::2]) == picture_digest(wide[:, ::2].copy())


def test_a_request_is_written_with_its_images_ages_and_labels(vlm):
    images = (part(1, stamp_us=1_000_000), part(2, stamp_us=1_500_000))
    told = written(vlm._loaded.chat, ask("go?", images=images))
    assert told.text == f"user: go?{IMAGE_TOKEN * 2}assistant: "
    assert told.images == images
    assert told.ages_s == (0.5, 0.0)
    assert told.labels == ("camera 1", "camera 2")
    assert written(vlm._loaded.chat, ask(images=())).ages_s == ()


def test_a_reply_being_written_can_be_cancelled(vlm):
    job = vlm.submit(endless())
    with pytest.raises(TimeoutError):
        job.result(timeout=0.3)
    assert job.cancel()
    assert admits(PLAN, vlm.submit(ask()).result(timeout=10).texts[0])
    with pytest.raises(CancelError):
        job.result()


def test_a_deadline_ends_the_writing(vlm):
    began_s = time.monotonic()
    with pytest.raises(DeadlineError):
        vlm.submit(endless(deadline_s=0.3)).result()
    assert time.monotonic() - began_s < 1.0
    assert admits(PLAN, vlm.submit(ask()).result(timeout=10).texts[0])


def test_closing_cancels_what_is_in_flight(folder):
    vlm = NativeVLM(NativeConfig(model=str(folder), dtype="bfloat16"))
    assert admits(PLAN, answer(vlm, ask()))
    assert vlm.revision.endswith(" bfloat16")
    with pytest.raises(GrammarError, match="foo"):
        vlm.submit(ask(grammar="start: foo"))
    job = vlm.submit(endless())
    vlm.close()
    with pytest.raises(CancelError):
        job.result()
    with pytest.raises(VLMError, match="closed"):
        vlm.submit(ask())


def test_the_planner_asks_it_with_rays_and_reads_a_feasible_plan(vlm, encoded):
    config = PromptConfig(
        name="plan_only",
        sections=(SectionName.PLAN,),
        codec="control",
        images=ImageConfig(width_px=64, rays=True),
    )
    asked = dialogue(config).fitted(vlm, proposals=3)
    assert all(image.rays is not None for image in asked.ask(full_clip()).images)
    planner = VLMPlanner("native", vlm, asked)
    first, second = plan_next(planner, full_clip()), planner.decide(full_clip())
    assert first.failure is None, first.failure
    assert first.plan.xy_ego_m.shape == (6, 2)
    assert first.reply == second.reply
    assert len(asked.ask(full_clip()).images) == 3
    assert encoded == [(3, 36, 64)] * 2  # two cameras show the same
    assert first.timings_ms["project"] > 0


def test_what_is_no_model_of_ours_is_refused_in_one_line(folder, tmp_path):
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    cut = shutil.copytree(folder, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-99])
    silent = shutil.copytree(folder, tmp_path / "silent")
    (silent / "chat_template.jinja").unlink()
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    llama = LlamaConfig(**sizes, vocab_size=9, num_hidden_layers=1)
    with quiet():
        LlamaForCausalLM(llama).save_pretrained(tmp_path / "llama")
    for name, line in (
        ("pickled", "only as pickles"),
        ("cut", "was cut off"),
        ("silent", "no chat template"),
        ("llama", "holds a 'llama' model, expected 'drivevlm'"),
        ("nowhere", "no model folder at"),
    ):
        with pytest.raises(VLMError, match=line) as told:
            NativeVLM(NativeConfig(model=str(tmp_path / name)))
        assert "\n" not in str(told.value)


def test_transformers_gives_no_advice_beside_the_reply(vlm):
    advice = []
    listener = logging.Handler()
    listener.emit = lambda record: advice.append(record.getMessage())
    hf_logging.warning_once.cache_clear()  # what was said before would not be said again
    hf_logging.add_handler(listener)
    answer(vlm, ask())
    hf_logging.remove_handler(listener)
    assert advice == []


def test_the_table_opens_it(folder):
    entry, said = MODELS["native"], []
    vlm = entry.construct(NativeConfig(model=f"{folder}/"), said.append)
    assert vlm.name == folder.name
    assert said == [f"loading {folder}/"]
    vlm.close()


def test_int8_writes_by_the_grammar_and_says_so_in_its_revision(folder, vlm):
    small = NativeVLM(NativeConfig(model=str(folder), quantisation="int8"))
    assert admits(PLAN, small.submit(ask()).result().texts[0])
    assert small.revision == f"{vlm.revision} int8"
    small.close()


WRONG = {"dtype": "float16", "quantisation": "bnb_4bit", "cached_images": -1, "batch_size": 0}


@pytest.mark.parametrize(("name", "value"), [*WRONG.items(), ("threads", -1)])
def test_a_wrong_setting_is_told(name, value):
    with pytest.raises(ValueError, match=name):
        NativeConfig(**{name: value})
