"""The one bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from drivevlm.metrics.interval import Interval, mean_intervals, paired_intervals, too_few_scenes


def clips(rng: np.random.Generator, scenes: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of a study whose scenes differ as much as their clips; the true mean is 0."""
    per_scene = rng.integers(20, 41, scenes)
    scene = np.repeat(np.arange(scenes), per_scene)
    noise = rng.normal(0, 1, len(scene))
    return (rng.normal(0, 1, scenes)[scene] + noise)[:, None], scene.astype(str)


def bounds(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def test_the_mean_lies_in_its_interval():
    values, scenes = clips(np.random.default_rng(0), 40)
    (interval,) = mean_intervals(values, scenes)
    assert interval is not None
    assert interval.low < values.mean() < interval.high


def test_the_same_seed_gives_the_same_interval():
    values, scenes = clips(np.random.default_rng(0), 40)
    assert mean_intervals(values, scenes, seed=3) == mean_intervals(values, scenes, seed=3)
    assert mean_intervals(values, scenes, seed=3) != mean_intervals(values, scenes, seed=4)


def test_scenes_are_drawn_and_not_clips():
    """A clip said ten times is no more evidence than once."""
    values, scenes = clips(np.random.default_rng(0), 40)
    many = mean_intervals(np.repeat(values, 10, axis=0), np.repeat(scenes, 10))
    assert bounds(*many) == pytest.approx(bounds(*mean_intervals(values, scenes)))


def test_the_width_is_that_of_the_scenes_means():
    """With as many clips in each scene: about 2 x 1.99 standard errors over 80 scenes."""
    rng = np.random.default_rng(1)
    means = rng.normal(0, 1, 80)
    (interval,) = mean_intervals(np.repeat(means, 30)[:, None], np.repeat(np.arange(80), 30))
    assert interval is not None
    error = means.std(ddof=1) / np.sqrt(80)
    assert interval.high - interval.low == pytest.approx(2 * 1.99 * error, rel=0.06)


def test_fewer_than_20_scenes_have_no_interval_and_the_reason_is_said():
    values, scenes = clips(np.random.default_rng(0), 19)
    assert mean_intervals(values, scenes) == (None,)
    assert too_few_scenes(scenes) == "no interval: 19 scenes, at least 20 are needed"
    assert too_few_scenes([*scenes, "another"]) == ""


def test_a_clip_without_a_value_is_left_out_of_its_column_only():
    values, scenes = clips(np.random.default_rng(0), 40)
    gaps = np.repeat(values, 2, axis=1)
    gaps[::3, 1] = np.nan
    whole, part = mean_intervals(gaps, scenes)
    known = np.arange(len(values)) % 3 != 0
    assert bounds(whole) == pytest.approx(bounds(*mean_intervals(values, scenes)))
    alone = mean_intervals(values[known], scenes[known])
    assert bounds(part) == pytest.approx(bounds(*alone))


def test_a_column_with_values_in_too_few_scenes_has_no_interval():
    values, scenes = clips(np.random.default_rng(0), 40)
    sparse = np.where(np.isin(scenes, [str(k) for k in range(10)])[:, None], values, np.nan)
    whole, part = mean_intervals(np.hstack([values, sparse]), scenes)
    assert whole is not None
    assert part is None


def test_two_equal_runs_differ_by_exactly_nothing():
    values, scenes = clips(np.random.default_rng(0), 40)
    (interval,) = paired_intervals(values, values.copy(), scenes)
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_pairing_sees_a_small_difference_that_two_intervals_do_not():
    values, scenes = clips(np.random.default_rng(0), 40)
    better = values - 0.05
    (mine,), (yours,) = mean_intervals(values, scenes), mean_intervals(better, scenes)
    (paired,) = paired_intervals(values, better, scenes)
    assert mine is not None
    assert yours is not None
    assert paired is not None
    assert yours.high > mine.low
    assert paired.high < 0
    assert paired.low == pytest.approx(-0.05)


def test_values_and_scenes_must_fit():
    with pytest.raises(ValueError, match="3 clips need values"):
        mean_intervals(np.zeros((2, 1)), ["a", "b", "c"])
    with pytest.raises(ValueError, match="paired clip by clip"):
        paired_intervals(np.zeros((2, 1)), np.zeros((3, 1)), ["a", "b"])


@pytest.mark.slow
@pytest.mark.parametrize("scenes", [20, 80])
def test_the_interval_holds_the_truth_in_95_percent_of_studies(scenes: int):
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(2000):
        (interval,) = mean_intervals(*clips(rng, scenes))
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    assert 0.93 <= held / 2000 <= 0.97


def test_scenes_without_a_value_do_not_narrow_an_interval():
    rng = np.random.default_rng(0)
    few, names = rng.normal(size=(20, 1)), [f"s{k}" for k in range(20)]
    more = np.vstack([few, np.full((130, 1), np.nan)])
    (alone,) = mean_intervals(few, names)
    (among,) = mean_intervals(more, [*names, *(f"empty{k}" for k in range(130))])
    assert alone is not None
    assert among is not None
    assert among.high - among.low >= alone.high - alone.low
