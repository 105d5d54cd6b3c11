"""Laws of the transformers engine, on the untrained model: writing, waiting, stopping."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.hf import HfVLM
from drivevlm.vlm.matcher import GrammarError, admits
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
from drivevlm.vlm.untrained import make_untrained, untrained_folder, untrained_vlm

PLAN = 'start: "PLAN" (" " N)~6\nN: /-?[0-9]{1,2}\\.[0-9]{2}/\n'
NOTE = 'start: "NOTE " /[a-z ]{5,40}/ "."\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return untrained_folder(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def vlm(folder):
    vlm = HfVLM(HfConfig(model=str(folder)))
    yield vlm
    vlm.close()


@pytest.fixture(scope="module")
def batching(folder):
    vlm = HfVLM(HfConfig(model=str(folder), batch_size=4, batch_wait_ms=200.0))
    yield vlm
    vlm.close()


def ask(text="what now?", images=(1,), prefix=None, **options):
    parts = [TextPart(text)]
    for seed in images:
        pixels = np.random.default_rng(seed).integers(0, 255, (63, 112, 3)).astype(np.uint8)
        parts.append(ImagePart(pixels, label=f"camera {seed}", stamp_us=seed))
    messages = [Message(Role.SYSTEM, (TextPart("You drive."),)), Message(Role.USER, tuple(parts))]
    if prefix is not None:
        messages.append(Message(Role.ASSISTANT, (TextPart(prefix),)))
    return Request(tuple(messages), **({"max_tokens": 200, "grammar": PLAN} | options))


def endless(**options):
    """Takes half a minute if nobody stops it."""
    return ask(grammar='start: /[a-z ]{30000}/ "."', max_tokens=25_000, **options)


def test_greedy_repeats_itself_and_follows_the_grammar(vlm):
    first, second = vlm.submit(ask()).result(), vlm.submit(ask()).result()
    assert first.texts == second.texts
    assert first.finish == (Finish.STOP,)
    assert admits(PLAN, first.texts[0])
    assert 0 < first.reply_tokens <= vlm.longest_reply_tokens(len(first.texts[0].encode()))


def test_other_pixels_and_other_words_give_other_replies(vlm):
    texts = [vlm.submit(q).result().texts[0] for q in (ask(), ask(images=(2,)), ask("and now?"))]
    assert len(set(texts)) == 3


def test_an_answer_is_continued_after_its_prefix_to_the_last_blank(vlm):
    whole = vlm.submit(ask()).result()
    head, rest = whole.texts[0][:5], whole.texts[0][5:]
    assert head == "PLAN "
    tail = 'start: N (" " N)~5\nN: /-?[0-9]{1,2}\\.[0-9]{2}/\n'
    continued = vlm.submit(ask(prefix=head, grammar=tail)).result()
    assert continued.texts == (rest,)
    assert continued.prompt_tokens > whole.prompt_tokens


def test_without_a_grammar_the_budget_ends_the_reply(vlm):
    reply = vlm.submit(ask(grammar=None, max_tokens=7)).result()
    assert reply.finish == (Finish.LENGTH,)
    assert reply.reply_tokens == 7


def test_a_batch_keeps_each_row_to_its_own_grammar_and_budget(batching):
    questions = [ask(), ask(grammar=NOTE, images=(1, 2, 3)), ask(max_tokens=4), ask("and?")]
    replies = [job.result() for job in [batching.submit(q) for q in questions]]
    assert admits(PLAN, replies[0].texts[0])
    assert admits(NOTE, replies[1].texts[0])
    assert replies[2].finish == (Finish.LENGTH,)
    assert replies[2].reply_tokens == 4
    assert admits(PLAN, replies[3].texts[0])
    assert len({r.timings_ms["prepare"] for r in replies}) == 1
    assert replies[2].timings_ms["decode"] < replies[0].timings_ms["decode"]


def test_one_bad_request_of_a_batch_fails_alone(batching):
    spells = ask("please <image> look")
    too_long = ask(max_tokens=32_760)
    jobs = [batching.submit(q) for q in (ask(), spells, too_long, ask("and?"))]
    with pytest.raises(VLMError, match="control token '<image>'"):
        jobs[1].result()
    with pytest.raises(VLMError, match="32768"):
        jobs[2].result()
    assert admits(PLAN, jobs[0].result().texts[0])
    assert admits(PLAN, jobs[3].result().texts[0])


def test_requests_with_and_without_images_do_not_share_a_batch(batching):
    jobs = [batching.submit(q) for q in (ask(), ask(images=()), ask())]
    replies = [job.result() for job in jobs]
    assert replies[0].timings_ms["prepare"] == replies[2].timings_ms["prepare"]
    assert "encode" not in replies[1].timings_ms


def test_samples_differ_and_their_seed_repeats_them(vlm):
    hot = {"samples": 3, "temperature": 1.0, "seed": 5}
    first, again = vlm.submit(ask(**hot)).result(), vlm.submit(ask(**hot)).result()
    assert len(set(first.texts)) == 3
    assert all(admits(PLAN, text) for text in first.texts)
    assert first.texts == again.texts
    assert vlm.submit(ask(**hot | {"seed": 6})).result().texts != first.texts


def test_writing_leaves_the_global_dice_alone(vlm):
    before = torch.get_rng_state()
    vlm.submit(ask(temperature=1.0)).result()
    assert torch.equal(before, torch.get_rng_state())


def test_a_reply_being_written_can_be_cancelled(vlm):
    job = vlm.submit(endless())
    with pytest.raises(TimeoutError):
        job.result(timeout=0.5)
    assert job.cancel()
    began_s = time.monotonic()
    assert admits(PLAN, vlm.submit(ask()).result(timeout=10).texts[0])
    assert time.monotonic() - began_s < 5.0
    with pytest.raises(CancelError):
        job.result()


def test_a_batch_goes_on_for_whoever_still_waits(batching):
    cancelled, waited_for = batching.submit(endless()), batching.submit(ask())
    assert admits(PLAN, waited_for.result(timeout=20).texts[0])
    assert cancelled.cancel()


def test_a_deadline_ends_the_writing(vlm):
    began_s = time.monotonic()
    with pytest.raises(DeadlineError):
        vlm.submit(endless(deadline_s=0.4)).result()
    assert time.monotonic() - began_s < 1.0
    vlm.submit(ask()).result(timeout=10)
    assert time.monotonic() - began_s < 6.0


def test_a_request_that_is_late_in_the_queue_is_never_begun(vlm):
    long, late = vlm.submit(ask()), vlm.submit(ask(deadline_s=1e-6))
    with pytest.raises(DeadlineError):
        late.result()
    assert long.result().timings_ms["queue"] >= 0


def test_a_wrong_grammar_is_told_at_once(vlm):
    with pytest.raises(GrammarError, match="foo"):
        vlm.submit(ask(grammar="start: foo"))


def test_closing_cancels_what_is_in_flight(folder):
    vlm = HfVLM(HfConfig(model=str(folder)))
    jobs = [vlm.submit(endless()) for _ in range(2)]
    vlm.close()
    for job in jobs:
        with pytest.raises(CancelError):
            job.result()
    with pytest.raises(VLMError, match="closed"):
        vlm.submit(ask())


def test_a_bug_of_ours_reaches_the_caller_as_itself_and_the_engine_lives_on(folder, monkeypatch):
    vlm = HfVLM(HfConfig(model=str(folder)))
    with monkeypatch.context() as broken:
        broken.setattr(vlm, "_generate", lambda *_: {}["no such key"])
        with pytest.raises(KeyError, match="no such key"):
            vlm.submit(ask()).result(timeout=10)
        broken.setattr(vlm, "_generate", lambda *_: torch.empty(2**50))
        with pytest.raises(VLMError, match="memory ran out"):
            vlm.submit(ask()).result(timeout=10)
    assert admits(PLAN, vlm.submit(ask()).result(timeout=10).texts[0])
    vlm.close()


def test_int8_writes_by_the_grammar_and_says_so_in_its_revision(folder, vlm):
    small = HfVLM(HfConfig(model=str(folder), quantisation="int8"))
    assert admits(PLAN, small.submit(ask()).result().texts[0])
    assert small.revision == f"{vlm.revision} int8"
    small.close()


def test_the_untrained_model_says_what_it_is_and_is_made_once(folder, tmp_path):
    assert folder.name.startswith("untrained-")
    assert untrained_folder(folder.parent) == folder
    make_untrained(tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_six_cameras_and_a_long_answer_take_about_a_second(vlm):
    grammar = 'start: "SCENE " /[a-z ]{400}/ "\\n" (N " ")~50\nN: /[0-9]{2}\\.[0-9]{2}/\n'
    reply = vlm.submit(ask(images=range(6), grammar=grammar, max_tokens=700)).result()
    assert 300 < reply.reply_tokens < 700
    assert sum(reply.timings_ms.values()) < 15_000  # about 1 s where nothing else runs


def test_the_untrained_model_is_served_under_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vlm = untrained_vlm(HfConfig(batch_size=2))
    assert vlm.name == "untrained"
    assert vlm.config.batch_size == 2
    assert admits(PLAN, vlm.submit(ask()).result().texts[0])
    vlm.close()
    assert all(f.name.startswith("untrained-") for f in (tmp_path / "drivevlm").iterdir())


def test_digits_are_single_tokens(vlm):
    assert vlm.count_tokens("12.34") == 5
    assert vlm.count_tokens(" the") == 1


@pytest.mark.part
def test_another_process_writes_the_same_untrained_reply(tmp_path, monkeypatch):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_vlm_hf import ask, untrained_vlm\n"
        "vlm = untrained_vlm()\n"
        "print(vlm.name, vlm.revision, vlm.submit(ask()).result().texts[0], sep='|')\n"
    )
    said = set()
    for cache in ("a", "b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        said.add(run.stdout)
    assert len(said) == 1
    assert said.pop().startswith("untrained|sha256:")
