"""Laws of the node under ROS: its life, its topics, and what may go wrong with both."""

from __future__ import annotations

import json
import threading

import pytest
from drive_bus import COMMAND, ODOMETRY, image_topic, output
from drive_cases import SPEED_MPS, START_US
from rclpy_fake import TransitionCallbackReturn
from rclpy_graph import (
    ClockType,
    DurabilityPolicy,
    Graph,
    MutuallyExclusiveCallbackGroup,
    ReliabilityPolicy,
)
from ros_cases import AUTOWARE, given, shell, until

from drivevlm.drive.health import Level
from drivevlm.drive.node import State
from drivevlm.drive.topics import AUTOWARE as REMAPS
from drivevlm.drive.topics import INPUTS, OUTPUTS, Names

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR
WAITS = given(autostart=False)


def test_a_node_starts_by_itself_as_soon_as_ros_runs():
    with shell() as found:
        assert found.node.core.state is State.UNCONFIGURED
        found.start()
        assert found.node.core.state is State.ACTIVE
        assert found.logged("info") == ["the node is configured", "the node is activated"]
        found.graph.tick(3)
        assert len(found.graph.timers()) == 1  # the watchdog


def test_a_node_that_somebody_configured_first_does_not_start_by_itself():
    with shell() as found:
        assert found.node.change("configure") == SUCCESS
        found.graph.tick()
        assert found.node.label == "inactive"
        assert found.logged("warning") == []


def test_each_transition_of_ros_is_one_of_the_node():
    with shell(Graph(WAITS)) as found:
        found.graph.tick(3)
        for step, label in (
            ("configure", "inactive"),
            ("activate", "active"),
            ("deactivate", "inactive"),
            ("cleanup", "unconfigured"),
            ("configure", "inactive"),
        ):
            assert found.node.change(step) == SUCCESS
            assert found.node.label == found.node.core.state.value == label
        with pytest.raises(RuntimeError, match="not registered"):
            found.node.change("configure")


@pytest.mark.parametrize("steps", [(), ("configure",), ("configure", "activate")])
def test_shutting_down_ends_the_node_from_any_state(steps):
    with shell(Graph(WAITS)) as found:
        for step in steps:
            found.node.change(step)
        assert found.node.change("shutdown") == SUCCESS
        assert found.node.core.state is State.FINALIZED
        assert found.graph.subscriptions() == {}
        reports = len(found.graph.sent["/diagnostics"])
        found.graph.tick(20)
        assert len(found.graph.sent["/diagnostics"]) == reports


def test_every_picture_of_the_anchor_becomes_a_trajectory_on_all_outputs():
    """Each message passed setters as strict as Humble's, and was written as CDR and read again."""
    with shell() as found:
        found.start().drive(1.0)
        for name in ("trajectory", "candidate_trajectories", "path", "reasoning", "objects"):
            assert len(found.sent(name)) == 11, name
        assert len(found.graph.sent["/drivevlm/debug/markers"]) == 11
        last = found.sent("trajectory")[-1]
        assert (last.header.frame_id, last.header.stamp.sec) == ("map", 1001)
        assert last.points[0].pose.position.x == pytest.approx(SPEED_MPS * 1.1)
        assert json.loads(found.sent("reasoning")[0].data)["stamp_us"] == START_US
        assert found.told == (Level.OK, "ok")
        assert found.counts["published"] == "11"
        assert found.node.bus.troubles() == {}


def test_a_planner_that_does_not_load_is_a_failure_that_is_told_until_one_loads():
    with shell(fails=[OSError("no such file:\nmodel.safetensors")]) as found:
        found.graph.tick(us=0)
        assert found.node.label == "unconfigured"
        said = "the node cannot be configured: OSError: no such file: model.safetensors"
        assert found.logged("error") == [said]
        found.graph.tick(20)
        assert found.told == (Level.ERROR, f"{said}; the node is unconfigured")
        assert len(found.graph.sent["/diagnostics"]) == 1 + 2  # at once, and once a second
        assert found.graph.subscriptions() == {}
        assert found.node.change("configure") == SUCCESS
        assert found.node.change("activate") == SUCCESS
        found.drive(0.1)
        assert found.told == (Level.OK, "ok")


