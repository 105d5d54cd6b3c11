"""The ``generate`` of transformers, under the hand of a ``Writer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import GenerationConfig

from drivevlm.vlm.loading import LoadedModel
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import VLMError
from drivevlm.vlm.writing import Choosing, Ending, Stages, Writer


def generate(
    loaded: LoadedModel,
    jobs: Sequence[Job],
    inputs: Mapping[str, Any],
    *,
    prompt_tokens: Sequence[int],
    stages: Stages,
    explicit: bool = False,
) -> None:
    """Answer every job of a batch; ``inputs`` hold as many rows of each as it wants samples.

    Settings go to the model as one ``GenerationConfig``, since some stock models have settings of
    their own that only a whole one overrules; ``explicit`` names them one by one, for a class that
    adds some.
    """
    writer = Writer(
        jobs,
        loaded.grammars,
        end_tokens=loaded.end_tokens,
        pad_token=loaded.pad_token,
        prompt_tokens=prompt_tokens,
        stages=stages,
        scales=loaded.scales,
    )
    settings: dict[str, Any] = {
        "max_new_tokens": max(job.request.max_tokens for job in jobs),
        "do_sample": False,
        "pad_token_id": loaded.pad_token,
    }
    if not explicit:
        settings = {"generation_config": GenerationConfig(**settings)}  # type: ignore[no-untyped-call]
    loaded.model.generate(
        **inputs,
        **settings,
        logits_processor=[Choosing(writer)],
        stopping_criteria=[Ending(writer)],
    )


def refuse_too_long(job: Job, prompt_tokens: int, context_tokens: int | None, name: str) -> bool:
    """True, and the job has failed, where prompt and reply would not fit the model's context."""
    budget = job.request.max_tokens
    if context_tokens is None or prompt_tokens + budget <= context_tokens:
        return False
    job.fail(
        VLMError(
            f"{prompt_tokens} prompt tokens and {budget} of the reply pass the "
            f"{context_tokens} that {name} was built for: send less or smaller images"
        )
    )
    return True
