"""Small networks with and without the truth: who of them can tell twins apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from label_world import label_line, write_labels
from light_world import LightWorld
from small_world import HALF_SECOND_US, SmallRecording, no_boxes, one_car
from tiny_tables import write_tables
from twin_world import write_twins

from drivevlm.baselines.blind_mlp import FULL, SPEED_ONLY, blind, blind_by_speed
from drivevlm.baselines.ego_mlp import EgoMlp, mirror
from drivevlm.build.teaching import Drives, Known, teaching_data
from drivevlm.data.nuscenes.config import EgoSource, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.nuscenes.route import read_route
from drivevlm.data.recording import DataError, Recording
from drivevlm.evaluate.eyes import twins
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import MlpSettings, fit, lessons_from, teaching_clips
from drivevlm.evaluate.truth_facts import FACTS, cause_here, facts
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.scene_labels import RelationLabel, SceneLabels, SignalLabel
from drivevlm.world.sets import (
    Command,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
)
from drivevlm.world.truth import LabelledBoxes, Truth, TruthStep
from drivevlm.world.twins import TwinCause, TwinPair


@cache
def taught(name: str) -> EgoMlp:
    """A row that learned from 60 pairs, to plan on 30 others."""
    lessons_of, scored = LightWorld(pairs=60, seed=1), LightWorld()
    mlp = MLPS[name]
    lessons = lessons_from(lessons_of, teaching_clips(lessons_of), mlp.reader(lessons_of))
    layers = fit(lessons, MlpSettings(hidden=32, epochs=150), mlp.names)
    return EgoMlp(layers, name, mlp.reader(scored))


def test_drives_are_read_once_and_each_row_takes_its_own_features():
    world = LightWorld(pairs=3)
    drives = Drives((world,))
    for name in ("blind_mlp", "blind_mlp_speed", "oracle_mlp_speed"):
        own = lessons_from(world, teaching_clips(world), MLPS[name].reader(world))
        np.testing.assert_array_equal(drives.lessons(name).features, own.features)
        np.testing.assert_array_equal(drives.lessons(name).speed_mps, own.speed_mps)
    assert drives.words == "6 clips of 3 scenes (3 of them twin pairs) of lights"


def pairs_right(planner: EgoMlp, recording: Recording) -> float:
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    decisions = {token: planner.decide(recording.clip(token)) for token in tokens}
    told = twins(recording, decisions, lambda token, truth: decisions[token].plan)
    assert told is not None
    return float(told["pair"])


@pytest.mark.parametrize("name", ["oracle_mlp", "oracle_mlp_speed"])
def test_who_is_told_the_light_gets_both_sides_right(name):
    assert pairs_right(taught(name), LightWorld()) > 0.9


@pytest.mark.parametrize("name", ["blind_mlp", "blind_mlp_speed"])
def test_who_is_not_told_gets_no_pair_right(name):
    assert pairs_right(taught(name), LightWorld()) == 0.0


def test_rows_that_read_the_truth_say_so():
    assert {name for name, mlp in MLPS.items() if mlp.reads_truth} == {
        "oracle_mlp",
        "oracle_mlp_speed",
    }
    assert all(set(FACTS).isdisjoint(mlp.names) for mlp in MLPS.values() if not mlp.reads_truth)


def command_clip(command: Command, *, distance_m: float | None = None) -> Clip:
    clip = SmallRecording().clip("s0-4")
    asked = RouteCommand(command, Provenance.ROUTE, distance_m=distance_m)
    return replace(clip, command=asked)


@pytest.mark.parametrize(
    ("command", "other"),
    [(Command.LEFT, Command.RIGHT), (Command.CHANGE_LEFT, Command.CHANGE_RIGHT)],
)
def test_the_mirrored_command_is_read_mirrored(command, other):
    features = blind(command_clip(command, distance_m=10.0)).features
    mirrored = blind(command_clip(other, distance_m=10.0)).features
    assert len(features) == len(FULL)
    assert (features != mirrored).any()
    np.testing.assert_allclose(mirrored, features * mirror(FULL))


def test_speed_and_command_are_all_that_the_poorer_row_reads():
    clip = command_clip(Command.LEFT)
    assert len(blind_by_speed(clip).features) == len(SPEED_ONLY)
    without = replace(clip, history=None)
    np.testing.assert_array_equal(blind_by_speed(without).features, blind_by_speed(clip).features)


def boxed(boxes: LabelledBoxes, *, before: LabelledBoxes | None = None) -> Truth:
    here = Pose3.from_pose2(Pose2(0.0, 0.0, 0.0))
    steps = {0: TruthStep(HALF_SECOND_US, here, None, boxes)}
    if before is not None:
        steps[-1] = TruthStep(0, here, None, before)
    return Truth("t", "s", steps)


def told(truth: Truth, **options) -> dict[str, float]:
    given = {"speed_mps": 8.0, "cause": "", "route": None, **options}
    return dict(zip(FACTS, facts(truth, **given), strict=True))


def test_a_critical_object_is_told_with_its_place_and_motion():
    truth = boxed(one_car(20.0, 3.0), before=one_car(21.0, 4.0))
    found = told(truth, cause="car-1")
    assert (found["critical other"], found["critical pedestrian"]) == (1.0, 0.0)
    assert (found["critical ahead"], found["left to the critical"]) == (20.0, 3.0)
    assert found["critical speed along"] == pytest.approx(-2.0)
    assert found["left speed of it"] == pytest.approx(-2.0)
    # 8 m/s end within the free way: 20 m less the ego's front and half of the car.
    assert found["braking for the critical"] == pytest.approx(64 / 2 / (20.0 - 3.528 - 2.3))
    assert told(truth)["critical other"] == 0.0
    assert (found["critical crosses"], found["critical gap"]) == (0.0, 60.0)  # no label tells
    assert found["critical is a cause"] == 1.0
    assert found["braking for a cause"] == found["braking for the critical"]


def test_of_a_critical_object_that_crosses_the_free_way_is_told():
    truth = boxed(one_car(20.0, 3.0))
    crossing = RelationLabel("car-1", LaneRelation.CROSSING, 10.0, 2.0, visible=True)
    labels = SceneLabels(
        signal=SignalLabel(Signal.NONE, None, visible=False),
        lead=None,
        meta=MetaDecision(Longitudinal.YIELD, Lateral.KEEP_LANE),
        tested=(),
        relations=(crossing,),
        summary="",
        route=None,
        sentences=(),
        paraphrases=0,
    )
    found = told(replace(truth, labels=labels), cause="car-1")
    assert (found["critical crosses"], found["critical gap"]) == (1.0, 10.0)
    assert found["braking for its gap"] == pytest.approx(64 / 2 / 10.0)
    untested = told(replace(truth, labels=labels))  # it crosses, and may matter or not
    assert (untested["critical crosses"], untested["critical is a cause"]) == (1.0, 0.0)
    assert untested["braking for a cause"] == 0.0


def pair_of(name: str) -> TwinPair:
    return TwinPair("p", "f", "oak", ("a", "b"), TwinCause("vehicle", name, "C", 9, 20.0), 6.0)


def test_a_cause_that_stands_on_both_sides_is_told_on_both():
    """A leader that brakes on one side is named on one alone, and must not tell which it is."""
    named, braking, gone = boxed(one_car(20.0)), boxed(one_car(19.0, name="x")), boxed(no_boxes())
    assert cause_here(pair_of("car-1"), named, braking) == "car-1"
    assert cause_here(pair_of("car-1"), braking, named) == "x"
    assert cause_here(pair_of("car-1"), gone, named) == ""
    assert cause_here(pair_of("car-1"), boxed(one_car(24.0, name="x")), named) == ""


def test_the_route_is_told_along_itself_in_the_ego_frame():
    corner = np.array([[-5.0, 0.0], [0.0, 0.0], [5.0, 0.0], [10.0, 0.0], [10.0, 40.0]])
    found = told(boxed(no_boxes()), route=corner)
    assert (found["ahead on the route at 5 m"], found["left on the route at 5 m"]) == (5.0, 0.0)
    assert (found["ahead on the route at 20 m"], found["left on the route at 20 m"]) == (10.0, 10.0)
    assert np.isnan(told(boxed(no_boxes()), route=corner + 100.0)["ahead on the route at 5 m"])
    short = told(boxed(no_boxes()), route=corner[:3])
    assert short["ahead on the route at 5 m"] == 5.0
    assert np.isnan(short["ahead on the route at 10 m"])


def test_the_facts_of_a_moment_know_nothing_of_what_follows(tmp_path):
    """A recording that ends now tells the same as one that goes on."""
    told_by = []
    for samples in (12, 6):
        root = write_tables(tmp_path / str(samples), version="v1.0-mine", samples=samples)
        write_labels(root / "v1.0-mine", [label_line("scene-2001-05")])
        recording = NuScenesRecording(NuScenesConfig(root=str(root), version="v1.0-mine"))
        read = MLPS["oracle_mlp"].reader(recording)
        told_by.append(read(recording.clip("scene-2001-05")).features)
    np.testing.assert_array_equal(*told_by)
    lead = dict(zip(FACTS, told_by[0][-len(FACTS) :], strict=True))
    assert (lead["red"], lead["lead gap"]) == (1.0, 12.5)


def test_a_route_file_that_is_none_is_refused_in_one_line(tmp_path):
    (tmp_path / "can_bus").mkdir()
    path = tmp_path / "can_bus" / "scene-2001_route.json"
    assert read_route(tmp_path, "scene-2001") is None
    path.write_text("[[0, 0], [3, 4]]")
    np.testing.assert_array_equal(read_route(tmp_path, "scene-2001"), [[0, 0], [3, 4]])
    path.write_text('[{"x": 1}]')
    with pytest.raises(DataError, match="route"):
        read_route(tmp_path, "scene-2001")


def test_twins_of_another_root_teach_and_those_of_the_scored_root_do_not(tmp_path):
    scored, other = tmp_path / "scored", tmp_path / "other"
    for root in (scored, other):
        write_twins(root, pairs=2)
        write_tables(root, version="v1.0-synth", samples=16)
        for version in ("v1.0-synth", "v1.0-twins"):
            write_labels(root / version, [])
    like = NuScenesConfig(
        root=str(scored), version="v1.0-synth", ego=EgoSource.CAN_BUS, command="route"
    )
    for root, versions in ((other, ["v1.0-synth", "v1.0-twins"]), (scored, ["v1.0-synth"])):
        found = teaching_data(like, MlpSettings(train_root=str(root)), kin=True)
        assert [config.version for config in found] == versions
        assert {(config.ego, config.command) for config in found} == {(EgoSource.CAN_BUS, "route")}
    (plain,) = teaching_data(like, MlpSettings(train_root=str(other)), kin=False)
    assert (plain.version, plain.command) == ("v1.0-synth", "none")


def test_generated_worlds_with_scenes_of_one_name_are_told_apart_by_place():
    """Worlds count their scenes from one number on, so names alone say nothing."""

    class Elsewhere(SmallRecording):
        def truth(self, token):
            truth = super().truth(token)
            away = Pose3.from_pose2(Pose2(0.0, 500.0, 0.0))
            steps = {
                k: replace(step, global_from_ego=away @ step.global_from_ego)
                for k, step in truth.steps.items()
            }
            return replace(truth, steps=steps)

    scene = SmallRecording().scenes()[0]
    by_place = Known.of(SmallRecording(), by_place=True)
    assert by_place.holds(SmallRecording(), scene)
    assert not by_place.holds(Elsewhere(), scene)
    assert Known.of(SmallRecording(), by_place=False).holds(Elsewhere(), scene)
