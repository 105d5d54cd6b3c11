"""Laws of what a vehicle would publish in a recorded scene."""

from dataclasses import replace

import numpy as np
import pytest
from drive_bus import LocalBus
from drive_cases import bundled
from replay_cases import LoopBus, cut

from drivevlm.drive.messages.cameras import camera_info
from drivevlm.drive.messages.odometry import odometry_sample, static_transforms
from drivevlm.drive.node_config import ObjectsType
from drivevlm.drive.replay.config import LockstepConfig, ReplayConfig
from drivevlm.drive.replay.contents import Lens
from drivevlm.drive.replay.event import CLOCK, Event, Line
from drivevlm.drive.replay.feed import Feed, play
from drivevlm.drive.replay.lockstep import anchor_after_its_rig
from drivevlm.drive.replay.source import ReplayError, replayable
from drivevlm.drive.replay.stream import command_text, lines_of, scene_stream
from drivevlm.drive.replay.told import as_told, losses
from drivevlm.drive.topics import (
    CAMERA_INFO,
    COMPRESSED,
    KINEMATIC_STATE,
    NAVIGATION_COMMAND,
    TF_STATIC,
    Names,
    TopicError,
)
from drivevlm.world.camera import Camera, Frame
from drivevlm.world.clip import Summary
from drivevlm.world.sets import Provenance
from drivevlm.world.track import history_stamps_us

CONFIG = ReplayConfig()


@pytest.fixture(scope="module")
def scene():
    (found,) = cut(bundled(), scene_2001=16)
    return found


@pytest.fixture(scope="module")
def stream(scene):
    return scene_stream(bundled(), scene, CONFIG)


def of(stream, topic, camera: str = "") -> list[Event]:
    return [event for event in stream.events if event.line == Line(topic, camera)]


def test_events_come_in_order_and_the_anchors_picture_is_the_last_of_its_moment(stream):
    times = [event.at_us for event in stream.events]
    assert times == sorted(times)
    assert all(event.stamp_us == event.at_us for event in stream.events)
    due = [k for k, event in enumerate(stream.events) if event.clip]
    assert len(due) == 16
    for k in due:
        later = stream.events[k + 1 :]
        assert all(event.at_us > stream.events[k].at_us for event in later)


def test_every_line_of_a_stream_can_be_published(stream):
    lines = lines_of(bundled().cameras, CONFIG)
    assert {event.line for event in stream.events} <= set(lines)
    assert len({line.name for line in lines}) == len(lines)
    with pytest.raises(TopicError, match="camera 'CAM FRONT' names a topic"):
        Feed(LocalBus(), Names(), lines_of(["CAM FRONT"], CONFIG))


def test_pictures_are_the_original_bytes_once_each(stream, scene):
    recording = bundled()
    for name in recording.cameras:
        events = of(stream, COMPRESSED, name)
        assert len(events) == 16
        for event, token in zip(events, scene.tokens, strict=True):
            (frames,) = [s.frames for s in recording.clip(token).cameras if s.camera.name == name]
            message = event.message(LocalBus())
            assert message.format == "jpeg"
            assert bytes(message.data) == frames[-1].source.read_bytes()
            assert event.clip == (token if name == "CAM_FRONT" else "")


def test_odometry_is_dense_and_exact_at_recorded_poses_and_at_those_of_a_past(stream, scene):
    recording, bus = bundled(), LocalBus()
    track, found = recording.ego_track(scene.name), {}
    for event in of(stream, KINEMATIC_STATE):
        sample = odometry_sample(event.message(bus), base_frame="base_link")
        assert sample.frame_id == scene.name
        found[sample.stamp_us] = sample
    stamps = np.array(sorted(found))
    assert np.diff(stamps).max() <= 100_000
    wanted = set(track.stamp_us.tolist())
    for token in scene.tokens:
        past = history_stamps_us(recording.clip(token).t0_us, poses=5)
        wanted |= {us for us in past if us >= track.stamp_us[0]}
    for us in wanted:
        pose = track.at(us).pose
        np.testing.assert_array_equal(found[us].odom_from_ego.rotation, pose.rotation)
        np.testing.assert_array_equal(found[us].odom_from_ego.translation_m, pose.translation_m)


