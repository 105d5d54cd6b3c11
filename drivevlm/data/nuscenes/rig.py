"""What each camera saw up to decision time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.config import DecisionTime, NuScenesConfig
from drivevlm.data.nuscenes.ego import pose_of
from drivevlm.data.nuscenes.index import Index, Ints
from drivevlm.data.recording import DataError
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import RIG_SPREAD_US
from drivevlm.world.ego import EgoStatus, pose_ahead
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.track import spaced_back

JITTER_US = 5_000
"""The last camera of a sweep fires together with the lidar's stamp, by chance some 1 ms later."""


class Rig:
    """The chosen cameras.

    A keyframe's own image counts as present while it is at most ``JITTER_US`` younger than the
    lidar's stamp (``RIG_SPREAD_US`` than the anchor's); a younger one is of the future and left
    out, so that the camera's images end earlier. A camera that took no part in the keyframe is not
    there.

    With ``t0=anchor`` and without ``sweeps``, the earlier images are those of keyframes that lie
    half seconds before the newest one, as a vehicle takes them (``spaced_back``): real keyframes
    follow each other after 0.4 to 0.6 s.
    """

    def __init__(self, index: Index, config: NuScenesConfig, *, root: Path) -> None:
        """Raises DataError where a chosen camera does not exist."""
        names = list(index.camera_name.span())
        unknown = [name for name in config.cameras if name not in names]
        if unknown:
            raise DataError(f"data.cameras: there is no {unknown[0]}, but {', '.join(names)}")
        self.names = tuple(config.cameras or names)
        self._rows = [(name, names.index(name)) for name in self.names]
        self._index = index
        self._key_image = np.asarray(index.key_image)
        self._config = config
        self._root = root
        self._anchored = config.t0 is DecisionTime.ANCHOR
        self._late_us = RIG_SPREAD_US if self._anchored else JITTER_US
        self._cameras: dict[tuple[str, int, int, int], Camera] = {}

    def sequences(
        self, sample: int, *, t0_us: int, global_from_ego: Pose3, status: EgoStatus | None
    ) -> tuple[CameraSequence, ...]:
        """Of every camera that has an image. ``status`` is that of past poses."""
        found = []
        ego_from_global = global_from_ego.inverse()
        for name, camera in self._rows:
            images = self._images(camera, sample, t0_us)
            if not images:
                continue
            lens = self._camera(name, images[-1])
            images = [i for i in images if self._camera(name, i).size_px == lens.size_px]
            frames = tuple(self._frame(i, t0_us, ego_from_global, status) for i in images)
            found.append(CameraSequence(lens, frames))
        return tuple(found)

    def lens_wxyz(self, sample: int, *, t0_us: int) -> dict[str, Floats]:
        """(4,) quaternions (w, x, y, z) of ``ego_from_camera`` by camera, as recorded."""
        found = {}
        for name, camera in self._rows:
            for image in self._images(camera, sample, t0_us)[-1:]:
                mount = int(self._index.image_mount[image])
                found[name] = np.array(self._index.mount_pose[mount, 3:])
        return found

    def _images(self, camera: int, sample: int, t0_us: int) -> list[int]:
        """Rows of the index, oldest first."""
        index, config = self._index, self._config
        own = int(self._key_image[camera, sample])
        if own < 0:
            return []
        late = int(index.image_stamp_us[own]) - t0_us > self._late_us
        scene = int(np.searchsorted(index.scene_first, sample, side="right")) - 1
        if config.sweeps:
            first = int(index.image_first[camera, scene])
            if late:
                taken = index.image_stamp_us[first:own]
                own = first + int(np.searchsorted(taken, t0_us, side="right")) - 1
            rows: Ints = np.arange(first, own + 1)
        else:
            first = int(index.scene_first[scene])
            rows = self._key_image[camera, first : sample + (0 if late else 1)]
            if self._anchored:
                return self._half_seconds_apart([int(row) for row in rows if row >= 0])
        rows = rows[::-1][:: config.stride][: config.frames][::-1]
        return [int(row) for row in rows if row >= 0]

    def _half_seconds_apart(self, rows: list[int]) -> list[int]:
        """Of one camera's keyframe images, those that a vehicle would take."""
        stamps = [int(self._index.image_stamp_us[row]) for row in rows]
        if not stamps:
            return []
        config = self._config
        taken = spaced_back(
            stamps,
            stamps[-1],
            count=config.frames,
            stride=config.stride,
            within_us=RIG_SPREAD_US,
        )
        return [row for row, stamp_us in zip(rows, stamps, strict=True) if stamp_us in taken]

    def _camera(self, name: str, image: int) -> Camera:
        index = self._index
        mount = int(index.image_mount[image])
        width, height = (int(v) for v in index.image_size_px[image])
        key = (name, mount, width, height)
        if key not in self._cameras:
            intrinsics = np.array(index.mount_intrinsics[mount])
            self._cameras[key] = Camera(
                name=name,
                size_px=(width, height),
                intrinsics=intrinsics if np.isfinite(intrinsics).all() else None,
                ego_from_camera=pose_of(index.mount_pose[mount]),
            )
        return self._cameras[key]

    def _frame(
        self, image: int, t0_us: int, ego_from_global: Pose3, status: EgoStatus | None
    ) -> Frame:
        index = self._index
        stamp_us = int(index.image_stamp_us[image])
        width, height = (int(v) for v in index.image_size_px[image])
        if stamp_us > t0_us:
            now_from_then = pose_ahead(status, (stamp_us - t0_us) / 1e6)
        else:
            now_from_then = ego_from_global @ pose_of(index.image_pose[image])
        path = self._root / index.image_file[image]
        return Frame(stamp_us, (width, height), path, now_from_then)
