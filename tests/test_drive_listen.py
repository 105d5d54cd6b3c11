"""What a listener tells of a rig that it hears."""

from __future__ import annotations

from drive_bus import ODOMETRY, LocalBus, image_topic, info_topic
from drive_cases import START_US

from drivevlm.drive.listen import Arrival, Listener
from drivevlm.drive.parameters import node_config
from drivevlm.drive.topics import Names


def listening(bus: LocalBus, **values: object) -> Listener:
    rig = {"sync.cameras": ["CAM_FRONT", "CAM_BACK"], "sync.optional": [], **values}
    return Listener(bus, Names(), node_config(rig))


def by_topic(listener: Listener) -> dict[str, Arrival]:
    return {arrival.topic: arrival for arrival in listener.arrivals()}


def heard(*, back_late_us: int = 0, odometry_every: int = 1) -> dict[str, Arrival]:
    """Two seconds: the front camera at 10 Hz, that behind it so much later, odometry at 10 Hz."""
    bus = LocalBus()
    listener = listening(bus)
    for k in range(21):
        stamp_us = START_US + k * 100_000
        bus.clock.now_us = stamp_us + 30_000
        bus.send(image_topic("CAM_FRONT"), bus.compressed(stamp_us, b"x"))
        bus.send(image_topic("CAM_BACK"), bus.compressed(stamp_us + back_late_us, b"x"))
        if k % odometry_every == 0:
            bus.send(ODOMETRY, bus.odometry(stamp_us))
    return by_topic(listener)


def test_a_topic_is_told_with_rate_age_and_skew():
    told = heard(back_late_us=20_000)
    front, back = told[image_topic("CAM_FRONT")], told[image_topic("CAM_BACK")]
    assert (front.count, front.rate_hz, front.age_ms, front.skew_ms) == (21, 10.0, 30.0, 0.0)
    assert (back.age_ms, back.skew_ms, back.problem) == (10.0, 20.0, "")
    assert told[ODOMETRY].skew_ms is None  # it is interpolated


def test_what_is_needed_and_does_not_come_is_told():
    told = heard()
    info = told[info_topic("CAM_BACK")]
    assert (info.needed, info.count, info.problem) == (True, 0, "nothing came")
    command = told["/drivevlm/input/navigation_command"]
    assert (command.needed, command.problem) == (False, "")


def test_a_camera_that_fires_apart_from_the_anchor_is_told():
    bus = LocalBus()
    listener = listening(bus, **{"sync.tolerance_ms": 40.0})
    for camera, late_us in (("CAM_FRONT", 0), ("CAM_BACK", -45_000)):
        bus.send(image_topic(camera), bus.compressed(START_US + late_us, b"x"))
    told = by_topic(listener)[image_topic("CAM_BACK")]
    assert (told.skew_ms, told.problem) == (
        -45.0,
        "more than sync.tolerance_ms (40) from the anchor",
    )


def test_odometry_that_is_too_slow_to_interpolate_is_told():
    assert heard(odometry_every=2)[ODOMETRY].problem == ""
    slow = heard(odometry_every=4)[ODOMETRY]
    assert (slow.rate_hz, slow.problem) == (2.5, "5 Hz are needed")


def test_a_stamp_that_nobody_set_is_told():
    bus = LocalBus()
    listener = listening(bus)
    bus.send(image_topic("CAM_FRONT"), bus.compressed(0, b"x"))
    assert "expected a time, got zero" in by_topic(listener)[image_topic("CAM_FRONT")].problem


def test_a_type_without_its_package_is_told_and_others_are_heard():
    bus = LocalBus(lacks=("vision_msgs",))
    told = by_topic(listening(bus, **{"objects.type": "detection3d"}))
    assert told["/drivevlm/input/objects"].problem == (
        "vision_msgs/msg/Detection3DArray is not known: source its package"
    )


def test_who_heard_enough_leaves():
    bus = LocalBus()
    listener = listening(bus)
    assert ODOMETRY in bus.topics
    listener.close()
    assert bus.topics == set()
