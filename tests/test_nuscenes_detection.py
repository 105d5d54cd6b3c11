"""mAP and NDS by the devkit's code, the boxes that count, and result files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detection_cases import FAILED, PLAN, answer, car, labels, truth
from small_world import SmallRecording, no_boxes, one_car
from tiny_tables import write_tables

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.detections import read_detections
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.detections import boxes_to_write, detection
from drivevlm.metrics.nuscenes_detection import TP_ERRORS, nuscenes_figures
from drivevlm.metrics.result_boxes import (
    MOST_BOXES,
    RANGE_M,
    JudgedBoxes,
    labelled_boxes,
    said_boxes,
)
from drivevlm.record.result_file import result_file, result_rows
from drivevlm.world.boxes import CATEGORIES, Box3
from drivevlm.world.decision import Decision
from drivevlm.world.labels import boxes_now
from drivevlm.world.pose import Pose2, Pose3, wrap_rad
from drivevlm.world.sets import Verdict
from drivevlm.world.truth import LabelledBoxes, Truth

# What counts


def test_classes_and_ranges_are_those_of_the_devkit():
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES, TP_METRICS

    config = config_factory("detection_cvpr_2019")
    assert dict(RANGE_M) == config.class_range
    assert set(RANGE_M) == set(CATEGORIES)
    assert config.max_boxes_per_sample == MOST_BOXES
    assert set(TP_ERRORS.values()) == set(TP_METRICS)
    for category in CATEGORIES:
        for velocity in (None, np.zeros(2), np.array([5.0, 0.0])):
            box = replace(
                Box3.typical(category, x_ego_m=9.0, y_ego_m=0.0), velocity_ego_mps=velocity
            )
            (name,) = said_boxes([box], Pose3.identity()).attribute
            assert name in ATTRIBUTE_NAMES or category in ("barrier", "traffic_cone")


def test_labels_count_with_a_point_and_within_the_range_of_their_class():
    now = labels(
        ("vehicle.car", 49.9, 0.0),
        ("vehicle.car", 50.1, 0.0),
        ("human.pedestrian.adult", 40.1, 0.0),
        ("movable_object.barrier", 29.9, 0.0),
        ("animal", 5.0, 0.0),
    )
    assert labelled_boxes(truth(now)).category == ("car", "barrier")
    assert len(labelled_boxes(truth(labels(("vehicle.car", 9.0, 0.0), points=0)))) == 0


def test_range_is_measured_from_the_ego():
    now = labels(("vehicle.car", 100.0, 0.0))
    assert len(labelled_boxes(truth(now))) == 0
    assert len(labelled_boxes(truth(now, ego=Pose2(60.0, 0.0, 1.0)))) == 1


def test_cycles_in_a_rack_count_neither_as_labels_nor_as_answers():
    rack = ("static_object.bicycle_rack", 10.0, 0.0)
    now = labels(rack, ("vehicle.bicycle", 10.9, 0.0), ("vehicle.bicycle", 11.1, 0.0))
    bikes = [Box3.typical("bicycle", x_ego_m=x, y_ego_m=0.0) for x in (10.9, 11.1)]
    judged = JudgedBoxes.of(answer(*bikes, car(10.0)), truth(now))
    assert judged.labelled.center_global_m[:, 0].tolist() == [11.1]
    assert judged.counted.category == ("bicycle", "car")
    assert len(judged.said) == 3


def test_velocities_look_to_both_sides_where_they_can():
    """1 m in half a second before now, 2 m after it."""
    before, now, after = one_car(9.0), one_car(10.0), one_car(12.0)
    gone = no_boxes()

    def speed_mps(**around: LabelledBoxes) -> float:
        return float(labelled_boxes(truth(now, **around)).velocity_global_mps[0, 0])

    assert speed_mps(before=before, after=after) == pytest.approx(3.0)
    assert speed_mps(before=before) == pytest.approx(2.0)
    assert speed_mps(after=after) == pytest.approx(4.0)
    assert speed_mps(long_before=before, before=gone) == pytest.approx(1.0)
    assert np.isnan(speed_mps())


def test_labels_too_far_apart_in_time_tell_no_velocity():
    """To one side 1.5 s is the limit, to both 3 s."""
    before, now, after = one_car(9.0), one_car(10.0), one_car(14.0)
    one_sided = truth(now, in_2_s=after)
    assert np.isnan(labelled_boxes(one_sided).velocity_global_mps).all()
    both_sides = truth(now, before=before, in_2_s=after)
    assert labelled_boxes(both_sides).velocity_global_mps[0].tolist() == [2.0, 0.0]
    beyond = truth(replace(now, following=("later",)), before=before)
    assert np.isnan(labelled_boxes(beyond).velocity_global_mps).all()


# What is said


def test_an_answer_is_written_in_the_global_frame():
    """The ego stands at (100, 50) and looks along y: ahead is +y, left is -x."""
    box = replace(car(10.0, 2.0, score=0.4), velocity_ego_mps=np.array([3.0, 0.0]))
    boxes = said_boxes([box], Pose3.from_pose2(Pose2(100.0, 50.0, np.pi / 2)))
    (row,) = result_rows("t", boxes)
    np.testing.assert_allclose(row["translation"], [98.0, 60.0, 0.865], atol=1e-9)
    np.testing.assert_allclose(row["size"], [1.95, 4.62, 1.73])
    np.testing.assert_allclose(row["rotation"], [0.5**0.5, 0.0, 0.0, 0.5**0.5])
    np.testing.assert_allclose(row["velocity"], [0.0, 3.0], atol=1e-9)
    assert (row["detection_name"], row["detection_score"]) == ("car", 0.4)
    assert (row["attribute_name"], row["sample_token"]) == ("vehicle.moving", "t")


def test_an_addition_has_the_score_1_and_no_speed():
    (row,) = result_rows("t", said_boxes([car(10.0)], Pose3.identity()))
    assert (row["detection_score"], row["velocity"]) == (1.0, [0.0, 0.0])
    assert row["attribute_name"] == "vehicle.parked"


def test_what_was_dropped_is_not_said_and_a_failed_answer_says_nothing():
    now = truth(labels(("vehicle.car", 10.0, 0.0)))
    assert len(JudgedBoxes.of(answer(car(10.0), verdict=Verdict.DROPPED), now).said) == 0
    half_read = replace(FAILED, detections=answer(car(10.0)).detections)
    assert len(JudgedBoxes.of(half_read, now).said) == 0


def test_the_500_best_boxes_stay_in_their_order():
    boxes = [car(10.0, score=score) for score in np.linspace(0.0, 1.0, 502)]
    scores = said_boxes(boxes, Pose3.identity()).score
    assert len(scores) == MOST_BOXES
    assert scores.tolist() == [box.score for box in boxes[2:]]


def test_a_result_file_reads_back_as_the_boxes_that_were_said(tmp_path: Path):
    pose = Pose3.from_quaternion(
        wxyz=np.array([0.8, 0.01, -0.012, 0.6]), translation_m=np.array([400.0, 1100.0, 1.0])
    )
    said = [
        replace(car(10.0, 2.0, score=0.5), yaw_ego_rad=-3.1, velocity_ego_mps=np.array([4.0, 1.0])),
        replace(car(-20.0, -3.0, score=0.4), yaw_ego_rad=1.0, velocity_ego_mps=np.zeros(2)),
    ]
    content = result_file(
        {"t": said_boxes(said, pose)}, planner="vlm", uses_camera=True, uses_proposals=True
    )
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(content, allow_nan=False))
    found = read_detections(
        path,
        known={"t"},
        wanted=["t"],
        top_k=9,
        min_score=0.0,
        global_from_ego=lambda token: pose,
    )["t"].boxes(pose)
    for box, back in zip(said, found, strict=True):
        np.testing.assert_allclose(back.center_ego_m, box.center_ego_m, atol=1e-9)
        np.testing.assert_allclose(back.size_lwh_m, box.size_lwh_m)
        assert float(wrap_rad(back.yaw_ego_rad - box.yaw_ego_rad)) == pytest.approx(0, abs=1e-3)
        np.testing.assert_allclose(back.velocity_ego_mps, box.velocity_ego_mps, atol=1e-2)
        assert back.score == box.score


# Figures


def test_perfect_answers_have_every_labelled_class_right():
    now = truth(labels(("vehicle.car", 10.0, 0.0), ("human.pedestrian.adult", 5.0, 5.0)))
    judged = JudgedBoxes.of(answer(*boxes_now(now)), now)
    figures = nuscenes_figures({"clip": judged})
    assert figures is not None
    assert figures["map_labelled"] == pytest.approx(1.0)
    assert figures["map"] == pytest.approx(0.2)  # two of ten classes have labels
    assert figures["by_class"]["car"] == {"ap": pytest.approx(1.0), "n": 1}
    assert figures["by_class"]["bus"] == {"ap": None, "n": 0}
    assert (figures["n"], figures["labelled"], figures["classes_labelled"]) == (1, 2, 2)
    assert "2 of 10 classes" in figures["note"]


def test_a_failed_answer_lowers_the_strict_figures_alone():
    """Of two cars one is in a failed answer: recall ends at a half, and so does AP of about it."""
    now = truth(labels(("vehicle.car", 10.0, 0.0)))
    good, bad = JudgedBoxes.of(answer(*boxes_now(now)), now), JudgedBoxes.of(FAILED, now)
    figures = nuscenes_figures({"a": good, "b": bad})
    assert figures is not None
    assert (figures["n"], figures["failed"], figures["lenient"]["n"]) == (2, 1, 1)
    assert figures["lenient"]["map"] == pytest.approx(0.1)
    assert figures["map"] == pytest.approx(0.1 * 40 / 90)


def test_proposals_are_scored_beside_what_became_of_them():
    """Of two cars one was proposed and dropped: the proposals earn half, the answer nothing."""
    now = truth(labels(("vehicle.car", 10.0, 0.0), ("vehicle.car", 20.0, 0.0)))
    dropped = answer(replace(boxes_now(now)[0], score=0.5), verdict=Verdict.DROPPED)
    figures = nuscenes_figures({"a": JudgedBoxes.of(dropped, now)})
    assert figures is not None
    assert figures["map"] == 0.0
    assert figures["proposals"]["map"] == pytest.approx(0.1 * 40 / 90)
    unasked = answer(*boxes_now(now), verdict=Verdict.ADDED)
    without = nuscenes_figures({"a": JudgedBoxes.of(unasked, now)})
    assert without is not None
    assert without["proposals"] is None


def test_nothing_to_find_has_no_figures():
    figures = nuscenes_figures({"a": JudgedBoxes.of(answer(car(10.0)), truth(no_boxes()))})
    assert figures is not None
    assert (figures["map"], figures["nds"], figures["map_labelled"]) == (None, None, None)
    assert set(figures["errors"].values()) == {None}
    assert nuscenes_figures({}) is None


class OneCar(SmallRecording):
    """A car stands 10 m ahead at every keyframe, once without a measured point; of the last
    keyframe there is no pose."""

    def truth(self, token: str) -> Truth | None:
        if token == "s0-9":
            return None
        plain = super().truth(token)
        x_m = float(plain.now.global_from_ego.translation_m[0])
        car = one_car(x_m + 10.0)
        if token == "s0-4":
            car = replace(car, lidar_points=car.lidar_points * 0)
        now = replace(plain.now, boxes=car)
        return replace(plain, steps={**plain.steps, 0: now})


def test_a_planners_detections_are_told_both_ways_and_written_for_every_clip():
    """Of five answers one failed and one is of an unknown place; of three that were read, one sees
    the car, one sees a car that nobody measured, and one sees another that is not there."""
    recording = OneCar()
    decisions = {
        "s0-1": answer(car(10.0, score=0.9)),
        "s0-2": answer(car(30.0), verdict=Verdict.ADDED),
        "s0-4": answer(car(10.0, score=0.8)),
        "s0-3": replace(FAILED, detections=answer(car(10.0)).detections),
        "s0-9": answer(car(10.0)),
    }
    figures = detection(recording, decisions)
    assert figures is not None
    assert (figures["clips"], figures["failed"], figures["seen"]) == (4, 1, 3)
    assert (figures["recall"], figures["lenient"]["recall"]) == (pytest.approx(1 / 3), 0.5)
    assert figures["hallucinated_rate"] == pytest.approx(1 / 3)
    assert (figures["nuscenes"]["n"], figures["nuscenes"]["lenient"]["n"]) == (4, 3)
    written = boxes_to_write(recording, decisions)
    assert {token: len(boxes) for token, boxes in written.items()} == {
        "s0-1": 1,
        "s0-2": 1,
        "s0-4": 1,
        "s0-3": 0,
    }
    assert written["s0-1"].center_global_m[0, 0] == pytest.approx(12.0)  # ego at 2 m
    assert detection(recording, {"s0-1": Decision(plan=PLAN), "s0-3": FAILED}) is None


def test_a_box_has_the_attribute_that_the_tables_give_it_alone(tmp_path: Path):
    root = write_tables(tmp_path, samples=2, objects=3)
    table = root / "v1.0-mini" / "sample_annotation.json"
    rows = json.loads(table.read_text())
    for row in rows:
        row["attribute_tokens"] = {"0": ["a"], "1": [], "2": ["a", "a"]}[row["token"][-1]]
    table.write_text(json.dumps(rows))
    config = NuScenesConfig(root=str(root), version="v1.0-mini", cache=str(tmp_path / "cache"))
    recording = NuScenesRecording(config)
    boxes = recording.truth(recording.scenes()[0].tokens[0]).now.boxes
    assert boxes.attribute == ("vehicle.moving", "", "")


def test_only_scoring_wakes_the_devkit():
    code = (
        "import sys, drivevlm.metrics.nuscenes_detection, drivevlm.record.result_file;"
        "sys.exit('nuscenes' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
