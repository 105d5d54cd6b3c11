"""Laws of the wire: what is sent is heard, by peers that were written apart, over real sockets."""

import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("cyclonedds")
pytest.importorskip("rosbags")

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.domain import DomainParticipant
from cyclonedds.qos import Policy
from wire_cases import (
    TYPES,
    Peer,
    String,
    example,
    loopback,
    met,
    peers,
    plain,
    taken,
    topic,
    until,
)

from drivevlm.drive.bus import Qos
from drivevlm.drive.wire.config import loopback_config
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.drive.wire.shell import shell_of
from drivevlm.drive.wire.store import WireError, typestore
from drivevlm.drive.wire.trouble import Trouble

STRING, ODOMETRY = "std_msgs/msg/String", "nav_msgs/msg/Odometry"
RELIABLE, BEST_EFFORT = Qos(reliable=True, depth=10), Qos(reliable=False, depth=10)
LATCHED = Qos(reliable=True, depth=3, latched=True)


class Wire:
    """A bus, what it told, and a peer on the other side of real sockets."""

    def __init__(self):
        self.config = loopback()
        self.told = []
        self.bus = DdsBus(self.config, tell=self.told.append)
        self.peer = Peer(self.config.domain)

    def text(self, data):
        return self.bus.make(STRING, data=data)


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.bus.close()


@pytest.mark.parametrize("type_name", TYPES)
def test_what_is_sent_reads_the_same_in_both_implementations(wire, type_name):
    name, cls, message = topic("out"), TYPES[type_name], example(wire.bus, type_name)
    reader, raw = wire.peer.reader(name, cls), wire.peer.reader(name, shell_of(type_name))
    send = wire.bus.publisher(name, type_name, RELIABLE)
    met(wire.bus, sends=(name, reader))
    met(wire.bus, sends=(name, raw))
    send(message)
    assert plain(taken(reader, cls)) == plain(message)
    cdr = taken(raw, shell_of(type_name)).cdr
    assert plain(typestore().deserialize_cdr(cdr, type_name)) == plain(message)


@pytest.mark.parametrize("type_name", TYPES)
def test_what_a_peer_sends_is_heard_as_it_was(wire, type_name):
    name, cls, heard = topic("in"), TYPES[type_name], []
    cdr = typestore().serialize_cdr(example(wire.bus, type_name), type_name)
    message = cls.deserialize(bytes(cdr))
    wire.bus.subscribe(name, type_name, RELIABLE, heard.append)
    writer = wire.peer.writer(name, cls)
    met(wire.bus, hears=(name, writer))
    writer.write(message)
    assert plain(until(lambda: heard, "a message")[0]) == plain(message)
    assert heard[0].__msgtype__ == type_name


@pytest.mark.parametrize("size", [0, 1, 65_501, 1_000_003])
def test_an_array_of_any_length_arrives_whole(wire, size):
    name, heard, kind = topic("long"), [], "sensor_msgs/msg/CompressedImage"
    wire.bus.subscribe(name, kind, RELIABLE, heard.append)
    writer = wire.peer.writer(name, shell_of(kind))
    met(wire.bus, hears=(name, writer))
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    cdr = typestore().serialize_cdr(wire.bus.make(kind, format="jpeg", data=data), kind)
    writer.write(shell_of(kind)(bytes(cdr)))
    np.testing.assert_array_equal(until(lambda: heard, "the image")[0].data, data)


@pytest.mark.parametrize("sent", [True, False], ids=["reliable", "best effort"])
@pytest.mark.parametrize("asked", [True, False], ids=["reliable", "best effort"])
def test_a_publisher_must_offer_what_is_asked_for(wire, sent, asked):
    name, heard = topic("quality"), []
    wire.bus.subscribe(name, STRING, RELIABLE if asked else BEST_EFFORT, heard.append)
    writer = wire.peer.writer(name, String, reliable=sent)
    if asked and not sent:
        until(lambda: wire.told, "a word about it")
        assert wire.bus.peers(name) == 0
        assert wire.bus.troubles() == {(name, Trouble.MISMATCHED): 1}
        return
    met(wire.bus, hears=(name, writer))
    writer.write(String("here"))
    until(lambda: heard, "a message")
    assert not wire.told


def test_a_latched_topic_reaches_who_comes_late_with_the_last_messages(wire):
    name, heard = topic("latched"), []
    send = wire.bus.publisher(name, STRING, LATCHED)
    for number in range(5):
        send(wire.text(str(number)))
    late = wire.peer.reader(name, String, latched=True)
    assert [taken(late, String).data for _ in range(3)] == ["2", "3", "4"]
    writer = wire.peer.writer(topic("route"), String, latched=True, depth=1)
    writer.write(String("turn left"))
    wire.bus.subscribe(topic("route"), STRING, LATCHED, heard.append)
    assert until(lambda: heard, "a message")[0].data == "turn left"


