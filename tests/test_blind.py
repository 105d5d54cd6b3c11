"""The search for a fair blind network: it learns, what is told is what was judged, best is best."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from drivevlm.baselines.ego_mlp import constant_velocity_m
from drivevlm_sim.bundle import unpacked

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
with pytest.MonkeyPatch.context() as path:
    path.setattr(sys, "path", [*sys.path, str(BENCHMARKS)])
    blind = import_module("blind")


@pytest.fixture(scope="module")
def root() -> Path:
    return unpacked(Path(tempfile.gettempdir()) / "drivevlm-tests" / "worlds")


def test_the_best_of_all_networks_is_told_with_what_it_was_judged_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blind, "HIDDEN", (8, 16))
    monkeypatch.setattr(blind, "EPOCHS", (1, 20))
    with pytest.raises(blind.SettingError, match="are one world"):
        blind.main([f"train={root}", f"val={root}", f"out={tmp_path / 'blind'}"])
    monkeypatch.setattr(blind, "check_apart", lambda train, val: None)
    assert blind.main([f"train={root}", f"val={root}", f"out={tmp_path / 'blind'}"]) == 0
    told = json.loads((tmp_path / "blind.json").read_text())
    found = {(one["hidden"], one["epochs"]): one["l2_m"] for one in told["tried"]}
    assert set(found) == {(8, 1), (8, 20), (16, 1), (16, 20)}
    means = {key: float(np.mean(list(l2_m.values()))) for key, l2_m in found.items()}
    best = told["best"]["hidden"], told["best"]["epochs"]
    assert means[best] == min(means.values())
    assert max(means.values()) > min(means.values())
    assert best[1] == 20  # on drives that it has seen, the longer the better
    table = (tmp_path / "blind.md").read_text()
    assert f"| {best[0]} | {best[1]} | **" in table
    assert table.count("**") == 4


def test_a_network_is_judged_on_clips_as_protocol_exact_averages_them(root: Path) -> None:
    held = {name: each.lessons("blind_mlp") for name, each in blind.drives(str(root)).items()}
    lessons = held["scenes"]
    still = blind.judged("blind_mlp", lessons, held, blind.MlpSettings(hidden=8, epochs=1))
    drawn_m = np.linalg.norm(constant_velocity_m(lessons.speed_mps) - lessons.future_m, axis=2)
    by_hand_m = drawn_m[:, [1, 3, 5]].mean()
    # One epoch of so few clips hardly leaves constant velocity, where training starts.
    assert still.l2_m["scenes"] == pytest.approx(by_hand_m, rel=0.2)
    assert set(held) == {"scenes", "twins"}


def test_wrong_words_are_told() -> None:
    for words in (["train=somewhere"], ["train=a", "val=b", "planner=none"]):
        with pytest.raises(blind.USER_ERRORS):
            blind.main(words)
