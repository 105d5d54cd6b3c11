from pathlib import Path

import numpy as np
import pytest
from label_world import LEAD, label_line, write_labels
from small_world import LIDAR, no_boxes, one_car
from tiny_tables import write_tables

from drivevlm.baselines import Baseline
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.expert import Expert
from drivevlm.evaluate.eyes import reasons
from drivevlm.metrics.reasons import reason_figures
from drivevlm.world.boxes import Box3, Detection
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose3
from drivevlm.world.scene_labels import LeadLabel, RelationLabel, SceneLabels, SignalLabel
from drivevlm.world.sets import (
    FailureKind,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Signal,
    Verdict,
)
from drivevlm.world.truth import Truth, TruthStep

PLAN = Plan(np.zeros((6, 2)))
FAILED = Decision.failed(FailureKind.UNREADABLE, "gibberish")
STOP = MetaDecision(Longitudinal.STOP, Lateral.KEEP_LANE)
TURN = MetaDecision(Longitudinal.TRACK_SPEED, Lateral.TURN_LEFT)
NO_LIGHT = SignalLabel(Signal.NONE, None, visible=False)


def light(state: str, distance_m: float, *, visible: bool = True) -> SignalLabel:
    return SignalLabel(Signal(state), distance_m, visible)


def truth(
    token: str,
    *,
    signal: SignalLabel = NO_LIGHT,
    lead: LeadLabel | None = None,
    meta: MetaDecision = STOP,
    relations: tuple[RelationLabel, ...] = (),
    car_at_m: float | None = None,
    scene: str = "s",
) -> Truth:
    """One keyframe at the origin, with labels and perhaps a car straight ahead."""
    boxes = no_boxes() if car_at_m is None else one_car(car_at_m)
    labels = SceneLabels(signal, lead, meta, (), relations, "", None, (), 0)
    step = TruthStep(0, Pose3.identity(), LIDAR, boxes)
    return Truth(token, scene, {0: step}, labels=labels)


def figures(decisions: list[Decision], truths: list[Truth]):
    told = {t.token: decision for t, decision in zip(truths, decisions, strict=True)}
    return reason_figures(told, truths)


def test_a_decision_is_right_along_and_across_each_for_itself():
    half = MetaDecision(Longitudinal.STOP, Lateral.TURN_LEFT)
    truths = [truth("1"), truth("2"), truth("3", meta=TURN), truth("4")]
    told = figures([Decision(PLAN, meta=m) for m in (STOP, half, half, TURN)], truths)
    assert (told["longitudinal"]["accuracy"], told["longitudinal"]["n"]) == (0.5, 4)
    assert told["lateral"]["accuracy"] == 0.5


def test_a_constant_answer_stands_beside_every_accuracy():
    """Three of four drivers stopped: who always says stop is right three times."""
    truths = [truth("1"), truth("2"), truth("3", meta=TURN), truth("4")]
    told = figures([Decision(PLAN, meta=STOP)] * 4, truths)
    constant = told["longitudinal"]["constant"]
    assert (constant["answer"], constant["accuracy"]) == ("stop", 0.75)
    assert told["longitudinal"]["accuracy"] == 0.75
    assert told["lateral"]["constant"]["answer"] == "keep_lane"


def test_a_failed_answer_stays_in_the_total_and_is_wrong():
    told = figures(
        [Decision(PLAN, meta=STOP, signal=Signal.NONE), FAILED], [truth("1"), truth("2")]
    )
    assert (told["longitudinal"]["accuracy"], told["longitudinal"]["n"]) == (0.5, 2)
    assert (told["signal"]["accuracy"], told["signal"]["n"]) == (0.5, 2)


def test_what_is_never_spoken_of_was_not_asked():
    told = figures([Decision(PLAN, meta=STOP)], [truth("1")])
    assert set(told) == {"clips", "longitudinal", "lateral"}
    assert figures([Decision(PLAN)], [truth("1")]) is None
    assert reason_figures({"1": Decision(PLAN, meta=STOP)}, []) is None


def test_signals_are_judged_by_the_distance_to_their_stop_line():
    truths = [
        truth("1", signal=light("red", 10.0)),
        truth("2", signal=light("green", 14.9)),
        truth("3", signal=light("red", 15.0)),
        truth("4", signal=light("amber", 300.0)),
        truth("5"),
    ]
    told = figures([Decision(PLAN, signal=Signal.RED)] * 5, truths)["signal"]
    assert (told["accuracy"], told["n"]) == (0.4, 5)
    assert {name: (g["accuracy"], g["n"]) for name, g in told["by_distance"].items()} == {
        "0-15 m": (0.5, 2),
        "15-30 m": (1.0, 1),
        "60+ m": (0.0, 1),
    }
    assert told["by_distance"]["0-15 m"]["constant"]["accuracy"] == 0.5


def test_a_hidden_or_unknown_light_is_not_judged():
    truths = [
        truth("1", signal=light("red", 20.0, visible=False)),
        truth("2", signal=light("unknown", 20.0)),
        truth("3"),
    ]
    told = figures([Decision(PLAN, signal=Signal.NONE)] * 3, truths)["signal"]
    assert (told["accuracy"], told["n"], told["by_distance"]) == (1.0, 1, {})


