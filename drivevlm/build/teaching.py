"""Which scenes a small network learns from: never a scored one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.labels import LABELS_FILE
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError, Recording, SceneClips, twins_of
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import (
    Lessons,
    MlpSettings,
    joined,
    lessons_from,
    teaching_clips,
)

TRAIN_SPLITS = {"v1.0-trainval": "train", "v1.0-mini": "mini_train"}
"""The official ones, by version."""


class Drives:
    """Scenes that are not scored, read once for all the rows that learn from them."""

    def __init__(self, recordings: tuple[Recording, ...]) -> None:
        """``recordings`` hold nothing else."""
        self.recordings = recordings
        self._taken = [teaching_clips(recording) for recording in recordings]
        self._read: dict[str, Lessons] = {}

    @property
    def clips(self) -> int:
        """How many there are to learn from."""
        return sum(len(tokens) for tokens in self._taken)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is learned from, with the counts, of twins those of pairs too."""
        pairs = sum(len(twins_of(recording)) for recording in self.recordings)
        name = " and ".join(recording.name for recording in self.recordings)
        digest = " ".join(recording.digest for recording in self.recordings)
        return {
            "train_data": {"name": name, "digest": digest},
            "train_scenes": sum(len(recording.scenes()) for recording in self.recordings),
            "train_clips": self.clips,
            **({"train_pairs": pairs} if pairs else {}),
        }

    @property
    def words(self) -> str:
        """The same in words."""
        scenes, pairs = self.facts["train_scenes"], self.facts.get("train_pairs", 0)
        twins = f" ({pairs} of them twin pairs)" if pairs else ""
        plural, data = "s" * (scenes != 1), self.facts["train_data"]["name"]
        return f"{self.clips} clips of {scenes} scene{plural}{twins} of {data}"

    def lessons(self, name: str) -> Lessons:
        """For one of ``MLPS``: some of the features of the row that reads most of its kin."""
        whole = MLPS[name].among
        if whole not in self._read:
            reader = MLPS[whole].reader
            parts = zip(self.recordings, self._taken, strict=True)
            self._read[whole] = joined([lessons_from(r, t, reader(r)) for r, t in parts])
        lessons, place = self._read[whole], MLPS[whole].names.index
        columns = [place(feature) for feature in MLPS[name].names]
        # The order in memory decides the rounding of sums, so it must not depend on who else reads.
        return replace(lessons, features=np.ascontiguousarray(lessons.features[:, columns]))


def teaching_data(
    like: NuScenesConfig, settings: MlpSettings, *, kin: bool
) -> tuple[NuScenesConfig, ...]:
    """What to learn from, read as the scored data are.

    ``kin``: clips have the status and command of the scored ones, and the labelled versions of
    another root come along, twins among them. Versions of the scored root do not: their drives may
    be those of scored scenes under other names.
    """
    root, version = settings.train_root or like.root, settings.train_version or like.version
    first = NuScenesConfig(
        root=root,
        version=version,
        past_poses=like.past_poses,
        t0=like.t0,
        anchor=like.anchor,
        cache=like.cache,
    )
    if not kin:
        return (first,)
    # A file of commands speaks of the scored keyframes alone.
    command = like.command if like.command in ("none", "gt_future", "route") else "none"
    first = replace(first, ego=like.ego, command=command)
    versions = [version]
    if settings.train_root and not settings.train_version:
        beside = sorted(path.parent.name for path in Path(root).glob(f"*/{LABELS_FILE}"))
        if Path(root).resolve() != Path(like.root).resolve() and beside:
            versions = beside
    return tuple(replace(first, version=name) for name in versions)


def unscored(config: NuScenesConfig, scored: Recording) -> tuple[NuScenesRecording | None, int]:
    """The training scenes that are not scored, None for none, and how many were dropped.

    A scene is a scored one by its name, or by any of its clips' tokens. Generated worlds number
    their scenes alike, so of these it must have been driven in the same places too.
    """
    config, there = _training_scenes(config)
    known = Known.of(scored, by_place=scored.synthetic and there.synthetic)
    kept = tuple(scene.name for scene in there.scenes() if not known.holds(there, scene))
    dropped = len(there.scenes()) - len(kept)
    if not kept:
        return None, dropped
    # No image is read; one camera is enough to make clips.
    chosen = replace(config, scenes=kept, cameras=there.cameras[:1])
    return NuScenesRecording(chosen), dropped


@dataclass(frozen=True, slots=True)
class Known:
    """The scored scenes.

    Attributes:
        names: Of the scenes, and tokens of their clips.
        places: Where the ego is in their clips, (x, y) to a millimetre; None where that does not
            matter.
    """

    names: frozenset[str]
    places: frozenset[tuple[float, ...]] | None

    @classmethod
    def of(cls, scored: Recording, *, by_place: bool) -> Known:
        """Of what is scored."""
        names = {name for scene in scored.scenes() for name in (scene.name, *scene.tokens)}
        places = {place for scene in scored.scenes() for place in _places(scored, scene)}
        return cls(frozenset(names), frozenset(places) if by_place else None)

    def holds(self, recording: Recording, scene: SceneClips) -> bool:
        """Whether a scene is one of them."""
        if self.names.isdisjoint((scene.name, *scene.tokens)):
            return False
        return self.places is None or not self.places.isdisjoint(_places(recording, scene))


def _places(recording: Recording, scene: SceneClips) -> Iterator[tuple[float, ...]]:
    for token in scene.tokens:
        truth = recording.truth(token)
        if truth is not None:
            yield tuple(np.round(truth.now.global_from_ego.translation_m[:2], 3).tolist())


def _training_scenes(config: NuScenesConfig) -> tuple[NuScenesConfig, NuScenesRecording]:
    """The official train split where the version has one, else every scene."""
    split = TRAIN_SPLITS.get(config.version)
    if config.version == "v1.0-trainval":
        config = replace(config, split="train")
        return config, NuScenesRecording(config)
    everything = NuScenesRecording(config)
    if split is not None:
        try:
            return replace(config, split=split), NuScenesRecording(replace(config, split=split))
        except DataError:
            # All of them can be read, so it is the split that has no scene here.
            pass
    return config, everything
