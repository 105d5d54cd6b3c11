"""Our own protocol against a slow implementation that shares nothing, and on real roads."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from conftest import reference
from reference import slow_exact as slow
from reference.worlds import with_road, world

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.metrics.exact import EXACT
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

PROTOCOL = PlanningProtocol(EXACT)
WORLDS = 200


@lru_cache(maxsize=1)
def worlds() -> tuple[Truth, ...]:
    """Drives among agents, on roads with seams and holes."""
    return tuple(
        replace(with_road(world(seed), seed), token=f"clip-{seed}") for seed in range(WORLDS)
    )


@lru_cache(maxsize=1)
def plans() -> tuple[Plan, ...]:
    """Near what was driven; one in three with headings of its own, one in five hardly moving."""
    rng = np.random.default_rng(5)
    found = []
    for i, truth in enumerate(worlds()):
        xy_m = truth.future_path()[0] * rng.uniform(0.5, 1.3) + rng.normal(0, 0.4, (6, 2)).cumsum(0)
        xy_m = xy_m if i % 5 else rng.normal(0, 0.03, (6, 2)).cumsum(0)
        found.append(Plan(xy_m, yaw_ego_rad=rng.normal(0, 0.4, 6) if i % 3 == 0 else None))
    return tuple(found)


def test_distances_and_collisions_equal_the_slow_implementation():
    cases = PROTOCOL.prepare(worlds())
    scores = PROTOCOL.judge(cases, plans())
    agents = scores.touched["agents"]
    assert len(scores) == WORLDS
    for i, (truth, plan) in enumerate(zip(worlds(), plans(), strict=True)):
        gt_xy, gt_yaw = slow.path(truth)
        off_m = np.linalg.norm(plan.xy_ego_m - gt_xy, axis=1)
        np.testing.assert_allclose(scores.distance_m[i], off_m, atol=2e-6)
        known = plan.yaw_ego_rad
        yaw = slow.headings(plan.xy_ego_m) if known is None else known
        for k in range(6):
            ego, gt_ego = slow.ego(*plan.xy_ego_m[k], yaw[k]), slow.ego(*gt_xy[k], gt_yaw[k])
            users = slow.users(truth, k + 1)
            hit, gt_hit = (any(slow.meet(one, user) for user in users) for one in (ego, gt_ego))
            assert (agents.hit[i, k], agents.recorded[i, k]) == (hit, gt_hit), (i, k)
    np.testing.assert_array_equal(agents.excused, agents.recorded)


def test_leaving_the_drivable_area_equals_the_slow_implementation():
    cases = PROTOCOL.prepare(worlds())
    scores = PROTOCOL.judge(cases, plans())
    road_left = scores.touched["drivable_area"]
    unclear = 0
    for i, (truth, plan) in enumerate(zip(worlds(), plans(), strict=True)):
        gt_xy, gt_yaw = slow.path(truth)
        known = plan.yaw_ego_rad
        yaw = slow.headings(plan.xy_ego_m) if known is None else known
        area = slow.area(truth)
        for k in range(6):
            ego, gt_ego = slow.ego(*plan.xy_ego_m[k], yaw[k]), slow.ego(*gt_xy[k], gt_yaw[k])
            told = (
                (road_left.hit[i, k], slow.outside(area, ego)),
                (road_left.recorded[i, k], slow.outside(area, gt_ego)),
            )
            for ours, theirs in told:
                assert theirs is None or ours == theirs, (i, k)
                unclear += theirs is None
    assert unclear < 0.02 * 2 * road_left.hit.size
    np.testing.assert_array_equal(road_left.excused, road_left.recorded)


def test_our_worlds_contain_flags_of_every_kind():
    """Else the comparisons above would compare nothing."""
    scores = PROTOCOL.judge(PROTOCOL.prepare(worlds()), plans())
    for touched in scores.touched.values():
        for flags in (touched.hit, touched.recorded, touched.hit & ~touched.excused):
            assert 0.03 < flags.mean() < 0.8


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Truth]:
    """Three recorded scenes with maps."""
    folder = reference("nuscenes_mini_real")
    cache = tmp_path_factory.mktemp("cache")
    recording = NuScenesRecording(NuScenesConfig(root=str(folder), cache=str(cache)))
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    return [recording.with_map(recording.truth(token)) for token in tokens]


def test_the_recorded_drivers_neither_err_nor_collide_nor_leave_the_area(real: list[Truth]):
    cases = PROTOCOL.prepare(real)
    plans = {truth.token: truth.future_plan() for truth in real}
    scores = PROTOCOL.judge(cases, [plans[token] for token in cases.tokens])
    assert len(scores) == 102
    assert scores.distance_m.max() <= 1e-6
    for touched in scores.touched.values():
        assert touched.judged.all()
        assert not touched.hit.any()


def test_on_real_roads_a_driver_4_m_further_left_hits_somebody_and_leaves_the_area(
    real: list[Truth],
):
    """The flags above are not 0 because nothing is there."""
    cases = PROTOCOL.prepare(real)
    plans = {truth.token: truth.future_plan() for truth in real}
    aside = [plans[token] for token in cases.tokens]
    aside = [Plan(p.xy_ego_m + np.array([0.0, 4.0]), yaw_ego_rad=p.yaw_ego_rad) for p in aside if p]
    scores = PROTOCOL.judge(cases, aside)
    for touched in scores.touched.values():
        assert 0.05 < touched.hit.mean() < 0.95
