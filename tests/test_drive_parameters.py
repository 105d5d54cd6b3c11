"""Laws of the node's parameters and of the names of its topics."""

from dataclasses import fields

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.config import (
    DriveConfig,
    Fallback,
    FallbackConfig,
    GateConfig,
    OdometryConfig,
    SyncConfig,
    VehicleConfig,
)
from drivevlm.drive.node_config import Calibration, NodeConfig, ObjectsType, Transport
from drivevlm.drive.parameters import (
    Kind,
    ParameterError,
    changed,
    flat,
    node_config,
    parameters,
    values_of,
)
from drivevlm.drive.parameters_file import values_from_yaml, yaml_of
from drivevlm.drive.topics import (
    AUTOWARE,
    COMPRESSED,
    INPUTS,
    KINEMATIC_STATE,
    NAVIGATION_COMMAND,
    OUTPUTS,
    TF_STATIC,
    TRAJECTORY,
    Names,
    TopicError,
    check_output,
)

RIG = ("CAM_FRONT", "CAM_BACK")
TUNED = {
    "sync": {"cameras": list(RIG), "frames": 2, "optional": ["CAM_BACK"]},
    "fallback.kind": "stop",
    "gate": {"max_plan_age_s": 2},
    "max_latency_ms": 800.0,
    "camera.transport": "raw",
    "objects": {"type": "detection3d", "classes": ["0=car", "3 = bus"]},
    "output": {"markers": False},
    "calibration": {
        "CAM_BACK": {
            "size_px": [1600, 900],
            "translation_m": [1.5, 0, 1.6],
            "quaternion_xyzw": [0.5, -0.5, 0.5, -0.5],
        }
    },
    "base_frame": "rear_axle",
}


def refused(text: str):
    return pytest.raises(ParameterError, match=rf"^[^\n]*{text}[^\n]*$")


def test_without_any_value_the_defaults_are_those_of_the_dataclasses():
    assert node_config({}) == NodeConfig()
    assert node_config({}).drive == DriveConfig()
    assert node_config({}, name="other").drive.name == "other"


def test_every_field_of_every_group_is_a_parameter_with_a_default_and_words():
    declared = {parameter.name: parameter for parameter in parameters(RIG)}
    groups = {
        "sync": SyncConfig,
        "odometry": OdometryConfig,
        "vehicle": VehicleConfig,
        "gate": GateConfig,
        "fallback": FallbackConfig,
        "calibration.CAM_BACK": Calibration,
    }
    for group, kind in groups.items():
        for part in fields(kind):
            found = declared[f"{group}.{part.name}"]
            assert found.default == getattr(part.default, "value", part.default)
    assert {"max_latency_ms", "silent_s", "autostart", "use_sim_time"} <= set(declared)
    assert "name" not in declared
    assert [p.name for p in declared.values() if not (p.description and p.group)] == []
    assert all("`" not in p.description and "\n" not in p.description for p in declared.values())


def test_kinds_choices_and_dynamic_ones_are_told():
    declared = {parameter.name: parameter for parameter in parameters()}
    assert declared["sync.tolerance_ms"].kind is Kind.FLOAT
    assert declared["sync.frames"].kind is Kind.INT
    assert declared["sync.cameras"].kind is Kind.TEXTS
    assert declared["autostart"].kind is Kind.BOOL
    assert declared["fallback.kind"].kind is Kind.TEXT
    assert declared["fallback.kind"].choices == ("none", "previous", "stop")
    dynamic = {name for name, parameter in declared.items() if parameter.dynamic}
    assert dynamic == {name for name in declared if name.startswith("output.")}


def test_nested_groups_dotted_names_and_their_mix_say_the_same():
    config = node_config(TUNED)
    assert node_config(flat(TUNED)) == config
    assert config.drive.sync.cameras == RIG
    assert config.drive.sync.optional == ("CAM_BACK",)
    assert config.drive.fallback.kind is Fallback.STOP
    assert config.drive.gate.max_plan_age_s == 2.0
    assert config.camera.transport is Transport.RAW
    assert config.objects.type is ObjectsType.DETECTION
    assert config.objects.categories == {"0": "car", "3": "bus"}
    assert config.output.on == (
        "trajectory",
        "candidate_trajectories",
        "path",
        "reasoning",
        "objects",
    )
    assert config.calibration["CAM_BACK"].size_px == (1600, 900)
    assert config.calibration["CAM_BACK"].ego_from_camera.translation_m.tolist() == [1.5, 0, 1.6]
    assert config.calibration["CAM_BACK"].matrix is None


