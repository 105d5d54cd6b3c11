"""``drivevlm drive``: a bag in, the decisions of the node and a page out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

pytest.importorskip("rosbags", reason="bags need rosbags (the extra [dds])")
pytest.importorskip("mcap")

import numpy as np
from bag_cases import (
    AS_READ,
    BACK,
    CLIPS,
    CONFIG,
    CTRV,
    ODOMETRY,
    bag_of,
    changed_bag,
    driven,
    said,
    same,
    ticks_of,
)
from drive_cases import bundled
from replay_cases import cut, planned
from rosbags.rosbag2 import StoragePlugin
from test_drive_same_decisions import planner

from drivevlm.app import main
from drivevlm.baselines import Baseline
from drivevlm.drive.offline.bag import Bag
from drivevlm.drive.offline.drive import Driven, OfflineDrive, Tick
from drivevlm.drive.parameters import node_config
from drivevlm.drive.topics import Names
from drivevlm.drive.wire.store import typestore
from drivevlm.record.run_folder import read_records
from drivevlm.verbs.driven import AFTER_US


@pytest.fixture(scope="module")
def scene():
    return cut(bundled(), scene_2001=CLIPS)[0]


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return bag_of(tmp_path_factory.mktemp("bags") / "drive", scene_2001=CLIPS)


@pytest.fixture(scope="module")
def expected(bag):
    return said(ticks_of(bag))


# The law.


def test_a_bag_that_is_driven_gets_the_decisions_that_its_recording_gets_when_it_is_read(tmp_path):
    scenes = cut(bundled(), scene_2001=CLIPS, scene_2004=4)
    expected = list(planned(bundled(), scenes, CONFIG).values())
    both = bag_of(tmp_path / "both", scene_2001=CLIPS, scene_2004=4)
    assert said(ticks_of(both)) == expected
    assert len(expected) == CLIPS + 4


@pytest.mark.slow
def test_a_bag_gets_the_records_of_eval_on_its_frames_asked_of_a_model(tmp_path):
    words = ["data.t0=anchor", "data.frames=2", "data.command=route", "data.proposals=oracle"]
    words += ["data.top_k=8", "data.scenes=[scene-2005]", "planner=[vlm]"]
    words += ["vlm=untrained", "prompt=plan_only"]
    assert main(["eval", "data=demo", *words, f"out={tmp_path / 'eval'}", "page.clips=0"]) == 0
    whole = bag_of(tmp_path / "bag", scene_2005=16)
    own = ["sync.frames=2", "sync.top_k=8", "objects.type=predicted_objects", "page=0"]
    own += ["planner.settings=[vlm=untrained,prompt=plan_only]", f"out={tmp_path / 'drive'}"]
    assert main(["drive", f"bag={whole}", *own]) == 0
    read, driven = (read_records(tmp_path / name) for name in ("eval", "drive"))
    assert len(read) == 16
    for one, other in zip(read, driven, strict=True):
        assert one.planner == other.planner
        assert one.decision.request_digest == other.decision.request_digest
        assert one.decision.reply == other.decision.reply
        assert one.decision.meta == other.decision.meta


@pytest.mark.part
def test_the_model_that_ships_is_asked_alike_by_eval_and_by_a_node(tmp_path):
    short = "prompt.sections=[PLAN]"
    words = ["data.t0=anchor", "data.scenes=[scene-2005]", "planner=[vlm]", short, "page.clips=0"]
    assert main(["eval", *words, f"out={tmp_path / 'eval'}"]) == 0
    whole = bag_of(tmp_path / "bag", scene_2005=6)
    own = [f'planner.settings=["{short}"]', f"out={tmp_path / 'drive'}", "page=0"]
    assert main(["drive", f"bag={whole}", *own]) == 0
    read, driven = (read_records(tmp_path / name) for name in ("eval", "drive"))
    assert len(driven) == 6
    for one, other in zip(read, driven, strict=False):
        assert one.decision.request_digest == other.decision.request_digest
        assert one.decision.reply == other.decision.reply


@pytest.mark.parametrize("kind", ["mcap", "sqlite3", "no metadata"])
def test_every_kind_of_bag_gets_the_same_decisions(kind, bag, expected, tmp_path):
    if kind == "mcap":
        path = next(bag.glob("*.mcap"))
    elif kind == "sqlite3":
        path = changed_bag(bag, tmp_path / "db3", same, StoragePlugin.SQLITE3)
        assert list(path.glob("*.db3"))
    else:
        path = tmp_path / "killed"
        path.mkdir()
        half_ns = _times(bag)[len(_times(bag)) // 2]
        for name, late in (("bag_10", True), ("bag_9", False)):
            part = changed_bag(
                bag, tmp_path / name, lambda e, late=late: [e] if (e[2] >= half_ns) == late else []
            )
            shutil.copy(next(part.glob("*.mcap")), path)
    assert said(ticks_of(path)) == expected
    assert len(expected) == CLIPS


def _times(bag) -> list[int]:
    times: list[int] = []
    with Bag(bag) as opened:
        times.extend(r.at_us * 1000 for r in opened.recorded([t.name for t in opened.topics]))
    assert times == sorted(times)
    return times


def test_a_bag_that_was_recorded_by_another_clock_is_driven_on_its_own(bag, expected, tmp_path):
    later = changed_bag(bag, tmp_path / "b", lambda e: [(e[0], e[1], e[2] + 3600 * 10**9, e[3])])
    assert said(ticks_of(later, use_sim_time=True)) == expected
    assert {tick.ended.lost for tick in ticks_of(later)} == {"dropped_late"}


# What is written.


def test_decisions_and_ticks_are_recorded_and_the_page_is_told_last(bag, scene, tmp_path, capsys):
    out = tmp_path / "out"
    own = ["page=3", CTRV, f"out={out}"]
    assert main(["drive", f"bag={bag}", *own]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == str(out / "drive.html")
    records = read_records(out)
    lines = [json.loads(line) for line in (out / "ticks.jsonl").read_text().splitlines()]
    ctrv, t0s = Baseline("ctrv", 6, 0.5), [bundled().clip(token).t0_us for token in scene.tokens]
    assert [line["t0_us"] for line in lines] == t0s
    assert [record.clip for record in records] == [line["clip"] for line in lines]
    for token, record in zip(scene.tokens[1:], records[1:], strict=True):
        expected = ctrv.decide(bundled().clip(token)).plan
        np.testing.assert_allclose(record.decision.plan.xy_ego_m, expected.xy_ego_m, atol=1e-9)
    assert lines[0]["gate"] is None  # without a past there was no plan
    assert all(line["gate"]["passed"] is not None for line in lines[1:])
    page = (out / "drive.html").read_text()
    assert page.count("<article") == 3
    assert page.count("data:image/jpeg;base64,") == 3 * 6
    assert "no protocol is scored here" in page
    assert node_config(AS_READ).drive.sync.cameras[0] in (out / "parameters.yaml").read_text()


def test_plans_are_held_against_the_path_that_was_driven_where_that_is_whole(bag, scene, tmp_path):
    counted = driven(bag, tmp_path / "out")
    lines = (tmp_path / "out" / "ticks.jsonl").read_text().splitlines()
    apart = [json.loads(line)["apart_m"]["ctrv"] for line in lines]
    ctrv, whole = Baseline("ctrv", 6, 0.5), 0
    for token, told in zip(scene.tokens, apart, strict=True):
        plan, recorded = ctrv.decide(bundled().clip(token)).plan, bundled().truth(token)
        inside = scene.tokens.index(token) <= CLIPS - 1 - 5  # odometry goes on for half a second
        assert bool(told) == (inside and plan is not None)
        for second in (1, 2, 3) if told else ():
            away_m = plan.xy_ego_m[2 * second - 1] - recorded.future_path()[0][2 * second - 1]
            assert told[str(second)] == pytest.approx(np.hypot(*away_m), abs=1e-6)
        whole += bool(told)
    at_3_s = sorted(told["3"] for told in apart if told)
    assert counted["apart"]["ctrv"]["3"] == {"median_m": np.median(at_3_s), "n": whole}
    assert whole >= 3


def test_plans_that_the_gate_holds_back_are_counted_by_what_it_held_against_them(bag, tmp_path):
    counted = driven(bag, tmp_path / "out", "planner.settings=[planner=stop]")
    assert counted["held_back"] == CLIPS  # the ego drives at 9 m/s
    assert counted["passed"] == 0
    assert counted["by_check"]["start_speed"]["count"] == CLIPS
    assert counted["by_check"]["start_speed"]["first"].endswith("limit 3")


def test_pictures_without_a_decision_are_counted_by_reason(bag, scene, tmp_path, capsys):
    t0_ns = [bundled().clip(token).t0_us * 1000 for token in scene.tokens]

    def change(entry):
        topic, _, time_ns, _ = entry
        if topic == BACK and time_ns == t0_ns[3]:
            return []
        if topic == ODOMETRY and t0_ns[5] - 10**8 <= time_ns <= t0_ns[5] + 10**8:
            return []
        return [entry]

    counted = driven(changed_bag(bag, tmp_path / "bag", change), tmp_path / "out")
    assert counted["ticks"] == CLIPS
    lost = {word: reason["count"] for word, reason in counted["lost"].items()}
    assert lost == {"refused_camera": 1, "refused_odometry": 1}
    assert counted["lost"]["refused_camera"]["first"] == "missing of 6 cameras: CAM_BACK apart"
    assert counted["failed"]["no_past"]["count"] == 2  # the first one, and the one after the gap
    assert counted["passed"] + counted["held_back"] == CLIPS - 2 - 2
    told = capsys.readouterr().out
    assert "a camera is missing" in told
    assert "CAM_BACK apart" in told


def test_the_last_picture_is_decided_on_though_nothing_comes_after_it(bag, scene, tmp_path):
    last_ns = bundled().clip(scene.tokens[-1]).t0_us * 1000
    ends = changed_bag(
        bag,
        tmp_path / "bag",
        lambda e: [e] if e[2] <= last_ns and (e[0] != BACK or e[2] < last_ns) else [],
    )
    ticks = ticks_of(ends, sync__optional=["CAM_BACK"])
    assert [tick.ended.lost for tick in ticks] == [""] * CLIPS
    assert len(ticks[-1].clip.cameras) == 5


def test_the_exit_code_is_1_where_nothing_was_decided(bag, tmp_path, capsys):
    none = changed_bag(bag, tmp_path / "bag", lambda e: [_uncalibrated(e)])
    counted = driven(none, tmp_path / "out", code=1)
    assert counted["lost"]["refused_anchor"]["count"] == CLIPS
    told = capsys.readouterr().out
    assert "its camera_info says it is uncalibrated, and calibration.CAM_FRONT gives" in told
    assert told.splitlines()[-1] == str(tmp_path / "out" / "drive.html")


def _uncalibrated(entry):
    topic, kind, time_ns, cdr = entry
    if kind != "sensor_msgs/msg/CameraInfo":
        return entry
    info = typestore().deserialize_cdr(cdr, kind)
    info = replace(info, k=np.zeros(9), p=np.zeros(12))
    return topic, kind, time_ns, bytes(typestore().serialize_cdr(info, kind))


def test_every_picture_gets_its_driven_path_in_order_also_where_the_drive_is_stopped(bag):
    with Bag(bag) as opened:
        config = node_config(AS_READ)
        drive = OfflineDrive(
            opened, Names(), config, AS_READ, lambda _: planner(), after_us=AFTER_US
        )
        seen = []
        for event in drive.run(lambda: sum(isinstance(e, Tick) for e in seen) == 4):
            seen.append(event)
    ticks = [event.ended.t0_us for event in seen if isinstance(event, Tick)]
    paths = [event.t0_us for event in seen if isinstance(event, Driven)]
    assert paths == ticks
    assert len(ticks) == 4
    assert [list(event.poses) for event in seen[-1:]] == [[0]]