def test_without_autowares_packages_a_path_and_plain_words_are_published():
    with shell(Graph(given(), lacks=AUTOWARE)) as found:
        found.start().drive(0.2)
        assert len(found.sent("path")) == len(found.sent("reasoning")) == 3
        assert found.sent("trajectory") == found.sent("objects") == []
        assert "output.trajectory is not published: autoware_planning_msgs/msg/Tr" in found.told[1]


def test_an_input_whose_package_is_missing_is_a_failure():
    graph = Graph(given(objects__type="detection3d"), lacks=("vision_msgs",))
    with shell(graph) as found:
        found.graph.tick()
        assert found.node.label == "unconfigured"
        assert "needs vision_msgs/msg/Detection3DArray, which is not there" in found.told[1]


def test_a_transition_that_raises_begins_anew_and_is_not_silent():
    with shell() as found:
        found.start()
        found.node.core.deactivate = raising(found.node.core.deactivate)
        assert found.node.change("deactivate") == ERROR
        assert found.logged("error") == ["the node cannot be deactivated: RuntimeError: broken"]
        assert found.node.label == found.node.core.state.value == "unconfigured"
        assert found.node.change("configure") == SUCCESS


def test_a_node_that_cannot_begin_anew_ends():
    with shell() as found:
        found.start()
        deactivate, found.node.core.deactivate = found.node.core.deactivate, always_raising
        assert found.node.change("deactivate") == ERROR
        assert found.node.label == "finalized"
        found.node.core.deactivate = deactivate


def raising(then):
    calls = []

    def once():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("broken")
        return then()

    return once


def always_raising():
    raise RuntimeError("broken")


def test_a_planner_that_hangs_is_told_and_is_not_asked_again(monkeypatch):
    monkeypatch.setattr("drivevlm.drive.worker.Worker.stop", lambda self, give_up: False)
    with shell() as found:
        found.start()
        assert found.node.change("deactivate") == SUCCESS
        assert "its planner does not end" in found.told[1]
        assert found.node.change("activate") == FAILURE
        assert found.logged("error") == ["the node cannot be activated: it is inactive"]


def test_what_is_on_its_way_when_the_node_is_deactivated_is_not_published():
    begun, go = threading.Event(), threading.Event()
    with shell() as found:
        found.start().drive(0.5)
        found.planner.before = lambda: (begun.set(), go.wait(5.0))
        found.drive(0.6, from_s=0.6, decides=False)
        assert begun.wait(5.0)
        ended = threading.Thread(target=lambda: found.node.change("deactivate"))
        ended.start()
        until(lambda: found.graph.subscriptions() and found.node.core._runtime is None, "mute")
        go.set()
        ended.join(5.0)
        assert found.node.label == "inactive"
        assert len(found.planner.clips) == 7
        assert len(found.sent("trajectory")) == len(found.sent("reasoning")) == 6


def test_a_bad_message_ends_nothing():
    with shell() as found:
        found.start().drive(0.0)
        found.graph.send(COMMAND, found.pen.string("sideways"))
        found.graph.send(image_topic("CAM_FRONT"), found.pen.compressed(START_US + 50_000, b"GIF"))
        found.drive(0.2, from_s=0.1)
        assert len(found.sent("trajectory")) == 3
        assert "expected one of follow, left" in found.told[1]
        assert found.node.bus.troubles() == {}


# Topics


