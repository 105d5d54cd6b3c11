"""The node under a real rclpy: for a machine with a sourced ROS 2, or with its wheels."""

from __future__ import annotations

import io
import json
import os
import random
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

pytestmark = pytest.mark.ros
PATIENCE_S = 30.0
SPEED_MPS = 8.0
PARAMETERS = """
/**:
  ros__parameters:
    planner: {settings: ["planner=constant_velocity"]}
    gate: {start_m: 5, start_speed_mps: 30.0}
    sync: {max_age_ms: 5000.0, wait_ms: 500.0}
    max_latency_ms: 5000.0
    calibration:
      CAM_FRONT:
        size_px: [64, 36]
        intrinsics: [50.0, 0.0, 31.5, 0.0, 50.0, 17.5, 0.0, 0.0, 1.0]
        translation_m: [1.0, 0.0, 1.5]
        quaternion_xyzw: [-0.5, 0.5, -0.5, 0.5]
"""


@pytest.fixture
def ros(tmp_path, monkeypatch) -> Iterator[Any]:
    """rclpy, with the parameters above, in a domain of its own on this machine."""
    monkeypatch.setenv("ROS_PYTHON_CHECK_FIELDS", "1")  # as strict as Humble, on Jazzy too
    rclpy = pytest.importorskip("rclpy", reason="needs a sourced ROS 2")
    pytest.importorskip("sensor_msgs.msg", reason="needs a sourced ROS 2")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 101)))
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    file = tmp_path / "vehicle.param.yaml"
    file.write_text(PARAMETERS)
    rclpy.init(args=["--ros-args", "--params-file", str(file), "-r", "~/output/path:=/plan"])
    yield rclpy
    if rclpy.ok():
        rclpy.shutdown()


def until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not come within {PATIENCE_S} s"
        time.sleep(0.01)


