"""The lines of an answer: each is rendered, described by a grammar rule, and read back.

A line is ``NAME: content``. Contents are regular and unambiguous, ASCII only, and bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from drivevlm.dialogue.spelling import (
    AMOUNT,
    COORDINATE,
    LONGEST_TEXT,
    NONE,
    TEXT,
    AnswerError,
    amount,
    coordinate,
    free_text,
    read_amount,
    read_coordinate,
    read_free_text,
)
from drivevlm.world.boxes import CATEGORIES, Box3, Detection
from drivevlm.world.clip import Clip
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import (
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Signal,
    Verdict,
)

MOST_ADDED = 4
MOST_CRITICAL = 3


class SectionName(str, Enum):
    """The parts of a chain of thought, by the name that begins their line."""

    DETECT = "DETECT"
    SCENE = "SCENE"
    SPATIAL = "SPATIAL"
    DECIDE = "DECIDE"
    PLAN = "PLAN"


@dataclass
class Draft:
    """What has been read of a reply so far.

    Attributes:
        proposals: The clip's proposals by id.
        detections, critical, signal, summary, meta, plan: As in ``Decision``.
    """

    proposals: dict[str, Box3]
    detections: list[Detection] = field(default_factory=list)
    critical: list[CriticalObject] = field(default_factory=list)
    signal: Signal | None = None
    summary: str | None = None
    meta: MetaDecision | None = None
    plan: Plan | None = None

    @property
    def ids(self) -> list[str]:
        """Objects that may be spoken of: all proposals, and what was added so far."""
        added = [d.box.id for d in self.detections if d.verdict is Verdict.ADDED]
        return [*self.proposals, *added]


class Section(Protocol):
    """One line of an answer."""

    def render(self, decision: Decision, clip: Clip) -> str:
        """The content of the line."""

    def rule(self, proposals: tuple[str, ...], added: int) -> str:
        """A Lark expression of all contents, given the proposals and how many objects are added."""

    def read(self, content: str, draft: Draft) -> None:
        """Read a content into the draft. Raises AnswerError."""

    def longest_bytes(self, proposals: tuple[str, ...]) -> int:
        """Of all contents that the rule admits."""


class Detect:
    """A verdict on every proposal, in order, then up to ``MOST_ADDED`` objects of the model's own.

    ``p1=kept p2=dropped | pedestrian 12.50 -3.10; car 30.00 4.00``
    """

    def render(self, decision: Decision, clip: Clip) -> str:
        """Verdicts in the order of the proposals; ValueError where one is missing."""
        said = {d.box.id: d.verdict for d in decision.detections if d.verdict is not Verdict.ADDED}
        ids = _proposal_ids(clip)
        if set(said) != set(ids):
            raise ValueError(f"verdicts on {sorted(said)}, but the proposals are {list(ids)}")
        verdicts = " ".join(f"{name}={said[name].value}" for name in ids) or NONE
        added = [d.box for d in decision.detections if d.verdict is Verdict.ADDED]
        if len(added) > MOST_ADDED:
            raise ValueError(f"at most {MOST_ADDED} objects can be added, got {len(added)}")
        boxes = "; ".join(_added(box) for box in added) or NONE
        return f"{verdicts} | {boxes}"

    def rule(self, proposals: tuple[str, ...], added: int) -> str:
        """Each proposal exactly once, then exactly ``added`` objects."""
        verdicts = ' " " '.join(f'"{name}=" verdict' for name in proposals) or f'"{NONE}"'
        boxes = ' "; " '.join(["added_box"] * added) or f'"{NONE}"'
        return f'{verdicts} " | " {boxes}'

    def read(self, content: str, draft: Draft) -> None:
        """Verdicts name the clip's proposals; additions are called a1, a2, ..."""
        verdicts, bar, boxes = content.partition(" | ")
        if not bar:
            raise AnswerError(
                f"DETECT has no ' | ' between verdicts and additions: {_short(content)}"
            )
        words = [] if verdicts == NONE else verdicts.split(" ")
        pairs = [word.partition("=")[::2] for word in words]
        if [name for name, _ in pairs] != list(draft.proposals):
            raise AnswerError(
                f"DETECT must judge {list(draft.proposals)} in order: {_short(verdicts)}"
            )
        for name, word in pairs:
            verdict = _member(Verdict, word, "verdict")
            if verdict is Verdict.ADDED:
                raise AnswerError(
                    f"DETECT: a proposal is kept or dropped, {name} is {_short(word)}"
                )
            draft.detections.append(Detection(draft.proposals[name], verdict))
        for number, text in enumerate([] if boxes == NONE else boxes.split("; "), start=1):
            if number > MOST_ADDED:
                raise AnswerError(f"DETECT adds more than {MOST_ADDED} objects")
            draft.detections.append(Detection(_read_added(text, f"a{number}"), Verdict.ADDED))

    def longest_bytes(self, proposals: tuple[str, ...]) -> int:
        """All dropped, and all additions with the longest words."""
        verdicts = sum(len(name) + len("=dropped ") for name in proposals) or len(NONE) + 1
        box = max(map(len, CATEGORIES)) + 2 * len(" -999.99") + len("; ")
        return verdicts + len("| ") + MOST_ADDED * box