def test_speeds_are_those_of_the_poses(stream, scene):
    clip = bundled().clip(scene.tokens[8])
    bus, t0_us = LocalBus(), clip.t0_us
    (state,) = [event for event in of(stream, KINEMATIC_STATE) if event.at_us == t0_us]
    sample = odometry_sample(state.message(bus), base_frame="base_link")
    assert sample.speed_mps == pytest.approx(clip.status.speed_mps, abs=0.5)
    assert sample.yaw_rate_radps == pytest.approx(clip.status.yaw_rate_radps, abs=0.05)


def test_cameras_say_how_they_sit_and_what_they_are_before_all_else(stream, scene):
    bus, clip = LocalBus(), bundled().clip(scene.tokens[0])
    (static,) = of(stream, TF_STATIC)
    assert static is next(event for event in stream.events if event.line != Line(CLOCK))
    edges, complaints = static_transforms(static.message(bus))
    assert complaints == []
    by_child = {edge.child: edge for edge in edges}
    for sequence in clip.cameras:
        camera = sequence.camera
        told = of(stream, CAMERA_INFO, camera.name)
        assert len(told) == 1 + 16
        info = camera_info(told[0].message(bus), rectified=False)
        assert info.size_px == camera.size_px
        assert info.bend_px == 0.0
        np.testing.assert_array_equal(info.intrinsics, camera.intrinsics)
        edge = by_child[info.frame_id]
        assert edge.parent == "base_link"
        np.testing.assert_array_equal(
            edge.parent_from_child.rotation, camera.ego_from_camera.rotation
        )


def test_a_camera_that_is_not_calibrated_says_so(scene):
    bare = Camera("CAM_ROOF", (64, 36))
    info = camera_info(Lens(bare).message(LocalBus(), 1), rectified=False)
    assert (info.size_px, info.intrinsics, info.frame_id) == ((64, 36), None, "CAM_ROOF")


def test_a_command_is_said_where_it_changes_and_none_is_said_too(stream, scene):
    clips = [bundled().clip(token) for token in scene.tokens]
    texts = [event.content.text for event in of(stream, NAVIGATION_COMMAND)]
    wanted = [command_text(clip.command) for clip in clips]
    assert texts == [text for k, text in enumerate(wanted) if k == 0 or text != wanted[k - 1]]
    assert command_text(None) == ""


def test_the_clock_beats_as_often_as_asked_or_not_at_all(stream, scene):
    assert set(np.diff([event.at_us for event in of(stream, CLOCK)])) == {20_000}
    silent = replace(CONFIG, clock_hz=0.0)
    assert of(scene_stream(bundled(), scene, silent), CLOCK) == []
    assert Line(CLOCK) not in lines_of((), silent)
    assert CLOCK.type_name == "rosgraph_msgs/msg/Clock"


class Later:
    """The bundled worlds, decided on a moment after the anchor's pictures."""

    def __getattr__(self, name: str):
        return getattr(bundled(), name)

    def clip(self, token: str):
        clip = bundled().clip(token)
        return replace(clip, t0_us=clip.t0_us + 1)


def test_a_recording_is_decided_on_at_the_anchors_stamps_or_refused(scene):
    with pytest.raises(ReplayError, match=r"stamp of CAM_LEFT.* at no time: .*data.t0=anchor"):
        scene_stream(bundled(), scene, ReplayConfig(anchor="CAM_LEFT"))
    with pytest.raises(ReplayError, match=r"stamp of CAM_FRONT, got 1800000000000001 and an image"):
        scene_stream(Later(), scene, CONFIG)


def test_what_is_no_drive_of_one_vehicle_is_refused_in_one_line(scene):
    with pytest.raises(ReplayError, match=r"^nuscenes v1.0-synth: scene scene-2001 has no clips"):
        scene_stream(bundled(), replace(scene, tokens=()), CONFIG)
    assert replayable(bundled()) is bundled()
    pairs = Later()
    pairs.twins = ("a pair",)
    with pytest.raises(ReplayError, match=r"^nuscenes v1.0-synth: its clips are twins[^\n]*$"):
        replayable(pairs)
    with pytest.raises(ReplayError, match=r"^object tells no poses between its clips[^\n]*$"):
        replayable(object())


