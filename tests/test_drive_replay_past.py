"""Laws of the past: read from a recording or heard as odometry, it is made by one function."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import reference
from drive_cases import sample
from hypothesis import given
from hypothesis import strategies as st
from tiny_tables import SPEED_MPS, YAW_RATE_RADPS, write_tables

from drivevlm.data.nuscenes.config import DecisionTime, NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError
from drivevlm.drive.odometry import OdometrySample, Track
from drivevlm.drive.replay.motion import motions
from drivevlm.world.ego import status_from_history
from drivevlm.world.pose import Pose3
from drivevlm.world.track import (
    STEP_US,
    PoseTrack,
    QuaternionPose,
    between,
    spaced_back,
    wxyz_of,
)

GAP_US = 1_000_000
quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda numbers: np.linalg.norm(numbers) > 0.1
)


def pose(wxyz, *, x_m: float = 0.0) -> QuaternionPose:
    return QuaternionPose(np.array([x_m, 0.0, 0.0]), np.array(wxyz, dtype=np.float64))


def turned(yaw_rad: float, *, x_m: float = 0.0) -> QuaternionPose:
    return pose([np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)], x_m=x_m)


def track(stamps_us, *, x_m, yaw_rad=None) -> PoseTrack:
    yaw_rad = [0.0] * len(stamps_us) if yaw_rad is None else yaw_rad
    return PoseTrack(
        np.array(stamps_us, dtype=np.int64),
        np.array([[x, 0.0, 0.0] for x in x_m]),
        np.array([turned(yaw).wxyz for yaw in yaw_rad]),
        GAP_US,
    )


@given(quaternions)
def test_a_matrix_gives_its_quaternion_back(wxyz):
    rotation = pose(wxyz).pose.rotation
    again = wxyz_of(rotation)
    assert np.linalg.norm(again) == pytest.approx(1.0)
    np.testing.assert_allclose(pose(again).pose.rotation, rotation, atol=1e-12)


def test_between_two_poses_the_way_is_straight_and_the_turn_even():
    middle = between(turned(0.2, x_m=10.0), turned(0.6, x_m=14.0), 0.25)
    np.testing.assert_allclose(middle.translation_m, [11.0, 0.0, 0.0])
    assert middle.pose.yaw_rad == pytest.approx(0.3)


def test_a_turn_goes_the_shorter_way_whatever_the_quaternions_sign():
    after = turned(-3.0)
    for sign in (1, -1):
        other = QuaternionPose(after.translation_m, sign * after.wxyz)
        middle = between(turned(3.0), other, 0.5)
        assert abs(middle.pose.yaw_rad) == pytest.approx(np.pi)


@given(quaternions, st.floats(0, 1))
def test_who_stands_is_at_the_same_place_to_the_last_bit(wxyz, share):
    here = pose(wxyz, x_m=1234.5678)
    found = between(here, here, share)
    np.testing.assert_array_equal(found.translation_m, here.translation_m)
    np.testing.assert_array_equal(found.pose.rotation, here.pose.rotation)


@given(quaternions, quaternions, st.floats(0, 1), st.floats(0, 1))
def test_what_is_between_two_of_between_is_between_the_ends(one, other, first, share):
    ends = pose(one, x_m=0.0), pose(other, x_m=8.0)
    if abs(np.dot(one, other)) < 1e-3 * np.linalg.norm(one) * np.linalg.norm(other):
        return  # half a turn: there is no shorter way
    direct = between(*ends, first * share)
    nested = between(ends[0], between(*ends, first), share)
    np.testing.assert_allclose(nested.translation_m, direct.translation_m, atol=1e-12)
    np.testing.assert_allclose(nested.pose.rotation, direct.pose.rotation, atol=1e-9)


def test_nothing_is_known_outside_a_track_and_within_a_gap():
    found = track([0, 400_000, 1_500_000], x_m=[0.0, 4.0, 15.0])
    assert found.at(400_000).translation_m[0] == 4.0
    assert found.at(100_000).translation_m[0] == pytest.approx(1.0)
    assert [found.at(us) for us in (-1, 900_000, 1_500_001)] == [None, None, None]


def test_a_history_is_made_of_half_seconds_as_far_back_as_all_are_known():
    found = track([0, 600_000, 1_000_000, 1_500_000], x_m=[0.0, 6.0, 10.0, 15.0])
    history = found.history(1_500_000, poses=5)
    assert history.stamp_us.tolist() == [0, 500_000, 1_000_000, 1_500_000]
    np.testing.assert_allclose(history.xy_ego_m[:, 0], [-15.0, -10.0, -5.0, 0.0], atol=1e-9)
    assert len(found.history(1_500_000, poses=2).stamp_us) == 2
    assert found.history(1_600_000, poses=5) is None


@given(st.lists(st.integers(20_000, 900_000), min_size=3, max_size=12), st.data())
def test_poses_after_decision_time_never_enter_a_history(steps, data):
    stamps = np.cumsum(steps).tolist()
    k = data.draw(st.integers(0, len(stamps) - 1))
    x_m = data.draw(st.lists(st.floats(-50, 50), min_size=len(stamps), max_size=len(stamps)))
    whole = track(stamps, x_m=x_m).history(stamps[k], poses=5)
    past = track(stamps[: k + 1], x_m=x_m[: k + 1]).history(stamps[k], poses=5)
    assert whole.stamp_us.tolist() == past.stamp_us.tolist()
    np.testing.assert_array_equal(whole.xy_ego_m, past.xy_ego_m)


def test_a_vehicle_and_a_recording_make_the_same_history_of_the_same_poses():
    stamps = [0, 150_000, 333_333, 500_000, 700_000, 777_777, 1_000_000]
    read = track(stamps, x_m=[us * 1e-5 for us in stamps], yaw_rad=[us * 2e-7 for us in stamps])
    heard = Track(
        tuple(
            replace(sample(us, 0.0), odom_from_ego=read.at(us).pose)
            for us in (*stamps, 1_100_000)
            if us <= stamps[-1]
        ),
        gap_us=300_000,
    )
    one, other = read.history(1_000_000, poses=3), heard.history(1_000_000, poses=3)
    assert one.stamp_us.tolist() == other.stamp_us.tolist() == [0, 500_000, 1_000_000]
    np.testing.assert_array_equal(one.xy_ego_m, other.xy_ego_m)
    between_samples = heard.at(250_000).odom_from_ego
    np.testing.assert_allclose(between_samples.rotation, read.at(250_000).pose.rotation, atol=1e-12)


def test_earlier_images_are_those_nearest_to_half_seconds_before_the_newest():
    stamps = [0, 400_000, 910_000, 1_410_000, 2_000_000]
    near = {"count": 5, "stride": 1, "within_us": 100_000}
    assert spaced_back(stamps, 2_000_000, **near) == tuple(stamps)
    nearer = near | {"within_us": 99_999}  # the one of 1.6 s before is too far from 1.5 s
    assert spaced_back(stamps, 2_000_000, **nearer) == (0, 910_000, 1_410_000, 2_000_000)
    far = near | {"count": 2, "stride": 2}
    assert spaced_back(stamps, 2_000_000, **far) == (910_000, 2_000_000)
    assert spaced_back([5], 5, count=3, stride=1, within_us=100_000) == (5,)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    root = write_tables(folder / "data")
    config = NuScenesConfig(str(root), t0=DecisionTime.ANCHOR, cache=str(folder / "cache"))
    return lambda **changes: NuScenesRecording(replace(config, **changes))


def test_the_track_of_a_scene_holds_every_recorded_pose_once_and_no_other_scenes(tiny):
    found = tiny().ego_track("scene-2001")
    assert len(found.stamp_us) == 9 * 5  # two cameras with a sweep each, and a lidar
    assert (found.stamp_us < 1_600_000_050_000_000).all()
    with pytest.raises(DataError, match="'scene-9' is none of the 2 chosen scenes"):
        tiny().ego_track("scene-9")


def test_at_the_anchor_the_past_lies_half_seconds_back_between_recorded_poses(tiny):
    clip = tiny(past_poses=3).clip("scene-2001-06")
    assert (clip.history.stamp_us - clip.t0_us).tolist() == [-2 * STEP_US, -STEP_US, 0]
    assert clip.status.speed_mps == pytest.approx(SPEED_MPS, rel=1e-3)
    assert clip.status.yaw_rate_radps == pytest.approx(YAW_RATE_RADPS)


def test_another_past_is_another_way_of_reading_and_the_keyframes_way_is_as_it_was(tiny):
    keyframe = tiny(t0=DecisionTime.KEYFRAME)
    history = keyframe.clip("scene-2001-06").history
    assert (np.diff(history.stamp_us) == STEP_US).all()
    assert keyframe.digest != tiny().digest


def test_quaternions_of_lenses_are_those_of_the_tables(tiny):
    recording = tiny()
    clip = recording.clip("scene-2001-03")
    for sequence in clip.cameras:
        wxyz = recording.lens_wxyz("scene-2001-03")[sequence.camera.name]
        assert wxyz.tolist() == [0.5, -0.5, 0.5, -0.5]
        exact = Pose3.from_quaternion(wxyz=wxyz, translation_m=np.zeros(3)).rotation
        np.testing.assert_array_equal(exact, sequence.camera.ego_from_camera.rotation)


def test_real_clips_get_the_history_that_a_vehicle_would_have(tmp_path):
    root = reference("nuscenes_mini_real")
    recording = NuScenesRecording(
        NuScenesConfig(str(root), t0=DecisionTime.ANCHOR, cache=str(tmp_path))
    )
    statuses = 0
    for scene in recording.scenes():
        recorded = recording.ego_track(scene.name)
        clips = [recording.clip(token) for token in scene.tokens]
        stamps = {*recorded.stamp_us.tolist(), *range(*recorded.stamp_us[[0, -1]].tolist(), 50_000)}
        stamps |= {clip.t0_us - k * STEP_US for clip in clips for k in range(5)}
        heard = [
            OdometrySample(m.stamp_us, m.fixed_from_ego.pose, m.speed_mps, m.yaw_rate_radps)
            for m in motions(recorded, stamps)
        ]
        for clip in clips:
            past = tuple(one for one in heard if clip.t0_us - 5e6 < one.stamp_us <= clip.t0_us)
            history = Track(past, gap_us=200_000).history(clip.t0_us, poses=5)
            np.testing.assert_array_equal(history.stamp_us, clip.history.stamp_us)
            np.testing.assert_array_equal(history.xy_ego_m, clip.history.xy_ego_m)
            np.testing.assert_array_equal(history.yaw_ego_rad, clip.history.yaw_ego_rad)
            assert status_from_history(history) == clip.status
            statuses += clip.status is not None
    assert statuses == 117  # of 120: three scenes' first clips have no past
