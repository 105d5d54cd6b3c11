"""Laws of what the node hears, good and bad, and of what it does with it."""

from __future__ import annotations

import numpy as np
import pytest
from dialogue_cases import png
from drive_bus import (
    COMMAND,
    OBJECTS,
    ODOMETRY,
    ROUTE,
    image_topic,
    info_topic,
)
from drive_cases import DELAY_US, SPEED_MPS, START_US
from drive_node_cases import AHEAD, ANSWER, LENS, RIG, RIG_OF_ONE, Car, car
from test_planner import asked
from test_planner import planner as scripted

from drivevlm.drive.bus import Qos
from drivevlm.drive.health import Level
from drivevlm.world.sets import Command, FailureKind


def test_a_real_planner_is_asked_with_the_command_and_the_objects_that_were_sent():
    model = scripted([ANSWER] * 3)
    values = {**RIG_OF_ONE, "objects.type": "predicted_objects", "max_latency_ms": 1000}
    found = Car(model, values).start()
    found.bus.send(COMMAND, found.bus.string('{"command": "left", "distance_m": 25}'))
    ahead = found.bus.predicted(found.bus.pose((30.0, 9.0, 0.8)), velocity_mps=(2.0, 0, 0))
    found.bus.send(OBJECTS, found.bus.predicted_objects(START_US, "base_link", ahead))
    found.drive(0.1)
    assert "Route: left in 25 m" in asked(model, 0)
    assert "p1 car 30.00 9.00 4.0x2.0 0 deg 2.0 m/s 0.50" in asked(model, 0)
    assert len(found.sent("trajectory")) == 2


def test_calibrations_may_come_over_the_wire_before_or_after_the_node_is_active():
    found = Car(values={})
    info = found.bus.info(LENS.size_px, LENS.intrinsics.ravel())
    assert found.node.configure({})
    assert found.node.activate()
    found.drive(0.2)
    assert found.planner.clips == []
    assert "CAM_FRONT: no camera_info came yet" in found.told[1]
    found.bus.send(info_topic("CAM_FRONT"), info)
    found.drive(0.3, from_s=0.3)
    found.bus.tick(us=0)
    assert "tf_static does not join base_link and lens" in found.told[1]
    edges = found.bus.tf(
        found.bus.transform("base_link", "mount", (1, 0, 1), (0, 0, 0, 1)),
        found.bus.transform("mount", "lens", (0, 0, 0.5), AHEAD),
    )
    found.bus.send("/tf_static", edges, latched=True)
    found.drive(1.5, from_s=0.4)
    found.bus.tick(us=0)
    assert found.told == (Level.OK, "ok")
    found.node.deactivate()
    found.node.activate()
    found.drive(1.6, from_s=1.6)
    sequence = found.planner.clips[-1].cameras[0]
    np.testing.assert_allclose(sequence.camera.ego_from_camera.translation_m, [1.0, 0.0, 1.5])
    np.testing.assert_array_equal(sequence.camera.intrinsics, LENS.intrinsics)


def test_what_was_latched_before_the_node_began_is_heard():
    found = Car()
    found.bus.send(COMMAND, found.bus.string("change_left"), latched=True)
    found.start().drive(0.0)
    assert found.planner.clips[0].command.command is Command.CHANGE_LEFT
    found.node.deactivate()
    found.bus.send(COMMAND, found.bus.string("right"))  # heard while it is inactive
    found.node.activate()
    found.drive(0.1, from_s=0.1)
    assert found.planner.clips[-1].command.command is Command.RIGHT
    found.bus.send(COMMAND, found.bus.string(""))
    found.drive(0.2, from_s=0.2)
    assert found.planner.clips[-1].command is None


def test_near_the_goal_of_a_route_the_command_is_to_stop_there():
    found = car(route__use=True)
    found.bus.send(ROUTE, found.bus.route(found.bus.pose((34.0, 0.5, 0.0))), latched=True)
    found.bus.send(COMMAND, found.bus.string("follow"), latched=True)
    found.start().drive(1.0)
    told = [clip.command for clip in found.planner.clips]
    assert [c.command for c in told] == [Command.FOLLOW] * 5 + [Command.STOP_AT_GOAL] * 6
    assert told[-1].distance_m == pytest.approx(34.0 - 8.0)
    found.bus.send(ROUTE, found.bus.route(found.bus.pose((34.0, 0.5, 0.0)), "elsewhere"))
    found.drive(1.1, from_s=1.1)
    assert found.planner.clips[-1].command.command is Command.FOLLOW
    assert found.told[0] is Level.WARN
    assert "the route is in frame 'elsewhere'" in found.told[1]


@pytest.mark.parametrize("latched", [True, False])
def test_a_route_whose_publisher_latches_nothing_is_heard_where_that_is_declared(latched):
    found = car(route__use=True, route__latched=latched).start()
    assert found.bus.qos[ROUTE] == Qos(reliable=True, depth=1, latched=latched)
    found.bus.send(ROUTE, found.bus.route(found.bus.pose((20.0, 0.5, 0.0))))
    found.drive(0.0)
    assert found.planner.clips[-1].command.command is Command.STOP_AT_GOAL


@pytest.mark.parametrize("kind", ["predicted_objects", "detection3d"])
def test_objects_are_proposals_for_the_planner_and_obstacles_for_the_gate(kind):
    """A car stands 12 m ahead of where the ego begins, told in the frame of the map."""
    found = car(objects__type=kind).start().drive(0.4)
    if kind == "predicted_objects":
        ahead = found.bus.predicted(found.bus.pose((13.2, 0.0, 0.8)))
        message = found.bus.predicted_objects(START_US + 400_000, "map", ahead)
    else:
        message = found.bus.detections(START_US + 400_000, "map", ("car", 0.9))
    found.bus.send(OBJECTS, message)
    found.drive(0.5, from_s=0.5)
    (box,) = found.planner.clips[-1].proposals.boxes
    x_m = 13.2 if kind == "predicted_objects" else 10.0
    np.testing.assert_allclose(box.center_ego_m[:2], [x_m - 0.5 * SPEED_MPS, 0.0], atol=1e-9)
    assert len(found.sent("trajectory")) == 5
    assert "clearance" in found.told[1]


