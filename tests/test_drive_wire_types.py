"""Laws of messages without sockets: definitions, defaults, bytes."""

import array
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cyclonedds")
pytest.importorskip("rosbags")

from rosbags.interfaces import Nodetype
from wire_cases import TYPES, plain

from drivevlm.drive.bus import Qos
from drivevlm.drive.wire.endpoints import Line, hand_over
from drivevlm.drive.wire.make import MOST_OF_A_BYTE, NUMBERS, Maker
from drivevlm.drive.wire.shell import shell_of
from drivevlm.drive.wire.store import DEFINITIONS, typestore
from drivevlm.drive.wire.trouble import Trouble, Troubles

PUBLISHED = {
    "autoware_planning_msgs/Trajectory": "8259168af0abd0d3fa8297048f83aae4"
    "dad0955bd2d4e0904bcdc4f6f99a61b2",
    "autoware_planning_msgs/LaneletRoute": "ad6699d22cb153b658bad201b9e36a78"
    "70230388902c1b0d052d3198062f64ed",
    "autoware_perception_msgs/PredictedObjects": "b63151309c3323bb6e3f09c54b3358aa"
    "53a8e66937a1cde15c5d5ede1ef80a08",
    "autoware_vehicle_msgs/SteeringReport": "aa3acc9ca95ebc4daf9dec0ecf87911a"
    "d9c196392857c3026bfead589db65a94",
    "autoware_internal_planning_msgs/CandidateTrajectories": "64c383ed8984651da0da8cc403af8891"
    "8835869c4e4f028676e3023c6122b29c",
    "autoware_internal_debug_msgs/StringStamped": "e31ef527080bc4557f253671c1509b5d"
    "23f328414ea3e90b538ca151329f2faf",
    "vision_msgs/Detection3DArray": "793f5eab9595ac1c0da07873cc859db4"
    "2eae51f0ee76056db8562515d830e018",
}
"""RIHS01 of the packages' own definitions, on the base types of ROS 2 Jazzy."""
PREFIXES = {"nav_msgs/Odometry": "3cc97dc7", "sensor_msgs/CompressedImage": "15640771"}
make = Maker(typestore())


def named(short):
    return short.replace("/", "/msg/")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_type_has_the_hash_that_ros_computes(name):
    assert typestore().hash_rihs01(named(name)) == f"RIHS01_{PUBLISHED[name]}"


@pytest.mark.parametrize("name", PREFIXES)
def test_a_base_type_has_the_hash_that_ros_computes(name):
    assert typestore().hash_rihs01(named(name)).startswith(f"RIHS01_{PREFIXES[name]}")


def test_every_type_can_be_made_and_written_and_has_a_shell():
    shipped = [f"{p.parents[1].name}/msg/{p.stem}" for p in DEFINITIONS.glob("*/msg/*.msg")]
    assert len(shipped) == 21
    assert set(shipped) <= typestore().fielddefs.keys()
    for name in typestore().fielddefs:
        cdr = bytes(typestore().serialize_cdr(make(name, {}), name))
        assert plain(typestore().deserialize_cdr(cdr, name)) == plain(make(name, {}))
        assert shell_of(name)(cdr).serialize() == cdr
        assert shell_of(name) is shell_of(name)


def test_fields_that_are_left_out_have_their_ros_defaults():
    odometry = make("nav_msgs/msg/Odometry", {"child_frame_id": "base_link"})
    assert odometry.header.frame_id == ""
    assert odometry.header.stamp.sec == 0
    assert odometry.pose.pose.orientation.w == 1.0
    assert odometry.pose.pose.orientation.z == 0.0
    assert odometry.pose.covariance.shape == (36,)
    assert odometry.pose.covariance.dtype == np.float64
    image = make("sensor_msgs/msg/CompressedImage", {})
    assert image.data.dtype == np.uint8
    assert len(image.data) == 0
    assert make("autoware_planning_msgs/msg/Trajectory", {}).points == []
    assert make("autoware_planning_msgs/msg/LaneletRoute", {}).allow_modification is False
    assert len(make("unique_identifier_msgs/msg/UUID", {}).uuid) == 16
    assert make("autoware_perception_msgs/msg/Shape", {}).CYLINDER == 1


def test_no_two_messages_share_what_can_be_changed():
    first, second = (make("nav_msgs/msg/Odometry", {}) for _ in range(2))
    first.pose.covariance[0] = 9.0
    first.header.frame_id = "map"
    assert second.pose.covariance[0] == 0.0
    assert second.header.frame_id == ""


