"""Any stock image-text chat model of transformers behind the seam."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from drivevlm.vlm.batching import Batches
from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.generating import generate, refuse_too_long
from drivevlm.vlm.loading import load
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Request, VLMError
from drivevlm.vlm.writing import Stages


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
        self._batches = Batches(
            self.name,
            self._write,
            batch_size=config.batch_size,
            batch_wait_ms=config.batch_wait_ms,
            kind=_has_images,
        )

    def submit(self, request: Request) -> Job:
        """Queue a request. Raises GrammarError where its grammar does not compile."""
        if request.grammar is not None:
            self._loaded.grammars.matcher(request.grammar)
        return self._batches.submit(request)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        return len(self._loaded.chat.tokenizer.encode(text, add_special_tokens=False))

    def longest_reply_tokens(self, longest_bytes: int) -> int:
        """One token a byte, since a model may spell so, and the end."""
        return longest_bytes + 1

    def close(self) -> None:
        """Cancel what is in flight, wait for the thread, free the model."""
        self._batches.close()
        self._loaded = replace(self._loaded, model=None)

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
        self._encoder_clock.stages = stages
        stages.generate_s = time.monotonic()
        generate(self._loaded, jobs, inputs, prompt_tokens=lengths, stages=stages)

    def _refuse_too_long(self, job: Job, prompt_tokens: int) -> bool:
        return refuse_too_long(job, prompt_tokens, self._loaded.context_tokens, self.name)


def _has_images(request: Request) -> bool:
    """A stock processor takes images for all rows of a batch or for none."""
    return bool(request.images)


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