class Scene:
    """The signal and a sentence or two: ``red | Two cars wait at the crossing.``"""

    def render(self, decision: Decision, clip: Clip) -> str:
        """The summary as ``free_text``; no signal is an unknown one."""
        signal = decision.signal or Signal.UNKNOWN
        return f"{signal.value} | {free_text(decision.summary)}"

    def rule(self, proposals: tuple[str, ...], added: int) -> str:
        """Bounded free text."""
        return f'signal " | " {TEXT}'

    def read(self, content: str, draft: Draft) -> None:
        """``none`` is no summary."""
        word, bar, text = content.partition(" | ")
        if not bar:
            raise AnswerError(f"SCENE has no ' | ' between signal and text: {_short(content)}")
        draft.signal = _member(Signal, word, "signal")
        draft.summary = read_free_text(text, "SCENE")

    def longest_bytes(self, proposals: tuple[str, ...]) -> int:
        """A full text."""
        return max(len(s.value) for s in Signal) + len(" | ") + LONGEST_TEXT


class Spatial:
    """The objects that matter: ``p1 ego_lane 12.5 2.4; a1 crossing 8.0 none``

    Name, lane relation, gap in m, time to collision in s or ``none``.
    """

    def render(self, decision: Decision, clip: Clip) -> str:
        """At most ``MOST_CRITICAL`` objects."""
        if len(decision.critical) > MOST_CRITICAL:
            raise ValueError(
                f"at most {MOST_CRITICAL} critical objects, got {len(decision.critical)}"
            )
        return "; ".join(map(_critical, decision.critical)) or NONE

    def rule(self, proposals: tuple[str, ...], added: int) -> str:
        """Only names of objects that are there."""
        names = [*proposals, *(f"a{k + 1}" for k in range(added))]
        if not names:
            return f'"{NONE}"'
        one = "(" + " | ".join(f'"{name}"' for name in names) + ') " " relation'
        several = [' "; "'.join([f" {one}"] * n).strip() for n in range(1, MOST_CRITICAL + 1)]
        return f'("{NONE}" | ' + " | ".join(several) + ")"

    def read(self, content: str, draft: Draft) -> None:
        """Names must be known by now."""
        for text in [] if content == NONE else content.split("; "):
            words = text.split(" ")
            if len(words) != 4:
                raise AnswerError(f"SPATIAL takes name, lane, gap, time: {_short(text)}")
            name, lane, gap, ttc = words
            if name not in draft.ids:
                raise AnswerError(f"SPATIAL speaks of {_short(name)}, known are {draft.ids}")
            draft.critical.append(
                CriticalObject(
                    name,
                    _member(LaneRelation, lane, "lane"),
                    read_amount(gap, "gap"),
                    None if ttc == NONE else read_amount(ttc, "time to collision"),
                )
            )
        if len(draft.critical) > MOST_CRITICAL:
            raise AnswerError(f"SPATIAL names more than {MOST_CRITICAL} objects")

    def longest_bytes(self, proposals: tuple[str, ...]) -> int:
        """The longest name and relation, several times."""
        name = max([len("a4"), *map(len, proposals)])
        relation = max(len(lane.value) for lane in LaneRelation) + len("  999.9 999.9")
        return MOST_CRITICAL * (name + relation + len("; "))