def test_topics_are_carried_as_they_are_declared():
    graph = Graph(given(objects__type="predicted_objects", route__use=True))
    with shell(graph) as found:
        found.start()
        names = Names()
        heard = {
            name: (e.message_class.TYPE_NAME, e) for name, e in found.graph.subscriptions().items()
        }
        for topic in INPUTS:
            kind, entity = heard.get(names.of(topic, "CAM_FRONT"), ("", None))
            if kind == topic.type_name:
                assert carried(entity.qos) == (topic.qos.reliable, topic.qos.latched)
                assert entity.qos.depth == topic.qos.depth
        assert len(heard) == 6
        for publisher in found.node.publishers.values():
            assert carried(publisher.qos) == (True, False)
            assert publisher.qos.depth == 1
        assert set(found.node.publishers) == {names.of(topic) for topic in OUTPUTS}


def carried(qos) -> tuple[bool, bool]:
    return (
        qos.reliability is ReliabilityPolicy.RELIABLE,
        qos.durability is DurabilityPolicy.TRANSIENT_LOCAL,
    )


def test_what_was_latched_before_the_node_was_there_is_heard():
    with shell() as found:
        found.graph.send(COMMAND, found.pen.string("left"), latched=True)
        found.start().drive(0.0)
        assert found.planner.clips[-1].command.command.value == "left"


def test_the_names_that_ros_was_told_are_the_nodes():
    with shell(Graph(given(), name="eyes", namespace="/car")) as found:
        found.start()
        assert set(found.graph.subscriptions()) == {
            "/car/eyes/input/CAM_FRONT/image/compressed",
            "/car/eyes/input/kinematic_state",
            "/car/eyes/input/navigation_command",
        }
        assert found.status.name == "eyes: inference_status"


def test_topics_go_where_ros_remaps_them():
    moved = {name.replace("~", "/drivevlm"): new for name, new in REMAPS.items()}
    with shell(Graph(given(), remaps=moved)) as found:
        found.start()
        assert "/localization/kinematic_state" in found.graph.subscriptions()
        assert "/planning/generator/drivevlm/trajectory" in found.node.publishers


@pytest.mark.parametrize("name", ["trajectory", "path", "reasoning"])
def test_a_topic_of_the_validators_is_refused_also_where_ros_remaps_it(name):
    """The node itself cannot see what ROS remaps."""
    with shell(Graph(given(), remaps={output(name): "/planning/trajectory"})) as found:
        found.graph.tick()
        assert found.node.label == "unconfigured"
        assert "/planning/trajectory belongs to Autoware's planning validator" in found.told[1]
        assert "/planning/trajectory" not in found.node.publishers
        assert found.planner.clips == []


def test_an_output_that_cannot_be_sent_takes_no_other_with_it():
    with shell(Graph(given(), refuses={output("path")})) as found:
        found.start().drive(0.1)
        assert len(found.sent("trajectory")) == 2
        assert "the last: RuntimeError: the wire is cut in two" in found.told[1]


def test_each_topic_and_the_watchdog_wait_for_themselves_only():
    with shell() as found:
        found.start()
        entities = [*found.graph.subscriptions().values(), *found.graph.timers()]
        groups = [entity.group for entity in entities]
        assert len(set(map(id, groups))) == len(groups) == 4
        assert all(isinstance(group, MutuallyExclusiveCallbackGroup) for group in groups)
        assert found.node.default_callback_group not in groups
        (watchdog,) = found.graph.timers()
        assert (watchdog.period_s, watchdog.clock.clock_type) == (0.1, ClockType.STEADY_TIME)


def test_a_silent_anchor_is_an_error_within_half_a_second():
    with shell() as found:
        found.start().drive(1.0)
        for k in range(1, 6):
            stamp_us = START_US + 1_000_000 + k * 100_000
            found.graph.send(ODOMETRY, found.pen.odometry(stamp_us, SPEED_MPS * (1 + k / 10)))
            found.graph.tick()
        assert found.told == (Level.ERROR, "CAM_FRONT is silent for 0.50 s")


def test_the_clock_is_the_nodes():
    with shell() as found:
        assert found.node.bus.now_us() == START_US
        found.graph.clock.now_us = 0
        found.start()
        found.graph.tick(us=0)
        assert "nothing publishes /clock" in found.told[1]
