"""Laws of the node's life and of what it publishes."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dialogue_cases import png
from drive_bus import (
    COMMAND,
    OBJECTS,
    ODOMETRY,
    LocalBus,
    image_topic,
    output,
)
from drive_cases import SPEED_MPS, START_US, Puppet
from drive_node_cases import BACK, GOOD, LENS, RIG_OF_ONE, Car, car
from test_planner import ANSWER as SAID
from test_planner import asked, planner

from drivevlm.drive.health import Level
from drivevlm.drive.node import State
from drivevlm.drive.outputs import generator_id
from drivevlm.drive.parameters import node_config
from drivevlm.drive.topics import Names
from drivevlm.world.decision import Decision
from drivevlm.world.sets import FailureKind


def test_a_node_lives_as_ros_says_and_takes_no_step_out_of_order():
    found = Car()
    node = found.node
    assert node.state is State.UNCONFIGURED
    assert not node.activate()
    assert not node.deactivate()
    assert not node.cleanup()
    assert node.configure(found.values)
    assert node.state is State.INACTIVE
    assert not node.configure(found.values)
    assert node.activate()
    assert node.state is State.ACTIVE
    assert not node.cleanup()
    assert node.deactivate()
    assert node.cleanup()
    assert node.state is State.UNCONFIGURED
    assert node.config is None
    assert found.bus.topics == set()
    found.start()
    assert node.shutdown()
    assert node.state is State.FINALIZED
    assert found.bus.topics == set()
    reports = len(found.bus.sent["/diagnostics"])
    found.bus.tick(20)
    assert len(found.bus.sent["/diagnostics"]) == reports
    assert not node.configure(found.values)


def test_every_picture_of_the_anchor_becomes_a_trajectory_on_all_outputs():
    found = Car().start().drive(1.0)
    for name in ("trajectory", "candidate_trajectories", "path", "reasoning", "objects"):
        assert len(found.sent(name)) == 11, name
    assert len(found.bus.sent["/drivevlm/debug/markers"]) == 11
    last = found.sent("trajectory")[-1]
    assert last.header.frame_id == "map"
    assert last.points[0].pose.position.x == pytest.approx(SPEED_MPS * 1.1)
    assert found.told == (Level.OK, "ok")
    assert found.bus.told.name == "drivevlm: inference_status"
    assert found.values_told["published"] == "11"


def test_an_output_bears_the_stamp_of_the_picture_to_the_nanosecond():
    found = Car().start().drive(0.2, rest_ns=321)
    stamps = [message.header.stamp for message in found.sent("trajectory")]
    expected = [(1000, k * 100_000_000 + 321) for k in range(3)]
    assert [(stamp.sec, stamp.nanosec) for stamp in stamps] == expected
    assert found.sent("reasoning")[0].stamp.nanosec == 321
    assert json.loads(found.sent("reasoning")[0].data)["stamp_us"] == START_US


def test_what_the_planner_is_given_is_what_was_sent():
    found = Car().start().drive(1.0)
    clip = found.planner.clips[-1]
    assert clip.t0_us == START_US + 1_000_000
    (sequence,) = clip.cameras
    assert sequence.frames[-1].encoded == png(20)
    np.testing.assert_array_equal(sequence.camera.intrinsics, LENS.intrinsics)
    np.testing.assert_allclose(sequence.camera.ego_from_camera.translation_m, [1.0, 0.0, 1.5])
    assert clip.status.speed_mps == pytest.approx(SPEED_MPS)
    np.testing.assert_allclose(clip.history.xy_ego_m[:, 0], [-8.0, -4.0, 0.0], atol=1e-9)


def test_a_model_that_fails_to_load_is_an_error_that_stays_until_one_loads():
    found = Car(fails=[RuntimeError("no such file:\nmodel.safetensors")])
    assert not found.node.configure({})
    assert found.node.state is State.UNCONFIGURED
    assert found.node.failure == "RuntimeError: no such file: model.safetensors"
    said = "the node cannot be configured: RuntimeError: no such file: model.safetensors"
    assert found.told == (Level.ERROR, f"{said}; the node is unconfigured")
    assert found.bus.topics == set()
    found.bus.tick(30)
    assert len(found.bus.sent["/diagnostics"]) == 1 + 3  # at once, and then once a second
    assert found.told[0] is Level.ERROR
    found.start().drive(1.0)
    assert found.node.failure is None
    assert found.told == (Level.OK, "ok")
    assert len(found.sent("trajectory")) == 11


@pytest.mark.parametrize(
    ("values", "lacks", "why"),
    [
        ({"sync.tolerence_ms": 1.0}, (), "did you mean sync.tolerance_ms"),
        ({"sync.cameras": ["a b"], "sync.anchor": "a b"}, (), "camera 'a b' names a topic"),
        ({"objects.type": "detection3d"}, ("vision_msgs",), "needs vision_msgs/msg/Detection3DA"),
        ({"route.use": True}, ("autoware_planning_msgs",), "needs autoware_planning_msgs/msg/Lan"),
    ],
)
def test_parameters_and_packages_are_checked_before_a_model_is_loaded(values, lacks, why):
    found = Car(values=values, bus=LocalBus(lacks=lacks))
    assert not found.node.configure(values)
    assert found.configs == []
    assert found.told[0] is Level.ERROR
    assert why in found.told[1]
    assert found.bus.topics == set()


def test_a_node_tells_where_it_is_in_its_life_once_a_second_while_it_is_not_active():
    found = Car()
    found.bus.tick(20)
    assert len(found.bus.sent["/diagnostics"]) == 2
    assert found.told == (Level.WARN, "the node is unconfigured")
    assert found.node.configure(found.values)
    assert found.told == (Level.WARN, "the node is inactive")
    assert found.node.activate()
    found.bus.tick(20)
    assert len(found.bus.sent["/diagnostics"]) == 3 + 20


def test_an_inactive_node_publishes_nothing_and_wakes_with_an_empty_history():
    found = Car().start().drive(1.0)
    assert found.node.deactivate()
    found.drive(2.0, from_s=1.05)
    assert len(found.sent("trajectory")) == 11
    assert found.node.activate()
    found.drive(2.1, from_s=2.1)
    assert len(found.planner.clips[-1].history.stamp_us) == 1
    assert len(found.sent("trajectory")) == 12


def test_no_scene_bears_the_name_of_an_earlier_one_and_earlier_ones_are_forgotten():
    """The planner outlives a deactivation: it must not recall what it said before."""
    model = planner([SAID] * 9)
    found = Car(model).start().drive(0.1)
    assert found.node.deactivate()
    assert found.node.activate()
    found.drive(0.3, from_s=0.2)
    asks = [asked(model, number) for number in range(4)]
    assert ["The road is empty." in ask for ask in asks] == [False, True, False, True]
    scenes = [request.session for request in model.vlm.requests]
    assert scenes == ["drivevlm-0", "drivevlm-0", "drivevlm-1", "drivevlm-1"]
    assert list(model._memory) == ["drivevlm-1"]


def test_a_planner_that_hangs_is_told_and_is_not_asked_again(monkeypatch):
    monkeypatch.setattr("drivevlm.drive.worker.Worker.stop", lambda self, give_up: False)
    found = Car(lockstep=False).start()
    assert found.node.deactivate()
    assert found.told[0] is Level.ERROR
    assert "its planner does not end: clean the node up" in found.told[1]
    assert not found.node.activate()
    assert found.node.cleanup()
    assert found.node.configure(found.values)
    assert found.node.activate()


def test_what_is_decided_after_the_node_was_deactivated_is_not_published():
    found = Car().start().drive(0.5)
    found.planner.before = lambda: found.node.deactivate()
    found.drive(0.6, from_s=0.6)
    assert len(found.planner.clips) == 7
    assert len(found.sent("trajectory")) == len(found.sent("reasoning")) == 6


def test_the_worker_decides_in_its_own_thread():
    found, decided = Car(lockstep=False), threading.Event()
    found.planner.before = decided.set
    found.start().drive(0.0)
    assert decided.wait(5.0)
    assert found.node.shutdown()
    assert len(found.planner.clips) == 1


def test_what_the_gate_holds_back_is_told_in_the_reasoning_and_not_published():
    found = car(GOOD, BACK).start().drive(0.2)
    assert len(found.sent("trajectory")) == len(found.sent("path")) == 1
    told = [json.loads(message.data) for message in found.sent("reasoning")]
    assert [one["gate"]["passed"] for one in told] == [True, False, False]
    assert told[0]["request_digest"] == "d" * 64
    assert "the gate held the plan back" in found.told[1]


def test_every_output_is_switchable_also_while_the_node_is_active():
    found = car(output__trajectory=False, output__markers=False).start().drive(0.1)
    assert found.sent("trajectory") == []
    assert len(found.sent("path")) == 2
    assert found.node.change({"output.trajectory": True, "output.path": False}) is None
    found.drive(0.2, from_s=0.2)
    assert len(found.sent("trajectory")) == 1
    assert len(found.sent("path")) == 2
    assert "read when the node is configured" in found.node.change({"gate.start_m": 2.0})
    assert found.node.config.output.on == (
        "trajectory",
        "candidate_trajectories",
        "reasoning",
        "objects",
    )
    assert Car().node.change({"gate.start_m": 2.0}) is None  # read when it is configured


AUTOWARE = (
    "autoware_planning_msgs",
    "autoware_internal_planning_msgs",
    "autoware_internal_debug_msgs",
    "vision_msgs",
)


def test_without_autowares_packages_a_path_and_plain_words_are_published():
    found = Car(bus=LocalBus(lacks=AUTOWARE)).start().drive(0.2)
    assert len(found.sent("path")) == len(found.sent("reasoning")) == 3
    assert json.loads(found.sent("reasoning")[0].data)["stamp_us"] == START_US
    assert found.sent("trajectory") == found.sent("objects") == []
    level, message = found.told
    assert level is Level.OK
    assert "output.trajectory is not published: autoware_planning_msgs/msg/Traj" in message
    blind = Car(values=RIG_OF_ONE | {"output.path": False}, bus=LocalBus(lacks=AUTOWARE))
    blind.start()
    blind.bus.tick()
    assert blind.told[0] is Level.ERROR
    assert "no plan can be published" in blind.told[1]


def test_an_output_that_cannot_be_sent_takes_no_other_with_it():
    found = Car(bus=LocalBus(refuses={"/drivevlm/debug/markers", output("path")}))
    found.start().drive(0.2)
    assert len(found.sent("trajectory")) == 3
    assert found.told[0] is Level.WARN
    assert "~/debug/markers, the last: RuntimeError: the wire is cut in two" in found.told[1]
    assert found.values_told["published"] == "3"


def test_a_plan_that_no_output_took_does_not_count_as_published():
    plans = {output(name) for name in ("trajectory", "candidate_trajectories", "path")}
    found = Car(bus=LocalBus(refuses=plans)).start().drive(0.2)
    assert "published" not in found.values_told
    assert found.values_told["dropped_crashed"] == "3"
    assert "none of trajectory, candidate_trajectories, path could be published" in found.told[1]


def test_one_configuration_is_one_generator_and_another_one_is_another():
    one, same, other = Car(), Car(), car(gate__start_m=2.0)
    ids = []
    for found in (one, same, other):
        found.start().drive(0.1)
        messages = found.sent("candidate_trajectories")
        assert len({bytes(m.generator_info[0].generator_id.uuid) for m in messages}) == 1
        assert messages[0].generator_info[0].generator_name.data == "drivevlm"
        ids.append(bytes(messages[0].candidate_trajectories[0].generator_id.uuid))
    assert ids[0] == ids[1] == generator_id(node_config(RIG_OF_ONE))
    assert ids[2] != ids[0]


def test_a_fallback_goes_where_plans_go_and_the_diagnostics_call_it_one():
    failed = Decision.failed(FailureKind.UNREADABLE, "no plan")
    found = car(GOOD, failed, fallback__kind="stop").start().drive(0.1)
    assert len(found.sent("trajectory")) == 2
    assert found.sent("trajectory")[-1].points[-1].longitudinal_velocity_mps == pytest.approx(0.0)
    assert "the fallback 'stop' is published in place of a plan" in found.told[1]
    assert found.bus.sent["/drivevlm/debug/markers"][-1].markers[0].header.frame_id == "map"


def test_names_and_remaps_reach_every_topic():
    names = Names("eyes", "/car", {"~/output/trajectory": "/planning/generator/eyes"})
    found = Car(names=names)
    assert found.node.configure(found.values)
    assert found.bus.topics == {
        "/car/eyes/input/CAM_FRONT/image/compressed",
        "/car/eyes/input/kinematic_state",
        "/car/eyes/input/navigation_command",
    }
    assert "/planning/generator/eyes" in found.bus.qos
    assert "/car/eyes/output/path" in found.bus.qos
    assert found.bus.told.name == "eyes: inference_status"
    stolen = Car(names=Names(remap={"~/output/trajectory": "/planning/trajectory"}))
    assert not stolen.node.configure(stolen.values)
    assert "belongs to Autoware's planning validator" in stolen.told[1]
    typo = Car(names=Names(remap={"~/output/trajectry": "/a"}))
    assert not typo.node.configure(typo.values)
    assert "did you mean /drivevlm/output/trajectory" in typo.told[1]


def test_a_silent_anchor_is_an_error_within_half_a_second():
    found = Car().start().drive(1.0)
    for k in range(1, 6):
        stamp_us = START_US + 1_000_000 + k * 100_000
        found.bus.send(ODOMETRY, found.bus.odometry(stamp_us, SPEED_MPS * (1.0 + k / 10)))
        found.bus.tick()
    assert found.told == (Level.ERROR, "CAM_FRONT is silent for 0.50 s")


def test_a_clock_that_does_not_run_is_told():
    found = Car().start()
    found.bus.clock.now_us = 0
    found.bus.tick(us=0)
    assert found.told[0] is Level.ERROR
    assert "nothing publishes /clock" in found.told[1]
    found.bus.clock.now_us = START_US
    found.bus.tick(11, us=0)
    assert "the node's clock stands still for 1 s" in found.told[1]
    found.bus.tick()
    assert "clock" not in found.told[1]


def test_the_watchdog_beats_on_whatever_fails_within_it():
    """The anchor is dead and the stop that is due cannot be sent: the diagnostics tell of both."""
    found = car(fallback__kind="stop").start().drive(0.0)
    plans = {output(name) for name in ("trajectory", "candidate_trajectories", "path")}
    found.bus.refuses |= plans
    for k in range(1, 8):
        found.bus.send(ODOMETRY, found.bus.odometry(START_US + k * 100_000, SPEED_MPS * k / 10))
        found.bus.tick()
    assert found.told[0] is Level.ERROR
    assert "the fallback fails: OutputError: none of trajectory" in found.told[1]
    found.bus.refuses |= {"/diagnostics"}
    found.bus.tick(3)
    found.bus.refuses.clear()
    found.drive(1.5, from_s=0.75)
    assert len(found.sent("trajectory")) == 1 + 8
    assert "watchdog" not in found.told[1]


def test_callbacks_of_many_threads_and_a_life_that_changes_meet_without_harm():
    found = Car(Puppet([GOOD]), RIG_OF_ONE | {"objects.type": "detection3d"}, lockstep=False)
    assert found.node.configure(found.values)

    def talk() -> None:
        for k in range(150):
            stamp_us = START_US + k * 10_000
            found.bus.send(ODOMETRY, found.bus.odometry(stamp_us, 0.08 * k))
            found.bus.send(image_topic("CAM_FRONT"), found.bus.compressed(stamp_us, png(k)))
            found.bus.send(OBJECTS, found.bus.detections(stamp_us, "map", ("car", 0.1)))
            found.bus.send(COMMAND, found.bus.string("left" if k % 2 else "wrong"))
            found.bus.tick(us=1000)

    with ThreadPoolExecutor(4) as pool:
        talks = [pool.submit(talk) for _ in range(4)]
        while not all(one.done() for one in talks):
            assert found.node.activate()
            assert found.node.deactivate()
    assert [one.result() for one in talks] == [None] * 4
    assert found.node.shutdown()
    assert found.values_told[f"bad messages on {COMMAND}"] == "300"
