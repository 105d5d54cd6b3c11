import json
from pathlib import Path

import jsonschema
import pytest
from label_world import LEAD, WALKER, label_line, write_labels
from tiny_tables import write_tables

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.labels import SCHEMA
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError
from drivevlm.evaluate.expert import Expert, examples_from
from drivevlm.world.clip import RouteCommand
from drivevlm.world.labels import decision_from_truth
from drivevlm.world.scene_labels import SceneLabels
from drivevlm.world.sets import (
    Command,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
    Verdict,
)

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
SAMPLE = "scene-2001-02"
STOP = MetaDecision(Longitudinal.STOP, Lateral.KEEP_LANE)


def opened(root: Path, lines, **settings) -> NuScenesRecording:
    if not (root / "v1.0-mini").exists():
        write_tables(root)
    write_labels(root / "v1.0-mini", lines)
    return NuScenesRecording(NuScenesConfig(root=str(root), cache=str(root / "cache"), **settings))


def read(root: Path, line) -> SceneLabels:
    labels = opened(root, [line]).truth(SAMPLE).labels
    assert labels is not None
    return labels


def test_a_truth_has_the_labels_of_its_keyframe(tmp_path):
    recording = opened(tmp_path, [label_line(SAMPLE)])
    labels = recording.truth(SAMPLE).labels
    assert labels is not None
    assert (labels.signal.state, labels.signal.distance_m) == (Signal.RED, 30.0)
    assert labels.lead is not None
    assert (labels.lead.instance, labels.lead.gap_m) == (LEAD, 12.5)
    assert labels.meta == STOP
    assert [(c.name, c.is_signal, c.critical) for c in labels.tested] == [
        ("head 3", True, True),
        (LEAD, False, True),
        (WALKER, False, False),  # 0.5 m is not more than 0.5 m
    ]
    relation = labels.relation(WALKER)
    assert relation is not None
    assert (relation.lane, relation.ttc_s, relation.visible) == (LaneRelation.OFF_ROAD, None, False)
    assert labels.route == RouteCommand(Command.LEFT, Provenance.ROUTE, distance_m=40.0)
    assert labels.sentences == ("The car ahead waits at the red light, so I stop.",)
    assert labels.paraphrases == 3
    assert recording.truth("scene-2001-03").labels is None


def test_a_recording_without_the_file_has_no_labels_and_its_digest_tells(tmp_path):
    recording = opened(tmp_path, [label_line(SAMPLE)])
    other = opened(tmp_path, [label_line(SAMPLE, summary="Nothing.")])
    (tmp_path / "v1.0-mini" / "drivevlm_labels.jsonl").unlink()
    plain = NuScenesRecording(NuScenesConfig(root=str(tmp_path), cache=str(tmp_path / "cache")))
    assert plain.truth(SAMPLE).labels is None
    assert len({recording.digest, other.digest, plain.digest}) == 3


def test_the_route_can_command(tmp_path):
    recording = opened(tmp_path, [label_line(SAMPLE)], command="route")
    command = recording.clip(SAMPLE).command
    assert command == RouteCommand(Command.LEFT, Provenance.ROUTE, distance_m=40.0)
    assert recording.clip("scene-2001-03").command is None
    assert recording.provenance["command"] == "route"
    (tmp_path / "v1.0-mini" / "drivevlm_labels.jsonl").unlink()
    config = NuScenesConfig(root=str(tmp_path), cache=str(tmp_path / "cache"), command="route")
    with pytest.raises(DataError, match="has no drivevlm_labels"):
        NuScenesRecording(config)


def test_the_expert_gives_the_true_reasons(tmp_path):
    """The rules alone would say: unknown signal, and what the driven arc looks like."""
    recording = opened(tmp_path, [label_line(SAMPLE)])
    told = Expert(recording).decide(recording.clip(SAMPLE))
    assert told.signal is Signal.RED
    assert told.meta == STOP
    assert told.summary == "A red light ahead; a car waits."
    assert len(told.critical) == 1  # a light is no object, and the pedestrian moves nothing
    item = told.critical[0]
    assert (item.lane, item.gap_m, item.ttc_s) == (LaneRelation.RIGHT_LANE, 12.5, 2.0)
    named = {d.box.id: d for d in told.detections}
    assert named[item.id].verdict is Verdict.ADDED
    assert named[item.id].box.category == "car"
    by_rule = Expert(recording).decide(recording.clip("scene-2001-01"))
    assert by_rule.signal is Signal.UNKNOWN
    assert by_rule.meta != STOP


def test_where_the_future_ends_the_expert_still_knows_the_reasons(tmp_path):
    last = "scene-2001-08"
    recording = opened(tmp_path, [label_line(last)])
    told = Expert(recording).decide(recording.clip(last))
    assert told.plan is not None
    assert told.meta == STOP


