"""Laws of the bus on rclpy: messages, callbacks that raise, threads, pixels."""

from __future__ import annotations

import json
import signal
import sys
import threading
from array import array
from contextlib import suppress
from types import ModuleType

import numpy as np
import pytest
from drive_bus import COMMAND, ODOMETRY, LocalBus
from drive_cases import START_US
from rclpy_fake import ExternalShutdownException, MultiThreadedExecutor
from rclpy_graph import GRAPH, Graph
from ros_cases import given, imported, shell, until
from ros_messages import to_rosbags
from wire_cases import TYPES, example

from drivevlm.drive.bus import Qos
from drivevlm.drive.messages.images import TO_RGB, rgb_of_image
from drivevlm.drive.node import State
from drivevlm.drive.wire.store import typestore
from drivevlm.drive.wire.trouble import Trouble

QOS = Qos(reliable=True, depth=5)
LANE = "/lane"


@pytest.fixture
def bus():
    with shell() as found:
        yield found.node.bus


# Messages


@pytest.mark.parametrize("type_name", TYPES)
def test_both_buses_make_the_same_bytes_of_the_same_fields(bus, type_name):
    """Through setters as strict as Humble's, and on the wire as the DDS bus has it."""
    store = typestore()
    ours = store.serialize_cdr(to_rosbags(example(bus, type_name)), type_name)
    assert bytes(ours) == bytes(store.serialize_cdr(example(LocalBus(), type_name), type_name))


def test_sequences_of_numbers_are_arrays_that_rclpy_takes_as_they_are(bus):
    pixels = np.arange(12, dtype=np.uint8)
    image = bus.make("sensor_msgs/msg/Image", data=pixels, height=2, width=2, step=6)
    assert isinstance(image.data, array)
    assert (image.data.typecode, bytes(image.data)) == ("B", bytes(range(12)))
    assert bytes(bus.make("sensor_msgs/msg/Image", data=b"abc").data) == b"abc"
    info = bus.make("sensor_msgs/msg/CameraInfo", k=list(range(9)), d=[1, 2])
    assert isinstance(info.k, np.ndarray)
    assert info.k.tolist() == list(range(9))
    assert info.d == array("d", [1.0, 2.0])
    assert bus.make("sensor_msgs/msg/CameraInfo", d=[]).d == array("d")


def test_single_values_are_cast_to_what_rclpy_takes(bus):
    point = bus.make("geometry_msgs/msg/Point", x=1, y=np.float32(0.5), z=np.int64(2))
    assert [type(value) for value in (point.x, point.y, point.z)] == [float] * 3
    stamp = bus.make("builtin_interfaces/msg/Time", sec=np.int32(3), nanosec=np.uint32(7))
    assert (type(stamp.sec), type(stamp.nanosec)) == (int, int)
    status = bus.make("diagnostic_msgs/msg/DiagnosticStatus", level=2)
    assert status.level == b"\x02"
    assert bus.make("diagnostic_msgs/msg/DiagnosticStatus", level=b"\x01").level == b"\x01"
    marker = bus.make("visualization_msgs/msg/Marker", frame_locked=np.bool_(True))
    assert marker.frame_locked is True
    assert bus.make("geometry_msgs/msg/Quaternion").w == 1.0


@pytest.mark.parametrize(
    ("type_name", "fields", "error", "why"),
    [
        ("nav_msgs/msg/Nothing", {}, ValueError, "nav_msgs/msg/Nothing is not there: source its"),
        ("no_msgs/msg/Thing", {}, ValueError, "no_msgs/msg/Thing is not there"),
        ("std_msgs/msg/String", {"text": ""}, ValueError, "no field 'text': data"),
        ("std_msgs/msg/String", {"data": 3}, TypeError, "std_msgs/msg/String: data: .*got 3"),
        ("geometry_msgs/msg/Point", {"x": "far"}, TypeError, "Point: x: could not convert"),
        ("builtin_interfaces/msg/Time", {"sec": 1.5}, TypeError, "Time: sec: "),
        ("builtin_interfaces/msg/Time", {"sec": 2**40}, TypeError, "Time: sec: "),
        ("visualization_msgs/msg/Marker", {"frame_locked": 1}, TypeError, "true or false, got 1"),
        ("unique_identifier_msgs/msg/UUID", {"uuid": [1, 2]}, TypeError, "uuid: .*16 values"),
        ("sensor_msgs/msg/Image", {"data": [300]}, TypeError, "data: expected numbers from 0 to"),
        ("sensor_msgs/msg/Image", {"data": [0.5]}, TypeError, "data: "),
        ("sensor_msgs/msg/Image", {"data": np.zeros((2, 2))}, TypeError, "a list of numbers, got"),
        ("nav_msgs/msg/Path", {"poses": ["here"]}, TypeError, "poses: .*got 'here'"),
    ],
)
def test_what_no_message_can_hold_is_refused_in_one_line(bus, type_name, fields, error, why):
    with pytest.raises(error, match=rf"^[^\n]*{why}[^\n]*$"):
        bus.make(type_name, **fields)


