"""One scene as rows of the nuScenes tables and as sensor files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.keyframes import Annotation, Keyframe, Rig, SceneHead, Shot
from drivevlm_sim.nuscenes_names import LIDAR
from drivevlm_sim.tokens import token

Row = dict[str, Any]


def sample_token(version: str, scene: str, stamp_us: int) -> str:
    """The token of a keyframe."""
    return token(version, scene, "sample", stamp_us)


def instance_token(version: str, scene: str, instance: str) -> str:
    """The token of an object by its name within its scene."""
    return token(version, scene, "instance", instance)


class SceneRows:
    """The table rows of one scene, linked when it ends."""

    def __init__(self, root: Path, version: str, head: SceneHead, rig: Rig) -> None:
        self._root, self._head, self._rig = root, head, rig
        self._names = (version, head.name)
        self._cameras = {camera.name: camera for camera in rig.cameras}
        self.log = self._token("log")
        self._samples: list[Row] = []
        self._sweeps: dict[str, list[Row]] = {name: [] for name in (*self._cameras, LIDAR)}
        self._poses: list[Row] = []
        self._tracks: dict[str, list[Row]] = {}
        self._categories: dict[str, str] = {}

    def _token(self, *names: object) -> str:
        return token(*self._names, *names)

    def add(self, keyframe: Keyframe) -> None:
        """Write the sensor files of a keyframe and keep its rows."""
        if self._samples and self._samples[-1]["timestamp"] >= keyframe.stamp_us:
            raise ValueError(f"{self._head.name}: keyframe {keyframe.stamp_us} comes out of order")
        sample = sample_token(*self._names, keyframe.stamp_us)
        row = {"token": sample, "timestamp": keyframe.stamp_us}
        self._samples.append({**row, "scene_token": self._token("scene")})
        for shot in keyframe.shots:
            self._add_shot(sample, shot)
        filename = self._filename(LIDAR, keyframe.stamp_us, "pcd.bin")
        if keyframe.cloud is not None:
            self._save(filename, np.ascontiguousarray(keyframe.cloud, dtype="<f4").tobytes())
        self._sweep(LIDAR, sample, keyframe.stamp_us, keyframe.global_from_ego, filename, (0, 0))
        counts = _lidar_points(keyframe, self._rig.ego_from_lidar)
        for annotation, points in zip(keyframe.annotations, counts, strict=True):
            self._add_annotation(sample, annotation, points)

    def _add_shot(self, sample: str, shot: Shot) -> None:
        if shot.camera not in self._cameras:
            raise ValueError(f"{self._head.name}: the rig has no camera {shot.camera!r}")
        size_px = self._cameras[shot.camera].size_px
        filename = self._filename(shot.camera, shot.stamp_us, "jpg")
        if shot.jpeg is not None:
            with Image.open(io.BytesIO(shot.jpeg)) as image:
                if image.size != size_px or image.format != "JPEG":
                    raise ValueError(
                        f"{filename}: expected a JPEG of {size_px} pixels as the camera says, "
                        f"got {image.format} of {image.size}"
                    )
            self._save(filename, shot.jpeg)
        self._sweep(shot.camera, sample, shot.stamp_us, shot.global_from_ego, filename, size_px)

    def _filename(self, channel: str, stamp_us: int, ending: str) -> str:
        return f"samples/{channel}/{self._head.log_name}__{channel}__{stamp_us}.{ending}"

    def _save(self, filename: str, content: bytes) -> None:
        path = self._root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _sweep(
        self,
        channel: str,
        sample: str,
        stamp_us: int,
        global_from_ego: Pose3,
        filename: str,
        size_px: tuple[int, int],
    ) -> None:
        name = self._token("sample_data", channel, stamp_us)
        self._poses.append({"token": name, "timestamp": stamp_us, **_placed(global_from_ego)})
        self._sweeps[channel].append(
            {
                "token": name,
                "sample_token": sample,
                "ego_pose_token": name,
                "calibrated_sensor_token": self._token("calibrated_sensor", channel),
                "timestamp": stamp_us,
                "fileformat": "pcd" if channel == LIDAR else "jpg",
                "is_key_frame": True,
                "height": size_px[1],
                "width": size_px[0],
                "filename": filename,
            }
        )

    def _add_annotation(self, sample: str, annotation: Annotation, points: int) -> None:
        name = annotation.instance
        if self._categories.setdefault(name, annotation.category) != annotation.category:
            raise ValueError(f"{self._head.name}: {name!r} changes its category")
        length, width, height = annotation.size_lwh_m
        half = annotation.yaw_global_rad / 2
        attributes = [token("attribute", annotation.attribute)] if annotation.attribute else []
        self._tracks.setdefault(name, []).append(
            {
                "token": token(sample, "annotation", name),
                "sample_token": sample,
                "instance_token": instance_token(*self._names, name),
                "visibility_token": str(annotation.visibility),
                "attribute_tokens": attributes,
                "translation": [float(v) for v in annotation.center_global_m],
                "size": [float(width), float(length), float(height)],
                "rotation": [float(np.cos(half)), 0.0, 0.0, float(np.sin(half))],
                "num_lidar_pts": points,
                "num_radar_pts": 0,
            }
        )

    def finished(self) -> dict[str, list[Row]]:
        """All rows by table. Raises ValueError where the scene has no keyframe."""
        if not self._samples:
            raise ValueError(f"{self._head.name} has no keyframes")
        for rows in (self._samples, *self._sweeps.values(), *self._tracks.values()):
            _link(rows)
        scene = {
            "token": self._token("scene"),
            "log_token": self.log,
            "nbr_samples": len(self._samples),
            "first_sample_token": self._samples[0]["token"],
            "last_sample_token": self._samples[-1]["token"],
            "name": self._head.name,
            "description": self._head.description,
        }
        log = {
            "token": self.log,
            "logfile": self._head.log_name,
            "vehicle": self._head.vehicle,
            "date_captured": self._head.date,
            "location": self._head.location,
        }
        return {
            "scene": [scene],
            "log": [log],
            "sample": self._samples,
            "sample_data": [row for rows in self._sweeps.values() for row in rows],
            "ego_pose": self._poses,
            "calibrated_sensor": self._calibrations(),
            "sample_annotation": [row for rows in self._tracks.values() for row in rows],
            "instance": self._instances(),
        }

    def sensors(self) -> list[Row]:
        """The sensor rows of the rig; they are shared by all scenes."""
        cameras = [(camera.name, "camera") for camera in self._rig.cameras]
        return [
            {"token": token("sensor", name), "channel": name, "modality": modality}
            for name, modality in (*cameras, (LIDAR, "lidar"))
        ]

    def _calibrations(self) -> list[Row]:
        mounted = [(c.name, _mounting(c), _intrinsics(c)) for c in self._rig.cameras]
        mounted.append((LIDAR, self._rig.ego_from_lidar, []))
        return [
            {
                "token": self._token("calibrated_sensor", name),
                "sensor_token": token("sensor", name),
                **_placed(ego_from_sensor),
                "camera_intrinsic": intrinsics,
            }
            for name, ego_from_sensor, intrinsics in mounted
        ]

    def _instances(self) -> list[Row]:
        return [
            {
                "token": instance_token(*self._names, name),
                "category_token": token("category", self._categories[name]),
                "nbr_annotations": len(rows),
                "first_annotation_token": rows[0]["token"],
                "last_annotation_token": rows[-1]["token"],
            }
            for name, rows in self._tracks.items()
        ]


def points_inside(xyz_global_m: Floats, annotation: Annotation) -> int:
    """How many points (P, 3) lie in the box, its faces included."""
    offset = xyz_global_m - np.array(annotation.center_global_m)
    cos, sin = np.cos(annotation.yaw_global_rad), np.sin(annotation.yaw_global_rad)
    length, width, height = annotation.size_lwh_m
    along = np.abs(offset[:, 0] * cos + offset[:, 1] * sin) <= length / 2
    across = np.abs(offset[:, 1] * cos - offset[:, 0] * sin) <= width / 2
    return int(np.count_nonzero(along & across & (np.abs(offset[:, 2]) <= height / 2)))


def wxyz_from_rotation(rotation: Floats) -> list[float]:
    """Unit quaternion (w, x, y, z) of a (3, 3) rotation, with w >= 0."""
    trace = np.trace(rotation)
    squares = np.array([trace, *np.diag(rotation)]) * 2 - trace + 1
    largest = int(np.argmax(squares))
    r = rotation
    rows = (
        [squares[0], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], squares[1], r[1, 0] + r[0, 1], r[0, 2] + r[2, 0]],
        [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], squares[2], r[2, 1] + r[1, 2]],
        [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[2, 1] + r[1, 2], squares[3]],
    )
    wxyz = np.array(rows[largest])
    wxyz = wxyz / np.linalg.norm(wxyz) * (1 if wxyz[0] >= 0 else -1)
    return [float(v) for v in wxyz]


def _lidar_points(keyframe: Keyframe, ego_from_lidar: Pose3) -> list[int]:
    cloud = keyframe.cloud
    if cloud is None:
        return [int(annotation.lidar_points or 0) for annotation in keyframe.annotations]
    global_from_lidar = keyframe.global_from_ego @ ego_from_lidar
    xyz_global_m = global_from_lidar.apply(cloud[:, :3].astype(np.float64))
    return [points_inside(xyz_global_m, annotation) for annotation in keyframe.annotations]


def _link(rows: list[Row]) -> None:
    for k, row in enumerate(rows):
        row["prev"] = rows[k - 1]["token"] if k else ""
        row["next"] = rows[k + 1]["token"] if k + 1 < len(rows) else ""


def _placed(a_from_b: Pose3) -> Row:
    translation = [float(v) for v in a_from_b.translation_m]
    return {"translation": translation, "rotation": wxyz_from_rotation(a_from_b.rotation)}


def _mounting(camera: Camera) -> Pose3:
    if camera.ego_from_camera is None:
        raise ValueError(f"camera {camera.name!r} of a rig must be mounted")
    return camera.ego_from_camera


def _intrinsics(camera: Camera) -> list[list[float]]:
    return [] if camera.intrinsics is None else [list(map(float, k)) for k in camera.intrinsics]
