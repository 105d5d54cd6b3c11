"""Laws of what the callbacks store, and of the odometry between its samples."""

from dataclasses import replace

import numpy as np
import pytest
from drive_cases import SPEED_MPS, START_US, bundled, sample
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.buffers import Added, Buffers, Objects, Ring
from drivevlm.drive.config import DriveConfig, OdometryConfig, SyncConfig
from drivevlm.drive.odometry import Track, jump
from drivevlm.world.ego import status_from_history

RIG = SyncConfig(("CAM_FRONT", "CAM_BACK"), frames=3)


def buffers() -> Buffers:
    return Buffers(DriveConfig(sync=RIG))


def full(count=lambda what: None) -> Buffers:
    stored = Buffers(DriveConfig(sync=RIG), count)
    for k in range(4):
        assert stored.add_odometry(sample(START_US + k * 50_000, k * 0.4)) is None
        assert stored.add_image("CAM_FRONT", START_US + k * 50_000, b"jpeg") is None
    assert stored.add_objects(Objects(START_US, ())) is None
    return stored


def sizes(stored: Buffers) -> tuple[int, int, int]:
    seen = stored.seen()
    return sum(map(len, seen.images.values())), len(seen.track.samples), len(seen.objects)


@given(st.lists(st.integers(1, 900), min_size=1, max_size=60), st.integers(0, 3000))
def test_a_ring_holds_no_more_than_its_span_and_its_number_newest_last(steps, span_us):
    ring = Ring[int](span_us=span_us, most=7)
    for stamp_us in np.cumsum(steps).tolist():
        assert ring.add(stamp_us, stamp_us) is Added.STORED
    stamps = [stamp_us for stamp_us, _ in ring.items()]
    assert stamps == np.cumsum(steps).tolist()[-len(ring) :]
    assert 1 <= len(ring) <= 7
    assert stamps[-1] - stamps[0] <= span_us
    assert ring.newest_us == ring.newest == sum(steps)


def test_a_ring_leaves_out_what_is_repeated_or_older():
    ring = Ring[str](span_us=1000, most=5)
    assert ring.add(10, "a") is Added.STORED
    assert ring.add(10, "b") is Added.REPEATED
    assert ring.add(9, "c") is Added.BACKWARDS
    assert ring.items() == ((10, "a"),)


@pytest.mark.parametrize("what", ["image", "odometry", "objects"])
def test_time_that_goes_backwards_clears_all_history_and_says_so(what):
    stored, early_us = full(), START_US - 1_000_000
    why = {
        "image": lambda: stored.add_image("CAM_FRONT", early_us, b"early"),
        "odometry": lambda: stored.add_odometry(sample(early_us, 0.0)),
        "objects": lambda: stored.add_objects(Objects(early_us, ())),
    }[what]()
    assert why is not None
    assert why.startswith("time went backwards")
    assert sizes(stored) == {"image": (1, 0, 0), "odometry": (0, 1, 0), "objects": (0, 0, 1)}[what]


@pytest.mark.parametrize(
    "odd",
    [
        sample(START_US + 200_000, 4.0),
        sample(START_US + 200_000, 1.6, 1.7),
        sample(START_US + 200_000, 1.6, yaw_rad=0.4),
        sample(START_US + 200_000, 1.6, frame_id="other"),
    ],
    ids=["ahead", "aside", "turned", "frame"],
)
def test_a_pose_that_jumps_clears_all_history_and_says_so(odd):
    stored = full()
    why = stored.add_odometry(odd)
    assert why is not None
    assert "jumped" in why or "turned" in why or "frame" in why
    assert sizes(stored) == (0, 1, 0)


def test_what_is_repeated_is_counted_and_clears_nothing():
    counted: list[str] = []
    stored = full(counted.append)
    assert stored.add_odometry(sample(START_US + 150_000, 1.2)) is None
    assert stored.add_image("CAM_FRONT", START_US + 150_000, b"again") is None
    assert counted == ["repeated_stamps"] * 2
    assert sizes(stored) == (4, 4, 1)


