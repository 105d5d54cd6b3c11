"""Our own model behind the seam."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from drivevlm.vlm.batching import Batches
from drivevlm.vlm.config import NativeConfig
from drivevlm.vlm.generating import generate, refuse_too_long
from drivevlm.vlm.native.features import FeatureCache
from drivevlm.vlm.native.loading import load
from drivevlm.vlm.native.prompt import Prompt, prompt_of
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Request, VLMError
from drivevlm.vlm.writing import Stages


class NativeVLM:
    """A model of ours, from a folder that ``drivevlm.model.storage.save_model`` wrote.

    One thread writes; requests that wait are written together, up to ``batch_size`` rows, with
    images or without. Decoding is greedy unless a request has a temperature. The features of the
    images that came last are kept: an image's tokens are made anew from them, since its age and
    its rays change while its pixels do not.

    ``revision`` is a digest of the model's files (``checkpoint.digest``) with the dtype. Timings:
    ``queue``, ``prepare`` (template, tokenizer, rays of cells), ``encode`` (what was not kept),
    ``project``, ``prefill`` and ``decode``, all but the first those of the batch.

    Raises VLMError, one line, where the model cannot be loaded or would not fit in memory.
    """

    def __init__(self, config: NativeConfig, *, name: str | None = None) -> None:
        self.config = config
        self._loaded = load(config)
        self.name = name or config.folder.resolve().name
        self.revision = self._loaded.revision
        self._device: torch.device = self._loaded.model.device
        self._features = FeatureCache(self._encode, most=config.cached_images)
        self._batches = Batches(
            self.name,
            self._write,
            batch_size=config.batch_size,
            batch_wait_ms=config.batch_wait_ms,
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
        """One token a byte, since a model may spell even what it has tokens for, and the end."""
        return longest_bytes + 1

    def close(self) -> None:
        """Cancel what is in flight, wait for the thread, free the model."""
        self._batches.close()
        self._loaded = replace(self._loaded, model=None)
        self._features = FeatureCache(self._encode, most=0)

    def _write(self, jobs: Sequence[Job]) -> None:
        stages = Stages(begun_s=time.monotonic())
        prompts = self._prompts(jobs)
        if not prompts:
            return
        stages.generate_s = self._now_s()
        stages.prepare_ms = (stages.generate_s - stages.begun_s) * 1e3
        seen = self._seen(list(prompts.values()), stages)
        generate(
            self._loaded,
            list(prompts),
            self._rows(prompts, seen),
            prompt_tokens=[len(prompt.ids) for prompt in prompts.values()],
            stages=stages,
            explicit=True,
        )

    def _prompts(self, jobs: Sequence[Job]) -> dict[Job, Prompt]:
        """Those that can be written; the others have failed."""
        prompts: dict[Job, Prompt] = {}
        for job in jobs:
            try:
                prompt = prompt_of(self._loaded.chat, job.request)
            except VLMError as error:
                job.fail(error)
                continue
            context = self._loaded.context_tokens
            if not refuse_too_long(job, len(prompt.ids), context, self.name):
                prompts[job] = prompt
        return prompts

    def _seen(self, prompts: Sequence[Prompt], stages: Stages) -> list[Tensor]:
        """(T, D) visual tokens of all images, request after request."""
        digests = [digest for prompt in prompts for digest in prompt.digests]
        if not digests:
            return []
        features = self._features.of(digests, [p for prompt in prompts for p in prompt.pixels])
        encoded_s = self._now_s()
        rays = chain.from_iterable(prompt.rays for prompt in prompts)
        tokens: list[Tensor] = self._loaded.model.project(
            features,
            [None if ray is None else ray.to(self._device) for ray in rays],
            torch.cat([prompt.ages_s for prompt in prompts]).to(self._device),
            [grid for prompt in prompts for grid in prompt.grids],
        )
        stages.encode_ms = (encoded_s - stages.generate_s) * 1e3
        stages.project_ms = (self._now_s() - encoded_s) * 1e3
        return tokens

    def _encode(self, pixels: Sequence[Tensor]) -> list[Tensor]:
        features: list[Tensor] = self._loaded.model.encode([p.to(self._device) for p in pixels])
        return features

    def _rows(self, prompts: Mapping[Job, Prompt], seen: Sequence[Tensor]) -> dict[str, Tensor]:
        """What ``generate`` takes: prompts padded on the left, one row per sample."""
        words = [prompt.ids for prompt in prompts.values()]
        ids = _padded(words, self._loaded.pad_token).to(self._device)
        mask = _padded([torch.ones_like(row) for row in words], 0).to(self._device)
        samples = torch.tensor([job.request.samples for job in prompts], device=self._device)
        embedded = self._loaded.model.embed(ids, seen)
        return {
            "inputs_embeds": embedded.repeat_interleave(samples, dim=0),
            "attention_mask": mask.repeat_interleave(samples, dim=0),
        }

    def _now_s(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def _padded(rows: Sequence[Tensor], value: int) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value, padding_side="left")
