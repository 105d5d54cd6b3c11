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
from drivevlm.build.teaching import Drives, teaching_data, unscored
from drivevlm.data.recording import DataError, Recording
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import EDITION, MlpSettings, fit

FEWEST_CLIPS = 20
"""With fewer there is no row."""
FAIR_CLIPS = 100
"""With fewer the row stands, and it is said that it means little."""


@dataclass(frozen=True, slots=True)
class EgoMlpRow:
    """The row of a small network: what it learns from, and how.

    Attributes:
        drives: Scenes that are not scored.
        settings: Of the training.
        say: Is told of the training.
        name: One of ``MLPS``.
    """

    drives: Drives
    settings: MlpSettings
    say: Say
    name: str = "ego_mlp"

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides the weights, for a run's identity and as the key of what is kept."""
        return {
            "edition": EDITION,
            **self.drives.facts,
            "hidden": self.settings.hidden,
            "epochs": self.settings.epochs,
            "seed": self.settings.seed,
            **({} if self.name == "ego_mlp" else {"features": list(MLPS[self.name].names)}),
        }

    def planner(self, scored: Recording) -> EgoMlp:
        """The planner, its network trained unless its weights are kept from an earlier run."""
        self.say(f"{self.name} learns from {self.drives.words}, none of them scored here")
        if self.drives.clips < FAIR_CLIPS:
            self.say(
                f"{self.name}: so few clips (below {FAIR_CLIPS}) teach little; mlp.train_root= "
                "names more"
            )
        recipe = json.dumps(self.recipe, sort_keys=True)
        path = self._home / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.safetensors"
        layers = read_layers(path, recipe)
        layers = self._trained(path, recipe) if layers is None else layers
        return EgoMlp(layers, self.name, MLPS[self.name].reader(scored))

    @property
    def _home(self) -> Path:
        cache = self.settings.cache
        return (Path(cache).expanduser() if cache else user_cache_path("drivevlm")) / "ego_mlp"

    def _trained(self, path: Path, recipe: str) -> Layers:
        self.say(f"{self.name}: reading its drives, once; the next run reads the weights")
        lessons = self.drives.lessons(self.name)
        self.say(f"{self.name}: training, {self.settings.epochs} epochs of {len(lessons)} clips")
        layers = fit(lessons, self.settings, MLPS[self.name].names)
        try:
            write_layers(path, layers, recipe)
        except OSError as error:
            self.say(f"{self.name}: its weights cannot be kept in {path.parent} ({error.strerror})")
        return layers


def mlp_rows(chosen: Chosen, scored: Recording, say: Say) -> dict[str, EgoMlpRow]:
    """The rows of the settings' planners, by name; which cannot be trained is said in a line.

    Raises DataError where ``mlp.train_root`` is set and cannot be read.
    """
    rows, left_out = {}, dict[str, list[str]]()
    found: dict[bool, Drives | str] = {}
    for name in (name for name in chosen.settings.planner if name in MLPS):
        kin = MLPS[name].kin
        if kin not in found:
            found[kin] = _drives(chosen, scored, say, kin=kin)
        drives = found[kin]
        if isinstance(drives, Drives):
            rows[name] = EgoMlpRow(drives, chosen.settings.mlp, say, name)
        else:
            left_out.setdefault(drives, []).append(name)
    for why, names in left_out.items():
        say(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} left out: {why}")
    return rows


def _drives(chosen: Chosen, scored: Recording, say: Say, *, kin: bool) -> Drives | str:
    """What there is to learn from, or why nothing."""
    like, settings = chosen.nuscenes_config(), chosen.settings.mlp
    if chosen.data[0] == "packed":
        return "it learns from tables, which packed data are not; take the data they were packed of"
    if like is None or like.past_poses < 2:
        return f"{scored.name} shows no past poses"
    other = "name other data with mlp.train_root="
    recordings, dropped = [], 0
    for config in teaching_data(like, settings, kin=kin):
        try:
            recording, scored_too = unscored(config, scored)
        except DataError as error:
            if settings.train_root:
                raise DataError(f"mlp.train_root={settings.train_root}: {error}") from error
            return f"{error}; {other}"
        dropped += scored_too
        recordings += [] if recording is None else [recording]
    if dropped and settings.train_root:
        say(f"scored scenes in {settings.train_root}, not learned from: {dropped}")
    if not recordings:
        return f"every scene to learn from is scored ({dropped}); {other}"
    drives = Drives(tuple(recordings))
    if drives.clips < FEWEST_CLIPS:
        return f"it would learn from {drives.words}, {FEWEST_CLIPS} are needed; {other}"
    return drives
