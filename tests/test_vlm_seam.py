"""Laws of the seam to chat models, and of the two models that need no weights."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from drivevlm.vlm.pending import Job
from drivevlm.vlm.recorded import RecordedVLM
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.vlm.seam import (
    CancelError,
    DeadlineError,
    Finish,
    ImagePart,
    Message,
    Reply,
    Request,
    Role,
    TextPart,
    VLMError,
)


def ask(text="hello", image=None, **options):
    parts = (TextPart(text),) if image is None else (TextPart(text), image)
    options.setdefault("max_tokens", 10)
    return Request(messages=(Message(Role.USER, parts),), **options)


def picture(value=0, **options):
    options = {"label": "front", "stamp_us": 1} | options
    return ImagePart(np.full((4, 6, 3), value, np.uint8), **options)


def reply(text="yes"):
    return Reply((text,), (Finish.STOP,), prompt_tokens=1, reply_tokens=1)


def test_the_digest_sees_everything_that_changes_the_answer():
    rays = np.zeros((4, 6, 6), np.float32)
    requests = [
        ask(),
        ask("hello "),
        ask(max_tokens=11),
        ask(grammar='start: "a"'),
        ask(temperature=1.0),
        ask(temperature=1.0, seed=1),
        ask(temperature=1.0, samples=2),
        ask(image=picture()),
        ask(image=picture(1)),
        ask(image=picture(label="back")),
        ask(image=picture(stamp_us=2)),
        ask(image=picture(rays=rays)),
        Request(messages=(Message(Role.SYSTEM, (TextPart("hello"),)),), max_tokens=10),
    ]
    assert len({r.digest for r in requests}) == len(requests)


def test_the_digest_does_not_see_when_and_how_the_answer_comes():
    assert ask().digest == ask(deadline_s=1.0, session="s", draft="d", temperature=0).digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"samples": 2},
        {"samples": 0},
        {"temperature": -1.0},
        {"seed": -1},
    ],
)
def test_a_senseless_request_is_refused(wrong):
    with pytest.raises(ValueError, match=r"needs|greedy|negative"):
        ask(**wrong)


def test_an_image_is_bytes_of_three_colours_and_rays_fit_it():
    with pytest.raises(ValueError, match="uint8"):
        ImagePart(np.zeros((4, 6, 3)), label="front", stamp_us=0)
    with pytest.raises(ValueError, match="no pixels"):
        ImagePart(np.zeros((0, 6, 3), np.uint8), label="front", stamp_us=0)
    with pytest.raises(ValueError, match=r"\(4, 6, 6\)"):
        picture(rays=np.zeros((6, 4, 6), np.float32))


def test_a_job_is_settled_once():
    job = Job(ask())
    assert not job.over
    assert job.cancel()
    job.answer(reply())
    job.fail(VLMError("late"))
    with pytest.raises(CancelError):
        job.result()
    answered = Job(ask())
    answered.answer(reply())
    assert not answered.cancel()
    assert answered.result().texts == ("yes",)


def test_waiting_ends_at_the_deadline_even_where_the_engine_is_stuck():
    job = Job(ask(deadline_s=0.05))
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"0\.05 s"):
        job.result(timeout=10.0)
    assert time.monotonic() - began < 1.0
    job.answer(reply())
    with pytest.raises(DeadlineError):
        job.result()


def test_a_look_without_waiting_tells_late_from_not_yet():
    late, not_yet = Job(ask(deadline_s=0.01)), Job(ask(deadline_s=10.0))
    time.sleep(0.02)
    with pytest.raises(DeadlineError):
        late.result(timeout=0.0)
    with pytest.raises(TimeoutError, match="still on its way"):
        not_yet.result(timeout=0.0)


def test_a_reply_in_time_can_be_fetched_later_and_a_late_one_cannot():
    early, late = Job(ask(deadline_s=0.05)), Job(ask(deadline_s=0.01))
    early.answer(reply())
    time.sleep(0.06)
    late.answer(reply())
    assert early.result().texts == ("yes",)
    with pytest.raises(DeadlineError):
        late.result()


def test_a_timeout_of_the_waiter_leaves_the_request_alive():
    job = Job(ask(deadline_s=10.0))
    with pytest.raises(TimeoutError, match="still on its way"):
        job.result(timeout=0.01)
    job.answer(reply())
    assert job.result().texts == ("yes",)


def test_a_script_is_told_in_order_and_says_when_it_has_run_out():
    vlm = ScriptedVLM(["one", VLMError("server down"), reply("three")])
    assert vlm.submit(ask()).result().texts == ("one",)
    with pytest.raises(VLMError, match="server down"):
        vlm.submit(ask()).result()
    assert vlm.submit(ask()).result().texts == ("three",)
    with pytest.raises(VLMError, match="has 3 replies, this is request 4"):
        vlm.submit(ask()).result()
    assert len(vlm.requests) == 4


def test_a_script_by_session_keeps_each_session_in_its_own_order():
    vlm = ScriptedVLM({"a": ["a1", "a2"], "b": ["b1"]})
    heard = [vlm.submit(ask(session=s)).result().texts[0] for s in ("a", "b", "a")]
    assert heard == ["a1", "b1", "a2"]
    with pytest.raises(VLMError, match="no script for session 'c'"):
        vlm.submit(ask(session="c")).result()


def test_a_script_may_be_a_function_of_the_request():
    vlm = ScriptedVLM(lambda request: f"{len(request.images)} images")
    assert vlm.submit(ask(image=picture())).result().texts == ("1 images",)


def test_a_slow_script_can_be_cancelled_be_late_and_be_closed():
    vlm = ScriptedVLM(lambda _: "late", delay_s=0.2)
    cancelled, late, in_time = (
        vlm.submit(ask()),
        vlm.submit(ask(deadline_s=0.05)),
        vlm.submit(ask()),
    )
    assert cancelled.cancel()
    with pytest.raises(CancelError):
        cancelled.result()
    with pytest.raises(DeadlineError):
        late.result()
    assert in_time.result().texts == ("late",)
    pending = vlm.submit(ask())
    vlm.close()
    with pytest.raises(CancelError):
        pending.result()
    with pytest.raises(VLMError, match="closed"):
        vlm.submit(ask())


def test_many_threads_may_ask_at_once():
    vlm = ScriptedVLM([str(i) for i in range(200)])
    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda _: vlm.submit(ask()).result().texts[0], range(200)))
    assert sorted(texts, key=int) == [str(i) for i in range(200)]


def test_a_recording_answers_what_was_recorded_and_names_what_was_not():
    failed = ask("and this?")
    vlm = RecordedVLM(
        {ask().digest: reply("then"), failed.digest: VLMError("out of memory")},
        name="some-model",
        revision="abc",
    )
    assert vlm.submit(ask(session="x")).result().texts == ("then",)
    with pytest.raises(VLMError, match="out of memory"):
        vlm.submit(failed).result()
    with pytest.raises(VLMError, match=f"{ask('new').digest[:12]} was never recorded among 2"):
        vlm.submit(ask("new")).result()