@pytest.mark.parametrize("kind", ["predicted_objects", "detection3d"])
def test_what_no_class_has_a_name_for_is_an_obstacle_and_no_proposal(kind):
    found = car(objects__type=kind).start()
    if kind == "predicted_objects":
        thing = found.bus.predicted(found.bus.pose((10.0, 0.0, 0.8)), labels=[(9, 1.0)])
        message = found.bus.predicted_objects(START_US, "base_link", thing)
    else:
        message = found.bus.detections(START_US, "base_link", ("unknown", 0.9))
    found.bus.send(OBJECTS, message)
    found.drive(0.0)
    assert found.planner.clips[-1].proposals.boxes == ()
    assert found.sent("trajectory") == []
    assert "clearance" in found.told[1]


def test_raw_pictures_are_decided_on_as_well():
    found = car(camera__transport="raw").start()
    pixels = np.full((36, 64, 3), (10, 20, 30), np.uint8)
    picture = found.bus.make(
        "sensor_msgs/msg/Image",
        header=found.bus.header(START_US),
        width=64,
        height=36,
        step=192,
        encoding="bgr8",
        data=pixels.ravel(),
    )
    found.bus.clock.now_us = START_US + DELAY_US
    found.bus.send(ODOMETRY, found.bus.odometry(START_US))
    found.bus.send("/drivevlm/input/CAM_FRONT/image", picture)
    rgb = found.planner.clips[0].cameras[0].frames[-1].decode()
    assert rgb.shape == (36, 64, 3)
    assert rgb[0, 0].tolist() == [30, 20, 10]


def test_a_camera_of_which_nobody_tells_the_size_has_that_of_its_pictures_where_declared():
    found = Car(values={"camera.calibrated": False}).start().drive(0.1)
    assert len(found.planner.clips) == 2
    assert found.planner.clips[0].cameras[0].camera.size_px == LENS.size_px
    assert found.planner.clips[0].cameras[0].camera.intrinsics is None


def test_a_lens_that_bends_much_is_told():
    found = Car(values={})
    k = (100.0, 0.0, 50.0, 0.0, 100.0, 50.0, 0.0, 0.0, 1.0)
    bent = found.bus.info(
        (101, 101), k, d=np.array([0.1, 0, 0, 0, 0]), distortion_model="plumb_bob"
    )
    found.bus.send(info_topic("CAM_FRONT"), bent)
    assert found.node.configure({})
    found.bus.send(info_topic("CAM_FRONT"), bent)
    found.bus.tick(10)
    assert "CAM_FRONT: its lens bends pixels by up to 4 px" in found.told[1]


BAD = {
    "picture": (image_topic("CAM_FRONT"), lambda bus: bus.compressed(START_US, b"H264")),
    "stamp": (image_topic("CAM_FRONT"), lambda bus: bus.compressed(0, png(1))),
    "odometry": (ODOMETRY, lambda bus: bus.odometry(START_US, xyzw=(0, 0, 0, 0))),
    "command": (COMMAND, lambda bus: bus.string("lefft")),
    "deep": (COMMAND, lambda bus: bus.string('{"command": ' + "[" * 100_000)),
    "objects": (
        OBJECTS,
        lambda bus: bus.predicted_objects(START_US, "", bus.predicted(bus.pose((9, 0, 1)))),
    ),
    "route": (ROUTE, lambda bus: bus.route(bus.pose((0, 0, 0), xyzw=(0, 0, 0, 0)))),
    "info": (
        info_topic("CAM_BACK"),
        lambda bus: bus.info((0, 0), [1.0] * 9),
    ),
    "tf": (
        "/tf_static",
        lambda bus: bus.tf(bus.transform("base_link", "lens", (0, 0, 0), (0, 0, 0, 0))),
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_message_of_any_kind_is_counted_and_told_and_driving_goes_on(kind):
    values = {"objects.type": "predicted_objects", "route.use": True, "sync.cameras": list(RIG)}
    found = car(sync__optional=["CAM_BACK"])
    found.values |= values
    found.start().drive(1.0)
    topic, make = BAD[kind]
    for _ in range(2):
        found.bus.send(topic, make(found.bus))
    found.drive(1.5, from_s=1.05)
    level, message = found.told
    assert level is Level.WARN
    assert f"2 bad on {topic}, the last: " in message
    assert "\n" not in message
    assert found.values_told[f"bad messages on {topic}"] == "2"
    assert len(found.sent("trajectory")) == 16
    found.drive(6.6, from_s=1.55)  # five seconds later it is told no more
    assert "2 bad on" not in found.told[1]
    assert found.values_told[f"bad messages on {topic}"] == "2"


def test_a_picture_that_is_cut_off_is_a_failure_of_its_decision_and_no_more():
    model = scripted([ANSWER] * 9)
    found = Car(model, dict(RIG_OF_ONE)).start()
    found.bus.clock.now_us = START_US + DELAY_US
    found.bus.send(ODOMETRY, found.bus.odometry(START_US))
    found.bus.send(image_topic("CAM_FRONT"), found.bus.compressed(START_US, png(1)[:100]))
    found.bus.tick(us=0)
    assert FailureKind.IMAGE.value in found.told[1]
    found.drive(0.1, from_s=0.1)
    assert len(found.sent("trajectory")) == 1