def test_images_go_back_as_far_as_a_clip_does_and_odometry_five_seconds():
    stored = buffers()
    for k in range(400):
        stored.add_odometry(sample(START_US + k * 50_000, k * 0.4))
        stored.add_image("CAM_FRONT", START_US + k * 50_000, b"jpeg")
    seen = stored.seen()
    images, track = seen.images["CAM_FRONT"], seen.track.samples
    assert 1_000_000 <= images[-1][0] - images[0][0] <= 2_000_000
    assert track[-1].stamp_us - track[0].stamp_us == 5_000_000


def test_what_was_seen_stays_as_it_was():
    stored = full()
    seen = stored.seen()
    stored.clear()
    assert len(seen.track.samples) == 4
    assert len(seen.images["CAM_FRONT"]) == 4


@given(st.floats(0, 30), st.floats(-0.6, 0.6), st.floats(-9, 9))
def test_no_real_drive_is_a_jump(speed_mps, rate_radps, acceleration_mps2):
    dt_s, after_mps = 0.05, max(0.0, speed_mps + acceleration_mps2 * 0.05)
    run_m, turn_rad = (speed_mps + after_mps) / 2 * dt_s, rate_radps * dt_s
    one = sample(0, 0.0, speed_mps=speed_mps, yaw_rate_radps=rate_radps)
    other = sample(50_000, run_m, yaw_rad=turn_rad, speed_mps=after_mps, yaw_rate_radps=rate_radps)
    assert jump(one, other, OdometryConfig()) is None


def track(*samples, gap_us: int = 200_000) -> Track:
    return Track(samples, gap_us)


def test_between_samples_position_is_linear_and_the_heading_turns_the_shorter_way():
    two = track(
        sample(0, 0.0, 0.0, np.radians(170), speed_mps=4.0),
        sample(100_000, 1.0, 2.0, np.radians(-170), speed_mps=8.0),
    )
    middle = two.at(25_000)
    assert middle is not None
    pose = middle.odom_from_ego.planar()
    assert (pose.x_m, pose.y_m, middle.speed_mps) == pytest.approx((0.25, 0.5, 5.0))
    assert np.degrees(pose.yaw_rad) == pytest.approx(175.0)
    assert middle.odom_from_ego.translation_m[2] == pytest.approx(0.3)


def test_a_sample_is_given_as_it_is_and_nothing_is_known_beyond_or_within_a_gap():
    three = track(sample(0, 0.0), sample(200_000, 1.6), sample(400_001, 3.2))
    assert three.at(200_000) is three.samples[1]
    assert three.at(100_000) is not None
    assert three.at(300_000) is None  # the gap is a microsecond too long
    assert three.at(-1) is None
    assert three.at(400_002) is None
    assert track().at(0) is None


def test_the_past_goes_back_in_half_seconds_as_far_as_it_is_known():
    samples = [sample(k * 50_000, SPEED_MPS * k * 0.05) for k in range(26)]  # 1.25 s
    history = track(*samples).history(1_250_000, poses=5)
    assert history is not None
    assert history.stamp_us.tolist() == [250_000, 750_000, 1_250_000]
    np.testing.assert_allclose(history.xy_ego_m[:, 0], [-8.0, -4.0, 0.0], atol=1e-12)
    status = status_from_history(history)
    assert status is not None
    assert status.speed_mps == pytest.approx(SPEED_MPS)
    assert track(*samples).history(1_250_001, poses=5) is None


def test_past_and_status_are_those_of_the_recording():
    recording = bundled()
    for scene in recording.scenes()[:2]:
        clips = [recording.clip(token) for token in scene.tokens]
        poses = [recording.truth(token).now.global_from_ego for token in scene.tokens]
        samples = tuple(
            replace(sample(clip.t0_us, 0.0), odom_from_ego=pose)
            for clip, pose in zip(clips, poses, strict=True)
        )
        for clip in clips:
            history = Track(samples, 200_000).history(clip.t0_us, poses=5)
            assert history is not None
            assert clip.history is not None
            np.testing.assert_array_equal(history.stamp_us, clip.history.stamp_us)
            np.testing.assert_array_equal(history.xy_ego_m, clip.history.xy_ego_m)
            np.testing.assert_array_equal(history.yaw_ego_rad, clip.history.yaw_ego_rad)
            assert status_from_history(history) == clip.status
