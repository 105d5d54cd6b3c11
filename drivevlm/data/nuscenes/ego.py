"""Decision times, and how the ego got there: from poses of the past alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.config import DecisionTime, NuScenesConfig
from drivevlm.data.nuscenes.index import Index, Ints
from drivevlm.data.recording import DataError
from drivevlm.world.ego import EgoHistory
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.track import PoseTrack

MOST_GAP_US = 1_000_000
"""Between recorded poses farther apart than this, nobody knows where the ego was."""
TRACKS_KEPT = 4
"""Scenes whose poses stay in memory."""


def pose_of(row: Floats) -> Pose3:
    """A pose from the index's seven numbers: position, quaternion (w, x, y, z)."""
    numbers = np.asarray(row, dtype=np.float64)
    return Pose3.from_quaternion(wxyz=numbers[3:], translation_m=numbers[:3])


class Ego:
    """Where the ego was at each keyframe's decision time.

    With ``t0=keyframe`` that is the lidar's stamp and pose; where a keyframe has no lidar, the pose
    is the anchor camera's (or, where that is missing too, the newest image's). With ``t0=anchor``
    stamp and pose are the anchor camera's, and the past is what a vehicle's odometry would tell.
    """

    def __init__(
        self, index: Index, config: NuScenesConfig, *, chosen: Sequence[int], tables: Path
    ) -> None:
        """Raises DataError where a chosen keyframe has no pose, or no image of the anchor."""
        names = list(index.camera_name.span())
        anchored = config.t0 is DecisionTime.ANCHOR
        self._index, self._anchored = index, anchored
        self._cameras = sorted(range(len(names)), key=lambda row: names[row] != config.anchor)
        self._track = lru_cache(maxsize=TRACKS_KEPT)(self._read_track)
        if anchored and config.anchor not in names:
            raise DataError(f"data.anchor={config.anchor}: {tables} has {', '.join(names)}")
        self._first = np.asarray(index.scene_first)
        self._poses = config.past_poses
        self.t0_us = np.array(index.sample_stamp_us)
        self._pose = np.array(index.lidar_pose)
        image = _newest_image(index)
        if config.anchor in names:
            anchor = np.asarray(index.key_image[names.index(config.anchor)])
            image = anchor if anchored else np.where(anchor >= 0, anchor, image)
        taken = (image >= 0) & (anchored | np.isnan(self._pose[:, 0]))
        self._pose[taken] = index.image_pose[image[taken]]
        if anchored:
            self.t0_us[taken] = index.image_stamp_us[image[taken]]
            need, holds = f"t0=anchor needs an image of {config.anchor}", image >= 0
        else:
            need, holds = "an ego pose needs a lidar or an image", ~np.isnan(self._pose[:, 0])
        still = np.diff(self.t0_us, prepend=-1) <= 0
        still[self._first[:-1]] = False
        for rule, kept in ((need, holds), ("time must go on from keyframe to keyframe", ~still)):
            wrong = [row for row in chosen if not kept[row]]
            if wrong:
                raise DataError(
                    f"{tables}: {rule}; not so in {len(wrong)} of {len(chosen)} keyframes, "
                    f"e.g. {index.sample_token[wrong[0]]}"
                )

    def global_from_ego(self, sample: int) -> Pose3:
        """At decision time."""
        return pose_of(self._pose[sample])

    def track(self, scene: int) -> PoseTrack:
        """All recorded poses of a scene: of every camera's images and of the lidar's keyframes."""
        return self._track(scene)

    def history(self, sample: int) -> EgoHistory:
        """The past up to this keyframe's decision time.

        With ``t0=keyframe``: decision times of the scene's last keyframes. With ``t0=anchor``:
        half seconds back from decision time, between the recorded poses of before.
        """
        scene = int(np.searchsorted(self._first, sample, side="right")) - 1
        if self._anchored:
            t0_us = int(self.t0_us[sample])
            found = self._track(scene).history(t0_us, poses=self._poses)
            if found is None:
                raise ValueError(f"keyframe {sample} has no image of the anchor at {t0_us}")
            return found
        start = max(int(self._first[scene]), sample - self._poses + 1)
        poses = [self.global_from_ego(row).planar() for row in range(start, sample + 1)]
        return EgoHistory.from_poses(poses, stamp_us=self.t0_us[start : sample + 1].tolist())

    def _read_track(self, scene: int) -> PoseTrack:
        """Of poses with one stamp, the anchor camera's stays, and an image's before a lidar's."""
        index, samples = self._index, slice(*self._first[scene : scene + 2])
        images = [slice(*index.image_first[camera, scene : scene + 2]) for camera in self._cameras]
        lidar = ~np.isnan(index.lidar_pose[samples, 0])
        stamps = [index.image_stamp_us[rows] for rows in images]
        stamps.append(index.sample_stamp_us[samples][lidar])
        poses = [index.image_pose[rows] for rows in images]
        poses.append(index.lidar_pose[samples][lidar])
        stamp_us, first = np.unique(np.concatenate(stamps), return_index=True)
        kept = np.concatenate(poses)[first]
        return PoseTrack(stamp_us, kept[:, :3], kept[:, 3:], MOST_GAP_US)


def _newest_image(index: Index) -> Ints:
    """(samples,) the keyframe's image with the latest stamp; -1 where there is none."""
    key = np.asarray(index.key_image)
    if not key.size:
        return np.full(len(index.sample_token), -1, dtype=np.int64)
    stamps = np.where(key >= 0, np.asarray(index.image_stamp_us)[key], -1)
    newest: Ints = np.take_along_axis(key, stamps.argmax(axis=0)[None], axis=0)[0]
    return newest
