"""One version of a data root as it lies on disk: tables, pictures, CAN messages, clouds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.data.dense import DENSE_FOLDER, DenseView, read_dense
from drivevlm.data.nuscenes.ego import pose_of
from drivevlm.data.nuscenes.index import Index, Progress, open_index
from drivevlm.data.nuscenes.recording import labelled_boxes
from drivevlm.world.camera import Camera
from drivevlm.world.image_boxes import corners_global_m
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.truth import LabelledBoxes
from drivevlm_sim.made_once import WorldError

# M: messages. N: points, or boxes.
CAN_COLUMNS = 14
"""Stamp in microseconds; x, y, z; speed; acceleration; quaternion; pitch and yaw rate."""
ALONG = 5
"""The column of the acceleration along the heading."""
KEPT = 512
"""Keyframes whose boxes and rectangles are kept for the next rule."""
_TOWN = re.compile(r"^Synthetic, [^,]+, ([^:,]+): ")
"""How a made scene's description names its town."""
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene and its keyframes, as rows of the index.

    Attributes:
        name, description, location: As in the tables.
        samples: Rows of its keyframes, the oldest first.
        town: Of the description; "" where it names none.
    """

    name: str
    description: str
    location: str
    samples: range
    town: str


class Disk:
    """Reads one version. Rows are those of its ``Index``."""

    def __init__(self, tables: Path, progress: Progress | None = None) -> None:
        self.tables, self.root = tables, tables.parent
        self.index: Index = open_index(tables, cache="", progress=progress).index
        self.cameras = self.index.camera_name.span()
        self.sample_of = {t: row for row, t in enumerate(self.index.sample_token.span())}
        self.boxes = lru_cache(maxsize=KEPT)(self._boxes)
        self.rectangles = lru_cache(maxsize=KEPT * len(self.cameras))(self._rectangles)

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """All scenes, by name."""
        index, found = self.index, []
        for row, name in enumerate(index.scene_name.span()):
            words = index.scene_description[row]
            samples = range(int(index.scene_first[row]), int(index.scene_first[row + 1]))
            found.append(Scene(name, words, index.scene_location[row], samples, _town(words)))
        return tuple(found)

    def scene_of(self, sample: int) -> Scene:
        """The scene of a keyframe."""
        row = int(np.searchsorted(self.index.scene_first, sample, side="right")) - 1
        return self.scenes[row]

    def keyframes(self) -> Iterator[tuple[str, Scene, int]]:
        """What each keyframe is called, its scene and its row."""
        for scene in self.scenes:
            for sample in scene.samples:
                yield f"{scene.name} {self.since_s(scene, sample):.1f} s", scene, sample

    def since_s(self, scene: Scene, sample: int) -> float:
        """Seconds since the scene's first keyframe."""
        return (self.stamp_us(sample) - self.stamp_us(scene.samples[0])) / 1e6

    def stamp_us(self, sample: int) -> int:
        """Of a keyframe."""
        return int(self.index.sample_stamp_us[sample])

    def ego(self, sample: int) -> Pose3:
        """The ego at a keyframe, global from ego."""
        return pose_of(self.index.lidar_pose[sample])

    def _boxes(self, sample: int) -> LabelledBoxes:
        """All boxes of a keyframe."""
        return labelled_boxes(self.index, sample)

    def picture(self, camera: str, sample: int) -> Path | None:
        """Where a picture should lie; None where the tables have none."""
        row = self._image(camera, sample)
        return None if row < 0 else self.root / self.index.image_file[row]

    def size_px(self, camera: str, sample: int) -> NDArray[np.int64] | None:
        """Width and height of a picture; None where the tables have none."""
        row = self._image(camera, sample)
        return None if row < 0 else np.array(self.index.image_size_px[row])

    def _image(self, camera: str, sample: int) -> int:
        return int(self.index.key_image[self.cameras.index(camera), sample])

    def _rectangles(self, camera: str, sample: int) -> dict[str, Rectangle]:
        """By instance, left, top, right, bottom of its box in a picture, cut at the border."""
        corners_px, limit = self.corners_px(camera, sample), self.size_px(camera, sample)
        if corners_px is None or limit is None:
            return {}
        low = np.clip(np.fmin.reduce(corners_px, axis=1), 0, limit)
        high = np.clip(np.fmax.reduce(corners_px, axis=1), 0, limit)
        names = self.boxes(sample).instance
        there = np.flatnonzero((high - low >= 1).all(axis=1)).tolist()
        return {names[k]: (*low[k].tolist(), *high[k].tolist()) for k in there}

    def corners_px(self, camera: str, sample: int) -> Floats | None:
        """(N, 8, 2) corners of all boxes in a picture; NaN of those not before the lens."""
        row = self._image(camera, sample)
        boxes = self.boxes(sample)
        if row < 0 or not boxes.instance:
            return None
        index, mount = self.index, int(self.index.image_mount[row])
        width, height = (int(v) for v in index.image_size_px[row])
        lens = Camera(camera, (width, height), np.array(index.mount_intrinsics[mount]))
        mounted = pose_of(index.image_pose[row]) @ pose_of(index.mount_pose[mount])
        corners_m = mounted.inverse().apply(corners_global_m(boxes))
        return lens.project(corners_m.reshape(-1, 3))[0].reshape(-1, 8, 2)

    def dense(self, sample: int) -> Mapping[str, DenseView]:
        """By camera, the truth per pixel; empty where there is none."""
        return read_dense(self.tables / DENSE_FOLDER, self.index.sample_token[sample])

    def can_pose(self, scene: str) -> Floats | None:
        """(M, CAN_COLUMNS) pose messages; None without any."""
        path = self.root / "can_bus" / f"{scene}_pose.json"
        if not path.is_file():
            return None
        try:
            rows = [
                [
                    *(message["utime"], *message["pos"], message["vel"][0], *message["accel"]),
                    *(*message["orientation"], *message["rotation_rate"][1:]),
                ]
                for message in _json(path)
            ]
            return np.array(rows, dtype=np.float64).reshape(-1, CAN_COLUMNS)
        except (LookupError, TypeError, ValueError) as error:
            raise WorldError(f"{path}: not the CAN pose messages of a scene ({error})") from error

    def can_route(self, scene: str) -> Floats | None:
        """(N, 2) the navigation route; None without one."""
        path = self.root / "can_bus" / f"{scene}_route.json"
        return np.array(_json(path), dtype=np.float64) if path.is_file() else None

    @cached_property
    def _clouds(self) -> dict[str, str]:
        """By sample token, the file of its lidar sweep."""
        return {
            row["sample_token"]: row["filename"]
            for row in _json(self.tables / "sample_data.json")
            if row["is_key_frame"] and "/LIDAR_TOP/" in row["filename"]
        }

    def cloud_global_m(self, sample: int) -> Floats | None:
        """(N, 3) the lidar's points; None where the sweep is not on disk."""
        path = self.root / self._clouds.get(self.index.sample_token[sample], "-")
        mount = int(self.index.lidar_mount[sample])
        if mount < 0 or not path.is_file():
            return None
        points = np.fromfile(path, dtype="<f4").reshape(-1, 5)[:, :3].astype(np.float64)
        return (self.ego(sample) @ pose_of(self.index.mount_pose[mount])).apply(points)

    @cached_property
    def split_of(self) -> dict[str, str]:
        """By scene, its custom split."""
        path = self.tables / "splits.json"
        splits = _json(path) if path.is_file() else {}
        return {scene: name for name, scenes in splits.items() for scene in scenes}


def versions(root: Path) -> list[Path]:
    """The version folders of a data root."""
    return sorted(path.parent for path in root.glob("*/scene.json"))


def towns(root: Path) -> set[str]:
    """The towns of all scenes of a data root, by their descriptions alone.

    Raises:
        WorldError: It holds no version.
    """
    folders = versions(root)
    if not folders:
        raise WorldError(f"{root} holds no version folder with tables: make a world there first")
    rows = [row for folder in folders for row in _json(folder / "scene.json")]
    return {town for row in rows if (town := _town(row["description"]))}


def _town(description: str) -> str:
    found = _TOWN.match(description)
    return found[1] if found else ""


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WorldError(f"{path}: cannot be read ({error}); make the world again") from error
