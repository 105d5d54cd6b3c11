"""From a recording's scene to all that a vehicle would publish in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from drivevlm.drive.node_config import ObjectsType
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.contents import (
    Acceleration,
    Lens,
    Mounts,
    Odometry,
    Picture,
    Placed,
    Tick,
    Words,
)
from drivevlm.drive.replay.event import (
    ACCELERATION,
    CLOCK,
    TF,
    Event,
    Line,
    SceneStream,
    in_order,
)
from drivevlm.drive.replay.motion import motions
from drivevlm.drive.replay.proposals import Detected, Predicted
from drivevlm.drive.replay.source import Replayable, ReplayError, SceneTokens
from drivevlm.drive.replay.told import losses
from drivevlm.drive.topics import (
    CAMERA_INFO,
    COMPRESSED,
    DETECTIONS,
    KINEMATIC_STATE,
    NAVIGATION_COMMAND,
    PREDICTED_OBJECTS,
    TF_STATIC,
    Topic,
)
from drivevlm.world.camera import CameraSequence
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.pose import Floats
from drivevlm.world.track import STEP_US, PoseTrack, QuaternionPose, history_stamps_us

BEFORE_US = 5_000_000
"""Odometry begins so long before the first clip at most: a node keeps no more."""
AFTER_US = 500_000
"""The clock goes on so long after the last picture, for what still waits."""


def lines_of(cameras: Sequence[str], config: ReplayConfig) -> tuple[Line, ...]:
    """Where a replay may publish."""
    topics = [TF_STATIC, NAVIGATION_COMMAND, TF, ACCELERATION, KINEMATIC_STATE]
    topics += [] if config.objects is ObjectsType.NONE else [_objects_topic(config)]
    topics += [CLOCK] if config.clock_hz else []
    of_cameras = [Line(topic, name) for name in cameras for topic in (CAMERA_INFO, COMPRESSED)]
    return (*map(Line, topics), *of_cameras)


def streams(recording: Replayable, config: ReplayConfig) -> Iterator[SceneStream]:
    """Scene by scene. Raises ReplayError as ``scene_stream`` does."""
    for scene in recording.scenes():
        yield scene_stream(recording, scene, config)


def scene_stream(recording: Replayable, scene: SceneTokens, config: ReplayConfig) -> SceneStream:
    """One scene: its clips' pictures, proposals and commands, and the ego's motion between them.

    The odometry's fixed frame bears the scene's name, so that a node forgets one scene where the
    next one begins. A picture is read when it is sent.

    Raises:
        ReplayError: The scene is empty, or decided on at other stamps than the anchor's.
    """
    clips = [recording.clip(token) for token in scene.tokens]
    if not clips:
        raise ReplayError(f"{recording.name}: scene {scene.name} has no clips to replay")
    for clip in clips:
        _check_time(clip, config.anchor)
    track = recording.ego_track(scene.name)
    pictures = list(_pictures(clips, config.anchor))
    last_us = max(event.at_us for event in pictures)
    moving = list(_ego(track, clips, last_us, scene.name, config))
    first_us = min(event.at_us for event in (*moving, *pictures))
    clock_us = round(1e6 / config.clock_hz) if config.clock_hz else 0
    ticks = range(first_us, last_us + AFTER_US, clock_us) if clock_us else ()
    return SceneStream(
        scene.name,
        in_order(
            [
                *(Event(us, us, Line(CLOCK), Tick()) for us in ticks),
                *_opening(clips[0], recording.lens_wxyz(clips[0].token), first_us, config),
                *moving,  # before all that a node forgets where the fixed frame changes
                *_lenses(clips),
                *_commands(clips),
                *_objects(clips, config),
                *pictures,
            ]
        ),
        clips=tuple(scene.tokens),
        notes=tuple(losses(clips, config.objects)),
    )


def _check_time(clip: Clip, anchor: str) -> None:
    stamps = [s.frames[-1].stamp_us for s in clip.cameras if s.camera.name == anchor]
    if stamps != [clip.t0_us]:
        raise ReplayError(
            f"clip {clip.token}: expected to be decided on at the stamp of {anchor}, got "
            f"{clip.t0_us} and an image at {stamps[0] if stamps else 'no time'}: open the "
            f"recording with data.t0=anchor data.anchor={anchor}"
        )


def _opening(
    clip: Clip, lens_wxyz: Mapping[str, Floats], first_us: int, config: ReplayConfig
) -> Iterator[Event]:
    """What is said once, before all else: how cameras sit, and what they are."""
    mounts = {
        sequence.camera.name: QuaternionPose(
            sequence.camera.ego_from_camera.translation_m, lens_wxyz[sequence.camera.name]
        )
        for sequence in clip.cameras
        if sequence.camera.ego_from_camera is not None
    }
    yield Event(first_us, first_us, Line(TF_STATIC), Mounts(config.base_frame, mounts))
    for sequence in clip.cameras:
        line = Line(CAMERA_INFO, sequence.camera.name)
        yield Event(first_us, first_us, line, Lens(sequence.camera))


def _lenses(clips: Sequence[Clip]) -> Iterator[Event]:
    """A camera speaks of itself with every picture."""
    for clip in clips:
        for sequence in clip.cameras:
            stamp_us, line = sequence.frames[-1].stamp_us, Line(CAMERA_INFO, sequence.camera.name)
            yield Event(stamp_us, stamp_us, line, Lens(sequence.camera))


def _commands(clips: Sequence[Clip]) -> Iterator[Event]:
    """At each change, and at the first clip: a node may remember another scene's."""
    said: str | None = None
    for clip in clips:
        text = command_text(clip.command)
        if text != said:
            yield Event(clip.t0_us, clip.t0_us, Line(NAVIGATION_COMMAND), Words(text))
            said = text


