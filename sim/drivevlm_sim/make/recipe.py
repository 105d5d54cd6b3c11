"""What a world is made from: counts, what is in it, and a seed."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.scene_log import Weather
from drivevlm_sim.town.recipe import TownRecipe, town_recipe
from drivevlm_sim.traffic.families import Family as SceneFamily
from drivevlm_sim.twins.budget import PairWish
from drivevlm_sim.twins.twin_pair import Family

EDITION = 4
"""Raised whenever the same recipe gives other files than before."""
SYNTH_VERSION, TWINS_VERSION = "v1.0-synth", "v1.0-twins"
KEYFRAME_S = 0.5
FIRST_SCENE, FIRST_TWIN, LAST_SCENE = 2001, 5001, 9999
MOST_SCENES = FIRST_TWIN - FIRST_SCENE
MOST_PAIRS = (LAST_SCENE - FIRST_TWIN + 1) // 2
LEAST_KEYFRAMES = 12
"""A moment in a scene has 2.5 s before it and 3 s after it."""
SEEDS_OF_A_RECIPE = 1000
"""A recipe of seed s uses town and scene seeds s to s + 999; shipped ones share none."""


class Choice(str, Enum):
    """Which windows of traffic become scenes."""

    EVENTS = "events"  # where something happens, for training
    RANDOM = "random"  # at random within each family, for judging


@dataclass(frozen=True, slots=True)
class WorldRecipe:
    """One world; equal recipes make equal files.

    Attributes:
        towns: How many; town k is made from seed ``seed + k``.
        scenes: Of ``v1.0-synth``, in all towns together.
        pairs: Twin pairs of ``v1.0-twins``.
        keyframes: Of a scene, at 2 Hz.
        traffic_s: Seconds of traffic in a run at most; runs of which little is wanted are shorter.
        runs: Traffic runs of a town, each drawn anew.
        weathers: Dealt out in turn.
        families: What scenes are for; empty takes all that there are.
        twin_families: What is changed in pairs.
        choice: Which windows of traffic become scenes.
        approaching, left_turns: At least so many pairs of the approaching signal, and so many of
            these before a left turn.
        size_px: Width and height of the images.
        jpeg_quality: 1 to 100.
        lidar_every: Keep every so many-th column of a lidar sweep.
        dense_every: Keep every so many-th pixel of masks and depths, each way; 0 keeps none.
        splits: Names of custom splits.
        shares: Of the towns, in order, that each split has.
        seed: Of everything that varies.
    """

    towns: int = 4
    scenes: int = 20
    pairs: int = 40
    keyframes: int = 24
    traffic_s: float = 240.0
    runs: int = 1
    weathers: tuple[Weather, ...] = tuple(Weather)
    families: tuple[SceneFamily, ...] = ()
    twin_families: tuple[Family, ...] = tuple(Family)
    choice: Choice = Choice.EVENTS
    approaching: int = 0
    left_turns: int = 0
    size_px: tuple[int, int] = (448, 252)
    jpeg_quality: int = 90
    lidar_every: int = 1
    dense_every: int = 4
    splits: tuple[str, ...] = ("synth",)
    shares: tuple[float, ...] = (1.0,)
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "towns": (self.towns, 1, SEEDS_OF_A_RECIPE),
            "scenes": (self.scenes, 0, MOST_SCENES),
            "pairs": (self.pairs, 0, MOST_PAIRS),
            "keyframes": (self.keyframes, LEAST_KEYFRAMES, 120),
            "traffic_s": (self.traffic_s, 60.0, 600.0),
            "runs": (self.runs, 1, SEEDS_OF_A_RECIPE // max(self.towns, 1)),
            "size_px": (min(self.size_px), 32, 4096),
            "jpeg_quality": (self.jpeg_quality, 1, 100),
            "lidar_every": (self.lidar_every, 1, 100),
            "dense_every": (self.dense_every, 0, min(self.size_px)),
            "seed": (self.seed, 0, 2**31 - 1 - SEEDS_OF_A_RECIPE),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise ValueError(f"{name} lies in {least} to {most}, got {value}")
        if not self.scenes and not self.pairs:
            raise ValueError("a world without scenes and pairs is none")
        if not self.weathers or not self.twin_families:
            raise ValueError("weathers and twin_families name one at least")
        if len(self.splits) != len(self.shares) or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(
                f"each split has a share, and they add up to 1; got {self.splits} and {self.shares}"
            )

    def wish(self) -> PairWish:
        """What pairs are wanted.

        Few pairs or families cannot keep any family below a quarter: then they share evenly.
        Raises WorldError where that is impossible.
        """
        evenly = -(-self.pairs // len(self.twin_families))
        share = max(0.25, evenly / self.pairs) if self.pairs else 0.25
        try:
            return PairWish(self.pairs, share, self.approaching, self.left_turns)
        except ValueError as error:
            raise WorldError(f"impossible recipe: {error}") from error

    def town(self, k: int) -> TownRecipe:
        """The k-th town."""
        return town_recipe(self.seed + k)

    def traffic_seed(self, town: int, run: int) -> int:
        """Of a town's run; no two runs of a world share theirs."""
        return self.seed + run * self.towns + town

    def seeds(self) -> range:
        """Every town and scene seed that it may use."""
        return range(self.seed, self.seed + SEEDS_OF_A_RECIPE)

    def split_of(self, k: int) -> str:
        """The split of the k-th town: towns are never divided between splits."""
        share, up_to = (k + 0.5) / self.towns, 0.0
        for name, part in zip(self.splits, self.shares, strict=True):
            up_to += part
            if share < up_to:
                return name
        return self.splits[-1]

    def facts(self) -> dict[str, Any]:
        """Plain values that say what the files depend on."""
        return {"world": "synth", "edition": EDITION, **asdict(self)}

    def rng_seed(self, *names: object) -> int:
        """A seed for one thing of this world, the same in whatever order things are made."""
        words = "\0".join(str(name) for name in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % (2**31 - 1)
