"""Recorded replies, so that a run can be read again without its model."""

from __future__ import annotations

from collections.abc import Iterable

from drivevlm.record.run_folder import Record
from drivevlm.vlm.seam import DeadlineError, Finish, Reply, VLMError
from drivevlm.world.sets import FailureKind

_ERRORS = {FailureKind.MODEL: VLMError, FailureKind.DEADLINE: DeadlineError}


def recorded_replies(records: Iterable[Record]) -> dict[str, Reply | VLMError]:
    """By request digest; where the model failed or was late, the error that it gave then.

    Decisions that asked nothing (baselines, broken images) are left out.
    """
    replies: dict[str, Reply | VLMError] = {}
    for record in records:
        decision, failure = record.decision, record.decision.failure
        if not decision.request_digest:
            continue
        if failure is not None and failure.kind in _ERRORS:
            replies[decision.request_digest] = _ERRORS[failure.kind](failure.detail)
            continue
        cut = failure is not None and failure.kind is FailureKind.TRUNCATED
        replies[decision.request_digest] = Reply(
            texts=(decision.reply,),
            finish=(Finish.LENGTH if cut else Finish.STOP,),
            prompt_tokens=decision.usage.prompt_tokens,
            reply_tokens=decision.usage.reply_tokens,
        )
    return replies
