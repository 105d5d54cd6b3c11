"""Which images, poses and objects belong to one decision: a clip, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from drivevlm.drive.buffers import Encoded, Objects, Seen
from drivevlm.drive.config import SyncConfig
from drivevlm.drive.odometry import OdometrySample, Track
from drivevlm.world.boxes import Box3
from drivevlm.world.camera import CameraSequence, Frame
from drivevlm.world.clip import Clip, Proposals
from drivevlm.world.ego import EgoStatus, pose_ahead, status_from_history
from drivevlm.world.pose import Pose2, Pose3, wrap_rad
from drivevlm.world.sets import Provenance
from drivevlm.world.track import spaced_back


class Missing(str, Enum):
    """Why a camera has no part in a decision."""

    UNKNOWN_SIZE = "unknown_size"  # nobody told its size and calibration yet
    NO_IMAGE = "no_image"  # nothing came since the start, or since the last clearing
    APART = "apart"  # no image lies near enough to decision time
    OLD = "old"  # the image is too old on the node's clock


class RefusalReason(str, Enum):
    """Why there is no clip."""

    ANCHOR = "anchor"  # the anchor camera is missing
    CAMERA = "camera"  # another camera is missing that is not optional
    ODOMETRY = "odometry"  # the ego's pose at decision time is not known


@dataclass(frozen=True, slots=True)
class Refusal:
    """No clip, and why.

    Attributes:
        reason: What was lacking.
        detail: The same in one line.
        missing: By camera; optional cameras are among them.
    """

    reason: RefusalReason
    detail: str
    missing: Mapping[str, Missing]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a decision is made of.

    Attributes:
        clip: For the planner.
        ego: The odometry at decision time.
        missing: Optional cameras that have no part in it.
    """

    clip: Clip
    ego: OdometrySample
    missing: Mapping[str, Missing] = field(default_factory=dict)


Image = tuple[int, Encoded]


def moment_of(
    seen: Seen, *, t0_us: int, now_us: int, config: SyncConfig, scene: str
) -> Moment | Refusal:
    """The clip at ``t0_us``, which is the stamp of an image of the anchor camera.

    Made as a recording with ``t0=anchor`` makes it: the same history, status and choice of images.
    ``now_us`` is the node's clock. A refusal is a value; nothing is raised.
    """
    chosen = {name: _choice(name, seen, t0_us, now_us, config) for name in config.cameras}
    missing = {name: found for name, found in chosen.items() if isinstance(found, Missing)}
    needed = {name: why for name, why in missing.items() if name not in config.optional}
    if needed:
        anchor = config.anchor in needed
        told = ", ".join(f"{name} {why.value}" for name, why in needed.items())
        reason = RefusalReason.ANCHOR if anchor else RefusalReason.CAMERA
        return Refusal(reason, f"missing of {len(config.cameras)} cameras: {told}", missing)
    ego = seen.track.at(t0_us)
    history = seen.track.history(t0_us, poses=config.past_poses)
    if ego is None or history is None:
        return Refusal(RefusalReason.ODOMETRY, _no_odometry(seen.track, t0_us), missing)
    status = status_from_history(history)
    cameras = tuple(
        _sequence(name, images, seen, ego, status)
        for name, images in chosen.items()
        if not isinstance(images, Missing)
    )
    clip = Clip(
        token=f"{scene}-{t0_us}",
        scene=scene,
        t0_us=t0_us,
        cameras=cameras,
        status=status,
        history=history,
        proposals=_proposals(seen, t0_us, config),
        command=seen.command,
    )
    return Moment(clip, ego, missing)


def moved(objects: Objects, track: Track, t0_us: int) -> Objects | None:
    """Objects in the ego frame of ``t0_us``, where their velocity has taken them by then.

    None where the ego's pose at one of both times is not known.
    """
    if objects.stamp_us == t0_us:
        return objects
    then, now = track.at(objects.stamp_us), track.at(t0_us)
    if then is None or now is None:
        return None
    now_from_then = now.odom_from_ego.planar().inverse() @ then.odom_from_ego.planar()
    age_s = (t0_us - objects.stamp_us) / 1e6
    proposals, others = (
        tuple(_moved_box(box, now_from_then, age_s) for box in boxes)
        for boxes in (objects.proposals, objects.others)
    )
    return Objects(t0_us, proposals, others)


