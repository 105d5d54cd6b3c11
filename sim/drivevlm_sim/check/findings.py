"""What a rule asks, what was measured, and where it is broken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: every figure lies between two bounds, both included.

    Attributes:
        name: In tables and files.
        asks: In words.
        unit: Of the figure.
        least, most: The bounds.
        share: Of the figures that must keep the bounds; 1 asks it of all.
    """

    name: str
    asks: str
    unit: str = ""
    least: float = -math.inf
    most: float = math.inf
    share: float = 1.0

    def keeps(self, figure: float) -> bool:
        """Whether a figure lies within the bounds; NaN does not."""
        return self.least <= figure <= self.most

    def excess(self, figure: float) -> float:
        """How far a figure lies beyond the bounds, or negative: how far within."""
        if math.isnan(figure):
            return math.inf
        return max(self.least - figure, figure - self.most)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule held against a world.

    Attributes:
        rule: What is asked.
        figures: By place (a pair, a scene, a keyframe), what was measured.
        unjudged: How many further places there are, of which nothing on disk tells.
    """

    rule: Rule
    figures: Mapping[str, float]
    unjudged: int = 0

    @classmethod
    def of(cls, rule: Rule, figures: Mapping[str, float | None]) -> Finding:
        """From figures that are None where nothing tells."""
        told = {where: figure for where, figure in figures.items() if figure is not None}
        return cls(rule, told, len(figures) - len(told))

    @property
    def broken(self) -> dict[str, float]:
        """By place, the figures beyond the bounds, the worst first."""
        beyond = {w: f for w, f in self.figures.items() if not self.rule.keeps(f)}
        return dict(sorted(beyond.items(), key=lambda item: -self.rule.excess(item[1])))

    @property
    def holds(self) -> bool:
        """Whether enough figures lie within the bounds."""
        return len(self.broken) <= (1 - self.rule.share) * len(self.figures)

    @property
    def worst(self) -> tuple[str, float] | None:
        """Place and figure that lie farthest beyond the bounds, or nearest to them."""
        if not self.figures:
            return None
        return max(self.figures.items(), key=lambda item: self.rule.excess(item[1]))

    def values(self) -> dict[str, Any]:
        """As plain values; what is not finite is null."""
        worst = self.worst
        rule = self.rule
        return {
            "rule": rule.name,
            "asks": rule.asks,
            "unit": rule.unit,
            "least": finite(rule.least),
            "most": finite(rule.most),
            "share": rule.share,
            "of": len(self.figures),
            "unjudged": self.unjudged,
            "holds": self.holds,
            "violations": len(self.broken),
            "worst": None if worst is None else {"where": worst[0], "figure": finite(worst[1])},
            "broken": [{"where": w, "figure": finite(f)} for w, f in self.broken.items()],
        }


def finite(figure: float) -> float | None:
    """Rounded for a file; None where it is no number."""
    return round(float(figure), DIGITS) if math.isfinite(figure) else None
