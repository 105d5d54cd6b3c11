"""Writing replies token by token: grammar, sampling, budget, deadline and cancel of each row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import LogitsProcessor, StoppingCriteria

from drivevlm.model.scales import Scales
from drivevlm.vlm.matcher import Grammars, Matcher
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Finish, Reply, VLMError


@dataclass(slots=True)
class Stages:
    """When the stages of one batch began and how long they took; None where not measured."""

    begun_s: float
    prepare_ms: float = 0.0
    generate_s: float = 0.0
    encode_ms: float | None = None
    project_ms: float | None = None
    first_token_s: float = 0.0

    def timings_ms(self, job: Job) -> dict[str, float]:
        """Milliseconds by stage for a request of the batch that is done now."""
        prefill_ms = (self.first_token_s - self.generate_s) * 1e3
        timings = {"queue": (self.begun_s - job.submitted_s) * 1e3, "prepare": self.prepare_ms}
        for stage, spent_ms in (("encode", self.encode_ms), ("project", self.project_ms)):
            if spent_ms is not None:
                timings[stage] = spent_ms
                prefill_ms -= spent_ms
        decode_ms = (time.monotonic() - self.first_token_s) * 1e3
        return timings | {"prefill": prefill_ms, "decode": decode_ms}


@dataclass(slots=True, eq=False)
class _Row:
    """One reply of one request, as it grows."""

    job: Job
    matcher: Matcher | None
    generator: torch.Generator | None
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None


class Writer:
    """The rows of one batch: chooses their tokens and ends each in its own way.

    Rows may differ in grammar, temperature, seed and budget. Each request is answered as soon as
    its own rows are done; the batch ends with the last row that somebody still waits for.

    Args:
        jobs: Requests of the batch; each has as many rows, one after another, as samples.
        grammars: Of the model's tokenizer.
        end_tokens: Ids that end a reply.
        pad_token: What finished rows are filled with.
        prompt_tokens: Per request, without padding.
        stages: Its clock.
        scales: Settle which bin a greedy row writes; None for a vocabulary without.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        grammars: Grammars,
        *,
        end_tokens: frozenset[int],
        pad_token: int,
        prompt_tokens: Sequence[int],
        stages: Stages,
        scales: Scales | None = None,
    ) -> None:
        self._tokenizer = grammars.tokenizer
        self._end_tokens = end_tokens
        self._pad_token = pad_token
        self._stages = stages
        self._scales = scales
        self._prompt_tokens = dict(zip(jobs, prompt_tokens, strict=True))
        self._rows = [_begin(j, n, grammars) for j in jobs for n in range(j.request.samples)]
        self._seen: int | None = None

    def choose(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, V) in which the highest is each row's next token."""
        if self._seen is None and scores.is_cuda:
            torch.cuda.synchronize(scores.device)
        self._catch_up(ids)
        for row, row_scores in zip(self._rows, scores, strict=True):
            if self._is_over(row):
                row_scores.fill_(-torch.inf)
                row_scores[self._pad_token] = 0.0
                continue
            if row.matcher is not None:
                _forbid(row_scores, row.matcher)
            if row.generator is not None:
                if not torch.isfinite(row_scores).any():
                    row.job.fail(VLMError("the model gives no allowed token a finite score"))
                    row_scores[self._pad_token] = 0.0
                    continue
                chances = (row_scores / row.job.request.temperature).softmax(-1).cpu()
                token = int(torch.multinomial(chances, 1, generator=row.generator))
                row_scores.fill_(-torch.inf)
                row_scores[token] = 0.0
            elif self._scales is not None:
                self._scales.settle(row_scores)
        return scores

    def over(self, ids: torch.Tensor) -> torch.Tensor:
        """(B,) whether each row is at its end."""
        self._catch_up(ids)
        return torch.tensor([self._is_over(row) for row in self._rows], device=ids.device)

    def _catch_up(self, ids: torch.Tensor) -> None:
        """Read what was written since the last look (the first look sees the prompt only)."""
        if self._seen is None:
            self._seen = ids.shape[1]
            self._stages.first_token_s = time.monotonic()
        written = ids[:, self._seen :].tolist()
        self._seen = ids.shape[1]
        for row, tokens in zip(self._rows, written, strict=True):
            for token in tokens:
                if not self._is_over(row):
                    self._take(row, token)

    def _take(self, row: _Row, token: int) -> None:
        if token in self._end_tokens and (row.matcher is None or row.matcher.complete):
            row.finish = Finish.STOP
        elif row.matcher is not None and not row.matcher.take(token):
            row.job.fail(VLMError(f"the grammar came to no end: {row.matcher.error or token}"))
        else:
            row.tokens.append(token)
            if row.matcher is not None and row.matcher.ended:
                row.finish = Finish.STOP
            elif len(row.tokens) >= row.job.request.max_tokens:
                row.finish = Finish.LENGTH
        if row.finish is not None:
            self._answer(row.job)

    def _is_over(self, row: _Row) -> bool:
        return row.finish is not None or row.job.over

    def _answer(self, job: Job) -> None:
        rows = [row for row in self._rows if row.job is job]
        finish = [row.finish for row in rows if row.finish is not None]
        if len(finish) < len(rows):
            return
        job.answer(
            Reply(
                texts=tuple(self._text(row.tokens) for row in rows),
                finish=tuple(finish),
                prompt_tokens=self._prompt_tokens[job],
                reply_tokens=sum(len(row.tokens) for row in rows),
                timings_ms=self._stages.timings_ms(job),
            )
        )

    def _text(self, tokens: Sequence[int]) -> str:
        words = [t for t in tokens if not self._tokenizer.is_special_token(t)]
        return self._tokenizer.decode_str(words)


def _begin(job: Job, sample: int, grammars: Grammars) -> _Row:
    request = job.request
    generator = None
    if request.temperature > 0:
        seed = np.random.SeedSequence([request.seed, sample]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed >> np.uint64(1)))
    matcher = None if request.grammar is None else grammars.matcher(request.grammar)
    return _Row(job, matcher, generator)


def _forbid(scores: torch.Tensor, matcher: Matcher) -> None:
    """Rule out what the grammar does not allow; scores may be longer than the vocabulary."""
    allowed = torch.from_numpy(matcher.allowed())[: len(scores)].to(scores.device)
    scores[: len(allowed)].masked_fill_(~allowed, -torch.inf)
    scores[len(allowed) :] = -torch.inf


class Choosing(LogitsProcessor):
    """``Writer.choose`` as transformers calls it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores in which the highest is the next token."""
        return self._writer.choose(input_ids, scores)


class Ending(StoppingCriteria):
    """``Writer.over`` as transformers calls it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """(B,) which rows are done."""
        return self._writer.over(input_ids)