@pytest.mark.parametrize("values", [{}, TUNED])
def test_what_is_written_reads_back_and_explains_every_parameter(values):
    config = node_config(values)
    text = yaml_of(config)
    assert node_config(values_from_yaml(text)) == config
    for parameter in parameters(config.drive.sync.cameras):
        assert f"{parameter.name.rpartition('.')[2]}: " in text
    assert max(len(line) for line in text.splitlines()) <= 100
    told = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert isinstance(told["sync"]["tolerance_ms"], float)  # ROS takes no integer for a double


@given(st.floats(1e-12, 1e12))
def test_no_double_is_written_as_an_integer_or_as_text(value):
    text = yaml_of(node_config({"gate.start_m": value}))
    assert yaml.safe_load(text)["/**"]["ros__parameters"]["gate"]["start_m"] == value


def test_lists_as_ros_hands_them_over():
    assert node_config({"sync.optional": [""]}).drive.sync.optional == ()
    assert node_config({"sync.cameras": "CAM_FRONT"}).drive.sync.cameras == ("CAM_FRONT",)
    assert values_of(node_config(TUNED))["sync.cameras"] == RIG


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"sync.tolerence_ms": 1.0}, "sync.tolerence_ms is no parameter, did you mean sync.tol"),
        ({"max_age_ms": 1.0}, "did you mean sync.max_age_ms"),
        ({"nothing": {"like": {"it": 1}}}, "nothing.like.it is no parameter$"),
        ({"calibration": {"CAM_TOP": {"size_px": [1, 2]}}}, "calibration.CAM_TOP.size_px is no"),
        ({"gate": 5}, "gate is a group of parameters"),
        ({"sync.frames": 1.5}, "sync.frames: expected integer, got 1.5"),
        ({"sync.frames": True}, "sync.frames: expected integer, got True"),
        ({"sync.tolerance_ms": "wide"}, "sync.tolerance_ms: expected double, got 'wide'"),
        ({"sync.cameras": [1]}, "sync.cameras: expected string_array, got 1"),
        ({"autostart": "yes"}, "autostart: expected bool, got 'yes'"),
        ({"fallback.kind": "halt"}, "fallback.kind is one of none, previous, stop; got 'halt'"),
        ({"sync.frames": 0}, "sync: frames, stride, .* at least 1"),
        ({"sync.cameras": ["CAM_TOP"]}, "sync: cameras .* hold the anchor"),
        ({"max_latency_ms": -1.0}, "max_latency_ms is positive"),
        ({"sync.frames": 1, "sync": {"frames": 2}}, "sync.frames is given twice: 1 and 2"),
        ({"calibration.CAM_FRONT.size_px": [1]}, "calibration.CAM_FRONT: size_px holds 2"),
        ({"calibration.CAM_FRONT.size_px": [0, 1]}, "size_px is positive"),
        ({"calibration.CAM_FRONT.translation_m": [0.0, 0, 0]}, "come together"),
        (
            {
                "calibration.CAM_FRONT.translation_m": [0, 0, 0],
                "calibration.CAM_FRONT.quaternion_xyzw": [0, 0, 0, 0],
            },
            "quaternion_xyzw is not zero",
        ),
        ({"objects.classes": ["0=unicorn"]}, "objects: classes .* got 0=unicorn"),
        ({"route.near_m": 0.0}, "route: near_m"),
        ({"base_frame": "/base_link"}, "without a slash"),
    ],
)
def test_a_parameter_without_sense_is_refused_in_one_line(values, why):
    with refused(why):
        node_config(values)


def test_only_what_is_declared_dynamic_changes_while_the_node_is_configured():
    config = node_config(TUNED)
    assert "markers" in changed(config, {"output.markers": True}).output.on
    assert changed(config, {"output.markers": True}).drive == config.drive
    with refused("gate.start_m is read when the node is configured"):
        changed(config, {"output.markers": True, "gate.start_m": 2.0})
    with refused("did you mean output.markers"):
        changed(config, {"output.marker": True})
    with refused("output.markers: expected bool"):
        changed(config, {"output.markers": 1})


