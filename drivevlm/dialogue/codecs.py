"""How a plan is written: the ``text`` codec (waypoints), and what every codec offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivevlm.dialogue.spelling import COORDINATE, AnswerError, coordinate, read_coordinate
from drivevlm.world.plan import Plan


class PlanCodec(Protocol):
    """Writes a plan and reads it back, to a published error."""

    @property
    def name(self) -> str:
        """As settings and prompts call it."""

    @property
    def steps(self) -> int:
        """Waypoints of a plan."""

    @property
    def dt_s(self) -> float:
        """Time between waypoints."""

    def render(self, plan: Plan) -> str:
        """The plan as text. ValueError where it is too short, of another rate, or too far."""

    def rule(self) -> str:
        """Lark rules, the first called ``plan``."""

    def read(self, text: str) -> Plan:
        """The plan. Raises AnswerError for anything that the rule does not admit."""

    def longest_bytes(self) -> int:
        """Of all texts that the rule admits."""

    def facts(self) -> Mapping[str, float]:
        """Numbers that the codec's description needs."""


@dataclass(frozen=True, slots=True)
class TextCodec:
    """Waypoints in metres with two decimals: ``2.31,0.02 4.50,0.05 ...``

    The error is that of rounding: 0.005 m in x and in y.
    """

    steps: int = 6
    dt_s: float = 0.5
    name: str = "text"

    def render(self, plan: Plan) -> str:
        """The first ``steps`` waypoints."""
        check_rate(plan, steps=self.steps, dt_s=self.dt_s)
        rows = plan.xy_ego_m[: self.steps]
        return " ".join(f"{coordinate(float(x))},{coordinate(float(y))}" for x, y in rows)

    def rule(self) -> str:
        """Exactly ``steps`` pairs."""
        return (
            "plan: "
            + ' " " '.join(["point"] * self.steps)
            + f'\npoint: {COORDINATE} "," {COORDINATE}'
        )

    def read(self, text: str) -> Plan:
        """A bare path."""
        pairs = text.split(" ")
        if len(pairs) != self.steps:
            raise AnswerError(f"PLAN: expected {self.steps} waypoints, got {len(pairs)}")
        rows = []
        for pair in pairs:
            x, comma, y = pair.partition(",")
            if not comma:
                raise AnswerError(f"PLAN: expected x,y, got {pair[:40]!r}")
            rows.append([read_coordinate(x, "PLAN x"), read_coordinate(y, "PLAN y")])
        return Plan(np.array(rows), dt_s=self.dt_s)

    def longest_bytes(self) -> int:
        """Three digits before the point, all negative."""
        return self.steps * len("-999.99,-999.99 ")

    def facts(self) -> Mapping[str, float]:
        """None: metres speak for themselves."""
        return {}


def check_rate(plan: Plan, *, steps: int, dt_s: float) -> None:
    """Raise ValueError where a plan cannot be written with this rate and length."""
    if abs(plan.dt_s - dt_s) > 1e-9:
        raise ValueError(
            f"the plan has a waypoint every {plan.dt_s:g} s, the format one in {dt_s:g}"
        )
    if len(plan.xy_ego_m) < steps:
        raise ValueError(
            f"the plan ends at {plan.horizon_s:g} s, the format needs {steps * dt_s:g} s"
        )
