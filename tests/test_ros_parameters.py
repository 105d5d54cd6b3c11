"""Laws of the parameters as ROS holds them."""

from __future__ import annotations

import pytest
from drive_node_cases import GIVEN
from rclpy_fake import Parameter, ParameterType, TransitionCallbackReturn
from rclpy_graph import Graph
from ros_cases import given, shell

from drivevlm.drive.health import Level
from drivevlm.drive.node import State
from drivevlm.drive.parameters import parameters
from drivevlm.drive.parameters_file import values_from_yaml

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
BY_HAND = given(autostart=False)


def put(found, **values):
    """What ``ros2 param set`` does, with one or several."""
    named = [(name.replace("__", "."), value) for name, value in values.items()]
    return found.node.set_parameters_atomically(
        [Parameter(name, None, value) for name, value in named]
    )


def test_every_parameter_is_declared_with_words_and_its_type():
    kinds = {"bool": 1, "integer": 2, "double": 3, "string": 4}
    kinds |= {"integer_array": 7, "double_array": 8, "string_array": 9}
    with shell(Graph()) as found:
        for parameter in parameters(["CAM_FRONT"]):
            if parameter.name == "use_sim_time":  # rclpy's own
                continue
            told = found.node.describe(parameter.name)
            assert told.description == parameter.description
            assert told.type == kinds[parameter.kind.value], parameter.name
            assert not told.dynamic_typing
            assert told.read_only is (parameter.name == "autostart")
            fixed = "fixed until it is cleaned up" in told.additional_constraints
            assert fixed is (not parameter.dynamic and parameter.name != "autostart")
        assert (
            "One of none, previous, stop."
            in found.node.describe("fallback.kind").additional_constraints
        )
        assert found.node.describe("calibration.CAM_FRONT.size_px").type == 7  # an empty list


def test_what_was_given_at_the_start_is_the_nodes_and_the_rest_has_its_default():
    values = given(gate__start_m=2.0, sync__wait_ms=40, output__markers=False)
    with shell(Graph(values)) as found:
        found.start()
        config = found.node.core.config
        assert config.drive.gate.start_m == 2.0
        assert config.drive.sync.wait_ms == 40.0  # an integer does for a double
        assert config.drive.sync.tolerance_ms == 100.0
        assert not config.output.markers
        assert config.calibration["CAM_FRONT"].size_px == tuple(GIVEN["size_px"])
        assert found.node.describe("sync.wait_ms").type == ParameterType.DOUBLE.value


def test_a_misspelt_name_is_a_failure_with_the_nearest_one():
    with shell(Graph(given(gate__strat_m=2.0))) as found:
        found.graph.tick()
        assert found.node.label == "unconfigured"
        assert found.told[0] is Level.ERROR
        assert "gate.strat_m is no parameter, did you mean gate.start_m?" in found.told[1]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"sync__tolerance_ms": "wide"}, "sync.tolerance_ms: expected double, got 'wide'"),
        ({"sync__cameras": 3}, "sync.cameras: expected string_array, got 3"),
        ({"autostart": "yes"}, "autostart: expected bool, got 'yes'"),
        ({"fallback__kind": "halt"}, "fallback.kind is one of none, previous, stop; got 'halt'"),
        ({"sync__cameras": ["front-left"]}, "calibration.CAM_FRONT.size_px is no parameter"),
        ({"gate__start_m": -1.0}, "gate: start_m is positive"),
    ],
)
def test_a_value_that_makes_no_sense_is_a_failure_and_no_end_of_the_process(values, why):
    with shell(Graph(given(**values))) as found:
        found.graph.tick()
        assert found.node.label == "unconfigured"
        assert why in found.told[1]


def test_a_value_that_was_wrong_is_set_right_and_the_node_configured_again():
    with shell(Graph(given(autostart=False, sync__tolerance_ms="wide"))) as found:
        assert found.node.change("configure") == FAILURE
        assert put(found, sync__tolerance_ms=50.0).successful
        assert found.node.change("configure") == SUCCESS
        assert found.node.core.config.drive.sync.tolerance_ms == 50.0