def test_a_type_is_known_where_its_package_is_there():
    with shell(Graph(given(), lacks=("vision_msgs",))) as found:
        assert found.node.bus.knows("nav_msgs/msg/Odometry")
        assert not found.node.bus.knows("vision_msgs/msg/Detection3DArray")
        assert not found.node.bus.knows("nav_msgs/msg/OdometryOfTomorrow")


# Callbacks


def test_a_callback_that_raises_is_told_once_and_counted():
    with shell() as found:

        def fail(message: object = None) -> None:
            raise KeyError("no such\nlane")

        end = found.node.bus.subscribe(LANE, "std_msgs/msg/String", QOS, fail)
        found.node.bus.every(0.5, fail)
        for _ in range(3):
            found.graph.send(LANE, found.pen.string("left"))
            found.graph.tick()
        assert found.node.bus.troubles() == {
            (LANE, Trouble.CALLBACK): 3,
            ("timer of 0.5 s", Trouble.CALLBACK): 3,
        }
        assert [line for line in found.logged("warning") if LANE in line] == [
            f"{LANE}: callback: KeyError: 'no such\\nlane' (told once, counted from now on)"
        ]
        end()
        assert LANE not in found.graph.subscriptions()


def test_what_comes_after_a_topic_was_left_is_not_heard():
    """rclpy may have taken a message already when its subscription is destroyed."""
    with shell() as found:
        heard: list[str] = []
        end = found.node.bus.subscribe(
            COMMAND, "std_msgs/msg/String", QOS, lambda message: heard.append(message.data)
        )
        entity = found.graph.subscriptions()[COMMAND]
        end()
        entity.call(found.node.bus.make("std_msgs/msg/String", data="late"))
        assert heard == []


def test_messages_of_one_topic_stay_in_order_and_a_slow_one_delays_no_other():
    with shell() as found:
        executor = MultiThreadedExecutor(num_threads=4)
        executor.add_node(found.node)
        heard, stuck, go = list[int](), threading.Event(), threading.Event()

        def hear(message: object) -> None:
            number = int(message.data)  # type: ignore[attr-defined]
            if number == 0:
                stuck.set()
                go.wait(5.0)
            heard.append(number)

        found.node.bus.subscribe("/slow", "std_msgs/msg/String", QOS, hear)
        found.node.bus.subscribe("/quick", "std_msgs/msg/String", QOS, lambda _: go.set())

        def spin() -> None:
            with suppress(KeyboardInterrupt):
                executor.spin()

        spinning = threading.Thread(target=spin, daemon=True)
        spinning.start()
        for number in range(20):
            found.graph.send("/slow", found.pen.string(str(number)))
        assert stuck.wait(5.0)
        found.graph.send("/quick", found.pen.string(""))
        assert executor.idle()
        assert heard == list(range(20))
        executor.interrupt(KeyboardInterrupt())
        spinning.join(5.0)
        executor.shutdown()


# The process


class Process:
    """``main`` in a thread of its own, until it is told to end."""

    def __init__(self, module) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(module("main").main,), daemon=True)
        self.thread.start()
        until(lambda: GRAPH().executor is not None, "an executor")

    def run(self, main) -> None:
        try:
            main()
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def end(self, error: BaseException) -> None:
        GRAPH().executor.interrupt(error)
        self.thread.join(10.0)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("told", [ExternalShutdownException(), KeyboardInterrupt()], ids=repr)
def test_the_process_runs_the_node_and_ends_as_it_is_told_to(told):
    values = given(planner__settings=["planner=constant_velocity"])
    with imported(Graph(values)) as module:
        process, graph, pen = Process(module), GRAPH(), LocalBus()
        (node,) = graph.nodes
        graph.tick(us=0)
        until(lambda: node.label == "active", f"the start of {node.get_logger().lines}")
        for k in range(3):
            stamp_us = START_US + k * 50_000
            graph.send(ODOMETRY, pen.odometry(stamp_us, 0.4 * k))
        assert graph.executor.idle()
        graph.tick()
        assert graph.executor.idle()
        assert {pair.key: pair.value for pair in status(graph).values}["odometry rate_hz"] == "1.5"
        process.end(told)
        assert process.error is None
        assert node.core.state is State.FINALIZED
        assert not graph.is_ok
        assert graph.subscriptions() == {}


