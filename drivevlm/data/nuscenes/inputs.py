"""The optional prompt inputs that a user hands in as files."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.detections import Detections, read_detections
from drivevlm.data.nuscenes.folder import file_digest
from drivevlm.data.nuscenes.sidecars import read_commands, read_summaries
from drivevlm.world.clip import RouteCommand, Summary
from drivevlm.world.pose import Pose3
from drivevlm.world.sets import Provenance

NOT_FILES = ("", "none", "oracle", "gt_future", "route")


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the named files say, by sample token.

    Attributes:
        detections, commands, summaries: Empty where no file was named.
        digests: SHA-256 of each named file, by option.
        provenance: Source of each block, by its name.
    """

    detections: Mapping[str, Detections] = field(default_factory=dict)
    commands: Mapping[str, RouteCommand | None] = field(default_factory=dict)
    summaries: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        config: NuScenesConfig,
        *,
        known: Container[str],
        wanted: Sequence[str],
        global_from_ego: Callable[[str], Pose3],
    ) -> Inputs:
        """Read and check all of them, before the first clip is made. Raises DataError."""
        named = {
            option: Path(getattr(config, option)).expanduser()
            for option in ("proposals", "command", "summaries")
            if getattr(config, option) not in NOT_FILES
        }
        detections, commands, summaries = {}, {}, {}
        if "proposals" in named:
            detections = read_detections(
                named["proposals"],
                known=known,
                wanted=wanted,
                top_k=config.top_k,
                min_score=config.min_score,
                global_from_ego=global_from_ego,
            )
        if "command" in named:
            commands = read_commands(named["command"], known=known, wanted=wanted)
        if "summaries" in named:
            summaries = read_summaries(named["summaries"], known=known)
        provenance = {
            "scene_summary": _source(config.summaries, Provenance.FILE),
            "proposals": _source(config.proposals, Provenance.DETECTOR),
            "command": _source(config.command, Provenance.FILE),
        }
        digests = {option: file_digest(path) for option, path in named.items()}
        return cls(detections, commands, summaries, digests, provenance)

    def summary(self, past: Iterable[tuple[str, float]]) -> Summary | None:
        """The newest text at or before now, of a scene's tokens and ages in seconds, newest first.

        None where the scene has had none yet.
        """
        for token, age_s in past:
            if token in self.summaries:
                return Summary(self.summaries[token], age_s, Provenance.FILE)
        return None


def _source(option: str, of_a_file: Provenance) -> str:
    if option in NOT_FILES:
        return option or "none"
    return of_a_file.value
