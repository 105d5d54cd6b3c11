"""Agreement with values that the peers' own code computed, and real keyframes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from metrics_cases import One, cells_of, judged, judged_path, on_grid
from reference.public import split
from reference.tables import truths

from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.metrics.summary import Means
from drivevlm.metrics.surface import Paths
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

UNIAD, UNIAD_STP3, VAD = (PROTOCOLS[name] for name in ("uniad", "uniad_stp3", "vad"))
BOTH = pytest.mark.parametrize("protocol", [UNIAD, VAD], ids=lambda p: p.name)
COLLISION = {"uniad": "obj_box_col", "vad": "step_obj_box_col"}


@pytest.fixture(scope="module")
def public() -> Any:
    return split()


@lru_cache(maxsize=2)
def tables(version_folder: Path) -> dict[str, Truth]:
    return truths(version_folder)


@lru_cache(maxsize=3)
def prepared_from(dataroot: str, name: str) -> dict[str, Cases]:
    """By token, one clip each."""
    found = tables(Path(dataroot) / "v1.0-mini")
    return {token: PROTOCOLS[name].prepare([truth]) for token, truth in found.items()}


def flags(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=bool)


def path_score(protocol: PlanningProtocol, cases: Cases, xy_m: np.ndarray) -> One:
    score = judged_path(protocol, cases, xy_m)
    assert score is not None
    return score


@BOTH
def test_the_same_clips_are_counted(public: Any, protocol: PlanningProtocol):
    prepared = prepared_from(public.dataroot, protocol.name)
    counted = [token for token in public.tokens if len(prepared[token])]
    assert len(counted) == public.aggregate(protocol.name)["n_samples"]


@BOTH
def test_flags_from_the_stored_grids_are_exact(public: Any, protocol: PlanningProtocol):
    prepared = prepared_from(public.dataroot, protocol.name)
    for token in public.tokens:
        if not len(prepared[token]):
            continue
        expected = public.expected(token, protocol.name)
        stored = stored_case(public, token, protocol)
        score = path_score(protocol, stored, public.pred(token)[0])
        known = np.isfinite(score.distance_m)
        np.testing.assert_array_equal(score.collision, flags(expected[COLLISION[protocol.name]]))
        np.testing.assert_array_equal(score.gt_hit | ~known, flags(expected["gt_box_col"]))
        raw = flags(expected["pred_box_col_raw"])
        np.testing.assert_array_equal(score.hit[known], raw[known])


def stored_case(public: Any, token: str, protocol: PlanningProtocol) -> Cases:
    """With the grids and the recorded path that the peer's code made."""
    recorded = np.array(public.expected(token)[f"gt_lidar_{protocol.name}"])[:, :2]
    if protocol is UNIAD:
        recorded[~flags(public.expected(token, "uniad")["mask"])] = np.nan
    grid = public.occ(protocol.name, token).astype(bool)
    return on_grid(protocol, grid, recorded)


@BOTH
def test_our_own_grids_equal_the_stored_ones(public: Any, protocol: PlanningProtocol):
    """Every cell of every step, the border included."""
    prepared = prepared_from(public.dataroot, protocol.name)
    for token in public.tokens:
        cases = prepared[token]
        if len(cases):
            known = cases.known[0]
            drawn, stored = cells_of(cases), public.occ(protocol.name, token).astype(bool)
            np.testing.assert_array_equal(drawn[known], stored[known])


@BOTH
def test_from_tables_to_scores(public: Any, protocol: PlanningProtocol):
    """Collisions are exact. One ground-truth flag of VAD's differs, and changes no collision: the
    recorded path lies within 1e-14 m of the border between two cells."""
    prepared = prepared_from(public.dataroot, protocol.name)
    gt_differs = 0
    for token in public.tokens:
        if not len(prepared[token]):
            continue
        expected = public.expected(token, protocol.name)
        score = path_score(protocol, prepared[token], public.pred(token)[0])
        np.testing.assert_array_equal(score.collision, flags(expected[COLLISION[protocol.name]]))
        gt_hit = score.gt_hit | ~np.isfinite(score.distance_m)
        gt_differs += int((gt_hit != flags(expected["gt_box_col"])).sum())
        if protocol is UNIAD:
            got = np.nan_to_num(score.distance_m)
            np.testing.assert_allclose(got, expected["L2"], atol=1e-4)
        else:
            means = [score.distance_m[: 2 * k].mean() for k in (1, 2, 3)]
            wanted = [expected[f"plan_L2_{k}s"] for k in (1, 2, 3)]
            np.testing.assert_allclose(means, wanted, atol=1e-4)
    assert gt_differs == (1 if protocol is VAD else 0)


def test_the_split_sums_up_to_the_peers_figures(public: Any):
    wanted = public.aggregate("uniad")
    for protocol, strategy in ((UNIAD, "uniad_definition"), (UNIAD_STP3, "stp3_definition")):
        means = summed(public, protocol)
        for horizon in ("1s", "2s", "3s"):
            l2 = wanted[strategy]["L2"][horizon]
            collision = wanted[strategy]["obj_box_col"][horizon]
            assert mean(means, "l2_m", horizon) == pytest.approx(l2, abs=1e-4)
            assert mean(means, "collision", horizon) == pytest.approx(collision, abs=1e-6)
    means, wanted = summed(public, VAD), public.aggregate("vad")
    for horizon in ("1s", "2s", "3s"):
        l2 = wanted[f"plan_L2_{horizon}"]
        assert mean(means, "l2_m", horizon) == pytest.approx(l2, abs=1e-4)
        collision = wanted[f"plan_obj_box_col_{horizon}"]
        assert mean(means, "collision", horizon) == pytest.approx(collision, abs=1e-6)


