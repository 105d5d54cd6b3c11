"""Detection figures agree with those that the nuScenes devkit computes from the same boxes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import reference
from detection_cases import FAILED, PLAN

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.metrics.nuscenes_detection import TP_ERRORS, devkit_metrics, nuscenes_figures
from drivevlm.metrics.result_boxes import JudgedBoxes
from drivevlm.record.result_file import result_file
from drivevlm.world.boxes import CATEGORIES, Box3, Detection
from drivevlm.world.decision import Decision
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import wrap_rad
from drivevlm.world.sets import Verdict
from drivevlm.world.truth import Truth


def jittered(truth: Truth, rng: np.random.Generator) -> Decision:
    """The labels, four in five, moved, turned and with a score; a few inventions and drops."""
    detections = []
    for box in boxes_now(truth):
        if rng.random() < 0.2:
            continue
        moved = replace(
            box,
            center_ego_m=box.center_ego_m + rng.normal(0.0, 0.5, 3) * [1, 1, 0.1],
            size_lwh_m=box.size_lwh_m * np.exp(rng.normal(0.0, 0.1, 3)),
            yaw_ego_rad=float(wrap_rad(box.yaw_ego_rad + rng.normal(0.0, 0.2))),
            score=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.9 else None,
        )
        verdict = Verdict.DROPPED if rng.random() < 0.1 else Verdict.KEPT
        detections.append(Detection(moved, verdict))
    for category in CATEGORIES:
        x_m, y_m = rng.uniform(-60.0, 60.0, 2)
        invented = Box3.typical(category, x_ego_m=float(x_m), y_ego_m=float(y_m))
        detections.append(Detection(invented, Verdict.ADDED))
    return Decision(plan=PLAN, detections=tuple(detections))


def test_reference_cases_come_out_as_the_devkit_computed_them():
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

    extras = reference("planning_metrics") / "public" / "extras"
    cases = json.loads((extras / "nuscenes_detection_nofilter.json").read_text())
    assert cases
    for case in cases:
        metrics = devkit_metrics(
            EvalBoxes.deserialize(case["gt"], DetectionBox),
            EvalBoxes.deserialize(case["pred"], DetectionBox),
        )
        expected = case["expected"]
        assert metrics.mean_ap == pytest.approx(expected["mean_ap"], abs=1e-4)
        assert metrics.nd_score == pytest.approx(expected["nds"], abs=1e-4)
        assert metrics.tp_errors == pytest.approx(expected["tp_errors"], abs=1e-4)
        assert metrics.mean_dist_aps == pytest.approx(expected["mean_dist_aps"], abs=1e-4)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NuScenesRecording]:
    root = reference("nuscenes_mini_real")
    cache = str(tmp_path_factory.mktemp("cache"))
    config = NuScenesConfig(
        root=str(root), version="v1.0-mini", scenes=("scene-0103", "scene-0916"), cache=cache
    )
    return root, NuScenesRecording(config)


@pytest.mark.parametrize("fails", [0.0, 0.1])
def test_a_result_file_scores_as_in_the_devkits_own_evaluation(
    real: tuple[Path, NuScenesRecording], tmp_path: Path, fails: float
):
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval
    from nuscenes.nuscenes import NuScenes

    root, recording = real
    rng = np.random.default_rng(7)
    judged = {}
    for token in (token for scene in recording.scenes() for token in scene.tokens):
        now = recording.truth(token)
        decision = FAILED if rng.random() < fails else jittered(now, rng)
        judged[token] = JudgedBoxes.of(decision, now)
    content = result_file(
        {token: clip.said for token, clip in judged.items()},
        planner="jittered labels",
        uses_camera=False,
        uses_proposals=True,
    )
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(content, allow_nan=False))
    official: Any = DetectionEval(
        NuScenes("v1.0-mini", dataroot=str(root), verbose=False),
        config_factory("detection_cvpr_2019"),
        str(path),
        "mini_val",
        str(tmp_path),
        verbose=False,
    )
    expected, _ = official.evaluate()
    figures = nuscenes_figures(judged)
    assert figures is not None
    assert 0.1 < expected.mean_ap < 0.9
    assert figures["map"] == pytest.approx(expected.mean_ap, abs=1e-9)
    # The devkit subtracts stamps as seconds since 1970 in floats, so its speeds are off by 1e-7.
    assert figures["nds"] == pytest.approx(expected.nd_score, abs=1e-7)
    for ours, theirs in TP_ERRORS.items():
        assert figures["errors"][ours] == pytest.approx(expected.tp_errors[theirs], abs=1e-7)
    assert figures["labelled"] == len(official.gt_boxes.all)
    boxes = {token: official.gt_boxes[token] for token in judged}
    for token, clip in judged.items():
        attributes = [box.attribute_name for box in boxes[token]]
        velocities = np.array([box.velocity for box in boxes[token]]).reshape(-1, 2)
        assert sorted(clip.labelled.attribute) == sorted(attributes)
        ours_mps = clip.labelled.velocity_global_mps
        order, theirs = np.lexsort(ours_mps.T), np.lexsort(velocities.T)
        np.testing.assert_allclose(ours_mps[order], velocities[theirs], atol=1e-5)