def status(graph: Graph):
    return graph.sent["/diagnostics"][-1].status[0]


def test_a_process_that_fails_leaves_the_topics_and_says_why():
    with imported(Graph(given(autostart=False))) as module:
        process = Process(module)
        process.end(ValueError("the executor broke"))
        assert isinstance(process.error, ValueError)
        assert not GRAPH().is_ok


def test_a_planner_that_needs_what_is_not_installed_is_told_by_a_node_that_lives(monkeypatch):
    monkeypatch.setitem(sys.modules, "drivevlm.build.node_planner", None)
    with imported(Graph(given())) as module:
        process, graph = Process(module), GRAPH()
        graph.tick(us=0)
        until(lambda: graph.sent["/diagnostics"], "a report")
        assert "ModuleNotFoundError" in status(graph).message
        process.end(KeyboardInterrupt(signal.SIGINT))
        assert process.error is None


# Pixels


def raw(encoding: str, *, pad: int = 3):
    each, generator = TO_RGB[encoding][0], np.random.default_rng(1)
    rows = generator.integers(0, 256, (4, 5 * each + pad), dtype=np.uint8)
    return LocalBus().make(
        "sensor_msgs/msg/Image",
        encoding=encoding,
        height=4,
        width=5,
        step=rows.shape[1],
        data=rows.ravel(),
    )


def numpify(message):
    """What ros2_numpy does: pixels in the order of the encoding, one channel without its axis.

    Padded rows make it raise.
    """
    shape = message.height, message.width, TO_RGB[message.encoding][0]
    pixels = np.frombuffer(message.data, np.uint8).reshape(shape)
    return pixels[..., 0] if shape[2] == 1 else pixels


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize("encoding", TO_RGB)
def test_raw_pictures_are_the_same_by_ros2_numpy_and_by_the_nodes_own_converter(
    encoding, pad, monkeypatch
):
    there = ModuleType("ros2_numpy")
    there.numpify = numpify  # type: ignore[attr-defined]
    with imported(Graph()) as module:
        pixels = module("pixels")
        monkeypatch.setitem(sys.modules, "ros2_numpy", there)
        by_it = pixels.rgb_converter()(raw(encoding, pad=pad))
        monkeypatch.setitem(sys.modules, "ros2_numpy", None)
        assert pixels.rgb_converter() is rgb_of_image
        np.testing.assert_array_equal(by_it, rgb_of_image(raw(encoding, pad=pad)))
        assert by_it.shape == (4, 5, 3)


def test_a_ros2_numpy_that_cannot_be_imported_beside_this_numpy_is_left_out(monkeypatch):
    class Old(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AttributeError("module 'numpy' has no attribute 'float'")

    with imported(Graph()) as module:
        monkeypatch.setitem(sys.modules, "ros2_numpy", Old("ros2_numpy"))
        assert module("pixels").rgb_converter() is rgb_of_image


@pytest.mark.parametrize("wrong", [{"encoding": "16UC1"}, {"step": 2}, {"height": 99}])
def test_a_picture_that_is_none_is_refused_in_one_line_by_either(wrong):
    message = raw("bgr8")
    for name, value in wrong.items():
        setattr(message, name, value)
    with imported(Graph()) as module, pytest.raises(Exception, match=r"^[^\n]*expected[^\n]*$"):
        module("pixels").rgb_by(numpify, message)


def test_a_raw_picture_reaches_the_planner():
    with shell(Graph(given(camera__transport="raw"))) as found:
        found.start()
        message = raw("bgr8")
        message.header = found.pen.header(START_US)
        found.graph.send(ODOMETRY, found.pen.odometry(START_US))
        found.graph.send("/drivevlm/input/CAM_FRONT/image", message)
        found.graph.tick()
        until(lambda: found.sent("reasoning"), "a decision")
        (sequence,) = found.planner.clips[0].cameras
        assert sequence.frames[-1].encoded.startswith(b"P6\n5 4\n")
        assert json.loads(found.sent("reasoning")[0].data)["stamp_us"] == START_US
