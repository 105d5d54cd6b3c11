"""UniAD's v2.0 branch, against what its own code computed, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from metrics_cases import cells_of, judged, on_grid, road
from reference.public import expected, predictions, public_cases, public_scores, split

from drivevlm.metrics.planning import STOP, PlanningProtocol
from drivevlm.metrics.surface import Paths
from drivevlm.metrics.uniad import UNIAD
from drivevlm.metrics.uniad_v2 import UNIAD_V2

PROTOCOL = PlanningProtocol(UNIAD_V2)
KEY = "uniad_v2branch"


def test_flags_from_the_stored_grids_are_exact():
    for token in split().tokens:
        peers = split().expected(token, KEY)
        known = np.array(peers["mask"], dtype=bool)
        recorded = np.array(split().expected(token)["gt_lidar_uniad"])[:, :2]
        recorded[~known] = np.nan
        cases = on_grid(PROTOCOL, split().occ(KEY, token).astype(bool), recorded)
        agents = PROTOCOL.judge_paths(cases, predictions((token,))).touched["agents"]
        counted = agents.hit[0] & ~agents.excused[0]
        np.testing.assert_array_equal(counted, np.array(peers["obj_box_col"], dtype=bool))
        np.testing.assert_array_equal(agents.recorded[0] | ~known, np.array(peers["gt_box_col"]))
        np.testing.assert_array_equal(
            agents.hit[0][known], np.array(peers["pred_box_col_raw"])[known]
        )


def test_our_own_grids_equal_the_stored_ones():
    cases = public_cases(PROTOCOL)
    for i, token in enumerate(cases.tokens):
        known = cases.known[i]
        stored = split().occ(KEY, token).astype(bool)
        np.testing.assert_array_equal(cells_of(cases, i)[known], stored[known])


def test_from_tables_to_flags_everything_equals_the_peers():
    scores = public_scores(PROTOCOL)
    agents = scores.touched["agents"]
    assert agents.hit.size == 336 * 6
    flags = expected(scores.tokens, KEY, "obj_box_col").astype(bool)
    np.testing.assert_array_equal(agents.hit & ~agents.excused, flags)
    gt_flags = expected(scores.tokens, KEY, "gt_box_col").astype(bool)
    np.testing.assert_array_equal(agents.recorded | ~scores.known, gt_flags)
    l2 = expected(scores.tokens, KEY, "L2")
    np.testing.assert_allclose(np.nan_to_num(scores.distance_m), l2, atol=1e-4)


def test_the_split_sums_up_to_the_peers_figures():
    means = PROTOCOL.summarise(public_scores(PROTOCOL)).strict
    wanted = split().aggregate(KEY)
    assert means.n == wanted["n_samples"]
    for name, theirs in (("l2_m", "L2"), ("collision", "obj_box_col")):
        for horizon in ("1s", "2s", "3s"):
            value = wanted["uniad_definition"][theirs][horizon]
            assert means.figures[name][horizon].mean == pytest.approx(value, abs=1e-4)


def test_a_car_ahead_is_as_long_as_it_should_be_wide():
    """A 4 x 1 m car, 4.1 m from the lidar to its centre: half of 4 m reaches the ego's block, which
    ends at 2.5 m; half of 1 m does not."""
    for yaw_rad, main, branch in ((0.0, True, False), (np.pi / 2, False, True)):
        truth = road(("vehicle.car", 0.94 + 4.1, 0.0), speed_mps=0.0)
        boxes = truth.steps[1].boxes
        boxes.size_lwh_m[:] = [4.0, 1.0, 2.0]
        boxes.wxyz_global[:] = [np.cos(yaw_rad / 2), 0, 0, np.sin(yaw_rad / 2)]
        for rule, hit in ((UNIAD, main), (UNIAD_V2, branch)):
            score = judged(PlanningProtocol(rule), truth, STOP)
            assert score is not None
            assert score.hit[0] == hit


def test_all_but_the_sizes_is_as_on_the_main_branch():
    """Round boxes: the same cells."""
    truth = road(("vehicle.car", 12.0, 3.0), ("vehicle.bus.rigid", 9.0, -2.0))
    main, branch = (PlanningProtocol(rule).prepare([truth]) for rule in (UNIAD, UNIAD_V2))
    np.testing.assert_array_equal(cells_of(main), cells_of(branch))
    path = Paths(np.zeros((1, 6, 2)), np.zeros((1, 6)))
    np.testing.assert_array_equal(
        PlanningProtocol(UNIAD).judge_paths(main, path).distance_m,
        PROTOCOL.judge_paths(branch, path).distance_m,
    )
