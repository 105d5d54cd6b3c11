"""Laws of times, poses and pictures as messages, and of what cannot be such a value."""

import io

import numpy as np
import pytest
from dialogue_cases import png
from drive_bus import LocalBus, bad
from drive_cases import START_US
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drivevlm.drive.messages.images import (
    encoded_of_compressed,
    ppm_of,
    rgb_of_image,
    size_px_of,
)
from drivevlm.drive.messages.odometry import odometry_sample
from drivevlm.drive.messages.stamps import Nanoseconds, duration_message, time_message, us_of
from drivevlm.world.camera import Frame
from drivevlm.world.pose import Pose3

BUS = LocalBus()
QUARTER = np.pi / 2


@given(st.integers(1, 2**31 * 1_000_000 - 1))
def test_microseconds_become_a_time_and_come_back_exactly(stamp_us):
    assert us_of(time_message(BUS, stamp_us * 1000)) == stamp_us


@given(st.integers(1, 50))
def test_steps_of_a_tenth_of_a_second_are_durations_to_the_nanosecond(k):
    duration = duration_message(BUS, k * 0.1)
    assert duration.sec * 10**9 + duration.nanosec == k * 10**8


def test_an_outputs_stamp_is_its_inputs_to_the_last_nanosecond():
    book = Nanoseconds()
    assert book.us_of(BUS.stamp(START_US, 789)) == START_US
    assert book.ns_of(START_US) == START_US * 1000 + 789
    assert book.ns_of(START_US + 1) == (START_US + 1) * 1000
    for k in range(5000):
        book.us_of(BUS.stamp(START_US + k, 1))
    assert book.ns_of(START_US) == START_US * 1000  # it does not grow for ever


def test_a_stamp_that_nobody_set_is_refused():
    with bad("got zero: its driver must set the stamp"):
        us_of(BUS.stamp(0))
    with bad("nanosec"):
        us_of(BUS.make("builtin_interfaces/msg/Time", sec=1, nanosec=1_000_000_000))


def read(**fields):
    return odometry_sample(BUS.odometry(START_US, 1.0, 2.0, **fields), base_frame="base_link")


def test_odometry_is_a_pose_a_speed_and_a_turn_in_a_named_frame():
    found = read(yaw_rad=QUARTER, speed_mps=(-3.0, 0.2, 0.0), yaw_rate_radps=0.4)
    assert (found.stamp_us, found.frame_id) == (START_US, "map")
    assert (found.speed_mps, found.yaw_rate_radps) == (-3.0, 0.4)
    np.testing.assert_allclose(found.odom_from_ego.apply(np.array([1.0, 0, 0])), [1, 3, 0.3])


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 1e-3))
def test_q_and_minus_q_are_one_pose(xyzw):
    one, other = read(xyzw=xyzw), read(xyzw=tuple(-part for part in xyzw))
    np.testing.assert_array_equal(one.odom_from_ego.rotation, other.odom_from_ego.rotation)
    turn = Pose3.from_quaternion(wxyz=np.roll(np.array(xyzw), 1), translation_m=np.zeros(3))
    np.testing.assert_array_equal(one.odom_from_ego.rotation, turn.rotation)


@pytest.mark.parametrize(("velocity", "speed"), [((0.0, 5.0, 0.0), 5.0), ((0.0, -2.0, 0.0), -2.0)])
def test_a_twist_in_the_fixed_frame_counts_along_the_heading(velocity, speed):
    found = read(yaw_rad=QUARTER, speed_mps=velocity, child="map")
    assert found.speed_mps == pytest.approx(speed)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"speed_mps": (float("nan"), 0.0, 0.0)}, "twist.twist.linear: .* got .nan, 0, 0"),
        ({"yaw_rate_radps": float("inf")}, "twist.twist.angular"),
        ({"xyzw": (0.0, 0.0, 0.0, 0.0)}, "pose.pose: .* not zero, got .x, y, z, w. = .0, 0, 0, 0"),
        (
            {"xyzw": (0.0, float("nan"), 0.0, 1.0)},
            "pose.pose: expected a quaternion that is finite",
        ),
        ({"child": "imu_link"}, "child_frame_id: expected 'base_link' .*, got 'imu_link'"),
        ({"frame_id": ""}, "header.frame_id"),
    ],
)
def test_odometry_without_sense_is_refused(fields, why):
    with bad(why):
        read(**fields)


