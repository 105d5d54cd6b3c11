"""What it is worth to know more: figures of rows on the clips on which all of them plan."""

from __future__ import annotations

import numpy as np
import pytest
from light_world import LightWorld

from drivevlm.metrics.margins import beside, margin_figures
from drivevlm.report.margins import margin_tables
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

SECONDS = np.arange(1, 7) / 2


def straight(speed_mps: float) -> Plan:
    return Plan(np.stack([speed_mps * SECONDS, np.zeros(6)], axis=1))


def kept(world: LightWorld, tokens: list[str], *, more_mps: float = 0.0) -> dict[str, Plan | None]:
    """Plans that keep the speed, or are faster by so much."""
    return {token: straight(world.speed_mps(token) + more_mps) for token in tokens}


def known(world: LightWorld, tokens: list[str]) -> dict[str, Plan | None]:
    return {token: world.truth(token).future_plan() for token in tokens}


WORLD = LightWorld(pairs=25)
GREEN = [f"a{k}" for k in range(25)]
RED = [f"b{k}" for k in range(25)]


def truths(tokens: list[str]) -> list[Truth]:
    return [WORLD.truth(token) for token in tokens]


def test_l2_is_the_mean_distance_at_1_2_and_3_seconds():
    """0.5 m/s too fast: 0.5, 1.0 and 1.5 m off."""
    found = beside({"fast": kept(WORLD, GREEN, more_mps=0.5)}, truths(GREEN))
    told = margin_figures(found, {})["groups"]["all"]["rows"]["fast"]
    assert told["l2_m"] == pytest.approx(1.0)
    assert told["ci95"]["l2_m"] == pytest.approx([1.0, 1.0])


def test_a_class_is_right_as_driven_and_fits_as_labelled():
    """Who keeps the speed is right at green; at red path and label stop."""
    found = beside({"keeps": kept(WORLD, GREEN + RED)}, truths(GREEN + RED))
    told = margin_figures(found, {"onset": RED})["groups"]
    assert told["all"]["rows"]["keeps"]["speed_class"] == pytest.approx(0.5)
    assert told["all"]["rows"]["keeps"]["fits"] == pytest.approx(0.5)
    assert told["onset"]["rows"]["keeps"]["speed_class"] == 0.0
    assert told["onset"]["n"] == 25
    assert "event" not in told
    # At red all come to a stop within 3 s but for the last half second's crawl.
    assert told["onset"]["constant"]["speed_class"]["share"] > 0.5


def test_a_clip_on_which_one_row_fails_counts_for_none():
    keeps, knows = kept(WORLD, GREEN), known(WORLD, GREEN)
    keeps["a0"] = None
    told = margin_figures(beside({"keeps": keeps, "knows": knows}, truths(GREEN)), {})
    assert (told["n"], told["n_total"]) == (24, 25)


def test_the_gain_is_paired_and_apart_where_the_intervals_do_not_touch():
    plans = {"keeps": kept(WORLD, RED), "knows": known(WORLD, RED)}
    over = [("keeps", "knows"), ("keeps", "nobody")]
    told = margin_figures(beside(plans, truths(RED)), {}, over=over)["groups"]["all"]
    (gain,) = told["margins"]
    assert gain["l2_m"] == pytest.approx(-told["rows"]["keeps"]["l2_m"])
    assert gain["ci95"]["l2_m"][1] < 0
    assert gain["apart"] is True
    (same,) = margin_figures(
        beside({"keeps": plans["keeps"], "knows": plans["keeps"]}, truths(RED)),
        {},
        over=[("keeps", "knows")],
    )["groups"]["all"]["margins"]
    assert (same["l2_m"], same["apart"]) == (0.0, False)


def test_few_scenes_have_no_interval_and_that_is_said():
    plans = {"keeps": kept(WORLD, RED[:3]), "knows": known(WORLD, RED[:3])}
    told = margin_figures(beside(plans, truths(RED[:3])), {}, over=[("keeps", "knows")])
    (gain,) = told["groups"]["all"]["margins"]
    assert (gain["ci95"]["l2_m"], gain["apart"]) == (None, None)
    assert any("no interval: 3 scenes" in note for note in told["notes"])


def test_the_tables_tell_rows_and_gains_in_words():
    plans = {"keeps": kept(WORLD, GREEN), "knows": known(WORLD, GREEN)}
    figures = margin_figures(
        beside(plans, truths(GREEN)), {"onset": GREEN[:2]}, over=[("keeps", "knows")]
    )
    rows, gains = margin_tables(figures, {"knows": "knows (reads the truth)"})
    assert [row[:3] for row in rows.rows] == [
        ("all", "25", "keeps"),
        ("all", "25", "knows (reads the truth)"),
        ("all", "25", "a constant"),
        ("onset", "2", "keeps"),
        ("onset", "2", "knows (reads the truth)"),
        ("onset", "2", "a constant"),
    ]
    assert {len(row) for row in rows.rows} == {len(rows.heads)}
    assert gains.rows[0][:4] == ("all", "25", "knows - keeps", "0.000")
    assert {len(row) for row in gains.rows} == {len(gains.heads)}
