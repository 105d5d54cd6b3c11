"""How often the paired interval holds the true difference of two runs.

    python benchmarks/coverage.py [studies]

A study has 80 scenes of 40 clips. Two runs differ by ``TRUTH`` on average; a scene's clips share
the scene's difficulty, which both runs meet, and how much the change matters in that scene, drawn
evenly (normal) or in a skewed way (exponential: few scenes in which it matters much); clips add
noise of their own. Prints the share of studies whose 95 % interval holds ``TRUTH``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.interval import paired_intervals

TRUTH = -0.05
SCENES, CLIPS = 80, 40


def study(
    rng: np.random.Generator, *, scenes: int, clips: int, skewed: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.str_]]:
    """Values of run a and of run b, (scenes * clips, 1) each, and the clips' scenes."""
    scene = np.repeat(np.arange(scenes), clips)
    difficulty = rng.gamma(2.0, 1.0, scenes)[scene] + rng.normal(0.0, 1.0, len(scene))
    matters = rng.exponential(1.0, scenes) - 1.0 if skewed else rng.normal(0.0, 1.0, scenes)
    change = TRUTH + matters[scene] + rng.normal(0.0, 1.0, len(scene))
    return difficulty[:, None], (difficulty + change)[:, None], scene.astype(np.str_)


def coverage(
    studies: int, *, scenes: int = SCENES, clips: int = CLIPS, skewed: bool = False, seed: int = 0
) -> float:
    """The share of studies whose interval holds the truth."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(studies):
        a, b, scene = study(rng, scenes=scenes, clips=clips, skewed=skewed)
        (interval,) = paired_intervals(a, b, scene.tolist())
        assert interval is not None
        held += interval.low <= TRUTH <= interval.high
    return held / studies


def main(studies: int) -> None:
    for skewed in (False, True):
        for scenes in (20, SCENES):
            share = coverage(studies, scenes=scenes, skewed=skewed)
            words = "skewed" if skewed else "even"
            print(f"{studies} studies of {scenes} scenes x {CLIPS}, {words} noise: {share:.2%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
