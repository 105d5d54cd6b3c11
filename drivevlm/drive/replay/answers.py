"""What a node says of each decision, read back as the records that an evaluation writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drivevlm.record.decision_json import decision_from_json
from drivevlm.record.run_folder import Record
from drivevlm.world.decision import Decision, Failure

NEVER_SENT = "its picture of the anchor was never sent"
"""Why a clip got no answer whose picture was lost on the way."""


class AnswerError(Exception):
    """A text that is no reasoning of a node; the message is one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One decision of a node.

    Attributes:
        stamp_us: Decision time.
        decision: With its reply and request digest, also where the plan was held back.
        passed: Whether the gate let the plan through; None where there was none to judge.
    """

    stamp_us: int
    decision: Decision
    passed: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A clip, and what came of it.

    Attributes:
        scene: The clip's.
        clip: Its token.
        answer: None where none came.
        failure: Why none came; None where one did.
    """

    scene: str
    clip: str
    answer: Answer | None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.answer is None) == (self.failure is None):
            raise ValueError(f"clip {self.clip} has either an answer or a failure, and not both")

    @property
    def decision(self) -> Decision:
        """The node's, or a failure that stays in the total."""
        if self.answer is not None:
            return self.answer.decision
        return Decision(plan=None, failure=self.failure)


def answer_of(text: str) -> Answer:
    """A text of ``~/output/reasoning``. Raises AnswerError where it is none."""
    try:
        told = json.loads(text)
        decision = decision_from_json(
            {
                **told["decision"],
                "request_digest": told["request_digest"],
                "reply": told["reply"],
            }
        )
        gate = told["gate"]
        return Answer(int(told["stamp_us"]), decision, None if gate is None else gate["passed"])
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerError(
            f"expected a node's reasoning as JSON, got {text[:60]!r} ({type(error).__name__}: "
            f"{error})"
        ) from None


def records(answered: Iterable[Answered], *, planner: str) -> Iterator[Record]:
    """As ``eval`` writes them, one for each clip; ``planner`` is how tables call the node's."""
    for one in answered:
        yield Record(planner, one.scene, one.clip, one.decision)
