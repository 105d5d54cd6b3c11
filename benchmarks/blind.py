"""Which settings serve the blind network best: 12 of them, learned here, judged on other scenes.

    python benchmarks/blind.py train=ROOT val=ROOT [planner=blind_mlp] [out=results/blind]

Both are roots of made worlds, ``val`` one that no table scores. Every combination of hidden units
and epochs learns from the scenes and twins of ``train``; its plans are then held against the
recorded futures of ``val``, scenes and twin sides apart. The best has the smallest mean of both.
L2 is the mean of the distances at 1, 2 and 3 s. Writes OUT.json and OUT.md; sees.py takes the
choice as ``train='ROOT mlp.hidden=H mlp.epochs=E'``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from seeing.sets import VERSIONS

from drivevlm.app.settings import changed
from drivevlm.build.settings import SettingError
from drivevlm.build.teaching import Drives
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import Lessons, MlpSettings, fit
from drivevlm.record.run_folder import write_atomically
from drivevlm.verbs import USER_ERRORS

HIDDEN, EPOCHS = (64, 128, 256, 512), (20, 40, 80)
JUDGED = (1, 3, 5)
"""Of the waypoints of half a second: those at 1, 2 and 3 s."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be typed; see above."""

    train: str = ""
    val: str = ""
    planner: str = "blind_mlp"
    out: str = "results/blind"

    def __post_init__(self) -> None:
        if self.planner not in MLPS:
            raise ValueError(f"planner: {self.planner!r} is none of {', '.join(MLPS)}")


@dataclass(frozen=True, slots=True)
class Judged:
    """One network.

    Attributes:
        hidden, epochs: Its settings.
        l2_m: By data set, on what it never saw.
    """

    hidden: int
    epochs: int
    l2_m: dict[str, float]

    @property
    def mean_m(self) -> float:
        """Of all data sets alike."""
        return float(np.mean(list(self.l2_m.values())))


def drives(root: str) -> dict[str, Drives]:
    """The scenes and the twins of a world, read as they are packed for training."""
    found = {}
    for name, version in VERSIONS.items():
        config = NuScenesConfig(root, version=version, frames=2, command="route")
        recording = NuScenesRecording(config)
        found[name] = Drives((NuScenesRecording(replace(config, cameras=recording.cameras[:1])),))
    return found


def check_apart(train: Drives, val: Mapping[str, Drives]) -> None:
    """Raises SettingError where a network would be judged on what it learned."""
    learned = {recording.digest for recording in train.recordings}
    if any(recording.digest in learned for each in val.values() for recording in each.recordings):
        raise SettingError("train= and val= are one world: judge on another one, val=ROOT")


def judged(planner: str, learned: Lessons, held: dict[str, Lessons], given: MlpSettings) -> Judged:
    """Learn with one setting, and measure."""
    layers = fit(learned, given, MLPS[planner].names)
    l2_m = {}
    for name, lessons in held.items():
        paths_m = layers.paths_m(lessons.features, lessons.speed_mps, lessons.moved_m)
        miss_m = np.linalg.norm(paths_m - lessons.future_m, axis=2)[:, JUDGED]
        l2_m[name] = float(miss_m.mean())
    return Judged(given.hidden, given.epochs, l2_m)


def main(words: list[str]) -> int:
    settings = changed(Settings(), words, "setting of blind.py")
    if not settings.train or not settings.val:
        raise SettingError("give train=ROOT val=ROOT, two made worlds")
    console = Console()
    console.print("reading the drives of both worlds")
    train = Drives(tuple(d.recordings[0] for d in drives(settings.train).values()))
    val = drives(settings.val)
    check_apart(train, val)
    learned = train.lessons(settings.planner)
    held = {name: each.lessons(settings.planner) for name, each in val.items()}
    tried = [
        judged(settings.planner, learned, held, MlpSettings(hidden=hidden, epochs=epochs))
        for hidden, epochs in track(list(product(HIDDEN, EPOCHS)), "networks", console=console)
    ]
    best = min(tried, key=lambda one: one.mean_m)
    counts = {name: len(lessons) for name, lessons in held.items()}
    told = {
        "command": ["python", "benchmarks/blind.py", *words],
        "planner": settings.planner,
        "learned_from": train.facts,
        "judged_on": {name: {**each.facts, "n": counts[name]} for name, each in val.items()},
        "tried": [{"hidden": one.hidden, "epochs": one.epochs, "l2_m": one.l2_m} for one in tried],
        "best": {"hidden": best.hidden, "epochs": best.epochs},
    }
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = as_markdown(settings.planner, tried, best, counts, train.words)
    write_atomically(out.with_name(f"{out.name}.json"), json.dumps(told, indent=1) + "\n")
    write_atomically(out.with_name(f"{out.name}.md"), text)
    print(text)
    return 0


def as_markdown(
    planner: str, tried: list[Judged], best: Judged, counts: dict[str, int], learned: str
) -> str:
    """The table, its best row marked."""
    heads = [f"L2 of {name}, m (n {count})" for name, count in counts.items()]
    lines = [
        f"# Settings of {planner}, synthetic data",
        "",
        f"Learned from {learned}. Mean distance at 1, 2 and 3 s on scenes it never saw.",
        "",
        f"| hidden | epochs | {' | '.join(heads)} | mean |",
        f"|{'---|' * (len(heads) + 3)}",
    ]
    for one in tried:
        mark = "**" if one is best else ""
        figures = [f"{mark}{one.l2_m[name]:.3f}{mark}" for name in counts]
        lines.append(f"| {one.hidden} | {one.epochs} | {' | '.join(figures)} | {one.mean_m:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except USER_ERRORS as error:
        sys.exit(f"blind.py: {error}")
