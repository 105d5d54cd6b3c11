"""The 95 % interval of a difference holds the truth about 95 times in 100."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SIMULATION = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "coverage.py"))
COVERAGE = SIMULATION["coverage"]


def test_the_paired_interval_holds_the_true_difference():
    """300 studies tell 95 % to about 2.5 (two standard errors): 92 to 98 are wide enough."""
    assert 0.92 <= COVERAGE(300, scenes=80, clips=10) <= 0.98


def test_a_simulation_of_clips_that_pass_for_scenes_would_be_found_out():
    """The same studies with every clip a scene of its own: far too narrow, and it shows."""

    def study(rng, **shape):
        a, b, scene = SIMULATION["study"](rng, **shape)
        return a, b, scene.astype(object) + [f"-{k}" for k in range(len(scene))]

    blind = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "coverage.py"))
    blind["coverage"].__globals__["study"] = study
    assert blind["coverage"](60, scenes=20, clips=10) < 0.8


@pytest.mark.part
@pytest.mark.parametrize("skewed", [False, True])
def test_2000_studies_hold_the_truth_in_93_to_97_percent(skewed: bool):
    assert 0.93 <= COVERAGE(2000, skewed=skewed) <= 0.97
