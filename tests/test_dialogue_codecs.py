"""The control codec: every plan it writes can be driven, and its error is what it publishes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import reference
from dialogue_cases import drives, path_of
from hypothesis import given, settings
from hypothesis import strategies as st

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.dialogue.control import (
    ACCELERATIONS_MPS2,
    CURVATURES_RADPM,
    ROUND_TRIP_M,
    SPEEDS_MPS,
    ControlCodec,
    acceleration_token,
    driven_tokens,
    speed_token,
)
from drivevlm.world.plan import Plan

CODEC = ControlCodec()


def off_m(plan: Plan, text: str) -> float:
    return float(np.linalg.norm(CODEC.read(text).xy_ego_m - plan.xy_ego_m, axis=1).max())


def test_the_bins_hold_zero_and_rise():
    for table in (SPEEDS_MPS, ACCELERATIONS_MPS2, CURVATURES_RADPM):
        assert (np.diff(table) > 0).all()
        assert (table == 0).sum() == 1
    np.testing.assert_array_equal(CURVATURES_RADPM, -CURVATURES_RADPM[::-1])


def test_a_car_that_stands_writes_zeros():
    text = CODEC.render(Plan(np.zeros((6, 2))))
    assert text == "<v10>" + "<a36><k31>" * 6
    assert not CODEC.read(text).xy_ego_m.any()


def test_even_braking_and_a_steady_bend_are_written_as_such():
    braking = path_of(6.0, [(-2.0, 0.0)] * 6)  # stands after 3 s and 9 m
    assert CODEC.render(braking) == "<v40>" + "<a28><k31>" * 6
    np.testing.assert_allclose(braking.xy_ego_m[-1], [9.0, 0.0], atol=1e-9)
    bend = CODEC.read("<v40>" + "<a36><k45>" * 6)
    assert CODEC.render(bend) == "<v40>" + "<a36><k45>" * 6
    assert bend.yaw_ego_rad[-1] == pytest.approx(18.0 * CURVATURES_RADPM[45])


def test_the_published_error_holds_for_drives_with_and_without_headings():
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(drives(), st.booleans())
    def holds(plan: Plan, bare: bool) -> None:
        written = Plan(plan.xy_ego_m) if bare else plan
        assert off_m(plan, CODEC.render(written)) <= ROUND_TRIP_M

    holds()


def test_errors_do_not_add_up_over_a_longer_plan():
    codec = ControlCodec(steps=16)
    plan = path_of(9.3, [(0.37, 0.33), (-0.41, -0.27)] * 8)
    off = np.linalg.norm(codec.read(codec.render(plan)).xy_ego_m - plan.xy_ego_m, axis=1)
    assert off.max() <= ROUND_TRIP_M


@pytest.mark.part
def test_the_published_error_holds_on_recorded_futures(tmp_path):
    config = NuScenesConfig(root=str(reference("nuscenes_mini_real")), cache=str(tmp_path))
    recording = NuScenesRecording(config)
    truths = [recording.truth(t) for scene in recording.scenes() for t in scene.tokens]
    plans = [plan for plan in (truth.future_plan() for truth in truths) if plan is not None]
    texts = [CODEC.render(plan) for plan in plans]
    off = np.array([off_m(plan, text) for plan, text in zip(plans, texts, strict=True)])
    assert len(off) == 102
    assert np.median(off) == pytest.approx(0.042, abs=0.01)
    assert np.percentile(off, 95) == pytest.approx(0.173, abs=0.02)
    assert off.max() <= ROUND_TRIP_M
    # Jitter is not written as hard braking in turn with hard driving.
    mean_mps2 = [abs(int(n) / 4 - 9) for text in texts for n in re.findall(r"<a(\d+)>", text)]
    assert np.mean(mean_mps2) < 1.2


def test_the_faintest_speed_ends_at_standstill_like_any_other():
    plan = path_of(5e-324, [(0.0, 0.0)] * 4 + [(-1.0, 0.0)] * 2)
    assert not plan.xy_ego_m.any()
    assert CODEC.render(plan) == "<v10>" + "<a36><k31>" * 6


def test_any_sentence_can_be_written_again():
    """Also one that no car drives: 40 m/s round the tightest bend is the tightest that turns less
    than half a circle a step."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        codec = ControlCodec(int(rng.integers(1, 13)), float(rng.choice([0.1, 0.25, 0.5, 1.0])))
        pairs = [f"<a{rng.integers(61)}><k{rng.integers(63)}>" for _ in range(codec.steps)]
        plan = codec.read(f"<v{rng.integers(211)}>" + "".join(pairs))
        text = codec.render(plan)
        np.testing.assert_allclose(codec.read(text).xy_ego_m, plan.xy_ego_m, atol=1e-5)
        assert codec.render(codec.read(text)) == text


def test_a_driven_past_is_told_in_the_tokens_of_plans():
    """Two steps of half a second: straight on at 6 m/s, then 4 m in a left bend of 20 m radius."""
    turn = 4.0 / 20.0
    chord_m = 2 * 20.0 * np.sin(turn / 2)
    xy_m = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    xy_m[2] = xy_m[1] + chord_m * np.array([np.cos(turn / 2), np.sin(turn / 2)])
    first, second = driven_tokens(xy_m, np.array([0.0, 0.0, turn]), np.array([0.0, 0.5, 1.0]))
    straight = int(np.flatnonzero(CURVATURES_RADPM == 0)[0])
    bend = int(np.abs(CURVATURES_RADPM - 1 / 20.0).argmin())
    assert first == f"<v{round((6.0 + 2.0) / 0.2)}><k{straight}>"
    assert second.startswith(f"<v{round((2 * chord_m + 2.0) / 0.2)}>")
    assert second.endswith(f"<k{bend}>")


def test_a_car_that_stands_does_not_turn():
    noise = np.array([[0.02, 0.01], [0.0, -0.02], [0.0, 0.0]])
    told = driven_tokens(noise, np.array([0.01, -0.01, 0.0]), np.array([0.0, 0.5, 1.0]))
    straight = int(np.flatnonzero(CURVATURES_RADPM == 0)[0])
    assert all(token.endswith(f"<k{straight}>") for token in told)


def test_motion_is_told_by_the_nearest_tokens():
    assert speed_token(0.0) == "<v10>"
    assert speed_token(5.09) == "<v35>"  # 5.0 m/s
    assert acceleration_token(-9.4) == "<a0>"
    assert acceleration_token(0.1) == "<a36>"  # 0
