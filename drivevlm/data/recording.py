"""What every recording offers: scenes in order, clips to plan from, truths to score with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth
from drivevlm.world.twins import TwinPair


class DataError(Exception):
    """A recording is missing, incomplete or wrong; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class SceneClips:
    """One scene and the tokens of its clips, oldest first."""

    name: str
    tokens: tuple[str, ...]


class Recording(Protocol):
    """A source of clips."""

    @property
    def name(self) -> str:
        """As tables and records call it, e.g. ``nuscenes v1.0-mini``."""

    @property
    def digest(self) -> str:
        """Changes when the recording's content or the way of reading it changes."""

    @property
    def synthetic(self) -> bool:
        """Whether no real road is in it."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where each prompt input comes from, by block name; recorded with every score."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that clips may have."""

    @property
    def most_proposals(self) -> int:
        """No clip has more proposals."""

    def scenes(self) -> tuple[SceneClips, ...]:
        """The chosen scenes, in a fixed order."""

    def clip(self, token: str) -> Clip:
        """What a planner may know. Raises DataError for an unknown token."""

    def truth(self, token: str) -> Truth | None:
        """What a metric needs; None where the recording has no poses to score with."""

    def with_map(self, truth: Truth) -> Truth:
        """The truth with its map polygons, where the recording has a map."""


def truth_digest_of(recording: Recording) -> str:
    """Changes when a truth may change; of a recording that has no ``truth_digest``, its digest."""
    return str(getattr(recording, "truth_digest", recording.digest))


def twins_of(recording: Recording) -> tuple[TwinPair, ...]:
    """The pairs where a recording's clips are twins: it has ``twins`` then. Else none."""
    return tuple(getattr(recording, "twins", ()))


def route_of(recording: Recording, token: str) -> Floats | None:
    """(N, 2) the planned way of a clip's scene in the global frame, where the recording has one.

    It was planned beforehand and tells nothing of what was driven: it has ``route_global_m`` then.
    """
    find = getattr(recording, "route_global_m", None)
    return None if find is None else find(token)