class Vehicle:
    """Another node in the same executor: it drives straight on, and hears what the planner says."""

    def __init__(self, rclpy: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from nav_msgs.msg import Odometry, Path
        from rclpy.executors import MultiThreadedExecutor
        from rclpy.node import Node
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import CompressedImage
        from std_msgs.msg import String

        from drivevlm_ros.node import DriveVlmNode

        self.node = DriveVlmNode()
        self.peer = Node("vehicle", use_global_arguments=False)
        self.heard: dict[str, list[Any]] = {"/plan": [], "/diagnostics": []}
        self.heard["/drivevlm/output/reasoning"] = []
        for topic, kind in zip(self.heard, (Path, DiagnosticArray, String), strict=True):
            self.peer.create_subscription(kind, topic, self.heard[topic].append, 50)
        loud = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.kinds = SimpleNamespace(odometry=Odometry, image=CompressedImage)
        below = "/drivevlm/input"
        self.odometry = self.peer.create_publisher(Odometry, f"{below}/kinematic_state", loud)
        name = f"{below}/CAM_FRONT/image/compressed"
        self.image = self.peer.create_publisher(CompressedImage, name, loud)
        self.executor = MultiThreadedExecutor(num_threads=8)
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.begun_s = time.monotonic()
        encoded = io.BytesIO()
        Picture.new("RGB", (64, 36)).save(encoded, "PNG")
        self.picture = array("B", encoded.getvalue())

    def __enter__(self) -> Vehicle:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.node.close()
        self.executor.shutdown()
        self.thread.join(10.0)
        self.node.destroy_node()
        self.peer.destroy_node()

    def step(self) -> None:
        """A tenth of a second on the road."""
        for k in range(2):
            told = self.kinds.odometry()
            told.header.stamp = self.peer.get_clock().now().to_msg()
            told.header.frame_id, told.child_frame_id = "map", "base_link"
            told.pose.pose.position.x = SPEED_MPS * (time.monotonic() - self.begun_s)
            told.twist.twist.linear.x = SPEED_MPS
            self.odometry.publish(told)
            if k == 0:
                seen = self.kinds.image(format="png", data=self.picture)
                seen.header.stamp = told.header.stamp
                self.image.publish(seen)
            time.sleep(0.05)

    @property
    def told(self) -> str:
        reports = self.heard["/diagnostics"]
        return reports[-1].status[0].message if reports else ""


def test_the_node_lives_and_plans_under_ros(ros):
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    with Vehicle(ros) as found:
        until(lambda: found.node.core.state.value == "active", f"the start: {found.told}")

        def planned() -> bool:
            found.step()
            return len(found.heard["/plan"]) > 3

        until(planned, f"plans: {found.told}")
        plan = found.heard["/plan"][-1]
        assert plan.header.frame_id == "map"
        assert len(plan.poses) == 30
        until(lambda: found.heard["/drivevlm/output/reasoning"], "words")
        told = json.loads(found.heard["/drivevlm/output/reasoning"][-1].data)
        assert told["gate"]["passed"]
        assert found.node.bus.troubles() == {}
        assert found.heard["/diagnostics"][-1].status[0].level in (b"\0", b"\1", b"\2")

        refused = found.node.set_parameters_atomically([Parameter("gate.start_m", value=2.0)])
        assert "read when the node is configured" in refused.reason
        changed = found.node.set_parameters_atomically([Parameter("output.path", value=False)])
        assert changed.successful
        assert found.node.describe_parameter("calibration.CAM_FRONT.size_px").type == 7
        assert found.node.describe_parameter("sync.optional").type == 9

        assert found.node.on_deactivate(None) == TransitionCallbackReturn.SUCCESS
        assert found.node.on_cleanup(None) == TransitionCallbackReturn.SUCCESS
        wrong = [Parameter("fallback.kind", value="halt")]
        assert found.node.set_parameters_atomically(wrong).successful
        assert found.node.on_configure(None) == TransitionCallbackReturn.FAILURE
        until(lambda: "fallback.kind is one of none, previous, stop" in found.told, "an error")


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_ros2_numpy_and_the_nodes_own_converter_see_the_same_picture(ros, encoding):
    pytest.importorskip("ros2_numpy", reason="needs ros2-numpy beside a sourced ROS 2")
    from ros2_numpy import numpify
    from sensor_msgs.msg import Image

    from drivevlm.drive.messages.images import TO_RGB, rgb_of_image
    from drivevlm_ros.pixels import rgb_by

    each, generator = TO_RGB[encoding][0], np.random.default_rng(2)
    for pad in (0, 7):
        rows = generator.integers(0, 256, (36, 64 * each + pad), dtype=np.uint8)
        message = Image(encoding=encoding, height=36, width=64, step=rows.shape[1])
        message.data = array("B", rows.tobytes())
        np.testing.assert_array_equal(rgb_by(numpify, message), rgb_of_image(message))


def test_the_bus_makes_what_the_strict_setters_of_ros_take(ros):
    """Every message that can be published here, with every field that the node sets."""
    from drivevlm_ros.messages import Messages

    messages = Messages()
    header = messages.make("std_msgs/msg/Header", {"frame_id": "map"})
    status = messages.make("diagnostic_msgs/msg/DiagnosticStatus", {"level": 2, "name": "x"})
    assert status.level == b"\x02"
    told = messages.make("diagnostic_msgs/msg/DiagnosticArray", {"header": header})
    assert told.header.frame_id == "map"
    uuid = messages.make("unique_identifier_msgs/msg/UUID", {"uuid": list(range(16))})
    assert uuid.uuid.tolist() == list(range(16))
    image = messages.make("sensor_msgs/msg/Image", {"data": np.arange(9, dtype=np.uint8)})
    assert image.data == array("B", range(9))
    info = messages.make("sensor_msgs/msg/CameraInfo", {"k": range(9), "d": [0.5]})
    assert info.k[8] == 8.0
    with pytest.raises(TypeError, match=r"Marker: id: "):
        messages.make("visualization_msgs/msg/Marker", {"id": 0.5})


def test_no_name_of_the_shell_hides_one_of_rclpy(ros):
    """It inherits from a node of many releases, whose private names nobody promises."""
    from rclpy.lifecycle import LifecycleNode

    from drivevlm_ros.node import DriveVlmNode

    plain = LifecycleNode("plain")
    theirs, node = set(vars(plain)) | set(dir(LifecycleNode)), DriveVlmNode()
    mine = {name for name in vars(DriveVlmNode) if not name.startswith("__")}
    mine |= set(vars(node)) - set(vars(plain))
    steps = ("configure", "activate", "deactivate", "cleanup", "shutdown", "error")
    assert mine & theirs == {f"on_{step}" for step in steps}
    node.close()
    node.destroy_node()
    plain.destroy_node()


def test_the_environment_is_strict(ros):
    assert os.environ["ROS_PYTHON_CHECK_FIELDS"] == "1"
    from geometry_msgs.msg import Point

    with pytest.raises(AssertionError, match="float"):
        Point().x = 1