def test_odometry_at_no_place_is_refused():
    with bad("pose.pose: expected finite numbers"):
        odometry_sample(BUS.odometry(START_US, float("inf")), base_frame="base_link")


def test_a_frames_name_bears_no_slash():
    found = odometry_sample(
        BUS.odometry(START_US, frame_id="/map", child="/base_link"), base_frame="base_link"
    )
    assert found.frame_id == "map"


RED, GREEN, GREY = (250, 10, 20), (30, 200, 40), (77, 77, 77)
PIXELS = {
    "rgb8": bytes([*RED, *GREEN, *RED, *RED]),
    "bgr8": bytes([*RED[::-1], *GREEN[::-1], *RED[::-1], *RED[::-1]]),
    "rgba8": bytes([*RED, 0, *GREEN, 9, *RED, 255, *RED, 1]),
    "bgra8": bytes([*RED[::-1], 0, *GREEN[::-1], 9, *RED[::-1], 255, *RED[::-1], 1]),
    "mono8": bytes([77, 77, 77, 77]),
}


def image(encoding: str, data: bytes, *, size=(2, 2), step: int, big: int = 0):
    fields = {"width": size[0], "height": size[1], "step": step, "is_bigendian": big}
    array = np.frombuffer(data, np.uint8)
    return BUS.make("sensor_msgs/msg/Image", encoding=encoding, data=array, **fields)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize("encoding", PIXELS)
def test_a_raw_picture_is_stored_so_that_a_frame_decodes_its_pixels(encoding, big, padding):
    data, row = PIXELS[encoding], len(PIXELS[encoding]) // 2
    padded = data[:row] + b"\xaa" * padding + data[row:] + b"\xbb" * padding
    rgb = rgb_of_image(image(encoding, padded, step=row + padding, big=big))
    expected = [[GREY, GREY], [GREY, GREY]] if encoding == "mono8" else [[RED, GREEN], [RED, RED]]
    np.testing.assert_array_equal(rgb, expected)
    np.testing.assert_array_equal(Frame(START_US, (2, 2), ppm_of(rgb)).decode(), expected)
    assert size_px_of(ppm_of(rgb)) == (2, 2)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (image("rgb8", b"\0" * 11, step=6), "data: expected 2 rows of 6 bytes = 12, got 11"),
        (image("rgb8", b"\0" * 12, step=5), "step: expected at least 3 bytes .* rows of 5 bytes"),
        (image("rgb8", b"", size=(0, 0), step=0), "0 x 0 pixels"),
        (image("bayer_rggb8", b"\0" * 4, step=2), "encoding: .* got 'bayer_rggb8'"),
        (image("16UC1", b"\0" * 8, step=4), "encoding: .* got '16UC1'"),
    ],
)
def test_a_raw_picture_without_sense_is_refused(message, why):
    with bad(why):
        rgb_of_image(message)


def test_a_compressed_picture_is_kept_byte_for_byte():
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 4), RED).save(jpeg, "JPEG")
    for encoded in (jpeg.getvalue(), png(3)):
        assert encoded_of_compressed(BUS.compressed(START_US, encoded)) == encoded


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x01gH264", b"P6\n1 1\n255\nabc"])
def test_what_is_neither_jpeg_nor_png_is_refused(data):
    with bad(f"expected a JPEG or PNG, got {len(data)} bytes"):
        encoded_of_compressed(BUS.compressed(START_US, data))