def test_peers_see_the_names_and_the_hash_that_ros_looks_for(wire):
    wire.bus.publisher("/a/trajectory", ODOMETRY, RELIABLE)
    wire.bus.subscribe("/a/odometry", ODOMETRY, BEST_EFFORT, print)
    hashed = f"typehash={typestore().hash_rihs01(ODOMETRY)};".encode()
    for kind, name in (
        (BuiltinTopicDcpsPublication, "rt/a/trajectory"),
        (BuiltinTopicDcpsSubscription, "rt/a/odometry"),
    ):
        reader = BuiltinDataReader(wire.peer.participant, kind)
        seen = until(
            lambda reader=reader, name=name: [e for e in reader.read(20) if e.topic_name == name],
            name,
        )
        assert seen[0].type_name == "nav_msgs::msg::dds_::Odometry_"
        assert seen[0].qos[Policy.Userdata].data == hashed


def test_a_payload_that_is_no_message_is_counted_and_told_once(wire):
    name, heard, shell = topic("bad"), [], shell_of(STRING)
    wire.bus.subscribe(name, STRING, RELIABLE, heard.append)
    writer = wire.peer.writer(name, shell)
    met(wire.bus, hears=(name, writer))
    no_utf8 = b"\0\1\0\0" + b"\4\0\0\0" + b"\xff\xfe\xfd\0"
    good = bytes(typestore().serialize_cdr(wire.text("good"), STRING))
    for cdr in (no_utf8, no_utf8, good):
        writer.write(shell(cdr))
    assert until(lambda: heard, "the good one")[0].data == "good"
    assert wire.bus.troubles() == {(name, Trouble.UNREADABLE): 2}
    assert len(wire.told) == 1
    assert name in wire.told[0]
    assert "utf-8" in wire.told[0]


def test_garbage_at_its_ports_does_no_harm(wire):
    name, heard = topic("hardy"), []
    wire.bus.subscribe(name, STRING, RELIABLE, heard.append)
    first_port = 7400 + 250 * wire.config.domain
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rude:
        for size in (0, 1, 3, 20, 64, 400, 60_000):
            for port in range(first_port, first_port + 15):
                rude.sendto(os.urandom(size), ("127.0.0.1", port))
                rude.sendto(b"RTPS\2\1\1\x10" + os.urandom(size), ("127.0.0.1", port))
    writer = wire.peer.writer(name, String)
    met(wire.bus, hears=(name, writer))
    writer.write(String("still here"))
    assert until(lambda: heard, "a message")[0].data == "still here"


def test_a_callback_that_raises_hears_the_next_message_too(wire):
    name, heard = topic("raises"), []

    def fail(message):
        heard.append(message.data)
        raise KeyError("no such lane")

    wire.bus.subscribe(name, STRING, RELIABLE, fail)
    writer = wire.peer.writer(name, String)
    met(wire.bus, hears=(name, writer))
    for data in ("one", "two"):
        writer.write(String(data))
    until(lambda: wire.bus.troubles() == {(name, Trouble.CALLBACK): 2}, "both")
    assert heard == ["one", "two"]
    assert len(wire.told) == 1
    assert "KeyError: 'no such lane'" in wire.told[0]


def test_a_slow_callback_delays_no_other_topic(wire):
    slow, quick, go, heard = topic("slow"), topic("quick"), threading.Event(), []
    wire.bus.subscribe(slow, STRING, RELIABLE, lambda message: go.wait(10.0))
    wire.bus.subscribe(quick, STRING, RELIABLE, heard.append)
    writers = [wire.peer.writer(name, String) for name in (slow, quick)]
    for name, writer in zip((slow, quick), writers, strict=True):
        met(wire.bus, hears=(name, writer))
        writer.write(String("x"))
    until(lambda: heard, "the quick one")
    go.set()


def test_a_message_of_another_type_or_with_another_content_is_not_sent(wire):
    name = topic("strict")
    send = wire.bus.publisher(name, STRING, RELIABLE)
    with pytest.raises(TypeError, match=r"carries std_msgs/msg/String, got a std_msgs/msg/Header"):
        send(wire.bus.make("std_msgs/msg/Header"))
    wrong = wire.text("")
    wrong.data = 5
    with pytest.raises(TypeError, match="something else than its type says"):
        send(wrong)


def test_what_dds_does_not_take_is_counted_and_told_once(wire):
    name, solid = topic("unsent"), "shape_msgs/msg/SolidPrimitive"
    send = wire.bus.publisher(name, solid, RELIABLE)
    message = wire.bus.make(solid)
    message.dimensions = np.zeros(4)  # of three that the type allows
    send(message)
    send(message)
    assert wire.bus.troubles() == {(name, Trouble.UNSENT): 2}
    assert len(wire.told) == 1


