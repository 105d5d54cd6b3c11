"""Which scenes the ego MLP learns from, never a scored one, and where its weights are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from drivevlm.baselines.ego_mlp import EgoMlp, Layers, read_layers, write_layers
from drivevlm.build.table import Chosen, Say
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError, Recording
from drivevlm.evaluate.train_ego_mlp import (
    EDITION,
    MlpSettings,
    fit,
    lessons_from,
    teaching_clips,
)

TRAIN_SPLITS = {"v1.0-trainval": "train", "v1.0-mini": "mini_train"}
"""The official ones, by version."""
FEWEST_CLIPS = 20
"""With fewer there is no row."""
FAIR_CLIPS = 100
"""With fewer the row stands, and it is said that it means little."""


@dataclass(frozen=True, slots=True)
class EgoMlpRow:
    """The row of the ego MLP: what it learns from, and how.

    Attributes:
        recording: Scenes that are not scored.
        settings: Of the training.
        say: Is told of the training.
    """

    recording: Recording
    settings: MlpSettings
    say: Say

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides the weights, for a run's identity and as the key of what is kept."""
        return {
            "edition": EDITION,
            "train_data": {"name": self.recording.name, "digest": self.recording.digest},
            "train_scenes": len(self.recording.scenes()),
            "train_clips": len(teaching_clips(self.recording)),
            "hidden": self.settings.hidden,
            "epochs": self.settings.epochs,
            "seed": self.settings.seed,
        }

    @property
    def words(self) -> str:
        """What it learns from, with the counts."""
        clips, scenes = self.recipe["train_clips"], self.recipe["train_scenes"]
        return f"{clips} clips of {scenes} scene{'s' * (scenes != 1)} of {self.recording.name}"

    def planner(self) -> EgoMlp:
        """The planner, its network trained unless its weights are kept from an earlier run."""
        self.say(f"ego_mlp learns from {self.words}, none of them scored here")
        if self.recipe["train_clips"] < FAIR_CLIPS:
            self.say(
                f"ego_mlp: so few clips (below {FAIR_CLIPS}) teach little; mlp.train_root= names "
                "more"
            )
        recipe = json.dumps(self.recipe, sort_keys=True)
        path = self._home / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.safetensors"
        layers = read_layers(path, recipe)
        return EgoMlp(self._trained(path, recipe) if layers is None else layers)

    @property
    def _home(self) -> Path:
        cache = self.settings.cache
        return (Path(cache).expanduser() if cache else user_cache_path("drivevlm")) / "ego_mlp"

    def _trained(self, path: Path, recipe: str) -> Layers:
        self.say("ego_mlp: reading its drives, once; the next run reads the weights")
        lessons = lessons_from(self.recording, teaching_clips(self.recording))
        self.say(f"ego_mlp: training, {self.settings.epochs} epochs of {len(lessons)} clips")
        layers = fit(lessons, self.settings)
        try:
            write_layers(path, layers, recipe)
        except OSError as error:
            self.say(f"ego_mlp: its weights cannot be kept in {path.parent} ({error.strerror})")
        return layers


def ego_mlp_row(chosen: Chosen, scored: Recording, say: Say) -> EgoMlpRow | None:
    """The row, or None where it cannot be trained, which is said in one line.

    Raises DataError where ``mlp.train_root`` is set and cannot be read.
    """
    row = _trainable(chosen, scored, say)
    if isinstance(row, str):
        say(f"ego_mlp is left out: {row}")
        return None
    return row


def _trainable(chosen: Chosen, scored: Recording, say: Say) -> EgoMlpRow | str:
    """The row, or why there is none."""
    like, settings = chosen.nuscenes_config(), chosen.settings.mlp
    if chosen.data[0] == "packed":
        return "it learns from tables, which packed data are not; take the data they were packed of"
    if like is None or like.past_poses < 2:
        return f"{scored.name} shows no past poses"
    other = "name other data with mlp.train_root="
    root, version = settings.train_root or like.root, settings.train_version or like.version
    config = NuScenesConfig(
        root=root,
        version=version,
        past_poses=like.past_poses,
        t0=like.t0,
        anchor=like.anchor,
        cache=like.cache,
    )
    try:
        recording, dropped = unscored(config, scored)
    except DataError as error:
        if settings.train_root:
            raise DataError(f"mlp.train_root={settings.train_root}: {error}") from error
        return f"{error}; {other}"
    if dropped and settings.train_root:
        say(f"ego_mlp: scored scenes in {settings.train_root}, not learned from: {dropped}")
    if recording is None:
        return f"every scene to learn from is scored ({dropped}); {other}"
    row = EgoMlpRow(recording, settings, say)
    if row.recipe["train_clips"] < FEWEST_CLIPS:
        return f"it would learn from {row.words}, {FEWEST_CLIPS} are needed; {other}"
    return row


def unscored(config: NuScenesConfig, scored: Recording) -> tuple[NuScenesRecording | None, int]:
    """The training scenes that are not scored, None for none, and how many were dropped.

    A scene is a scored one by its name, or by any of its clips' tokens.
    """
    config, there = _training_scenes(config)
    names = {scene.name for scene in scored.scenes()}
    tokens = {token for scene in scored.scenes() for token in scene.tokens}
    kept = tuple(
        scene.name
        for scene in there.scenes()
        if scene.name not in names and tokens.isdisjoint(scene.tokens)
    )
    dropped = len(there.scenes()) - len(kept)
    if not kept:
        return None, dropped
    # No image is read; one camera is enough to make clips.
    chosen = replace(config, scenes=kept, cameras=there.cameras[:1])
    return NuScenesRecording(chosen), dropped


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
