"""The answer format: one object with four faces, so that asking and reading cannot drift apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivevlm.dialogue.codecs import PlanCodec
from drivevlm.dialogue.sections import (
    MOST_ADDED,
    SHARED_RULES,
    AnswerError,
    Decide,
    Detect,
    Draft,
    Scene,
    Section,
    SectionName,
    Spatial,
)
from drivevlm.dialogue.words import Words
from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision

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
        )

    def render(self, decision: Decision, clip: Clip) -> str:
        """A decision as an answer. Raises ValueError where the format cannot say it."""
        return "\n".join(f"{s.value}: {self._content(s, decision, clip)}" for s in self.sections)

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
        draft = Draft({box.id: box for box in clip.proposals.boxes} if clip.proposals else {})
        lines = text.strip().split("\n")
        if len(lines) != len(self.sections):
            raise AnswerError(f"expected {len(self.sections)} lines, got {len(lines)}")
        for section, line in zip(self.sections, lines, strict=True):
            head = f"{section.value}: "
            # An empty text at the end of SCENE may have lost its last blank.
            if not f"{line} ".startswith(head):
                raise AnswerError(f"expected a line that begins with {head!r}, got {line[:40]!r}")
            content = line[len(head) :]
            if section is SectionName.PLAN:
                draft.plan = self.codec.read(content.rstrip())
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
            return _THINKING[section].render(self._sayable(decision), clip)
        if decision.plan is None:
            raise ValueError("a failed decision has no plan to write")
        return self.codec.render(decision.plan)

    def _sayable(self, decision: Decision) -> Decision:
        """Critical objects that SPATIAL cannot name (added, but not told before) are left out."""
        order = self.sections
        told = SectionName.DETECT in order and (
            SectionName.SPATIAL not in order
            or order.index(SectionName.DETECT) < order.index(SectionName.SPATIAL)
        )
        if told:
            return decision
        added = {d.box.id for d in decision.detections if d.verdict.value == "added"}
        return replace(decision, critical=tuple(c for c in decision.critical if c.id not in added))

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
    return tuple(box.id for box in clip.proposals.boxes) if clip.proposals else ()
