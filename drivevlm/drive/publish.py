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
        gate: dict[str, Any] | None = None
        if self.verdict is not None:
            checks = [
                {"name": c.name.value, "passed": c.passed, "value": _finite(c.value)}
                | {"limit": c.limit}
                for c in self.verdict.checks
            ]
            gate = {"passed": self.verdict.passed, "checks": checks}
        decision = decision_to_json(self.decision)
        return json.dumps(
            {
                "stamp_us": self.stamp_us,
                "clip": self.clip,
                "request_digest": decision.pop("request_digest"),
                "reply": decision.pop("reply"),
                "gate": gate,
                "decision": decision,
            }
        )


class Publish(Protocol):
    """Where the outputs go. Called from the worker's thread and from the watchdog's."""

    def trajectory(self, trajectory: Trajectory) -> None:
        """A plan that passed the gate, or a fallback, which says so in its ``source``."""

    def reasoning(self, reasoning: Reasoning) -> None:
        """Every decision in time, also one without a plan and one that the gate held back."""

    def diagnostics(self, diagnostic: Diagnostic) -> None:
        """How the runtime is."""


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: the way to no object at all is null."""
    return value if value is not None and abs(value) < float("inf") else None
