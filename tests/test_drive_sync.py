"""Laws of what belongs to one decision."""

from dataclasses import replace

import numpy as np
import pytest
from dialogue_cases import camera
from drive_cases import RIG, SPEED_MPS, START_US, sample
from hypothesis import given
from hypothesis import strategies as st

from drivevlm.drive.buffers import Objects, Seen
from drivevlm.drive.config import SyncConfig
from drivevlm.drive.odometry import Track
from drivevlm.drive.sync import Missing, Moment, Refusal, RefusalReason, moment_of, moved
from drivevlm.world.boxes import Box3

T0_US = START_US + 3_000_000


def seen(*, offsets_us=(0, 0), back: int = 3, every_us: int = 100_000, **more) -> Seen:
    """Two cameras whose newest images lie so far from decision time, and 3 s of odometry."""
    images = {
        name: tuple((T0_US + offset - k * every_us, b"jpeg") for k in range(back * 10, -1, -1))
        for name, offset in zip(RIG, offsets_us, strict=True)
    }
    samples = [sample(START_US + k * 50_000, SPEED_MPS * k * 0.05) for k in range(61)]
    values = {
        "images": images,
        "cameras": {name: camera(name, 180.0 * k) for k, name in enumerate(RIG)},
        "track": Track(tuple(samples), 200_000),
        "objects": (),
        "command": None,
    }
    return Seen(**(values | more))


def moment(what: Seen, *, now_us: int = T0_US + 30_000, t0_us: int = T0_US, **config):
    return moment_of(
        what, t0_us=t0_us, now_us=now_us, config=SyncConfig(RIG, **config), scene="drive-0"
    )


def test_decision_time_is_the_anchors_stamp_and_the_other_camera_is_the_nearest():
    found = moment(seen(offsets_us=(0, 40_000)))
    assert isinstance(found, Moment)
    assert found.clip.t0_us == T0_US
    assert [s.frames[-1].stamp_us - T0_US for s in found.clip.cameras] == [0, 40_000]
    assert found.ego.stamp_us == T0_US
    # An image after decision time is placed by the status: the odometry of then is the future.
    ahead = found.clip.cameras[1].frames[-1].now_from_then
    assert ahead is not None
    assert ahead.translation_m[0] == pytest.approx(0.04 * SPEED_MPS)


def test_earlier_images_lie_a_stride_apart_with_the_pose_of_then():
    found = moment(seen(), frames=3, stride=2)
    assert isinstance(found, Moment)
    for sequence in found.clip.cameras:
        assert [f.stamp_us - T0_US for f in sequence.frames] == [-2_000_000, -1_000_000, 0]
        x_m = [f.now_from_then.translation_m[0] for f in sequence.frames if f.now_from_then]
        np.testing.assert_allclose(x_m, [-2 * SPEED_MPS, -SPEED_MPS, 0.0], atol=1e-9)


def test_an_earlier_image_that_is_missing_or_has_no_pose_is_left_out():
    images = {"CAM_FRONT": ((T0_US - 1_000_000, b"a"), (T0_US, b"b")), "CAM_BACK": ((T0_US, b"c"),)}
    found = moment(seen(images=images), frames=3)
    assert isinstance(found, Moment)
    assert [len(s.frames) for s in found.clip.cameras] == [2, 1]
    short = replace(seen().track, samples=seen().track.samples[-11:])  # half a second
    found = moment(seen(track=short), frames=3)
    assert isinstance(found, Moment)
    assert [len(s.frames) for s in found.clip.cameras] == [2, 2]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (seen(cameras={"CAM_FRONT": camera("CAM_FRONT", 0.0)}), Missing.UNKNOWN_SIZE),
        (seen(images={"CAM_FRONT": seen().images["CAM_FRONT"]}), Missing.NO_IMAGE),
        (seen(offsets_us=(0, -100_001)), Missing.APART),
    ],
)
def test_a_missing_camera_is_a_refusal_with_its_reason_or_left_out_where_optional(what, why):
    refused = moment(what)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.CAMERA
    assert refused.missing == {"CAM_BACK": why}
    assert "CAM_BACK" in refused.detail
    allowed = moment(what, optional=("CAM_BACK",))
    assert isinstance(allowed, Moment)
    assert allowed.missing == {"CAM_BACK": why}
    assert [s.camera.name for s in allowed.clip.cameras] == ["CAM_FRONT"]


def test_a_camera_within_the_tolerance_and_young_enough_takes_part():
    assert isinstance(moment(seen(offsets_us=(0, -100_000))), Moment)
    assert isinstance(moment(seen(), now_us=T0_US + 200_000), Moment)
    old = moment(seen(), now_us=T0_US + 200_001)
    assert isinstance(old, Refusal)
    assert old.reason is RefusalReason.ANCHOR
    assert set(old.missing.values()) == {Missing.OLD}


def test_no_odometry_at_decision_time_is_a_refusal():
    for samples in (
        (),
        seen().track.samples[:-1],
        (sample(T0_US - 100_001, 0), sample(T0_US + 100_000, 1)),
    ):
        refused = moment(seen(track=Track(tuple(samples), 200_000)))
        assert isinstance(refused, Refusal)
        assert refused.reason is RefusalReason.ODOMETRY


def test_objects_become_proposals_where_their_motion_and_the_egos_have_taken_them():
    box = replace(
        Box3.typical("car", x_ego_m=20.0, y_ego_m=0.0),
        velocity_ego_mps=np.array([3.0, 1.0]),
        score=0.9,
    )
    told = Objects(T0_US - 200_000, (box,))
    found = moment(seen(objects=(told, Objects(T0_US + 50_000, ()))))
    assert isinstance(found, Moment)
    assert found.clip.proposals is not None
    (shown,) = found.clip.proposals.boxes
    assert shown.id == "p1"
    # 0.2 s at 8 m/s nearer, 0.2 s at 3 m/s away and 1 m/s to the left.
    np.testing.assert_allclose(shown.center_ego_m[:2], [20 - 1.6 + 0.6, 0.2], atol=1e-9)
    thing = Objects(T0_US - 200_000, (), (box,))
    (there,) = moved(thing, seen().track, T0_US).obstacles
    np.testing.assert_allclose(there.center_ego_m, shown.center_ego_m)
    now = Objects(T0_US, (box,))
    assert moved(now, seen().track, T0_US) is now
    late = moment(seen(objects=(replace(told, stamp_us=T0_US - 500_001),)))
    assert isinstance(late, Moment)
    assert late.clip.proposals is None


stamps = st.lists(st.integers(-3_000_000, 500_000), max_size=6, unique=True).map(sorted)


@given(stamps, stamps, stamps, st.integers(-500_000, 500_000), st.integers(1, 4))
def test_whatever_was_stored_the_answer_is_a_clip_or_a_refusal(front, back, odometry, late, frames):
    what = seen(
        images={
            name: tuple((T0_US + us, b"") for us in offsets)
            for name, offsets in zip(RIG, (front, back), strict=True)
        },
        track=Track(tuple(sample(T0_US + us, us / 1e6 * 8) for us in odometry), 200_000),
    )
    found = moment(what, now_us=T0_US + late, frames=frames)
    assert isinstance(found, Moment | Refusal)