def speaks_of(*items: tuple[float, LaneRelation, float], category: str = "car") -> Decision:
    """A plan that adds objects straight ahead: where each is, in which lane, at which gap."""
    boxes = [
        Box3.typical(category, x_ego_m=x_m, y_ego_m=0.0, id=f"a{k}")
        for k, (x_m, _, _) in enumerate(items, start=1)
    ]
    return Decision(
        PLAN,
        detections=tuple(Detection(box, Verdict.ADDED) for box in boxes),
        critical=tuple(
            CriticalObject(box.id, lane, gap_m, None)
            for box, (_, lane, gap_m) in zip(boxes, items, strict=True)
        ),
    )


def test_the_nearest_object_of_the_own_lane_is_the_lead():
    ego, left = LaneRelation.EGO_LANE, LaneRelation.LEFT_LANE
    truths = [
        truth("1", lead=LeadLabel("car-1", 10.0, visible=True)),
        truth("2", lead=LeadLabel("car-1", 20.0, visible=True)),
        truth("3", lead=LeadLabel("car-1", 60.0, visible=True)),
        truth("4", lead=LeadLabel("car-1", 60.0, visible=False)),
        truth("5"),
        truth("6"),
    ]
    decisions = [
        speaks_of((20, left, 2.0), (30, ego, 25.0), (15, ego, 11.0)),
        speaks_of((20, ego, 17.0)),
        speaks_of((20, left, 59.0)),
        speaks_of((20, ego, 1.0)),
        speaks_of((20, ego, 5.0)),
        Decision(PLAN),
    ]
    told = figures(decisions, truths)["lead_gap"]
    assert (told["n"], told["named"]) == (3, 2)
    assert (told["mean_error_m"], told["median_error_m"]) == (2.0, 2.0)  # 1 m and 3 m
    assert (told["invented"], told["without_lead"]) == (1, 2)
    # Who always says 20 m is off by 10, 0 and 40 m.
    assert told["constant"] == {
        "answer_m": 20.0,
        "mean_error_m": pytest.approx(50 / 3),
        "median_error_m": 10.0,
    }


def test_a_relation_is_judged_where_the_object_is_found():
    ego, right = LaneRelation.EGO_LANE, LaneRelation.RIGHT_LANE
    label = RelationLabel("car-1", right, 10.0, None, visible=True)
    truths = [truth(str(k), relations=(label,), car_at_m=20.0) for k in range(4)]
    decisions = [
        speaks_of((21.9, right, 10.0)),
        speaks_of((18.1, ego, 10.0)),
        speaks_of((22.1, right, 10.0)),  # no object within 2 m
        speaks_of((20.0, right, 10.0), category="pedestrian"),  # no pedestrian there
    ]
    told = figures(decisions, truths)["relations"]
    assert (told["accuracy"], told["n"]) == (0.5, 2)
    assert (told["named"], told["labelled"], told["unknown"]) == (2, 4, 2)
    assert told["constant"] == {"answer": "right_lane", "accuracy": 1.0}


def test_one_object_is_named_once():
    label = RelationLabel("car-1", LaneRelation.EGO_LANE, 10.0, None, visible=True)
    twice = speaks_of((20.0, LaneRelation.EGO_LANE, 1.0), (20.5, LaneRelation.EGO_LANE, 1.0))
    told = figures([twice], [truth("1", relations=(label,), car_at_m=20.0)])["relations"]
    assert (told["named"], told["unknown"]) == (1, 1)


def test_the_interval_resamples_scenes():
    truths = [truth(str(k), scene=f"s{k}") for k in range(40)]
    decisions = [Decision(PLAN, meta=STOP if k % 2 else TURN) for k in range(40)]
    low, high = figures(decisions, truths)["longitudinal"]["ci95"]
    assert 0.3 < low < 0.4 < 0.6 < high < 0.7
    alone = [truth(str(k)) for k in range(40)]
    assert figures(decisions, alone)["longitudinal"]["ci95"] is None


def labelled(root: Path) -> NuScenesRecording:
    write_tables(root)
    tokens = [f"scene-2001-{k:02d}" for k in range(9)]
    write_labels(root / "v1.0-mini", [label_line(token) for token in tokens])
    return NuScenesRecording(NuScenesConfig(root=str(root), cache=str(root / "cache")))


def test_the_expert_is_right_in_everything(tmp_path):
    recording = labelled(tmp_path)
    expert = Expert(recording)
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    decisions = {token: expert.decide(recording.clip(token)) for token in tokens}
    told = reasons(recording, decisions)
    assert told is not None
    assert told["clips"] == 9  # the other scene has no labels
    for name in ("longitudinal", "lateral", "signal", "relations"):
        assert told[name]["accuracy"] == 1.0, name
    assert told["relations"]["named"] == told["relations"]["labelled"] == 9


def test_a_lead_in_the_own_lane_is_told_by_the_expert_to_the_metre(tmp_path):
    write_tables(tmp_path)
    relations = [
        {"instance": LEAD, "lane": "ego_lane", "gap_m": 12.5, "ttc_s": None, "visible": True}
    ]
    line = label_line("scene-2001-02", relations=relations)
    write_labels(tmp_path / "v1.0-mini", [line])
    config = NuScenesConfig(root=str(tmp_path), cache=str(tmp_path / "cache"))
    recording = NuScenesRecording(config)
    decision = Expert(recording).decide(recording.clip("scene-2001-02"))
    told = reasons(recording, {"scene-2001-02": decision})
    assert told is not None
    assert (told["lead_gap"]["named"], told["lead_gap"]["mean_error_m"]) == (1, 0.0)


def test_a_planner_without_words_has_no_reasons(tmp_path):
    recording = labelled(tmp_path)
    token = "scene-2001-02"
    decision = Baseline("constant_velocity").decide(recording.clip(token))
    assert reasons(recording, {token: decision}) is None
