"""What a training tells while it goes: a line per step or so in ``metrics.jsonl``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivevlm.train.learner import Learned

METRICS = "metrics.jsonl"
Tell = Callable[[Mapping[str, Any]], None]
"""Is given every line of the protocol."""


def silent(line: Mapping[str, Any]) -> None:
    """Tells nobody."""


@dataclass(slots=True)
class Watch:
    """Keeps the protocol of a run.

    Attributes:
        folder: Of the run; None keeps nothing (other processes than the first).
        tell: Who else is told.
        every: Steps between lines of losses.
    """

    folder: Path | None
    tell: Tell
    every: int
    _since: list[tuple[Learned, float, float]] = field(default_factory=list)

    def resume(self, stage: int, step: int, judged: int) -> None:
        """Forget what was told of steps, and validations, that will be taken again."""
        if self.folder is None or not (self.folder / METRICS).is_file():
            return
        kept = []
        for text in (self.folder / METRICS).read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # the end of a killed process
                continue
            end = judged if "validation" in line else step
            if (line["stage_number"], line["step"]) <= (stage, end):
                kept.append(text + "\n")
        new = self.folder / f"{METRICS}.new"
        new.write_text("".join(kept), encoding="utf-8")
        os.replace(new, self.folder / METRICS)

    def learned(
        self, where: Mapping[str, Any], learned: Learned, *, data_s: float, step_s: float
    ) -> None:
        """One step was taken; a line is written every so many."""
        self._since.append((learned, data_s, step_s))
        if where["step"] % self.every and where["step"] != where["steps"]:
            return
        steps, seconds = [each for each, _, _ in self._since], sum(d + s for _, d, s in self._since)
        names = dict.fromkeys(name for each in steps for name in each.sections)
        self.line(
            {
                **where,
                "loss": _mean([each.loss for each in steps]),
                "sections": {
                    name: _mean([e.sections[name] for e in steps if name in e.sections])
                    for name in names
                },
                "gradient": _mean([each.gradient for each in steps]),
                "clips": sum(each.clips for each in steps),
                "clips_per_s": sum(each.clips for each in steps) / seconds,
                "tokens_per_s": sum(each.tokens for each in steps) / seconds,
                "data_share": sum(d for _, d, _ in self._since) / seconds,
            }
        )
        self._since.clear()

    def line(self, values: Mapping[str, Any]) -> None:
        """Write and tell a line."""
        line = {**values, "at_s": round(time.time(), 1)}
        if self.folder is not None:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.tell(line)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
