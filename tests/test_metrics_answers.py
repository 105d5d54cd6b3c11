"""Figures about answers: failures, consistency, detection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drivevlm.metrics.consistency import consistency, consistent
from drivevlm.metrics.detection import (
    DetectionCounts,
    detection_counts,
    detection_figures,
    failed_answer,
)
from drivevlm.metrics.failures import failure_counts
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.categories import DETECTION_CATEGORY, detection_category
from drivevlm.world.decision import Decision
from drivevlm.world.plan import Plan
from drivevlm.world.sets import FailureKind, Lateral, Longitudinal, MetaDecision, Verdict

KEEP_GOING = MetaDecision(Longitudinal.TRACK_SPEED, Lateral.KEEP_LANE)
HALT = MetaDecision(Longitudinal.STOP, Lateral.KEEP_LANE)


def decision(meta: MetaDecision | None, speed_mps: float) -> Decision:
    x_m = speed_mps * 0.5 * np.arange(1, 7)
    return Decision(plan=Plan(np.stack([x_m, 0 * x_m], axis=1)), meta=meta)


FAILED = Decision.failed(FailureKind.DEADLINE, "too late")


def test_failures_are_counted_by_kind_and_stay_in_the_total():
    image = Decision.failed(FailureKind.IMAGE, "truncated")
    counts = failure_counts([FAILED, decision(None, 1.0), image, FAILED])
    assert counts == {"total": 4, "failed": 3, "by_kind": {"deadline": 2, "image": 1}}
    assert list(counts["by_kind"]) == ["deadline", "image"]


def test_no_decisions_have_no_failures():
    assert failure_counts([]) == {"total": 0, "failed": 0, "by_kind": {}}


def test_a_decision_to_stop_does_not_admit_driving_on():
    assert consistent(decision(HALT, 5.0)) is False
    assert consistent(decision(HALT, 0.0)) is True
    assert consistent(decision(None, 5.0)) is None
    assert consistent(FAILED) is None


def test_consistency_shows_its_base_and_what_constants_score():
    """Three of four fit. ``follow_lead / keep_lane`` would fit all; of the two decisions that were
    made, each fits two of the four plans, and so they do when dealt at random."""
    decisions = [decision(KEEP_GOING, 5.0)] * 2 + [decision(HALT, 0.0), decision(KEEP_GOING, 0.0)]
    found = consistency([*decisions, decision(None, 5.0), FAILED])
    assert found is not None
    assert (found["rate"], found["judged"], found["total"]) == (0.75, 4, 6)
    assert found["constant"] == {"decision": "follow_lead / keep_lane", "rate": 1.0}
    assert found["own_constant"]["rate"] == 0.5
    assert found["chance"] == pytest.approx(0.5)


def test_without_one_decision_and_plan_there_is_no_consistency():
    assert consistency([FAILED, decision(None, 2.0)]) is None


def car(x_m: float, y_m: float = 0.0, category: str = "car") -> Box3:
    return Box3.typical(category, x_ego_m=x_m, y_ego_m=y_m)


def said(verdict: Verdict, *boxes: Box3) -> list[Detection]:
    return [Detection(box, verdict) for box in boxes]


def test_kept_dropped_and_added_are_counted_against_the_labels():
    """Labels at 10, 20, 30 m. Proposals: two true, one false; the false one and one true one are
    dropped. Additions: one finds the third car, one finds nothing."""
    detections = [
        *said(Verdict.KEPT, car(10.5)),
        *said(Verdict.DROPPED, car(20.5), car(50.0)),
        *said(Verdict.ADDED, car(31.0), car(70.0)),
    ]
    counts = detection_counts(detections, [car(10.0), car(20.0), car(30.0)])
    assert counts == DetectionCounts(
        clips=1,
        failed=0,
        labelled=3,
        labelled_read=3,
        kept=1,
        kept_true=1,
        dropped=2,
        dropped_true=1,
        added=2,
        added_true=1,
        proposals_true=2,
        kept_invented=0,
        added_invented=1,
    )
    figures = detection_figures([counts])
    assert figures is not None
    assert figures["proposals_precision"] == pytest.approx(2 / 3)
    assert figures["proposals_recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision_gained_by_drops"] == pytest.approx(1 - 2 / 3)
    assert figures["precision_gained"] == pytest.approx(0.0)
    assert figures["recall_gained"] == pytest.approx(0.0)
    assert figures["recall_gained_by_additions"] == pytest.approx(1 / 3)
    assert figures["recall_lost_by_drops"] == pytest.approx(1 / 3)
    assert (figures["hallucinated"], figures["seen"]) == (1, 3)
    assert figures["hallucinated_rate"] == pytest.approx(1 / 3)
    assert figures["kept_hallucinated_rate"] == 0.0
    assert figures["added_hallucinated_rate"] == pytest.approx(1 / 2)


def test_gains_are_over_the_proposals():
    """Of four proposals two are true. Dropping a false one and adding a third car gains a quarter
    of precision (3 of 4) and a third of recall (3 of 3)."""
    detections = [
        *said(Verdict.KEPT, car(10.0), car(20.0), car(50.0)),
        *said(Verdict.DROPPED, car(60.0)),
        *said(Verdict.ADDED, car(30.0)),
    ]
    figures = detection_figures([detection_counts(detections, [car(10.0), car(20.0), car(30.0)])])
    assert figures is not None
    assert figures["precision_gained"] == pytest.approx(1 / 4)
    assert figures["hallucinated_rate"] == pytest.approx(1 / 4)
    assert figures["recall_gained"] == pytest.approx(1 / 3)
    assert figures["precision_gained_by_drops"] == pytest.approx(2 / 3 - 1 / 2)
    assert figures["recall_lost_by_drops"] == 0.0


def test_a_failed_answer_finds_nothing_and_invents_nothing():
    """One car of two is before an answer that was read: recall is a half, or all of it."""
    read = detection_counts(said(Verdict.KEPT, car(10.0)), [car(10.0)])
    figures = detection_figures([read, failed_answer([car(10.0)])])
    assert figures is not None
    assert (figures["clips"], figures["failed"], figures["labelled"]) == (2, 1, 2)
    assert (figures["recall"], figures["precision"], figures["hallucinated_rate"]) == (
        0.5,
        1.0,
        0.0,
    )
    assert figures["lenient"] == {"clips": 1, "labelled": 1, "recall": 1.0}
    assert (figures["proposals_recall"], figures["recall_gained"]) == (1.0, 0.0)


def test_an_object_without_a_measured_point_is_no_hallucination_and_need_not_be_found():
    counts = detection_counts(said(Verdict.ADDED, car(10.0), car(40.0)), [], [car(10.5)])
    assert (counts.labelled, counts.added_true, counts.added_invented) == (0, 0, 1)


def test_a_box_must_be_of_the_class_and_nearer_than_2_m():
    far = detection_counts(said(Verdict.KEPT, car(12.0)), [car(10.0)])
    other = detection_counts(said(Verdict.KEPT, car(10.0, category="truck")), [car(10.0)])
    near = detection_counts(said(Verdict.KEPT, car(11.99)), [car(10.0)])
    assert (far.kept_true, other.kept_true, near.kept_true) == (0, 0, 1)
    assert (far.kept_invented, other.kept_invented, near.kept_invented) == (1, 1, 0)


def test_one_object_is_found_once_and_a_second_box_on_it_is_no_hallucination():
    counts = detection_counts(said(Verdict.KEPT, car(10.1), car(10.2)), [car(10.0)])
    assert (counts.kept_true, counts.kept_invented) == (1, 0)


def test_the_nearest_pair_is_matched_first():
    """Taken in order, the first box would take the object of the second, and one be left over."""
    counts = detection_counts(said(Verdict.KEPT, car(11.0), car(12.1)), [car(10.0), car(12.0)])
    assert counts.kept_true == 2


def test_an_addition_cannot_find_what_a_kept_proposal_has_found():
    detections = said(Verdict.KEPT, car(10.0)) + said(Verdict.ADDED, car(10.1))
    assert detection_counts(detections, [car(10.0)]).added_true == 0


def test_figures_without_their_base_are_none():
    assert detection_figures([]) is None
    only_added = detection_figures([detection_counts(said(Verdict.ADDED, car(5.0)), [])])
    assert only_added is not None
    assert only_added["recall"] is None
    assert only_added["proposals_precision"] is None
    assert only_added["proposals_recall"] is None
    assert only_added["precision_gained_by_drops"] is None
    assert only_added["precision_gained"] is None
    assert only_added["recall_gained"] is None
    assert only_added["recall_lost_by_drops"] is None
    assert only_added["kept_hallucinated_rate"] is None
    assert only_added["precision"] == 0.0
    assert only_added["hallucinated_rate"] == 1.0


def test_figures_are_those_of_all_answers_together():
    one = detection_counts(said(Verdict.KEPT, car(10.0)), [car(10.0)])
    many = replace(one, kept=9, kept_true=0)
    figures = detection_figures([one, many])
    assert figures is not None
    assert (figures["clips"], figures["kept_precision"]) == (2, 0.1)


@pytest.mark.part
def test_detection_categories_are_those_of_the_devkit():
    utils = pytest.importorskip("nuscenes.eval.detection.utils")
    for name, category in DETECTION_CATEGORY.items():
        assert utils.category_to_detection_name(name) == category
    for name in ("animal", "vehicle.emergency.police", "human.pedestrian.stroller"):
        assert detection_category(name) is None
        assert utils.category_to_detection_name(name) is None
