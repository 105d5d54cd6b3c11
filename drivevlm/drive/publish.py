"""What the runtime hands out: plain values that a shell turns into messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from drivevlm.drive.gate import GateVerdict
from drivevlm.drive.health import Diagnostic
from drivevlm.drive.plan_message import Trajectory
from drivevlm.record.decision_json import decision_to_json
from drivevlm.world.decision import Decision


@dataclass(frozen=True, slots=True, eq=False)
class Reasoning:
    """A decision with all that led to it and what became of it.

    Attributes:
        stamp_us: Decision time.
        clip: Token of the clip.
        decision: The planner's.
        verdict: The gate's; None where there was no plan to judge.
    """

    stamp_us: int
    clip: str
    decision: Decision
    verdict: GateVerdict | None

    @property
    def text(self) -> str:
        """As one line of JSON."""
        decision = decision_to_json(self.decision)
        return json.dumps(
            {
                "stamp_us": self.stamp_us,
                "clip": self.clip,
                "request_digest": decision.pop("request_digest"),
                "reply": decision.pop("reply"),
                "gate": verdict_to_json(self.verdict),
                "decision": decision,
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """What became of one picture of the anchor.

    Attributes:
        t0_us: Its stamp.
        reasoning: The decision that was made at it; None where none was.
        lost: Why none was, as the diagnostics count it (``refused_camera``); "" where one was.
        why: The same in words.
    """

    t0_us: int
    reasoning: Reasoning | None = None
    lost: str = ""
    why: str = ""


class UntimelyError(Exception):
    """A plan that was in time for the gate was so no more on its way out: it was not sent.

    It grew too old, or the clock jumped back and left it in the future.

    Attributes:
        now_us: The node's clock, by which it was out of time.
    """

    def __init__(self, now_us: int) -> None:
        super().__init__(f"out of time at {now_us} us on the node's clock")
        self.now_us = now_us


class Publish(Protocol):
    """Where the outputs go. Called from the worker's thread and from the watchdog's."""

    def trajectory(self, trajectory: Trajectory) -> None:
        """A plan that passed the gate, or a fallback, which says so in its ``source``.

        Raises UntimelyError where it is too old by now, or of the future.
        """

    def reasoning(self, reasoning: Reasoning) -> None:
        """Every decision in time, also one without a plan and one that the gate held back."""

    def diagnostics(self, diagnostic: Diagnostic) -> None:
        """How the runtime is."""


def verdict_to_json(verdict: GateVerdict | None) -> dict[str, Any] | None:
    """A verdict of the gate as plain JSON values."""
    if verdict is None:
        return None
    checks = [
        {"name": c.name.value, "passed": c.passed, "value": _finite(c.value), "limit": c.limit}
        for c in verdict.checks
    ]
    return {"passed": verdict.passed, "checks": checks}


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: the way to no object at all is null."""
    return value if value is not None and abs(value) < float("inf") else None
