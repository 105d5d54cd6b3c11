"""A wrong frame is noticed, and a right one, or a road that cannot tell, is left in peace."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import reference

from drivevlm.metrics.body_point import in_axes
from drivevlm.metrics.frame_suspicion import frame_suspicion
from drivevlm.metrics.rule import Axes

T_S = 0.5 * np.arange(1, 7)
TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def straight(speeds_mps: np.ndarray, noise_m: float = 0.0) -> np.ndarray:
    """(N, 6, 2) straight ahead in the ego's axes."""
    x_m = speeds_mps[:, None] * T_S
    noise = np.random.default_rng(0).normal(0, noise_m, (len(x_m), 6, 2))
    return np.stack([x_m, 0 * x_m], axis=-1) + noise


def reference_paths(kinds: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of these kinds and the recorded paths, in the ego's axes."""
    folder = reference("planning_metrics") / "public"
    samples = json.loads((folder / "expected_per_sample.json").read_text())["per_sample"]
    cases = json.loads((folder / "predictions.json").read_text())
    chosen = [
        token
        for token, case in cases.items()
        if case["pred_kind"] in kinds and all(samples[token]["gt_mask_vad"])
    ]
    assert len(chosen) >= 40
    plans_m = np.array([cases[token]["traj_ego"] for token in chosen])
    return plans_m, np.array([samples[token]["gt_ego_bevplanner"] for token in chosen])


GOOD_KINDS = {"gt", "noise_small", "noise_big", "slow", "const_vel"}


def test_reference_plans_in_their_own_frame_raise_no_suspicion():
    assert frame_suspicion(*reference_paths(GOOD_KINDS)) == ""
    everything = {*GOOD_KINDS, "zero", "jitter", "far_out", "into_agent", "tie", "late_diverge"}
    assert frame_suspicion(*reference_paths(everything)) == ""


@pytest.mark.parametrize(
    ("truly", "claimed", "words"),
    [
        (Axes.LIDAR, Axes.EGO, "turned a quarter clockwise"),
        (Axes.EGO, Axes.LIDAR, "turned a quarter counter-clockwise"),
    ],
)
def test_reference_plans_with_frames_exchanged_are_noticed(truly, claimed, words):
    plans_m, recorded_m = reference_paths(GOOD_KINDS)
    as_read_m = in_axes(plans_m, given=Axes.EGO, wanted=truly)
    warning = frame_suspicion(as_read_m, in_axes(recorded_m, given=Axes.EGO, wanted=claimed))
    assert f"look as if in other axes: {words} their mean L2 is" in warning
    assert "\n" not in warning


def test_mirrored_reference_plans_are_noticed_where_the_road_turns():
    plans_m, recorded_m = reference_paths(GOOD_KINDS)
    warning = frame_suspicion(plans_m * [1, -1], recorded_m)
    assert "with the second number's sign changed" in warning


def test_both_figures_are_those_of_the_two_readings():
    """10 cars at 4 m/s: read sideways, each waypoint is off by its distance times root 2."""
    recorded_m = straight(np.full(10, 4.0))
    warning = frame_suspicion(recorded_m @ TURN.T, recorded_m)
    assert "turned a quarter clockwise their mean L2 is 0.00 m, as read 9.90 m (10 clips" in warning


@pytest.mark.parametrize("noise_m", [0.0, 0.3])
def test_on_straight_roads_mirrors_tie_and_say_nothing(noise_m):
    recorded_m = straight(np.full(40, 8.0))
    plans_m = straight(np.full(40, 9.0), noise_m)
    assert frame_suspicion(plans_m, recorded_m) == ""
    assert frame_suspicion(plans_m * [1, -1], recorded_m) == ""
    assert "turned a quarter clockwise" in frame_suspicion(plans_m @ TURN.T, recorded_m)


def test_a_poor_planner_is_not_suspected():
    recorded_m = straight(np.linspace(3, 12, 40))
    for plans_m in (0 * recorded_m, straight(np.full(40, 30.0)), np.array([0.0, 5.0]) + recorded_m):
        assert frame_suspicion(plans_m, recorded_m) == ""


def test_a_mirror_shows_on_the_few_clips_that_turn():
    """Among 400 straight clips 10 that drift 6 m aside hardly move the mean."""
    ahead_m = straight(np.full(400, 8.0))
    aside_m = straight(np.full(10, 8.0)) + np.stack([0 * T_S, 2 * T_S], axis=1)
    recorded_m = np.concatenate([ahead_m, aside_m])
    plans_m = recorded_m + np.array([0.5, 0.0])
    warning = frame_suspicion(plans_m * [1, -1], recorded_m)
    assert "with the second number's sign changed" in warning
    assert "as read 7.03 m (10 clips that turn)" in warning


@pytest.mark.parametrize(
    ("aside_m", "off_m", "suspected"),
    [(2.0, 0.5, True), (2.0, 3.0, True), (1.0, 3.0, False), (0.4, 0.1, False)],
)
def test_much_better_is_under_half_and_by_a_metre(aside_m, off_m, suspected):
    """As read the plan is ``2 * aside_m + off_m`` from the path, and mirrored ``off_m``."""
    recorded_m = np.full((10, 6, 2), [8.0, -aside_m])
    plans_m = np.full((10, 6, 2), [8.0, aside_m + off_m])
    assert bool(frame_suspicion(plans_m, recorded_m)) is suspected


def test_few_clips_standing_cars_and_failed_plans_do_not_count():
    recorded_m = straight(np.full(10, 4.0))
    turned_m = recorded_m @ TURN.T
    assert frame_suspicion(turned_m, recorded_m)
    assert frame_suspicion(turned_m[:9], recorded_m[:9]) == ""
    standing_m = np.concatenate([recorded_m[:9], 0.1 * recorded_m])
    assert frame_suspicion(standing_m @ TURN.T, standing_m) == ""
    turned_m[0, 2, 1] = np.nan
    assert frame_suspicion(turned_m, recorded_m) == ""


def test_lengths_are_compared_first():
    with pytest.raises(ValueError, match=r"plans are \(2, 6, 2\), recorded paths are \(1, 6, 2\)"):
        frame_suspicion(np.zeros((2, 6, 2)), np.zeros((1, 6, 2)))
