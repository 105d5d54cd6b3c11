"""The answer format: one object with four faces, so that asking and reading cannot drift apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from drivevlm.dialogue.codecs import PlanCodec
from drivevlm.dialogue.sections import (
    MOST_ADDED,
    MOST_CRITICAL,
    SHARED_RULES,
    Decide,
    Detect,
    Draft,
    Scene,
    Section,
    SectionName,
    Spatial,
)
from drivevlm.dialogue.spelling import LONGEST_TEXT, AnswerError
from drivevlm.dialogue.words import Words
from drivevlm.world.boxes import CATEGORIES
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import LaneRelation, Lateral, Longitudinal, Signal, Verdict

_NAME = re.compile(r"[A-Za-z0-9_]{1,32}")
_ADDED = re.compile(r"a[0-9]+|none")
_THINKING: dict[SectionName, Section] = {
    SectionName.DETECT: Detect(),
    SectionName.SCENE: Scene(),
    SectionName.SPATIAL: Spatial(),
    SectionName.DECIDE: Decide(),
}


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """Which sections an answer has, in which order, and how its plan is written.

    Law: ``parse(render(d))`` is ``d`` restricted to the sections, to the printed digits or the
    codec's published error; and everything that the grammar admits parses.

    Attributes:
        sections: Without repetition, PLAN among them.
        codec: Of the plan.
        words: For ``describe``.
    """

    sections: tuple[SectionName, ...]
    codec: PlanCodec
    words: Words

    def __post_init__(self) -> None:
        if SectionName.PLAN not in self.sections or len(set(self.sections)) != len(self.sections):
            raise ValueError(
                f"sections must hold PLAN and nothing twice, got {[s.value for s in self.sections]}"
            )

    def describe(self) -> str:
        """The format in words, for the prompt."""
        return self.words.part(
            "answer",
            sections=[section.value for section in self.sections],
            codec=self.codec.name,
            steps=self.codec.steps,
            dt_s=self.codec.dt_s,
            facts=self.codec.facts(),
            example_plan=self.codec.render(self._straight()),
            categories=CATEGORIES,
            signals=_values(Signal),
            lanes=_values(LaneRelation),
            longitudinals=_values(Longitudinal),
            laterals=_values(Lateral),
            most_added=MOST_ADDED,
            most_critical=MOST_CRITICAL,
            longest_text=LONGEST_TEXT,
        )

    def render(self, decision: Decision, clip: Clip) -> str:
        """A decision as an answer. Raises ValueError where the format cannot say it."""
        said = self._sayable(decision, clip)
        return "\n".join(f"{s.value}: {self._content(s, said, clip)}" for s in self.sections)

    def grammar(self, clip: Clip) -> str:
        """A Lark grammar (llguidance's dialect) of all answers to this clip."""
        proposals = _proposals(clip)
        counts = range(MOST_ADDED + 1) if SectionName.DETECT in self.sections else (0,)
        # One branch per number of additions, so that SPATIAL can name those that are there.
        branches = [f"answer{n}" for n in counts]
        rules = ["start: " + " | ".join(branches)]
        rules += [f"answer{n}: {self._lines(proposals, n)}" for n in counts]
        return "\n".join([*rules, SHARED_RULES, self.codec.rule()]) + "\n"

    def parse(self, text: str, clip: Clip) -> Decision:
        """The decision that an answer states. Raises AnswerError, and nothing else."""
        boxes = clip.proposals.boxes if clip.proposals else ()
        draft = Draft(dict(zip(_proposals(clip), boxes, strict=True)))
        lines = [line.strip() for line in text.strip().split("\n")]
        if len(lines) != len(self.sections):
            raise AnswerError(f"expected {len(self.sections)} lines, got {len(lines)}")
        for section, line in zip(self.sections, lines, strict=True):
            head = f"{section.value}: "
            if not line.startswith(head):
                raise AnswerError(f"expected a line that begins with {head!r}, got {line[:40]!r}")
            content = line[len(head) :]
            if section is SectionName.PLAN:
                draft.plan = self.codec.read(content)
            else:
                _THINKING[section].read(content, draft)
        return Decision(
            plan=draft.plan,
            detections=tuple(draft.detections),
            critical=tuple(draft.critical),
            signal=draft.signal,
            summary=draft.summary,
            meta=draft.meta,
        )

    def longest_bytes(self, proposals: Sequence[str]) -> int:
        """No reply that the grammar admits is longer, with proposals of these names."""
        names = tuple(proposals)
        total = 0
        for section in self.sections:
            plan = section is SectionName.PLAN
            content = (
                self.codec.longest_bytes() if plan else _THINKING[section].longest_bytes(names)
            )
            total += len(f"{section.value}: ") + content + len("\n")
        return total

    def restricted(self, decision: Decision, clip: Clip) -> Decision:
        """What of a decision this format can say: ``parse(render(decision))``."""
        return self.parse(self.render(decision, clip), clip)

    def _content(self, section: SectionName, decision: Decision, clip: Clip) -> str:
        if section is not SectionName.PLAN:
            return _THINKING[section].render(decision, clip)
        if decision.plan is None:
            raise ValueError("a failed decision has no plan to write")
        return self.codec.render(decision.plan)

    def _sayable(self, decision: Decision, clip: Clip) -> Decision:
        """The critical objects by the names that SPATIAL can use.

        Additions are called a1, a2, ... by their order; where DETECT has not told of them before,
        they are left out.
        """
        order = self.sections
        if SectionName.SPATIAL not in order:
            return decision
        names = {name: name for name in _proposals(clip)}
        added = [d.box.id for d in decision.detections if d.verdict is Verdict.ADDED]
        told = SectionName.DETECT in order[: order.index(SectionName.SPATIAL)]
        untold = set() if told else set(added) - set(names)
        if told:
            names |= {name: f"a{k + 1}" for k, name in enumerate(added) if name not in names}
        critical = [c for c in decision.critical if c.id not in untold]
        unknown = [c.id for c in critical if c.id not in names]
        if unknown:
            raise ValueError(f"critical object {unknown[0]!r} is none of {sorted(names)}")
        return replace(decision, critical=tuple(replace(c, id=names[c.id]) for c in critical))

    def _straight(self) -> Plan:
        """Straight on at 6 m/s, as an example."""
        x_m = 6.0 * self.codec.dt_s * np.arange(1, self.codec.steps + 1)
        straight = np.zeros_like(x_m)
        return Plan(np.stack([x_m, straight], axis=1), self.codec.dt_s, yaw_ego_rad=straight)

    def _lines(self, proposals: tuple[str, ...], added: int) -> str:
        known, lines = 0, []
        for section in self.sections:
            if section is SectionName.PLAN:
                rule = "plan"
            else:
                count = added if section is SectionName.DETECT else known
                rule = _THINKING[section].rule(proposals, count)
            known = added if section is SectionName.DETECT else known
            lines.append(f'"{section.value}: " {rule}')
        return ' "\\n" '.join(lines)


def _proposals(clip: Clip) -> tuple[str, ...]:
    names = tuple(box.id for box in clip.proposals.boxes) if clip.proposals else ()
    unfit = [name for name in names if not _NAME.fullmatch(name) or _ADDED.fullmatch(name)]
    if unfit:
        raise ValueError(
            f"clip {clip.token}: a proposal is named by letters and digits, and not like the "
            f"additions a1, a2, ...; got {unfit[0]!r}"
        )
    return names


def _values(kind: type[Enum]) -> list[str]:
    return [member.value for member in kind]
