"""What one film is: the part that a filmed scene or pair leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.scene_log_file import scene_log_of

HEAD, LOG, PAIR = "head.json", "log", "pair.json"
SIDES = ("a/", "b/")
"""Prefixes of the members of both scenes of a pair."""


@dataclass(frozen=True, slots=True)
class FilmHead:
    """What a part says of itself.

    Attributes:
        taken: Name of the scene or pair that was filmed; "" where none of the candidates could be.
        town: Number of its town in the recipe.
        images: How many pictures it holds.
        rejected: How many candidates were given up, by reason.
    """

    taken: str
    town: int
    images: int
    rejected: Mapping[str, int]

    def members(self) -> dict[str, bytes]:
        """As a member of the part."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {HEAD: json.dumps({**values, "rejected": dict(self.rejected)}).encode()}

    @classmethod
    def of(cls, members: Mapping[str, bytes]) -> FilmHead:
        """Of a part."""
        return cls(**json.loads(members[HEAD]))


def log_of(members: Mapping[str, bytes], prefix: str = "") -> SceneLog:
    """The log that was filmed."""
    return scene_log_of(members[f"{prefix}{LOG}"], f"{prefix}{LOG}")
