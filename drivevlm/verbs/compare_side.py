"""One of two runs that are compared: its settings, its data and its words, without its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen, Say
from drivevlm.evaluate.replay import shown_clip
from drivevlm.planner import VLMPlanner
from drivevlm.record.run_difference import made_with
from drivevlm.record.run_folder import Key, Record, RecordError, read_manifest, read_records
from drivevlm.verbs.finish import asked, commit_words, leaks_of
from drivevlm.vlm.recorded import RecordedVLM
from drivevlm.world.decision import Decision

Recorded = tuple[Mapping[str, Any], Mapping[str, str]]
"""A run's settings as plain values, and the groups' members."""


@dataclass(frozen=True, slots=True)
class ComparePage:
    """The page of a comparison.

    Attributes:
        clips: Most clips on it, those that changed most first; 0 writes no page.
    """

    clips: int = 20

    def __post_init__(self) -> None:
        if self.clips < 0:
            raise ValueError(f"clips is not negative (0 writes no page), got {self.clips}")


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """Everything that ``drivevlm compare`` can be told beside the two folders.

    Attributes:
        planner: Whose decisions: one name for both runs, or a's and b's; each run's first one
            where nothing is said.
        protocol: Who scores; those that both runs used where nothing is said.
        fallback: The baseline that stands in for a failed plan; the runs' own, where they agree.
        out: The folder that is written; null is ``compare-NAME OF A`` in b's folder, with the
            planners where they were asked for.
        page: Its ``clips`` are how many are shown at most, those that changed most first; 0 writes
            no page.
    """

    planner: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    fallback: str | None = None
    out: str | None = None
    page: ComparePage = field(default_factory=ComparePage)

    def __post_init__(self) -> None:
        if len(self.planner) > 2:
            raise ValueError(f"planner takes one name, or a's and b's, got {self.planner}")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs.

    Attributes:
        folder: The run's.
        facts: Its manifest.
        values, groups: Its settings.
        planner: Whose decisions are compared.
        parts: Made from its settings, without its model.
        records: All of them.
    """

    folder: Path
    facts: Mapping[str, Any]
    values: Mapping[str, Any]
    groups: Mapping[str, str]
    planner: str
    parts: Parts
    records: Mapping[Key, Record]

    @classmethod
    def of(
        cls, folder: Path, recorded: Recorded, settings: CompareSettings, place: int, say: Say
    ) -> Side:
        """Open a run's data and words. Raises RecordError where they are not those of the run."""
        values, groups = recorded
        facts, records = read_manifest(folder), {r.key: r for r in read_records(folder)}
        if not records:
            raise RecordError(f"{folder} holds no decision yet")
        names = list(dict.fromkeys(planner for planner, _ in records))
        first = next((n for n in facts["identity"]["planners"] if n in names), names[0])
        asked_for = settings.planner
        planner = asked_for[min(place, len(asked_for) - 1)] if asked_for else first
        if planner not in names:
            raise RecordError(f"{folder} holds no decision of {planner}: it has {', '.join(names)}")
        # Nobody plans here: a planner that would have to be trained is not made.
        changed: dict[str, Any] = {**values, "planner": ["stop"]}
        if settings.protocol:
            changed["protocol"] = list(settings.protocol)
        if settings.fallback is not None:
            changed["fallback"] = settings.fallback
        parts = Parts.of(Chosen.of(changed, groups), say, prompts=folder / "prompts")
        if parts.recording.digest != facts["identity"]["data"]["digest"]:
            raise RecordError(
                f"{folder} was made with other data than {parts.recording.name} is now: "
                "its figures would not be those of the run"
            )
        return cls(folder, facts, values, groups, planner, parts, records)

    @property
    def decisions(self) -> dict[str, Decision]:
        """Of the planner, by token."""
        return {r.clip: r.decision for r in self.records.values() if r.planner == self.planner}

    @property
    def made_with(self) -> dict[str, Any]:
        """All that may be different by design."""
        settings = made_with(dict(self.facts), self.values, self.groups)
        return {"planner": self.planner, **settings}

    def to_json(self) -> dict[str, Any]:
        """Who this is, for ``compare.json``."""
        identity = self.facts["identity"]
        model = identity["models"]["vlm"] if self.planner == "vlm" else None
        return {
            "run": str(self.folder),
            "planner": self.planner,
            "label": f"{self.planner} {model['name']}" if model else self.planner,
            "untrained": model is not None and model["name"] == "untrained",
            "leaks": leaks_of(self.parts.recording, identity["blocks"]) if model else [],
            "prompt": {key: identity["prompt"][key] for key in ("name", "digest")},
            "blocks": identity["blocks"],
            "commit": commit_words(self.facts["starts"][-1]["git"]),
            "data": {"name": self.parts.recording.name, "digest": identity["data"]["digest"]},
        }


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a run's model was asked, in words.

    Attributes:
        side: The run.
        planner: Asks as it did then; None where no model planned, or the prompt was changed since.
    """

    side: Side
    planner: VLMPlanner | None

    @classmethod
    def of(cls, side: Side) -> Prompts:
        """Made again from the run's own words."""
        digest = side.facts["identity"]["prompt"]["digest"]
        known = side.planner == "vlm" and digest == side.parts.dialogue.digest
        silent = RecordedVLM({}, name="", revision="")
        return cls(side, side.parts.asking(silent) if known else None)

    def __call__(self, token: str) -> str:
        """Of one clip, with the memory that the planner had then; "" where it is not known."""
        if self.planner is None:
            return ""
        parts, records = self.side.parts, self.side.records
        scenes = parts.recording.scenes()
        clip = shown_clip(
            parts.recording, self.planner, records, scenes, token, exchange=parts.exchange
        )
        return asked(self.planner, clip)
