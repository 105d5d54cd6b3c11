"""Which scenes a small network learns from: never a scored one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.labels import LABELS_FILE
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError, Recording, SceneClips
from drivevlm.evaluate.train_ego_mlp import MlpSettings

TRAIN_SPLITS = {"v1.0-trainval": "train", "v1.0-mini": "mini_train"}
"""The official ones, by version."""


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
