"""Any stock image-text chat model of transformers behind the seam."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from transformers import GenerationConfig

from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.loading import load
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Request, VLMError
from drivevlm.vlm.writing import Choosing, Ending, Stages, Writer


class HfVLM:
    """A chat model that transformers loads from a folder or the hub.

    One thread writes; requests that wait are written together, up to ``batch_size`` rows.
    Decoding is greedy unless a request has a temperature: no top-k, no penalties, whatever the
    model's own generation config says. A grammar holds for what is written after the prefix.

    ``revision`` is a digest of the model's files (``checkpoint.digest``), or the hub's commit,
    with dtype and quantisation. Timings: ``queue``, ``prepare`` (template, image processor),
    ``encode`` (vision tower), ``prefill`` and ``decode``, all but the first those of the batch.

    Raises VLMError, one line, where the model cannot be loaded or would not fit in memory.
    """

    def __init__(self, config: HfConfig, *, name: str | None = None) -> None:
        self.config = config
        self._loaded = load(config)
        self.name = name or config.model.rstrip("/").rpartition("/")[2]
        self.revision = self._loaded.revision
        self._encoder_clock = _EncoderClock(self._loaded.model)
        self._waiting: deque[Job] = deque()
        self._writing: list[Job] = []
        self._arrival = threading.Condition()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="drivevlm-hf")

    def submit(self, request: Request) -> Job:
        """Queue a request. Raises GrammarError where its grammar does not compile."""
        if request.grammar is not None:
            self._loaded.grammars.matcher(request.grammar)
        job = Job(request)
        with self._arrival:
            if self._closed:
                raise VLMError(f"{self.name} is closed")
            self._waiting.append(job)
            self._thread.submit(self._serve)
            self._arrival.notify_all()
        return job

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        return len(self._loaded.chat.tokenizer.encode(text, add_special_tokens=False))

    def longest_reply_tokens(self, longest_bytes: int) -> int:
        """One token a byte, since a model may spell so, and the end."""
        return longest_bytes + 1

    def close(self) -> None:
        """Cancel what is in flight, wait for the thread, free the model."""
        with self._arrival:
            self._closed = True
            for job in (*self._waiting, *self._writing):
                job.cancel()
            self._arrival.notify_all()
        self._thread.shutdown(wait=True)
        self._loaded = replace(self._loaded, model=None)

    def _serve(self) -> None:
        """Write one batch of what waits; nothing may be left, since batches take several."""
        jobs = self._take()
        try:
            with torch.inference_mode():
                self._write(jobs)
        except (VLMError, MemoryError, RuntimeError) as error:
            for job in jobs:
                job.fail(_memory_error(error) or error)
        except BaseException as error:  # whoever waits must hear of any bug
            for job in jobs:
                job.fail(error)
            raise
        finally:
            with self._arrival:
                self._writing = []

    def _take(self) -> list[Job]:
        until_s = time.monotonic() + self.config.batch_wait_ms / 1e3
        with self._arrival:
            while True:
                batch = self._fitting()
                rows = sum(job.request.samples for job in batch)
                wait_s = until_s - time.monotonic()
                if rows >= self.config.batch_size or not batch or wait_s <= 0 or self._closed:
                    break
                self._arrival.wait(wait_s)
            self._waiting = deque(job for job in self._waiting if job not in batch)
            self._writing = batch
            return batch

    def _fitting(self) -> list[Job]:
        """Those that go with the oldest: as many rows as fit, all with images or all without."""
        self._waiting = deque(job for job in self._waiting if not job.over)
        batch: list[Job] = []
        rows = 0
        for job in self._waiting:
            rows += job.request.samples
            if batch and rows > self.config.batch_size:
                break
            if not batch or bool(job.request.images) == bool(batch[0].request.images):
                batch.append(job)
        return batch

    def _write(self, jobs: Sequence[Job]) -> None:
        stages = Stages(begun_s=time.monotonic())
        prompts: dict[Job, str] = {}
        for job in jobs:
            try:
                prompts[job] = self._loaded.chat.prompt(job.request)
            except VLMError as error:
                job.fail(error)
        if not prompts:
            return
        rows = [job for job in prompts for _ in range(job.request.samples)]
        try:
            inputs = self._loaded.chat.tensors(
                [prompts[j] for j in rows], [j.request for j in rows]
            )
        except VLMError as error:
            self._write_apart(list(prompts), error)
            return
        lengths = dict(zip(rows, inputs["attention_mask"].sum(dim=1).tolist(), strict=True))
        if any(self._refuse_too_long(job, length) for job, length in lengths.items()):
            self._write([job for job in prompts if not job.over])
            return
        model = self._loaded.model
        inputs = inputs.to(model.device, dtype=model.dtype)
        stages.prepare_ms = (time.monotonic() - stages.begun_s) * 1e3
        self._generate(inputs, list(prompts), list(lengths.values()), stages)

    def _write_apart(self, jobs: Sequence[Job], error: VLMError) -> None:
        """What the processor refuses of one request must not fail the others of its batch."""
        if len(jobs) == 1:
            jobs[0].fail(error)
            return
        for job in jobs:
            self._write([job])

    def _generate(
        self, inputs: Any, jobs: Sequence[Job], lengths: Sequence[int], stages: Stages
    ) -> None:
        loaded = self._loaded
        writer = Writer(
            jobs,
            loaded.grammars,
            end_tokens=loaded.end_tokens,
            pad_token=loaded.pad_token,
            prompt_tokens=lengths,
            stages=stages,
        )
        self._encoder_clock.stages = stages
        stages.generate_s = time.monotonic()
        loaded.model.generate(
            **inputs,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=max(job.request.max_tokens for job in jobs),
                do_sample=False,
                pad_token_id=loaded.pad_token,
            ),
            logits_processor=[Choosing(writer)],
            stopping_criteria=[Ending(writer)],
        )

    def _refuse_too_long(self, job: Job, prompt_tokens: int) -> bool:
        context = self._loaded.context_tokens
        if context is None or prompt_tokens + job.request.max_tokens <= context:
            return False
        job.fail(
            VLMError(
                f"{prompt_tokens} prompt tokens and {job.request.max_tokens} of the reply pass the "
                f"{context} that {self.name} was built for: send less or smaller images"
            )
        )
        return True


class _EncoderClock:
    """Times the vision tower inside ``generate``, where the model's class names that step."""

    def __init__(self, model: Any) -> None:
        self.stages: Stages | None = None
        self._on_gpu = model.device.type == "cuda"
        owner = model.base_model
        encode = getattr(owner, "get_image_features", None)
        if encode is None:
            return

        @functools.wraps(encode)  # generate() picks the arguments by this signature
        def timed(*images: Any, **options: Any) -> Any:
            began_s = self._now_s()
            features = encode(*images, **options)
            if self.stages is not None:
                spent_ms = (self._now_s() - began_s) * 1e3
                self.stages.encode_ms = (self.stages.encode_ms or 0.0) + spent_ms
            return features

        owner.get_image_features = timed

    def _now_s(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.monotonic()


def _memory_error(error: Exception) -> VLMError | None:
    """One clear line where memory ran out; None for any other error."""
    short = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not short and "DefaultCPUAllocator" not in str(error):
        return None
    return VLMError(
        "memory ran out while writing: lower batch_size, samples, image sizes or max_tokens"
    )