@pytest.mark.parametrize(
    "given",
    [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2"), array.array("B", [1, 2]), [1, 2], (1, 2)],
    ids=lambda value: type(value).__name__,
)
def test_bytes_may_come_in_any_form(given):
    image = make("sensor_msgs/msg/CompressedImage", {"data": given})
    assert image.data.tolist() == [1, 2]
    assert image.data.dtype == np.uint8


def test_a_single_byte_may_be_a_number_or_what_rclpy_holds():
    for level in (2, b"\2"):
        assert make("diagnostic_msgs/msg/DiagnosticStatus", {"level": level}).level == 2


def test_arrays_are_brought_into_the_form_of_the_wire():
    every_second = np.arange(72, dtype=np.float32)[::2]
    pose = make("geometry_msgs/msg/PoseWithCovariance", {"covariance": every_second})
    assert pose.covariance.dtype == np.float64
    assert pose.covariance.flags.c_contiguous
    assert pose.covariance[35] == 70.0
    swapped = np.array([1.5, math.nan], dtype=">f8")
    joints = make("sensor_msgs/msg/JointState", {"position": swapped, "name": ("a", "b")})
    assert joints.position[0] == 1.5
    assert joints.position.dtype.isnative
    assert joints.name == ["a", "b"]


@pytest.mark.parametrize(
    ("type_name", "field", "value", "words"),
    [
        ("std_msgs/String", "data", 5, "data must be text, got int 5"),
        ("std_msgs/String", "data", "a\0b", "data must hold no NUL"),
        ("std_msgs/Bool", "data", 1, "data must be true or false, got int 1"),
        ("std_msgs/UInt8", "data", 256, "data must be from 0 to 255, got 256"),
        ("std_msgs/UInt8", "data", 1.0, "data must be a whole number, got float 1.0"),
        ("std_msgs/UInt8", "data", True, "data must be a whole number, got bool True"),
        ("std_msgs/Float32", "data", "1", "data must be a number, got str '1'"),
        ("std_msgs/Float32", "data", 1e39, "data must be within"),
        ("std_msgs/Byte", "data", 200, "data must be from 0 to 127, got 200"),
        ("std_msgs/Byte", "data", b"ab", "data must be a byte, got bytes b'ab'"),
        ("std_msgs/UInt8MultiArray", "data", [-1], "data must be from 0 to 255, got -1"),
        ("std_msgs/UInt8MultiArray", "data", [0.5], "data must be uint8 values, got float64"),
        ("std_msgs/Float32MultiArray", "data", [1e39], "data must be within"),
        ("std_msgs/Float32MultiArray", "data", b"1234", "data must be float32 values, got bytes"),
        ("std_msgs/Float32MultiArray", "data", [[1.0]], "data must be one-dimensional, got shape"),
        ("unique_identifier_msgs/UUID", "uuid", [1], "uuid must have 16 values, got 1"),
        ("sensor_msgs/JointState", "name", "abc", "name must be a list, got str 'abc'"),
        ("std_msgs/Header", "stamp", 5, "stamp must be a builtin_interfaces/msg/Time, got int"),
        ("tf2_msgs/TFMessage", "transforms", [5], "transforms must be a geometry_msgs/msg/Transf"),
        ("shape_msgs/SolidPrimitive", "dimensions", [1.0] * 4, "must have at most 3 values, got 4"),
    ],
)
def test_what_does_not_fit_is_told_with_its_name(type_name, field, value, words):
    with pytest.raises(TypeError, match=words):
        make(named(type_name), {field: value})


def test_an_unknown_name_is_told_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"no field 'frame': frame_id\?"):
        make("std_msgs/msg/Header", {"frame": "map"})
    with pytest.raises(ValueError, match=r"'nav_msgs/Odometry' is not known: nav_msgs/msg/Odom"):
        make("nav_msgs/Odometry", {})


def values_of(kind):
    """Any value that a field of this kind can hold."""
    if kind[0] == Nodetype.NAME:
        return messages(kind[1])
    if kind[0] == Nodetype.BASE:
        base, _ = kind[1]
        if base == "string":
            return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
        if base == "bool":
            return st.booleans()
        dtype = np.dtype(NUMBERS.get(base, base))
        if dtype.kind == "f":
            return st.floats(width=dtype.itemsize * 8)
        most = MOST_OF_A_BYTE if base == "byte" else int(np.iinfo(dtype).max)
        return st.integers(int(np.iinfo(dtype).min), most)
    inner, length = kind[1]
    size = {"min_size": length, "max_size": length} if kind[0] == Nodetype.ARRAY else {}
    return st.lists(values_of(inner), **({"max_size": 4} | size))


def messages(type_name):
    fields = {name: values_of(kind) for name, kind in typestore().get_msgdef(type_name).fields}
    return st.fixed_dictionaries(fields).map(lambda given: make(type_name, given))


@pytest.mark.parametrize("type_name", TYPES)
def test_both_implementations_read_each_other_whatever_the_fields_hold(type_name):
    cls = TYPES[type_name]

    @settings(max_examples=20)
    @given(messages(type_name))
    def check(message):
        cdr = bytes(typestore().serialize_cdr(message, type_name))
        theirs = cls.deserialize(cdr)
        assert plain(theirs) == plain(message)
        back = typestore().deserialize_cdr(theirs.serialize(), type_name)
        assert plain(back) == plain(message)

    check()


@given(st.binary(max_size=80), st.integers(0, 10**9), st.sampled_from(list(TYPES)))
@settings(max_examples=200)
def test_no_payload_raises_and_each_is_heard_or_counted(noise, where, type_name):
    good = bytes(typestore().serialize_cdr(make(type_name, {}), type_name))
    place = where % len(good)
    for cdr in (noise, b"\0\1\0\0" + noise, good[:place] + noise + good[place:], good[:place]):
        heard, told = [], []
        log = Troubles(told.append)
        hand_over(
            Line(None, None, "/noise", type_name, Qos(reliable=True, depth=1), log),
            cdr,
            heard.append,
        )
        assert len(heard) + len(told) == 1
        assert log.counts() in ({}, {("/noise", Trouble.UNREADABLE): 1})