def test_topics_and_types_must_be_named_in_full(wire):
    with pytest.raises(ValueError, match="named in full"):
        wire.bus.publisher("planning", STRING, RELIABLE)
    with pytest.raises(ValueError, match=r"std_msgs/msg/String\?"):
        wire.bus.publisher("/a", "std_msgs/String", RELIABLE)
    wire.bus.publisher("/a", STRING, RELIABLE)
    with pytest.raises(ValueError, match="/a carries std_msgs/msg/String here"):
        wire.bus.subscribe("/a", ODOMETRY, RELIABLE, print)
    assert wire.bus.knows(ODOMETRY)
    assert not wire.bus.knows("std_msgs/String")


def test_after_closing_nothing_is_heard_or_sent_and_nothing_is_left(wire, monkeypatch):
    name, heard, before = topic("closing"), [], threading.active_count()
    wire.bus.subscribe(name, STRING, RELIABLE, heard.append)
    wire.bus.every(0.01, lambda: heard.append("beat"))
    send = wire.bus.publisher(name, STRING, LATCHED)
    reader = wire.peer.reader(name, String)
    met(wire.bus, sends=(name, reader))
    wire.bus.close()
    wire.bus.close()
    count = len(heard)
    send(wire.text("too late"))
    until(lambda: not peers(reader), "its leave")
    time.sleep(0.05)
    assert len(heard) == count
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="the bus is closed"):
        wire.bus.publisher(name, STRING, RELIABLE)
    monkeypatch.setenv("CYCLONEDDS_URI", loopback_config())
    other = DomainParticipant(wire.config.domain)
    with pytest.raises(WireError):  # it is open anew, so the bus had given its settings back
        DdsBus(wire.config)
    del other


def test_a_subscription_may_be_left_even_from_its_own_callback(wire):
    name, heard = topic("leaving"), []

    def first_only(message):
        heard.append(message.data)
        leave()
        leave()

    leave = wire.bus.subscribe(name, STRING, RELIABLE, first_only)
    writer = wire.peer.writer(name, String)
    met(wire.bus, hears=(name, writer))
    writer.write(String("first"))
    until(lambda: not peers(writer), "its leave")
    writer.write(String("second"))
    again = []
    wire.bus.subscribe(name, STRING, RELIABLE, again.append)
    met(wire.bus, hears=(name, writer))
    writer.write(String("third"))
    assert until(lambda: again, "a message")[0].data == "third"
    assert heard == ["first"]


def test_a_bus_may_be_closed_from_its_own_callback(wire):
    name, closed = topic("suicide"), threading.Event()

    def close(message):
        wire.bus.close()
        closed.set()

    wire.bus.subscribe(name, STRING, RELIABLE, close)
    writer = wire.peer.writer(name, String)
    met(wire.bus, hears=(name, writer))
    writer.write(String("enough"))
    assert closed.wait(5.0)
    until(lambda: not peers(writer), "its leave")


ECHO = """
import sys, threading
from drivevlm.drive.bus import Qos
from drivevlm.drive.wire.dds import DdsBus

ended = threading.Event()
bus = DdsBus()
quality = Qos(reliable=True, depth=10)
back = bus.publisher(sys.argv[2], "nav_msgs/msg/Odometry", quality)

def echo(odometry):
    back(odometry)
    if odometry.child_frame_id == "end":
        ended.set()

bus.subscribe(sys.argv[1], "nav_msgs/msg/Odometry", quality, echo)
assert ended.wait(20.0)
threading.Event().wait(0.2)
"""


def test_two_processes_talk_by_the_settings_of_the_environment_too(wire):
    there, back, heard = topic("there"), topic("back"), []
    wire.bus.subscribe(back, ODOMETRY, RELIABLE, heard.append)
    send = wire.bus.publisher(there, ODOMETRY, RELIABLE)
    settings = {"ROS_DOMAIN_ID": str(wire.config.domain), "CYCLONEDDS_URI": loopback_config()}
    other = subprocess.Popen(
        [sys.executable, "-c", ECHO, there, back], env={**os.environ, **settings}
    )
    until(lambda: wire.bus.peers(there) and wire.bus.peers(back), "the other process")
    time.sleep(0.1)  # the other side must have seen ours, too
    sent = example(wire.bus, ODOMETRY)
    send(sent)
    assert plain(until(lambda: heard, "the echo")[0]) == plain(sent)
    sent.child_frame_id = "end"
    send(sent)
    assert other.wait(20.0) == 0
    until(lambda: wire.bus.peers(there) == 0, "its leave")
