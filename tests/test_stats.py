"""``drivevlm stats``: what a recording holds, told without a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flat_world import flat_words
from small_world import SmallRecording

from drivevlm.app import main
from drivevlm.evaluate.data_stats import data_stats, drawn
from drivevlm.report.stats_page import histogram


def test_counts_and_values_are_those_of_the_recording():
    """Two straight drives of 10 keyframes at 4 and 8 m/s: 4 keyframes each have 3 s of future."""
    found = data_stats(SmallRecording())
    assert (found.clips, found.scenes, found.whole, found.standing) == (20, 2, 8, 0)
    assert found.kinds == {"command_straight": 18, "straight": 8, "moving": 20}
    travelled_m = found.values["travelled in 3 s (m)"]
    assert sorted(set(travelled_m[np.isfinite(travelled_m)].round(6))) == [12.0, 24.0]
    assert np.isnan(found.values["nearest box (m)"]).all()


def test_an_ego_that_does_not_move_is_counted_as_standing():
    class Standing(SmallRecording):
        def truth(self, token):
            truth = super().truth(token)
            there = truth.now.global_from_ego
            steps = {k: replace(s, global_from_ego=there) for k, s in truth.steps.items()}
            return replace(truth, steps=steps)

    assert data_stats(Standing()).standing == 8


def test_a_histogram_tells_its_base_and_gathers_what_lies_beyond():
    values = np.array([0.0] * 50 + [1.0] * 50 + [1000.0, np.nan])
    bars = histogram("speed (m/s)", values)
    assert bars is not None
    assert (bars.known, bars.total, bars.low, bars.high) == (101, 102, 0.0, 1.0)
    assert bars.shares[0] == pytest.approx(50 / 51)
    assert bars.shares[-1] == 1.0
    assert histogram("nothing", np.array([np.nan])) is None


def test_the_contact_sheet_is_drawn_by_seed():
    recording = SmallRecording()
    assert drawn(recording, count=5, seed=1) == drawn(recording, count=5, seed=1)
    assert drawn(recording, count=5, seed=1) != drawn(recording, count=5, seed=2)
    assert len(drawn(recording, count=99, seed=0)) == 20


def test_the_verb_writes_a_page_and_a_file(tmp_path: Path, capsys):
    words = flat_words(f"out={tmp_path}/s", "planner=[constant_velocity,stop]")
    assert main(["stats", *words]) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == f"{tmp_path}/s/stats.html"
    told = json.loads((tmp_path / "s" / "stats.json").read_text())
    assert told["counts"]["clips"]["all"] == 18
    page = (tmp_path / "s" / "stats.html").read_text()
    assert page.count("<img ") == 18
    assert 'src="http' not in page
