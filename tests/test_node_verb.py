"""``drivevlm node``: the node on the wire, as somebody with pip alone starts it."""

from __future__ import annotations

import json
import os
import threading

import pytest
import yaml

pytest.importorskip("cyclonedds", reason="the wire needs cyclonedds (the extra [dds])")

from drivevlm.app import composed, main
from drivevlm.build.table import Chosen
from drivevlm.drive.topics import DIAGNOSTICS
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.verbs.node_start import DEMO_RIG

DOMAIN = 1 + os.getpid() % 100
WIRE = ("loopback=true", f"domain={DOMAIN}")
FAST = "planner.settings=[planner=constant_velocity]"


def test_a_node_runs_until_its_time_is_up_and_is_heard(capsys):
    told = []
    with DdsBus(DdsConfig(DOMAIN, loopback=True)) as peer:
        peer.subscribe(DIAGNOSTICS.name, DIAGNOSTICS.type_name, DIAGNOSTICS.qos, told.append)
        assert (
            main(["node", *WIRE, FAST, "seconds=2", "name=mine", "sync.cameras=[CAM_FRONT]"]) == 0
        )
    assert {status.name for message in told for status in message.status} == {
        "mine: inference_status"
    }
    assert any("CAM_FRONT is silent" in message.status[0].message for message in told)
    assert "no camera_info came yet" in capsys.readouterr().out


def test_a_planner_that_cannot_be_loaded_is_told_by_a_node_that_lives(capsys):
    words = ["planner.settings=[planner=expert]", "seconds=1"]
    assert main(["node", *WIRE, *words]) == 0
    assert (
        "the node cannot be configured: SettingError: planner=expert needs a recording"
        in capsys.readouterr().out
    )


def test_which_inputs_arrive_is_a_table_and_a_file(tmp_path, capsys):
    beat = threading.Event()
    with DdsBus(DdsConfig(DOMAIN, loopback=True)) as peer:
        from drivevlm.drive.topics import KINEMATIC_STATE, Names

        topic = Names().of(KINEMATIC_STATE)
        send = peer.publisher(topic, KINEMATIC_STATE.type_name, KINEMATIC_STATE.qos)

        def tick() -> None:
            sec, us = divmod(peer.now_us(), 1_000_000)
            stamp = peer.make("builtin_interfaces/msg/Time", sec=sec, nanosec=us * 1000)
            header = peer.make("std_msgs/msg/Header", stamp=stamp, frame_id="map")
            send(peer.make(KINEMATIC_STATE.type_name, header=header))
            beat.set()

        peer.every(0.05, tick)
        words = ["check=true", "seconds=2", f"out={tmp_path}", "sync.cameras=[CAM_FRONT]"]
        assert main(["node", *WIRE, *words]) == 1  # no camera comes
    assert beat.is_set()
    rows = {
        row["topic"]: row for row in json.loads((tmp_path / "check.json").read_text())["inputs"]
    }
    assert rows[topic]["rate_hz"] == pytest.approx(20, abs=4)
    assert rows[topic]["problem"] == ""
    assert rows["/drivevlm/input/CAM_FRONT/image/compressed"]["problem"] == "nothing came"
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "check.json")


def test_parameters_are_written_with_what_they_are_for_and_read_back(tmp_path, capsys):
    path = tmp_path / "new" / "mine.yaml"
    assert main(["node", f"parameters={path}", "sync.tolerance_ms=40.0"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    told = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    assert (told["sync"]["tolerance_ms"], len(told["sync"]["cameras"])) == (40.0, 6)
    again = tmp_path / "again.yaml"
    assert main(["node", f"config={path}", f"parameters={again}"]) == 0
    assert again.read_text() == path.read_text()


def test_the_rig_of_a_node_without_settings_is_the_bundled_one_in_its_order():
    recording = Chosen.of(*composed(["data=demo"])).recording(lambda line: None)
    assert recording.cameras == DEMO_RIG  # another order would be another prompt


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("sync.tolerance=3", "did you mean sync.tolerance_ms?"),
        ("remap=[a]", "remap takes OLD:=NEW or autoware, got 'a'"),
        ("remap=[~/output/trajectory:=/planning/trajectory]", "belongs to Autoware's planning"),
        ("config=/nowhere.yaml", "config=/nowhere.yaml cannot be read"),
        ("parameters=/proc/mine.yaml", "parameters=/proc/mine.yaml cannot be written"),
        ("seconds=-1", "seconds is finite and not negative, got -1"),
        ("domain=500", "domain_id must be from 0 to 232"),
    ],
)
def test_what_cannot_be_ends_in_one_line(word, why, capsys):
    assert main(["node", *WIRE[:1], "seconds=1", word]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert len(error.splitlines()) == 1