def test_outputs_are_switched_while_the_node_is_active():
    with shell() as found:
        found.start().drive(0.0)
        assert put(found, output__trajectory=False, output__objects=False).successful
        found.drive(0.1, from_s=0.1)
        assert len(found.sent("trajectory")) == 1
        assert len(found.sent("path")) == 2
        assert found.node.core.state is State.ACTIVE


def test_what_is_read_when_the_node_is_configured_is_refused_until_it_is_cleaned_up():
    with shell(Graph(BY_HAND)) as found:
        assert put(found, gate__start_m=2.0).successful
        assert found.node.change("configure") == SUCCESS
        refused = put(found, gate__start_m=3.0)
        assert not refused.successful
        assert refused.reason == (
            "gate.start_m is read when the node is configured: clean it up and configure it again"
        )
        both = put(found, output__path=False, gate__start_m=3.0)  # all of them, or none
        assert not both.successful
        assert found.node.core.config.output.path
        assert found.node.core.config.drive.gate.start_m == 2.0
        assert found.node.change("cleanup") == SUCCESS
        assert put(found, gate__start_m=3.0).successful
        assert found.node.change("configure") == SUCCESS
        assert found.node.core.config.drive.gate.start_m == 3.0


def test_ros_itself_refuses_another_type_and_what_is_read_once():
    with shell(Graph(BY_HAND)) as found:
        assert not put(found, gate__start_m="far").successful
        assert not put(found, autostart=True).successful


def test_parameters_of_rclpy_itself_are_no_concern_of_the_node():
    with shell(Graph(BY_HAND)) as found:
        found.node.declare_parameter("qos_overrides./parameter_events.publisher.depth", 1)
        assert found.node.change("configure") == SUCCESS
        assert put(found, start_type_description_service=False).successful
        assert "use_sim_time is read when" in put(found, use_sim_time=True).reason


def test_a_camera_that_joins_the_rig_can_be_calibrated_and_one_that_left_is_forgotten():
    with shell(Graph(BY_HAND)) as found:
        assert put(found, sync__cameras=["CAM_FRONT", "CAM_BACK"]).successful
        assert found.node.change("configure") == SUCCESS
        assert "CAM_BACK: no camera_info came yet" in found.told[1]
        assert found.node.change("cleanup") == SUCCESS
        named = {f"calibration__CAM_BACK__{name}": value for name, value in GIVEN.items()}
        assert put(found, **named).successful
        assert found.node.change("configure") == SUCCESS
        assert set(found.node.core.config.calibration) == {"CAM_FRONT", "CAM_BACK"}
        assert found.node.change("cleanup") == SUCCESS
        assert put(found, sync__cameras=["CAM_FRONT"]).successful
        assert found.node.change("configure") == SUCCESS
        assert set(found.node.core.config.calibration) == {"CAM_FRONT"}


def test_lists_come_and_go_as_ros_has_them():
    with shell(Graph(given(sync__optional=[""]))) as found:
        found.start()
        assert found.node.core.config.drive.sync.optional == ()


def test_a_list_that_was_given_empty_counts_as_not_given():
    """Humble declares it without a value; Jazzy does not start."""
    with shell(Graph(BY_HAND)) as found:
        found.node.undeclare_parameter("objects.classes")
        found.node.declare_parameter("objects.classes", ParameterType.STRING_ARRAY)
        assert found.node.change("configure") == SUCCESS
        assert found.node.core.config.objects.classes == ()


def test_the_file_that_ships_configures_the_node():
    from test_ros_package import PARAMETERS

    values = values_from_yaml(PARAMETERS.read_text()) | given(planner__model_path="embedded")
    with shell(Graph(values)) as found:
        found.start()
        assert found.told[0] is not Level.ERROR or "silent" in found.told[1]