def test_what_no_topic_tells_is_said_and_a_clip_that_loses_nothing_is_itself(scene):
    clip = bundled().clip(scene.tokens[4])
    assert list(losses([clip], ObjectsType.PREDICTED)) == []
    told = as_told(clip, ObjectsType.PREDICTED)
    assert told.status == clip.status
    assert told.proposals.boxes == clip.proposals.boxes
    (slow,) = losses([clip], ObjectsType.DETECTION)
    assert "speeds are left out" in slow
    assert as_told(clip, ObjectsType.NONE).proposals is None
    first, second = clip.proposals.boxes[:2]
    cone = replace(first, category="traffic_cone")
    digger = replace(second, category="construction_vehicle")
    rich = replace(
        clip,
        summary=Summary("A road.", 0.0, Provenance.FILE),
        status=replace(clip.status, provenance=Provenance.CAN_BUS),
        proposals=replace(clip.proposals, boxes=(cone, digger)),
    )
    found = list(losses([rich], ObjectsType.PREDICTED))
    assert ["summaries" in found[0], "status" in found[1]] == [True] * 2
    assert "proposals of construction_vehicle, traffic_cone are told as others" in found[2]
    assert len(found) == 3
    (box,) = as_told(rich, ObjectsType.PREDICTED).proposals.boxes  # the cone is no proposal
    assert (box.id, box.category) == ("p1", "truck")


def test_events_are_sent_at_their_times_at_the_rate_asked_for(stream):
    now = [100.0]
    bus, when = LoopBus(), []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    feed = Feed(bus, Names(), lines_of(bundled().cameras, CONFIG))
    bus.subscribe(
        "/clock", CLOCK.type_name, CLOCK.qos, lambda m: when.append((now[0], bus.now_us()))
    )
    play([stream, stream.shifted(-(10**9))], feed, rate=4.0, wall_s=lambda: now[0], sleep=sleep)
    half = len(when) // 2
    for began in (0, half):
        wall_s = np.array([wall for wall, _ in when[began : began + half]])
        clock_s = np.array([us for _, us in when[began : began + half]]) / 1e6
        np.testing.assert_allclose(wall_s - wall_s[0], (clock_s - clock_s[0]) / 4.0, atol=1e-6)
    assert feed.sent["CAM_FRONT/image/compressed"] == 32
    assert not feed.unreadable
    with pytest.raises(ValueError, match="rate lies in"):
        play([], feed, rate=0.0)


def test_a_picture_that_cannot_be_read_is_counted_and_takes_nothing_with_it(stream, tmp_path):
    feed = Feed(LocalBus(), Names(), lines_of(bundled().cameras, CONFIG))
    (event,) = of(stream, COMPRESSED, "CAM_BACK")[:1]
    gone = replace(event.content, frame=Frame(1, (4, 4), tmp_path / "gone.jpg"))
    assert "cannot read the image" in feed.send(replace(event, content=gone))
    assert feed.send(event) is None
    name = "CAM_BACK/image/compressed"
    assert (feed.unreadable[name], feed.sent[name]) == (1, 1)


def test_in_lockstep_the_anchor_comes_after_the_younger_pictures_of_its_rig_only(stream):
    (anchor,) = of(stream, COMPRESSED, "CAM_FRONT")[:1]
    (other,) = of(stream, COMPRESSED, "CAM_BACK")[:1]
    (state,) = of(stream, KINEMATIC_STATE)[:1]

    def at(event: Event, us: int, **more) -> Event:
        return replace(event, at_us=us, stamp_us=us, **more)

    events = [
        at(other, 0),
        at(anchor, 10_000, clip="a"),
        at(state, 20_000),
        at(other, 50_000),
        at(state, 60_000),
        at(other, 200_000),
        at(anchor, 500_000, clip="b"),
        at(state, 510_000),
    ]
    order = [events.index(event) for event in anchor_after_its_rig(events)]
    assert order == [0, 2, 3, 1, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: ReplayConfig(odometry_hz=9.0), r"odometry_hz lies in \[10, 1000\], got 9"),
        (lambda: ReplayConfig(clock_hz=-1.0), "clock_hz lies in"),
        (lambda: LockstepConfig(answer_s=float("inf")), "answer_s is finite"),
        (lambda: LockstepConfig(silent=0), "silent is at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, why):
    with pytest.raises(ValueError, match=why):
        make()
