"""Recorded replies, so that a run can be read again without its model."""

from __future__ import annotations

from collections.abc import Iterable

from drivevlm.record.run_folder import Record
from drivevlm.vlm.seam import Finish, Reply
from drivevlm.world.sets import FailureKind


def recorded_replies(records: Iterable[Record]) -> dict[str, Reply]:
    """By request digest. Decisions without a reply (baselines, model errors) are left out."""
    replies = {}
    for record in records:
        decision = record.decision
        if not decision.request_digest or not decision.reply:
            continue
        failure = decision.failure
        cut = failure is not None and failure.kind is FailureKind.TRUNCATED
        replies[decision.request_digest] = Reply(
            texts=(decision.reply,),
            finish=(Finish.LENGTH if cut else Finish.STOP,),
            prompt_tokens=decision.usage.prompt_tokens,
            reply_tokens=decision.usage.reply_tokens,
        )
    return replies