def newest_objects(objects: Sequence[Objects], *, at_us: int, age_ms: float) -> Objects | None:
    """The last that were seen at or before a stamp, unless they are too old by then."""
    past = [told for told in objects if told.stamp_us <= at_us]
    if not past or at_us - past[-1].stamp_us > age_ms * 1e3:
        return None
    return past[-1]


def _choice(
    name: str, seen: Seen, t0_us: int, now_us: int, config: SyncConfig
) -> tuple[Image, ...] | Missing:
    """A camera's images, newest last: the one nearest to now, and those a stride apart before it.

    A moment of which there is no image is left out, as a recording leaves it out.
    """
    if name not in seen.cameras:
        return Missing.UNKNOWN_SIZE
    images, near_us = seen.images.get(name, ()), int(config.tolerance_ms * 1e3)
    if not images:
        return Missing.NO_IMAGE
    newest = _nearest(images, t0_us, 0 if name == config.anchor else near_us)
    if newest is None:
        return Missing.APART
    if now_us - newest[0] > config.max_age_ms * 1e3:
        return Missing.OLD
    taken = spaced_back(
        [stamp_us for stamp_us, _ in images],
        newest[0],
        count=config.frames,
        stride=config.stride,
        within_us=near_us,
    )
    return tuple(image for image in images if image[0] in taken)


def _nearest(images: Iterable[Image], stamp_us: int, tolerance_us: int) -> Image | None:
    best = min(images, key=lambda image: abs(image[0] - stamp_us), default=None)
    return best if best is not None and abs(best[0] - stamp_us) <= tolerance_us else None


def _sequence(
    name: str,
    images: tuple[Image, ...],
    seen: Seen,
    ego: OdometrySample,
    status: EgoStatus | None,
) -> CameraSequence:
    """Frames with their poses. An earlier image whose pose is not known is left out.

    The odometry knows no pose after decision time yet: an image of then is placed by the status.
    """
    camera, frames = seen.cameras[name], list[Frame]()
    now_from_odom = ego.odom_from_ego.inverse()
    now_from_then: Pose3 | None
    for stamp_us, source in images:
        then = seen.track.at(stamp_us) if stamp_us <= ego.stamp_us else None
        if then is not None:
            now_from_then = now_from_odom @ then.odom_from_ego
        elif stamp_us == images[-1][0]:
            now_from_then = pose_ahead(status, (stamp_us - ego.stamp_us) / 1e6)
        else:
            continue
        frames.append(Frame(stamp_us, camera.size_px, source, now_from_then))
    return CameraSequence(camera, tuple(frames))


def _no_odometry(track: Track, t0_us: int) -> str:
    if track.newest is None:
        return "no odometry came yet"
    behind_s = (t0_us - track.newest.stamp_us) / 1e6
    if behind_s > 0:
        return f"the newest odometry is {behind_s:.3f} s older than the anchor's image"
    return f"odometry has a gap of more than {track.gap_us / 1e6:g} s at the anchor's image"


def _proposals(seen: Seen, t0_us: int, config: SyncConfig) -> Proposals | None:
    objects = newest_objects(seen.objects, at_us=t0_us, age_ms=config.objects_age_ms)
    now = None if objects is None else moved(objects, seen.track, t0_us)
    if now is None:
        return None
    return Proposals.best(
        now.proposals, Provenance.DETECTOR, top_k=config.top_k, min_score=config.min_score
    )


def _moved_box(box: Box3, now_from_then: Pose2, age_s: float) -> Box3:
    center, velocity = box.center_ego_m.copy(), box.velocity_ego_mps
    if velocity is not None:
        center[:2] += velocity * age_s
        turn = Pose2(0.0, 0.0, now_from_then.yaw_rad)
        velocity = turn.apply(velocity)
    center[:2] = now_from_then.apply(center[:2])
    yaw = float(wrap_rad(box.yaw_ego_rad + now_from_then.yaw_rad))
    return replace(box, center_ego_m=np.asarray(center), velocity_ego_mps=velocity, yaw_ego_rad=yaw)