def mean(means: Means, figure: str, column: str) -> float | None:
    return means.figures[figure][column].mean


def summed(public: Any, protocol: PlanningProtocol) -> Means:
    """All clips at once."""
    found = tables(Path(public.dataroot) / "v1.0-mini")
    cases = protocol.prepare(found[token] for token in public.tokens)
    xy_m = np.array([public.pred(token)[0] for token in cases.tokens], dtype=np.float64)
    scores = protocol.judge_paths(cases, Paths(xy_m, np.zeros(xy_m.shape[:2])))
    return protocol.summarise(scores).strict


def test_cases_without_a_dataset_are_exact(public: Any):
    """The same bits, read in each protocol's own order of rows."""
    cases = public.metric_level_0p5m()
    assert len(cases) == 144
    for case in cases:
        mask, occupied = flags(case["mask"]), case["occ"].astype(bool)
        gt = case["gt"].astype(np.float64)
        expected = case["expected"]
        uniad = without_dataset(UNIAD, np.where(mask[:, None], gt, np.nan), occupied, case["pred"])
        np.testing.assert_allclose(
            np.nan_to_num(uniad.distance_m), expected["uniad"]["L2"], atol=1e-4
        )
        np.testing.assert_array_equal(uniad.collision, flags(expected["uniad"]["obj_box_col"]))
        gt_hit = uniad.gt_hit | ~mask
        np.testing.assert_array_equal(gt_hit, flags(expected["uniad"]["gt_box_col"]))
        vad = without_dataset(VAD, gt, occupied, case["pred"])
        np.testing.assert_array_equal(vad.collision, flags(expected["vad"]["obj_box_col"]))
        for k in (1, 2, 3):
            mean = vad.distance_m[: 2 * k].mean()
            assert mean == pytest.approx(expected["vad"][f"L2_{k}s"], abs=1e-4)


def without_dataset(
    protocol: PlanningProtocol, gt: np.ndarray, occupied: np.ndarray, pred: np.ndarray
) -> One:
    return path_score(protocol, on_grid(protocol, occupied, gt), pred)


def test_every_real_keyframe_is_counted_and_the_expert_is_right():
    """120 keyframes under UniAD, 102 under VAD, which needs 3 s of future; none collides.

    Where the recording ends the expert holds its last pose: no protocol scores those steps. What
    is left of L2 is the vehicle's pitch and roll, which move a lidar at 1.84 m, not a plan.
    """
    found = tables(reference("nuscenes_mini_real") / "v1.0-mini")
    for protocol, n in ((UNIAD, 120), (VAD, 102)):
        cases = protocol.prepare(found.values())
        scores = protocol.judge(cases, [held(found[token]) for token in cases.tokens])
        score = protocol.summarise(scores, n_total=len(found))
        assert (score.strict.n, score.lenient.n, score.n_total) == (n, n, 120)
        l2 = score.strict.figures["l2_m"].values()
        assert all(value.mean is not None and value.mean <= 0.03 for value in l2)
        assert {value.mean for value in score.strict.figures["collision"].values()} == {0.0}
        assert {value.ci95 for value in l2} == {None}


def held(truth: Truth) -> Plan:
    xy_ego_m, yaw_ego_rad = truth.future_path()
    for k, recorded in enumerate(truth.future_valid):
        if not recorded:
            xy_ego_m[k] = xy_ego_m[k - 1] if k else 0.0
            yaw_ego_rad[k] = yaw_ego_rad[k - 1] if k else 0.0
    return Plan(xy_ego_m, yaw_ego_rad=yaw_ego_rad)


def test_where_the_point_is_the_ego_origin_the_expert_is_exact():
    found = tables(reference("nuscenes_mini_real") / "v1.0-mini")
    for truth in found.values():
        plan = truth.future_plan()
        if plan is None:
            continue
        flat = replace(truth, steps={k: at_origin(step) for k, step in truth.steps.items()})
        score = judged(VAD, flat, plan)
        assert score is not None
        assert score.distance_m.max() <= 1e-6


def at_origin(step: Any) -> Any:
    """The same keyframe with a lidar on the ground at the rear axle, looking ahead."""
    from reference.worlds import pose, quaternion

    return replace(step, ego_from_lidar=pose(quaternion(-np.pi / 2), [0.0, 0.0, 0.0]))


def test_both_category_tables_give_the_same_scores(public: Any, tmp_path: Path):
    """With 23 entries in another order: classes go by name."""
    source = Path(public.dataroot) / "v1.0-mini"
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = json.loads((source / "category.json").read_text())
    used = {row["category_token"] for row in json.loads((source / "instance.json").read_text())}
    shorter = [row for row in reversed(rows) if row["token"] in used]
    (tmp_path / "category.json").write_text(json.dumps(shorter))
    changed = truths(tmp_path)
    for token in public.tokens[::40]:
        for protocol in (UNIAD, VAD):
            ours = protocol.prepare([changed[token]])
            wanted = prepared_from(public.dataroot, protocol.name)[token]
            if len(wanted):
                np.testing.assert_array_equal(cells_of(ours), cells_of(wanted))
