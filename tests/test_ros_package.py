"""Laws of the ROS package as files: what colcon, launch and rcl read agrees with the node."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

import drivevlm
from drivevlm.drive.node_config import NodeConfig, PlannerConfig
from drivevlm.drive.parameters import Kind, node_config, parameters
from drivevlm.drive.parameters_file import values_from_yaml, yaml_of
from drivevlm.drive.topics import AUTOWARE, INPUTS, OUTPUTS, Names, check_output

PACKAGE = Path(__file__).parents[1] / "ros_nodes" / "drivevlm_ros"
PARAMETERS = PACKAGE / "config" / "drivevlm.param.yaml"
LAUNCH = PACKAGE / "launch" / "drivevlm.launch.xml"
MODEL_PATH = "$(var model_path)"
"""Filled in by launch: a parameter of the launch file would hide what a file of a vehicle says."""
RIG = NodeConfig().drive.sync.cameras


# Parameters


def test_the_parameter_file_is_written_from_the_settings():
    config = NodeConfig(planner=PlannerConfig(MODEL_PATH))
    assert PARAMETERS.read_text() == yaml_of(config), (
        "write it anew: drivevlm.drive.parameters_file.yaml_of"
    )


def test_the_parameter_file_holds_every_parameter_with_its_type_and_its_words():
    text = PARAMETERS.read_text()
    values = values_from_yaml(text)
    types = {Kind.BOOL: bool, Kind.INT: int, Kind.FLOAT: float, Kind.TEXT: str}
    for parameter in parameters(RIG):
        if parameter.default != ():  # ROS has no empty list: those are commented out
            kind = types.get(parameter.kind, list)
            assert type(values.pop(parameter.name)) is kind, parameter.name
        words = " ".join(line.strip("# ") for line in text.splitlines())
        assert parameter.description in words
    assert values == {}


def test_launch_fills_the_parameter_file_in_and_nothing_in_it_is_left_empty():
    """Launch drops quotes, and rcl refuses a value of no letters: so a word stands for none."""
    (model_path,) = [arg for arg in launch().iter("arg") if arg.get("name") == "model_path"]
    filled = yaml.safe_dump(yaml.safe_load(PARAMETERS.read_text()))
    assert "$" not in filled.replace(MODEL_PATH, "")
    filled = filled.replace(MODEL_PATH, model_path.get("default", ""))
    assert None not in values_from_yaml(filled).values()
    assert node_config(values_from_yaml(filled)) == NodeConfig()


# Launch


def launch() -> ET.Element:
    return ET.parse(LAUNCH).getroot()


def arguments() -> dict[str, str]:
    return {arg.attrib["name"]: arg.get("default", "") for arg in launch().iter("arg")}


def remaps() -> list[tuple[str, str]]:
    """As they are without further words on the command line."""
    told = arguments()
    pairs = [(tag.attrib["from"], tag.attrib["to"]) for tag in launch().iter("remap")]
    return [(old, re.sub(r"\$\(var (\w+)\)", lambda m: told[m[1]], new)) for old, new in pairs]


def test_every_topic_of_the_node_is_remapped_once_and_no_other():
    names = Names()
    below = [topic for topic in (*INPUTS, *OUTPUTS) if topic.name.startswith("~/")]
    known = {topic.name.replace("{cam}", camera) for topic in below for camera in RIG}
    assert sorted(old for old, _ in remaps()) == sorted(known)
    Names(remap=dict(remaps())).check_remap(RIG)
    assert {names.full(old) for old in known} >= {names.of(topic, RIG[0]) for topic in below}


def test_topics_lie_where_an_autoware_vehicle_has_them_and_plans_go_to_the_generators():
    found = dict(remaps())
    assert {name: found[name] for name in AUTOWARE} == AUTOWARE
    for topic in OUTPUTS:
        if topic.name in found:
            assert found[topic.name].startswith("/planning/generator/drivevlm/")
            check_output(Names(remap=found).of(topic))


def test_every_argument_of_the_launch_file_is_used_and_every_one_that_is_used_is_there():
    text = LAUNCH.read_text() + PARAMETERS.read_text()
    assert set(re.findall(r"\$\(var (\w+)\)", text)) == set(arguments())


def test_the_node_of_the_launch_file_is_the_one_that_setup_installs():
    (node,) = launch().iter("node")
    assert (node.get("pkg"), node.get("exec")) == ("drivevlm_ros", "drivevlm_node")
    (param,) = node.iter("param")
    assert param.attrib == {"from": "$(var params_file)", "allow_substs": "true"}
    assert arguments()["params_file"] == (
        f"$(find-pkg-share drivevlm_ros)/config/{PARAMETERS.name}"
    )


# The package


@pytest.fixture
def setup(monkeypatch) -> dict[str, object]:
    told: dict[str, object] = {}
    monkeypatch.setattr("setuptools.setup", lambda **given: told.update(given))
    monkeypatch.chdir(PACKAGE)
    runpy.run_path("setup.py")
    return told


def test_setup_installs_the_package_its_files_and_its_program(setup):
    assert setup["packages"] == ["drivevlm_ros"]
    assert setup["version"] == drivevlm.__version__
    assert dict(setup["data_files"]) == {
        "share/ament_index/resource_index/packages": ["resource/drivevlm_ros"],
        "share/drivevlm_ros": ["package.xml"],
        "share/drivevlm_ros/launch": ["launch/drivevlm.launch.xml"],
        "share/drivevlm_ros/config": ["config/drivevlm.param.yaml"],
    }
    (program,) = setup["entry_points"]["console_scripts"]
    name, _, place = program.partition(" = ")
    assert name == "drivevlm_node"
    module, _, function = place.partition(":")
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    config = configparser.ConfigParser()
    config.read(PACKAGE / "setup.cfg")
    assert config["install"]["install_scripts"] == "$base/lib/drivevlm_ros"


def test_package_xml_is_what_colcon_needs_to_build_a_ros_package(setup):
    """One that it cannot read makes colcon build plain Python, without a word."""
    root = ET.parse(PACKAGE / "package.xml").getroot()
    assert (root.tag, root.get("format")) == ("package", "3")
    order = [child.tag for child in root]
    assert order[:5] == ["name", "version", "description", "maintainer", "license"]
    assert set(order[5:-1]) == {"exec_depend"}
    assert order[-1] == "export"
    assert root.findtext("name") == setup["name"]
    assert root.findtext("version") == setup["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", root.findtext("version") or "")
    assert root.findtext("license") == setup["license"]
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", root.find("maintainer").get("email"))
    assert root.findtext("export/build_type") == "ament_python"
    depends = [child.text for child in root.iter("exec_depend")]
    assert depends == sorted(set(depends))
    assert {"rclpy", "ros2launch", "rcl_interfaces"} <= set(depends)


def test_packages_that_every_ros_has_are_depended_on_and_autowares_are_not():
    """They are imported where they are there: a vehicle without them has a path."""
    root = ET.parse(PACKAGE / "package.xml").getroot()
    depends = {child.text for child in root.iter("exec_depend")}
    used = {topic.type_name.partition("/")[0] for topic in (*INPUTS, *OUTPUTS)}
    optional = {name for name in used if name.startswith(("autoware", "vision"))}
    assert used - optional <= depends
    assert not optional & depends
    text = (PACKAGE / "package.xml").read_text()
    assert all(name in text for name in optional)  # named there, for who reads it


def test_nothing_beside_the_shell_imports_rclpy_and_the_shell_imports_no_hydra():
    for path in (PACKAGE / "drivevlm_ros").glob("*.py"):
        assert not {"hydra", "omegaconf", "drivevlm.app"} & imports(path), path


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


# Words


def test_the_package_tells_of_every_topic_and_of_launch_arguments_that_exist():
    text = (PACKAGE / "README.md").read_text()
    for topic in (*INPUTS, *OUTPUTS):
        assert topic.name.replace("{cam}", "CAMERA") in text, topic.name
        assert topic.type_name.rpartition("/")[2].replace("StringStamped", "String") in text
    told = set(re.findall(r"(\w+):=", text + (PACKAGE.parent / "README.md").read_text()))
    assert told == {"model_path", "params_file"}
    assert told <= set(arguments())
    switches = {f"output.{name}" for name in NodeConfig().output.on}
    assert switches <= set(re.findall(r"output\.\w+", text))


def test_the_guide_has_five_steps_and_names_parameters_that_exist():
    _, _, guide = (PACKAGE.parent / "README.md").read_text().partition("## Your vehicle in five")
    steps = [line for line in guide.splitlines() if re.match(r"\d\. ", line)]
    assert [step[0] for step in steps] == list("12345")
    known = {parameter.name for parameter in parameters(RIG)}
    assert set(re.findall(r"`((?:sync|fallback|gate|output)\.\w+)`", guide)) <= known
