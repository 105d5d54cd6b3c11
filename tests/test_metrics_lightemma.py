"""LightEMMA's protocol, against what its own function computed, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from metrics_cases import road, straight
from reference.public import predictions, split
from reference.tables import truths

from drivevlm.metrics.body_point import as_scored
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.lightemma import LIGHTEMMA
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.rule import Axes
from drivevlm.metrics.score import all_values
from drivevlm.metrics.surface import Paths
from drivevlm.world.plan import Plan

PROTOCOL = PlanningProtocol(LIGHTEMMA)
PEERS = ("L2_1s", "L2_2s", "L2_3s", "ADE", "FDE", "missRate_2")
OURS = (0, 1, 2, 4, 5, 6)
"""Their columns among all of ours: L2 at 1, 2, 3 s and mean, ADE, FDE, miss rate."""


@pytest.fixture(scope="module")
def cases() -> Cases:
    """From the tables."""
    found = truths(Path(split().dataroot) / "v1.0-mini")
    return PROTOCOL.prepare(found[token] for token in split().tokens)


def test_every_clip_has_the_peers_values(cases: Cases):
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    wanted = [[split().expected(t, "lightemma")[name] for name in PEERS] for t in cases.tokens]
    values = all_values(scores, LIGHTEMMA.figures)[:, OURS]
    np.testing.assert_allclose(values, wanted, atol=1e-4)


def test_the_split_sums_up_to_the_peers_figures(cases: Cases):
    wanted = split().aggregate("lightemma")
    scores = PROTOCOL.judge_paths(cases, predictions(cases.tokens, ego=True))
    means = PROTOCOL.summarise(scores).strict
    assert means.n == wanted["n_samples"]
    got = [value.mean for row in means.figures.values() for value in row.values()]
    assert [got[i] for i in OURS] == pytest.approx([wanted[name] for name in PEERS], abs=1e-4)


def figures(plan: Plan) -> dict[str, list[float | None]]:
    """Of one clip, in which the ego drives 4 m/s."""
    scores = PROTOCOL.judge(PROTOCOL.prepare([road()]), [plan])
    rows = PROTOCOL.summarise(scores).strict.figures
    return {name: [value.mean for value in row.values()] for name, row in rows.items()}


def test_l2_at_k_s_is_the_mean_of_the_two_steps_of_that_second_alone():
    """At 5 m/s the plan is ahead by 0.5, 1, 1.5, 2, 2.5 and 3 m."""
    got = figures(straight(5.0))
    assert got["l2_m"] == pytest.approx([0.75, 1.75, 2.75, 1.75])
    assert got["ade_m"] == pytest.approx([1.75])
    assert got["fde_m"] == pytest.approx([3.0])
    assert got["miss_rate"] == [1.0]


@pytest.mark.parametrize(("off_m", "missed"), [(2.0, 0.0), (2.001, 1.0)])
def test_a_clip_is_missed_where_any_step_is_more_than_2_m_off(off_m: float, missed: float):
    xy_m = straight(4.0).xy_ego_m.copy()
    xy_m[2, 1] = off_m
    cases = PROTOCOL.prepare([road()])
    scores = PROTOCOL.judge_paths(cases, Paths(xy_m[None], np.zeros((1, 6))))
    assert PROTOCOL.summarise(scores).to_json()["miss_rate"] == missed


def test_a_path_in_the_lidars_axes_is_turned_into_the_egos():
    """12 m ahead and 3 m to the left."""
    given = np.array([[[-3.0, 12.0]] * 6])
    paths = as_scored(
        given,
        axes=Axes.LIDAR,
        point=None,
        wanted_axes=PROTOCOL.rule.axes,
        wanted_point=PROTOCOL.rule.point,
        mounts=None,
    )
    truth = road(speed_mps=0.0)
    scores = PROTOCOL.judge_paths(PROTOCOL.prepare([truth]), paths)
    assert scores.distance_m[0] == pytest.approx(np.full(6, np.hypot(12.0, 3.0)))
    assert paths.xy_m[0].tolist() == [[12.0, 3.0]] * 6


def test_no_collision_is_measured():
    """None, which says nothing, and not 0."""
    truth = road(("vehicle.car", 6.0, 0.0))
    scores = PROTOCOL.judge(PROTOCOL.prepare([truth]), [straight(4.0)])
    told = PROTOCOL.summarise(scores).to_json()
    assert told["collision"] == {"1s": None, "2s": None, "3s": None, "avg": None}


def test_the_lidar_is_scored():
    """Turning on the spot moves the lidar, which sits 0.94 m ahead of the axle."""
    turn = Plan(np.zeros((6, 2)), yaw_ego_rad=np.full(6, np.pi / 2))
    scores = PROTOCOL.judge(PROTOCOL.prepare([road(speed_mps=0.0)]), [turn])
    np.testing.assert_allclose(scores.distance_m, 0.94 * np.sqrt(2), atol=1e-6)


def test_a_clip_whose_future_ends_is_not_judged():
    assert len(PROTOCOL.prepare([road(future=5)])) == 0