class Decide:
    """What to do, along and across: ``yield / keep_lane``"""

    def render(self, decision: Decision, clip: Clip) -> str:
        """ValueError where nothing was decided."""
        if decision.meta is None:
            raise ValueError("the decision has no meta-decision to write")
        return f"{decision.meta.longitudinal.value} / {decision.meta.lateral.value}"

    def rule(self, proposals: tuple[str, ...], added: int) -> str:
        """Any pair."""
        return 'longitudinal " / " lateral'

    def read(self, content: str, draft: Draft) -> None:
        """Two words from the closed sets."""
        along, bar, across = content.partition(" / ")
        if not bar:
            raise AnswerError(f"DECIDE takes 'longitudinal / lateral': {_short(content)}")
        draft.meta = MetaDecision(
            _member(Longitudinal, along, "longitudinal"), _member(Lateral, across, "lateral")
        )

    def longest_bytes(self, proposals: tuple[str, ...]) -> int:
        """The longest pair."""
        along = max(len(value.value) for value in Longitudinal)
        return along + len(" / ") + max(len(value.value) for value in Lateral)


SHARED_RULES = "\n".join(
    [
        'verdict: "kept" | "dropped"',
        "added_box: category " + f'" " {COORDINATE} " " {COORDINATE}',
        "category: " + " | ".join(f'"{name}"' for name in CATEGORIES),
        "signal: " + " | ".join(f'"{value.value}"' for value in Signal),
        f'relation: lane " " {AMOUNT} " " ({AMOUNT} | "{NONE}")',
        "lane: " + " | ".join(f'"{value.value}"' for value in LaneRelation),
        "longitudinal: " + " | ".join(f'"{value.value}"' for value in Longitudinal),
        "lateral: " + " | ".join(f'"{value.value}"' for value in Lateral),
    ]
)
"""Lark rules that the sections' own rules name."""


def _proposal_ids(clip: Clip) -> tuple[str, ...]:
    return tuple(box.id for box in clip.proposals.boxes) if clip.proposals else ()


def _added(box: Box3) -> str:
    x, y = (coordinate(float(v)) for v in box.center_ego_m[:2])
    return f"{box.category} {x} {y}"


def _read_added(text: str, name: str) -> Box3:
    words = text.split(" ")
    if len(words) != 3 or words[0] not in CATEGORIES:
        raise AnswerError(f"DETECT: an addition takes category, x, y: {_short(text)}")
    x_m, y_m = read_coordinate(words[1], "x"), read_coordinate(words[2], "y")
    return Box3.typical(words[0], x_ego_m=x_m, y_ego_m=y_m, id=name)


def _critical(item: CriticalObject) -> str:
    ttc = NONE if item.ttc_s is None else amount(item.ttc_s)
    return f"{item.id} {item.lane.value} {amount(item.gap_m)} {ttc}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


E_ = TypeVar("E_", bound=Enum)


def _member(kind: type[E_], word: str, what: str) -> E_:
    try:
        return kind(word)
    except ValueError:
        raise AnswerError(f"{_short(word)} is no {what}: {[m.value for m in kind]}") from None
