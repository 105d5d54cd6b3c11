"""Rows of the index become world values: poses, cameras, frames, labelled boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.index import Array, Index
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.pose import Pose3
from drivevlm.world.truth import LabelledBoxes


def pose_of(row: Array) -> Pose3:
    """A pose from seven numbers: position, quaternion (w, x, y, z)."""
    numbers = np.asarray(row, dtype=np.float64)
    return Pose3.from_quaternion(wxyz=numbers[3:], translation_m=numbers[:3])


def camera_of(index: Index, image: int) -> Camera:
    """The camera that took an image."""
    mount = int(index.image_mount[image])
    width, height = (int(v) for v in index.image_size_px[image])
    return Camera(
        name=str(index.channel[index.image_channel[image]]),
        size_px=(width, height),
        intrinsics=np.array(index.mount_intrinsics[mount], dtype=np.float64),
        ego_from_camera=pose_of(index.mount_place[mount]),
    )


def frame_of(index: Index, image: int, *, root: Path, now_from_global: Pose3) -> Frame:
    """One image, placed relative to decision time."""
    width, height = (int(v) for v in index.image_size_px[image])
    return Frame(
        stamp_us=int(index.image_stamp_us[image]),
        size_px=(width, height),
        source=root / str(index.image_file[image]),
        now_from_then=now_from_global @ pose_of(index.image_pose[image]),
    )


def sequence_of(
    index: Index, images: Array, *, root: Path, now_from_global: Pose3
) -> CameraSequence:
    """A camera's images, given as rows oldest first."""
    frames = tuple(
        frame_of(index, int(image), root=root, now_from_global=now_from_global) for image in images
    )
    return CameraSequence(camera_of(index, int(images[-1])), frames)


def boxes_of(index: Index, key: int) -> LabelledBoxes:
    """All annotated boxes of a keyframe."""
    rows = slice(int(index.box_start[key]), int(index.box_start[key + 1]))
    return LabelledBoxes(
        center_global_m=np.array(index.box_center_m[rows], dtype=np.float64),
        size_lwh_m=np.array(index.box_size_lwh_m[rows], dtype=np.float64),
        wxyz_global=np.array(index.box_wxyz[rows], dtype=np.float64),
        category=tuple(index.category[index.box_category[rows]].tolist()),
        instance=tuple(index.instance[index.box_instance[rows]].tolist()),
        annotation=tuple(index.box_token[rows].tolist()),
        following=tuple(index.box_next[rows].tolist()),
        lidar_points=np.array(index.box_lidar_points[rows]),
        radar_points=np.array(index.box_radar_points[rows]),
        visibility=np.array(index.box_visibility[rows]),
    )