def test_a_file_holds_values_for_any_node_or_one_and_the_later_entry_wins():
    text = """
    /**: {ros__parameters: {sync: {frames: 2}, autostart: false}}
    /car/drivevlm: {ros__parameters: {sync: {frames: 3}}}
    /other: {ros__parameters: {sync: {frames: 4}}}
    """
    found = values_from_yaml(text, node="/car/drivevlm")
    assert found == {"sync.frames": 3, "autostart": False}
    assert values_from_yaml("sync: {frames: 2}\nautostart: true") == {
        "sync.frames": 2,
        "autostart": True,
    }
    assert values_from_yaml("# nothing but words") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "my.yaml: no YAML"),
        ("just words", "my.yaml: expected parameters by name, got 'just words'"),
        ("/**: {ros__parameters: {}}\nsync: {frames: 2}", "my.yaml: sync holds no ros__parameters"),
    ],
)
def test_a_file_without_sense_is_refused_by_its_name(text, why):
    with refused(why):
        values_from_yaml(text, where="my.yaml")


# Topics


def test_a_topic_lies_below_its_node():
    assert Names().of(KINEMATIC_STATE) == "/drivevlm/input/kinematic_state"
    car = Names("planner", "/car/front")
    assert car.of(COMPRESSED, "CAM_FRONT") == (
        "/car/front/planner/input/CAM_FRONT/image/compressed"
    )
    assert car.of(TF_STATIC) == "/tf_static"
    assert car.full("pose") == "/car/front/pose"
    assert car.node_full == "/car/front/planner"


def test_topics_are_remapped_by_any_form_of_their_name():
    for old in ("~/input/kinematic_state", "/drivevlm/input/kinematic_state"):
        names = Names(remap={old: "/localization/kinematic_state"})
        names.check_remap(RIG)
        assert names.of(KINEMATIC_STATE) == "/localization/kinematic_state"
        assert names.of(NAVIGATION_COMMAND) == "/drivevlm/input/navigation_command"
    assert Names(namespace="/car", remap={"~/output/trajectory": "plan"}).of(TRAJECTORY) == (
        "/car/plan"
    )


def test_autoware_gets_the_trajectory_at_its_selector_and_never_at_the_validators_topic():
    names = Names(remap=AUTOWARE)
    names.check_remap(RIG)
    assert names.of(TRAJECTORY) == "/planning/generator/drivevlm/trajectory"
    full = [names.of(topic, "CAM_FRONT") for topic in (*INPUTS, *OUTPUTS)]
    assert "/planning/trajectory" not in full
    with pytest.raises(TopicError, match="belongs to Autoware's planning validator"):
        Names(remap={"~/output/trajectory": "/planning/trajectory"}).of(TRAJECTORY)
    with pytest.raises(TopicError, match="validator"):
        check_output("/planning/trajectory")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: Names("drive vlm"), "'drive vlm' is no name in ROS"),
        (lambda: Names(""), "a node needs a name"),
        (lambda: Names(namespace="/car//1st"), "'1st' is no name"),
        (lambda: Names().of(COMPRESSED, "cam-front"), "camera 'cam-front' names a topic"),
        (lambda: Names().of(COMPRESSED), "camera None"),
        (lambda: Names().full("/a//b"), "'/a//b' is no name of a topic"),
        (
            lambda: Names(remap={"~/input/kinematics": "/a"}).check_remap(RIG),
            "no topic ~/input/kinematics, did you mean /drivevlm/input/kinematic_state",
        ),
    ],
)
def test_a_name_that_no_topic_can_bear_is_refused_in_one_line(made, why):
    with pytest.raises(TopicError, match=rf"^[^\n]*{why}[^\n]*$"):
        made()


def test_inputs_are_best_effort_and_outputs_reliable():
    loud = {topic.name for topic in INPUTS if not topic.qos.reliable}
    assert loud == {
        "~/input/{cam}/image/compressed",
        "~/input/{cam}/image",
        "~/input/{cam}/camera_info",
        "~/input/kinematic_state",
        "~/input/objects",
    }
    assert {(t.qos.reliable, t.qos.depth, t.qos.latched) for t in OUTPUTS} == {(True, 1, False)}
    depths = {topic.name: topic.qos.depth for topic in INPUTS}
    assert depths["~/input/{cam}/image/compressed"] == depths["~/input/objects"] == 5
    assert depths["~/input/kinematic_state"] == 50
    assert depths["~/input/{cam}/camera_info"] == depths["~/input/navigation_command"] == 1
    latched = {topic.name for topic in INPUTS if topic.qos.latched}
    assert latched == {"~/input/navigation_command", "~/input/route", "/tf_static"}