def command_text(command: RouteCommand | None) -> str:
    """As the node reads it; empty for none."""
    if command is None:
        return ""
    told = {"command": command.command.value, "text": command.text}
    return json.dumps({**told, "distance_m": command.distance_m})


def _objects(clips: Sequence[Clip], config: ReplayConfig) -> Iterator[Event]:
    if config.objects is ObjectsType.NONE:
        return
    kind = Predicted if config.objects is ObjectsType.PREDICTED else Detected
    for clip in clips:
        if clip.proposals is not None:
            content = kind(clip.proposals.boxes, config.base_frame)
            yield Event(clip.t0_us, clip.t0_us, Line(_objects_topic(config)), content)


def _ego(
    track: PoseTrack, clips: Sequence[Clip], last_us: int, frame: str, config: ReplayConfig
) -> Iterator[Event]:
    """At every recorded pose, evenly between them, and at the poses of every clip's past.

    So a node's history is that of the recording to the last bit.
    """
    start_us = max(int(track.stamp_us[0]), clips[0].t0_us - BEFORE_US)
    end_us = min(int(track.stamp_us[-1]), last_us + AFTER_US)
    stamps = {int(us) for us in track.stamp_us} | {
        us for clip in clips for us in history_stamps_us(clip.t0_us, poses=BEFORE_US // STEP_US)
    }
    stamps |= set(range(start_us, end_us, round(1e6 / config.odometry_hz)))
    base = config.base_frame
    for motion in motions(track, (us for us in stamps if start_us <= us <= end_us)):
        us = motion.stamp_us
        yield Event(us, us, Line(TF), Placed(motion, frame, base))
        yield Event(us, us, Line(ACCELERATION), Acceleration(motion, base))
        yield Event(us, us, Line(KINEMATIC_STATE), Odometry(motion, frame, base))


def _pictures(clips: Sequence[Clip], anchor: str) -> Iterator[Event]:
    """Each image of any clip once; of those that come together the anchor's is the last."""
    due = {clip.t0_us: clip.token for clip in clips}
    found: dict[tuple[str, int], Event] = {}
    for sequence in _anchor_last(clips, anchor):
        name = sequence.camera.name
        for frame in sequence.frames:
            us, line = frame.stamp_us, Line(COMPRESSED, name)
            clip = due.get(us, "") if name == anchor else ""
            found.setdefault((name, us), Event(us, us, line, Picture(name, frame), clip))
    yield from found.values()


def _anchor_last(clips: Sequence[Clip], anchor: str) -> Iterable[CameraSequence]:
    sequences = [sequence for clip in clips for sequence in clip.cameras]
    return sorted(sequences, key=lambda sequence: sequence.camera.name == anchor)


def _objects_topic(config: ReplayConfig) -> Topic:
    return PREDICTED_OBJECTS if config.objects is ObjectsType.PREDICTED else DETECTIONS
