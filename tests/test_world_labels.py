from dataclasses import replace

import numpy as np
import pytest
from small_world import SmallRecording, no_boxes, one_car

from drivevlm.world.boxes import Box3
from drivevlm.world.clip import Proposals
from drivevlm.world.labels import boxes_now, decision_from_truth
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import (
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    Provenance,
    Verdict,
)
from drivevlm.world.truth import LabelledBoxes, Truth

RECORDING = SmallRecording()
ARRAYS = ("center_global_m", "size_lwh_m", "wxyz_global")
ARRAYS += ("lidar_points", "radar_points", "visibility")
NAMES = ("category", "instance", "annotation", "following")


def truth_with(boxes_at, token="s0-2") -> Truth:
    """A drive along x at 4 m/s, now at x = 4 m, with boxes by keyframe offset."""
    truth = RECORDING.truth(token)
    steps = {k: replace(step, boxes=boxes_at(k)) for k, step in truth.steps.items()}
    return replace(truth, steps=steps)


def test_an_incomplete_future_is_a_failure_and_no_answer():
    decision = decision_from_truth(RECORDING.truth("s0-9"))
    assert decision.failure is not None
    assert decision.failure.kind is FailureKind.NO_FUTURE


def test_an_empty_road_tracks_speed():
    decision = decision_from_truth(truth_with(lambda k: no_boxes()))
    assert decision.meta is not None
    assert decision.meta.longitudinal is Longitudinal.TRACK_SPEED
    assert decision.meta.lateral is Lateral.KEEP_LANE
    assert decision.critical == ()


def test_a_lead_is_followed_and_its_gap_is_from_bumper_to_bumper():
    # The lead keeps 4 m/s, its centre 16 m ahead: 16 - 2.3 (half its length) - 3.528 (our front).
    decision = decision_from_truth(truth_with(lambda k: one_car(20.0 + 2.0 * k)))
    (lead,) = decision.critical
    assert lead.lane is LaneRelation.EGO_LANE
    assert lead.gap_m == pytest.approx(10.172)
    assert lead.ttc_s is None  # the gap does not close
    assert decision.meta is not None
    assert decision.meta.longitudinal is Longitudinal.FOLLOW_LEAD


def test_a_cone_leads_nobody():
    def cone(k):
        return replace(one_car(30.0), category=("movable_object.trafficcone",))

    decision = decision_from_truth(truth_with(cone))
    assert decision.critical[0].lane is LaneRelation.EGO_LANE
    assert decision.meta is not None
    assert decision.meta.longitudinal is Longitudinal.TRACK_SPEED


def test_a_lead_is_not_crowded_out_by_nearer_cars_beside_the_road():
    def crowd(k):
        cars = [one_car(4.0, 7.0 + j, f"parked-{j}") for j in range(5)] + [one_car(24.0 + 2 * k)]
        return LabelledBoxes(
            *(np.concatenate([getattr(c, f) for c in cars]) for f in ARRAYS[:3]),
            *(sum((getattr(c, f) for c in cars), ()) for f in NAMES),
            *(np.concatenate([getattr(c, f) for c in cars]) for f in ARRAYS[3:]),
        )

    decision = decision_from_truth(truth_with(crowd))
    assert [c.lane for c in decision.critical] == [LaneRelation.EGO_LANE]
    assert decision.meta is not None
    assert decision.meta.longitudinal is Longitudinal.FOLLOW_LEAD


def test_a_standing_object_closes_at_our_speed():
    (lead,) = decision_from_truth(truth_with(lambda k: one_car(40.0))).critical
    assert lead.ttc_s == pytest.approx(lead.gap_m / 4.0)


def test_velocity_is_a_backward_difference_and_none_for_a_new_object():
    (moving,) = boxes_now(truth_with(lambda k: one_car(20.0 + 1.5 * k)))
    np.testing.assert_allclose(moving.velocity_ego_mps, [3.0, 0.0])
    (new,) = boxes_now(truth_with(lambda k: one_car(20.0) if k >= 0 else no_boxes()))
    assert new.velocity_ego_mps is None


def test_proposals_are_kept_or_dropped_and_the_rest_is_added():
    truth = truth_with(lambda k: one_car(20.0))
    near = Box3.typical("car", x_ego_m=16.5, y_ego_m=0.5, id="p1")
    wrong_class = Box3.typical("bus", x_ego_m=16.0, y_ego_m=0.0, id="p2")
    with_both = decision_from_truth(truth, Proposals((near, wrong_class), Provenance.DETECTOR))
    assert [d.verdict for d in with_both.detections] == [Verdict.KEPT, Verdict.DROPPED]
    without = decision_from_truth(truth)
    assert [(d.verdict, d.box.id) for d in without.detections] == [(Verdict.ADDED, "a1")]


@pytest.mark.parametrize(
    ("y_m", "relation"),
    [(0.0, LaneRelation.EGO_LANE), (3.5, LaneRelation.LEFT_LANE), (-3.5, LaneRelation.RIGHT_LANE)],
)
def test_lanes_are_told_by_the_distance_from_the_path(y_m, relation):
    (found,) = decision_from_truth(truth_with(lambda k: one_car(20.0, y_m))).critical
    assert found.lane is relation


def test_what_stands_off_the_road_is_not_critical():
    assert decision_from_truth(truth_with(lambda k: one_car(20.0, 9.0))).critical == ()


def test_a_turn_is_told_by_the_recorded_heading():
    truth = truth_with(lambda k: no_boxes())
    steps = {
        k: replace(
            step, global_from_ego=Pose3.from_pose2(Pose2(4.0 + 2.0 * k, 0.2 * k, 0.15 * max(k, 0)))
        )
        for k, step in truth.steps.items()
    }
    decision = decision_from_truth(replace(truth, steps=steps))
    assert decision.meta is not None
    assert decision.meta.lateral is Lateral.TURN_LEFT


def test_a_gap_is_measured_along_the_driven_path():
    # A quarter circle of 20 m radius to the left, and a car standing at its end.
    angles = np.linspace(0.0, np.pi / 2, 7)
    truth = truth_with(lambda k: one_car(24.0, 20.0))
    steps = {
        k: replace(
            step,
            global_from_ego=Pose3.from_pose2(
                Pose2(4.0 + 20 * np.sin(angles[k]), 20 - 20 * np.cos(angles[k]), angles[k])
            ),
        )
        if k >= 0
        else step
        for k, step in truth.steps.items()
    }
    (found,) = decision_from_truth(replace(truth, steps=steps)).critical
    assert found.lane is LaneRelation.EGO_LANE
    # Six chords of the circle, less half the car (2.3 by 0.95 m) across them, and our front.
    last_rad = np.pi / 2 - np.pi / 24
    half_m = 2.3 * np.cos(last_rad) + 0.95 * np.sin(last_rad)
    assert found.gap_m == pytest.approx(6 * 40 * np.sin(np.pi / 24) - half_m - 3.528, abs=0.02)


def test_a_car_that_comes_towards_us_is_no_lead():
    def coming(k):
        boxes = one_car(34.0 - 2.0 * k)
        return replace(boxes, wxyz_global=np.array([[0.0, 0.0, 0.0, 1.0]]))

    decision = decision_from_truth(truth_with(coming))
    assert decision.critical[0].lane is LaneRelation.ONCOMING
    assert decision.critical[0].ttc_s == pytest.approx(decision.critical[0].gap_m / 8.0)
    assert decision.meta is not None
    assert decision.meta.longitudinal is not Longitudinal.FOLLOW_LEAD
