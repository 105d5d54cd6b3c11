"""The rows of small networks: trained from scenes that are not scored, or read from a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from drivevlm.baselines.ego_mlp import EgoMlp, Layers, read_layers, write_layers
from drivevlm.build.table import Chosen, Say
from drivevlm.build.teaching import teaching_data, unscored
from drivevlm.data.recording import DataError, Recording, twins_of
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import (
    EDITION,
    MlpSettings,
    fit,
    joined,
    lessons_from,
    teaching_clips,
)

FEWEST_CLIPS = 20
"""With fewer there is no row."""
FAIR_CLIPS = 100
"""With fewer the row stands, and it is said that it means little."""


@dataclass(frozen=True, slots=True)
class EgoMlpRow:
    """The row of a small network: what it learns from, and how.

    Attributes:
        recordings: Scenes that are not scored, of one or more versions.
        settings: Of the training.
        say: Is told of the training.
        name: One of ``MLPS``.
    """

    recordings: tuple[Recording, ...]
    settings: MlpSettings
    say: Say
    name: str = "ego_mlp"

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides the weights, for a run's identity and as the key of what is kept."""
        names = [recording.name for recording in self.recordings]
        digests = [recording.digest for recording in self.recordings]
        return {
            "edition": EDITION,
            "train_data": {"name": " and ".join(names), "digest": " ".join(digests)},
            "train_scenes": sum(len(recording.scenes()) for recording in self.recordings),
            "train_clips": sum(len(teaching_clips(recording)) for recording in self.recordings),
            **self._counted_twins(),
            "hidden": self.settings.hidden,
            "epochs": self.settings.epochs,
            "seed": self.settings.seed,
            **({} if self.name == "ego_mlp" else {"features": list(MLPS[self.name].names)}),
        }

    def _counted_twins(self) -> dict[str, int]:
        pairs = sum(len(twins_of(recording)) for recording in self.recordings)
        return {"train_pairs": pairs} if pairs else {}

    @property
    def words(self) -> str:
        """What it learns from, with the counts."""
        recipe = self.recipe
        clips, scenes = recipe["train_clips"], recipe["train_scenes"]
        pairs = f", {recipe['train_pairs']} of them twin pairs," if "train_pairs" in recipe else ""
        name = recipe["train_data"]["name"]
        return f"{clips} clips of {scenes} scene{'s' * (scenes != 1)}{pairs} of {name}"

    def planner(self, scored: Recording) -> EgoMlp:
        """The planner, its network trained unless its weights are kept from an earlier run."""
        recipe = self.recipe
        self.say(f"{self.name} learns from {self.words}, none of them scored here")
        if recipe["train_clips"] < FAIR_CLIPS:
            self.say(
                f"{self.name}: so few clips (below {FAIR_CLIPS}) teach little; mlp.train_root= "
                "names more"
            )
        key = json.dumps(recipe, sort_keys=True)
        path = self._home / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
        layers = read_layers(path, key)
        read = MLPS[self.name].reader(scored)
        return EgoMlp(self._trained(path, key) if layers is None else layers, self.name, read)

    @property
    def _home(self) -> Path:
        cache = self.settings.cache
        return (Path(cache).expanduser() if cache else user_cache_path("drivevlm")) / "ego_mlp"

    def _trained(self, path: Path, recipe: str) -> Layers:
        self.say(f"{self.name}: reading its drives, once; the next run reads the weights")
        mlp = MLPS[self.name]
        lessons = joined(
            [
                lessons_from(recording, teaching_clips(recording), mlp.reader(recording))
                for recording in self.recordings
            ]
        )
        self.say(f"{self.name}: training, {self.settings.epochs} epochs of {len(lessons)} clips")
        layers = fit(lessons, self.settings, mlp.names)
        try:
            write_layers(path, layers, recipe)
        except OSError as error:
            self.say(f"{self.name}: its weights cannot be kept in {path.parent} ({error.strerror})")
        return layers


def ego_mlp_row(
    chosen: Chosen, scored: Recording, say: Say, name: str = "ego_mlp"
) -> EgoMlpRow | None:
    """The row, or None where it cannot be trained, which is said in one line.

    Raises DataError where ``mlp.train_root`` is set and cannot be read.
    """
    row = _trainable(chosen, scored, say, name)
    if isinstance(row, str):
        say(f"{name} is left out: {row}")
        return None
    return row


def _trainable(chosen: Chosen, scored: Recording, say: Say, name: str) -> EgoMlpRow | str:
    """The row, or why there is none."""
    like, settings = chosen.nuscenes_config(), chosen.settings.mlp
    if chosen.data[0] == "packed":
        return "it learns from tables, which packed data are not; take the data they were packed of"
    if like is None or like.past_poses < 2:
        return f"{scored.name} shows no past poses"
    other = "name other data with mlp.train_root="
    recordings, dropped = [], 0
    for config in teaching_data(like, settings, kin=MLPS[name].kin):
        try:
            recording, scored_too = unscored(config, scored)
        except DataError as error:
            if settings.train_root:
                raise DataError(f"mlp.train_root={settings.train_root}: {error}") from error
            return f"{error}; {other}"
        dropped += scored_too
        recordings += [] if recording is None else [recording]
    if dropped and settings.train_root:
        say(f"{name}: scored scenes in {settings.train_root}, not learned from: {dropped}")
    if not recordings:
        return f"every scene to learn from is scored ({dropped}); {other}"
    row = EgoMlpRow(tuple(recordings), settings, say, name)
    if row.recipe["train_clips"] < FEWEST_CLIPS:
        return f"it would learn from {row.words}, {FEWEST_CLIPS} are needed; {other}"
    return row