def test_a_critical_object_without_a_measured_point_is_told_too(tmp_path):
    write_tables(tmp_path)
    path = tmp_path / "v1.0-mini" / "sample_annotation.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row["num_lidar_pts"] = row["num_radar_pts"] = 0
    path.write_text(json.dumps(rows))
    recording = opened(tmp_path, [label_line(SAMPLE)])
    told = Expert(recording).decide(recording.clip(SAMPLE))
    assert [d.box.category for d in told.detections] == ["car"]
    assert len(told.critical) == 1


def test_the_weightiest_of_the_visible_critical_objects_lead(tmp_path):
    critical = [
        {"instance": LEAD, "moved_m": 1.0, "visible": True},
        {"instance": WALKER, "moved_m": 3.0, "visible": True},
        {"instance": "scene-2001-object-2", "moved_m": 9.0, "visible": False},
    ]
    recording = opened(tmp_path, [label_line(SAMPLE, critical=critical)])
    truth = recording.truth(SAMPLE)
    assert truth.labels is not None
    assert truth.labels.critical == (WALKER, LEAD)
    told = decision_from_truth(truth)
    kinds = {d.box.id: d.box.category for d in told.detections}
    assert [kinds[item.id] for item in told.critical] == ["pedestrian", "car"]


def test_a_light_that_no_camera_shows_is_unknown_to_the_best_viewer(tmp_path):
    hidden = {"state": "red", "distance_m": 80.0, "visible": False}
    assert read(tmp_path, label_line(SAMPLE, signal=hidden)).signal.seen is Signal.UNKNOWN
    none = {"state": "none", "distance_m": None, "visible": False}
    assert read(tmp_path, label_line(SAMPLE, signal=none)).signal.seen is Signal.NONE


def test_examples_carry_the_true_reasons(tmp_path):
    every = [f"scene-200{scene}-{k:02d}" for scene in (1, 2) for k in range(9)]
    recording = opened(tmp_path, [label_line(token) for token in every])
    examples = examples_from(recording, count=2, seed=0)(recording.clip(SAMPLE))
    assert [decision.signal for _, decision in examples] == [Signal.RED] * 2


def changed(*way, to):
    """The line with another value at a place; ``...`` takes the key away."""
    line = label_line(SAMPLE)
    node = line
    for key in way[:-1]:
        node = node[key]
    if to is ...:
        del node[way[-1]]
    else:
        node[way[-1]] = to
    return line


WRONG = [
    (changed("signal", "state", to="purple"), "signal: state is 'purple', expected one of none"),
    (changed("signal", "distance_m", to=-1), "distance_m must be finite and not negative"),
    (changed("signal", "visible", to=1), "signal: visible must be of type bool"),
    (changed("lead", to=...), "'lead' is missing"),
    (changed("lead", "gap_m", to="far"), "lead: gap_m must be of type int or float"),
    (changed("decision", "longitudinal", to="fly"), "longitudinal is 'fly', expected one of track"),
    (changed("critical", 0, "signal", to=...), r"critical\[0\]: a critical thing is either"),
    (changed("critical", 0, "instance", to="x"), r"critical\[0\]: a critical thing is either"),
    (changed("relations", 0, "lane", to="sky"), r"relations\[0\]: lane is 'sky'"),
    (changed("relations", 1, to=3), r"relations\[1\]: expected an object"),
    (changed("summary", to=None), "summary must be of type str"),
    (changed("route", "command", to="up"), "route: command is 'up'"),
    (changed("sentences", 0, to=7), "sentences must be texts"),
    (changed("paraphrases", to=True), "paraphrases must be of type int"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_what_is_wrong_in_a_line_is_told_and_the_schema_refuses_it_too(tmp_path, line, said):
    with pytest.raises(DataError, match=said) as caught:
        opened(tmp_path, [line])
    assert "drivevlm_labels.jsonl line 1" in str(caught.value)
    assert not VALIDATOR.is_valid(line)


def test_what_the_schema_admits_is_read(tmp_path):
    for line in (
        label_line(SAMPLE),
        label_line(SAMPLE, lead=None, route=None, critical=[], relations=[], sentences=[]),
        label_line(SAMPLE, summary="", family="jaywalker"),
    ):
        VALIDATOR.validate(line)
        assert read(tmp_path, line) is not None


def test_a_line_about_another_recording_or_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="line 1: sample 'gone' is not in the tables"):
        opened(tmp_path, [label_line("gone")])
    with pytest.raises(DataError, match="line 2: sample 'scene-2001-02' has a line already"):
        opened(tmp_path, [label_line(SAMPLE), label_line(SAMPLE)])
    twice = label_line(SAMPLE)
    twice["relations"] *= 2
    with pytest.raises(DataError, match="line 1: relations speaks of one thing twice"):
        opened(tmp_path, [twice])
