"""Whatever is wrong with a recording ends in one clear line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_tables import write_tables

from drivevlm.data.nuscenes.config import DecisionTime, EgoSource, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError
from drivevlm.world.sets import Command, Provenance


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> NuScenesConfig:
    folder = tmp_path_factory.mktemp("tiny")
    config = NuScenesConfig(str(write_tables(folder / "data")), cache=str(folder / "cache"))
    NuScenesRecording(config)
    return config


def refusal(config: NuScenesConfig) -> str:
    """The message, which is one line."""
    with pytest.raises(DataError) as error:
        NuScenesRecording(config)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_wrong_folder_says_which_is_right(tiny: NuScenesConfig) -> None:
    assert "data.root is not set" in refusal(NuScenesConfig())
    assert "no such folder" in refusal(replace(tiny, root="/nowhere"))
    inside = refusal(replace(tiny, root=f"{tiny.root}/v1.0-mini"))
    assert f"data.root={tiny.root} data.version=v1.0-mini" in inside
    other = refusal(replace(tiny, version="v1.0-trainval"))
    assert "'v1.0-trainval'" in other
    assert "v1.0-mini" in other


def test_a_wrong_choice_lists_what_there_is(tiny: NuScenesConfig) -> None:
    assert "scene-2001" in refusal(replace(tiny, scenes=("scene-0001",)))
    assert "CAM_BACK_LEFT" in refusal(replace(tiny, cameras=("CAM_TOP",)))
    anchored = replace(tiny, t0=DecisionTime.ANCHOR, anchor="CAM_TOP")
    assert "CAM_FRONT" in refusal(anchored)
    assert "has no scene in v1.0-mini" in refusal(replace(tiny, split="val"))
    with pytest.raises(DataError, match="none of the 18 chosen keyframes"):
        NuScenesRecording(tiny).clip("nothing")


def test_an_unknown_split_lists_the_valid_ones(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data", names=["scene-0061", "scene-0103"])
    config = NuScenesConfig(str(root), split="valid", cache=str(tmp_path / "cache"))
    message = refusal(config)
    assert "mini_train (1), mini_val (1)" in message


@pytest.mark.parametrize("table", ["sample", "sample_annotation", "map"])
def test_a_missing_table_is_named(tmp_path: Path, table: str) -> None:
    root = write_tables(tmp_path / "data")
    (root / "v1.0-mini" / f"{table}.json").unlink()
    assert f"{table}.json" in refusal(NuScenesConfig(str(root), cache=str(tmp_path / "cache")))


def drop_front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in rows if not ("CAM_FRONT-" in r["token"] and r["sample_token"][-1] == "4")]


BROKEN: dict[str, tuple[str, Callable[[list[dict[str, Any]]], Any], str]] = {
    "cut": ("sample", lambda rows: json.dumps(rows)[:-9], "not valid JSON"),
    "object": ("log", lambda rows: {"rows": rows}, "expected a list of records"),
    "stranger": ("ego_pose", lambda rows: rows[3:], "do not fit together"),
    "twice": ("scene", lambda rows: [*rows, rows[0]], "occurs 2 times"),
    "nan": (
        "ego_pose",
        lambda rows: [{**rows[0], "translation": [float("nan"), 0, 0]}, *rows[1:]],
        "not finite",
    ),
    "no size": ("sample_data", lambda rows: [{**r, "width": 0} for r in rows], "width and height"),
    "no anchor": ("sample_data", drop_front, "needs an image of CAM_FRONT"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_tables_are_refused(tmp_path: Path, kind: str) -> None:
    table, change, words = BROKEN[kind]
    root = write_tables(tmp_path / "data")
    path = root / "v1.0-mini" / f"{table}.json"
    content = change(json.loads(path.read_text()))
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    config = NuScenesConfig(str(root), t0=DecisionTime.ANCHOR, cache=str(tmp_path / "cache"))
    assert words in refusal(config)


def test_scenes_without_can_bus_are_named(tiny: NuScenesConfig, tmp_path: Path) -> None:
    assert "unpack the CAN bus expansion" in refusal(replace(tiny, ego=EgoSource.CAN_BUS))
    root = write_tables(tmp_path / "data")
    (root / "can_bus").mkdir()
    message = {"utime": 1, "vel": [1, 0, 0], "accel": [0, 0, 9.8], "rotation_rate": [0, 0, 0]}
    (root / "can_bus" / "scene-2001_pose.json").write_text(json.dumps([message]))
    config = NuScenesConfig(str(root), ego=EgoSource.CAN_BUS, cache=str(tmp_path / "cache"))
    assert "1 of 2 scenes have no CAN bus messages (scene-2002)" in refusal(config)
    stale = NuScenesRecording(replace(config, scenes=("scene-2001",))).clip("scene-2001-03")
    assert stale.status is None


def box(token: str, **changes: Any) -> dict[str, Any]:
    return {
        "sample_token": token,
        "translation": [612.0, 1601.0, 1.0],
        "size": [2.0, 4.0, 1.5],
        "rotation": [1.0, 0.0, 0.0, 0.0],
        "velocity": [1.0, 0.0],
        "detection_name": "car",
        "detection_score": 0.5,
        **changes,
    }


def result_file(tiny: NuScenesConfig, path: Path, change: Callable[[Any], Any]) -> NuScenesConfig:
    recording = NuScenesRecording(replace(tiny, scenes=("scene-2001",)))
    tokens = recording.scenes()[0].tokens
    results = {token: [box(token)] for token in tokens}
    path.write_text(json.dumps({"meta": {}, "results": change(results)}))
    return replace(tiny, scenes=("scene-2001",), proposals=str(path))


def with_box(**changes: Any) -> Callable[[Any], Any]:
    token = "scene-2001-03"
    return lambda results: {**results, token: [box(token), box(token, **changes)]}


WRONG_RESULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown": (lambda r: {**r, "abc": []}, "'abc': it was made for another version"),
    "missing": (lambda r: dict(list(r.items())[2:]), "lacks 2 of 9 chosen keyframes"),
    "nan": (with_box(translation=[float("nan"), 0, 0]), "scene-2001-03, box 1: a number is not"),
    "nan score": (with_box(detection_score=float("nan")), "not finite"),
    "nan speed": (with_box(velocity=[float("nan"), 0]), "leave velocity out"),
    "ego frame": (with_box(translation=[12.0, 1.0, 1.0]), "the ego's or the lidar's frame?"),
    "misfiled": (with_box(sample_token="scene-2001-04"), "its sample_token is 'scene-2001-04'"),
    "name": (with_box(detection_name="tram"), "must be one of car, truck"),
    "score": (with_box(detection_score=1.5), "[0, 1]"),
    "size": (with_box(size=[0, 1, 1]), "size must be positive"),
    "rotation": (with_box(rotation=[0, 0, 0, 0]), "quaternion"),
    "short": (with_box(translation=[1.0, 2.0]), "needs translation (3)"),
    "text": (with_box(size="big"), "needs translation (3)"),
    "no list": (lambda r: {**r, "scene-2001-03": 3}, "expected a list of boxes"),
    "list": (lambda r: list(r), "no nuScenes result file"),
}


@pytest.mark.parametrize("kind", WRONG_RESULTS)
def test_a_wrong_result_file_is_refused(tiny: NuScenesConfig, tmp_path: Path, kind: str) -> None:
    change, words = WRONG_RESULTS[kind]
    assert words in refusal(result_file(tiny, tmp_path / "results.json", change))


def test_a_result_file_becomes_proposals_nearest_first(
    tiny: NuScenesConfig, tmp_path: Path
) -> None:
    far, near = [640.0, 1601.0, 1.0], [620.0, 1601.0, 1.0]
    rows = [
        box("", translation=far, detection_score=0.9, velocity=None),
        box("", translation=near, detection_score=0.8, velocity=[0.0, 2.0]),
        box("", detection_score=0.1),
    ]
    config = result_file(tiny, tmp_path / "r.json", lambda r: {**r, "scene-2001-00": rows})
    clip = NuScenesRecording(replace(config, top_k=2)).clip("scene-2001-00")
    assert clip.proposals is not None
    assert clip.proposals.provenance is Provenance.DETECTOR
    first, second = clip.proposals.boxes
    assert (first.id, first.score, second.id, second.score) == ("p1", 0.8, "p2", 0.9)
    np.testing.assert_allclose(first.center_ego_m, [20.0, 1.0, 1.0])
    np.testing.assert_allclose(first.size_lwh_m, [4.0, 2.0, 1.5])
    assert first.velocity_ego_mps is not None
    np.testing.assert_allclose(first.velocity_ego_mps, [0.0, 2.0], atol=1e-9)
    assert second.velocity_ego_mps is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("port", "expected one of follow, left"),
        (3, "takes a word, null or"),
        ({"command": "left", "speed": 3}, "takes a word, null or"),
        ({"command": "left", "distance_m": -1}, "expected metres ahead"),
        ({"command": "left", "text": 3}, "expected a string"),
    ],
)
def test_a_wrong_command_is_refused(
    tiny: NuScenesConfig, tmp_path: Path, value: Any, words: str
) -> None:
    path = tmp_path / "commands.json"
    tokens = [token for scene in NuScenesRecording(tiny).scenes() for token in scene.tokens]
    path.write_text(json.dumps({**dict.fromkeys(tokens, "follow"), "scene-2001-01": value}))
    assert words in refusal(replace(tiny, command=str(path)))


def test_commands_speak_of_every_keyframe(tiny: NuScenesConfig, tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    config = replace(tiny, command=str(path), scenes=("scene-2001",))
    assert "cannot be read" in refusal(config)
    path.write_text("{")
    assert "not valid JSON" in refusal(config)
    path.write_text('{"scene-2001-00": "left", "nowhere": "left"}')
    assert "'nowhere'" in refusal(config)
    path.write_text('{"scene-2001-00": "left"}')
    assert "lacks 8 of 9 chosen keyframes, e.g. scene-2001-01: write null" in refusal(config)
    asked: dict[str, Any] = {f"scene-2001-0{k}": None for k in range(9)}
    asked["scene-2001-01"] = {"command": "left", "text": "at the bank", "distance_m": 40}
    path.write_text(json.dumps(asked))
    recording = NuScenesRecording(config)
    command = recording.clip("scene-2001-01").command
    assert command is not None
    assert (command.command, command.text, command.distance_m) == (Command.LEFT, "at the bank", 40)
    assert command.provenance is Provenance.FILE
    assert recording.clip("scene-2001-02").command is None


def test_a_summary_holds_until_the_next_one(tiny: NuScenesConfig, tmp_path: Path) -> None:
    path = tmp_path / "summaries.json"
    path.write_text(json.dumps({"scene-2001-02": "A bend.", "scene-2001-05": "A queue."}))
    recording = NuScenesRecording(replace(tiny, summaries=str(path)))
    assert recording.clip("scene-2001-01").summary is None
    assert recording.clip("scene-2002-05").summary is None
    for token, text, age_s in (("2", "A bend.", 0), ("4", "A bend.", 1), ("5", "A queue.", 0)):
        summary = recording.clip(f"scene-2001-0{token}").summary
        assert summary is not None
        assert (summary.text, summary.age_s) == (text, age_s)
    path.write_text(json.dumps({"scene-2001-02": ["A bend."]}))
    assert "expected a text" in refusal(replace(tiny, summaries=str(path)))
