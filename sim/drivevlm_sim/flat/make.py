"""Paints the flat world and writes it as a nuScenes folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from drivevlm.world.pose import Floats, Pose2, Pose3
from drivevlm_sim.flat.canvas import SCENERY, Painting
from drivevlm_sim.flat.lidar import sweep
from drivevlm_sim.flat.painter import Faces, GroundPaint, Painter
from drivevlm_sim.flat.rig import FIRES_BEFORE_US, flat_rig
from drivevlm_sim.flat.scenes import SCENES, Actor, Stage, stage
from drivevlm_sim.flat.shapes import CLEARANCE_M, Shape
from drivevlm_sim.flat.town import Town, flat_town
from drivevlm_sim.keyframes import Annotation, Keyframe, Rig, SceneHead, Shot
from drivevlm_sim.made_once import made_once
from drivevlm_sim.nuscenes_names import visibility_level
from drivevlm_sim.nuscenes_writer import NuScenesWriter

EDITION = 1
"""Raised whenever the same config gives other files than before."""
KEYFRAME_US = 500_000
FIRST_STAMP_US = 1_700_000_000_000_000
SCENE_APART_US = 60_000_000
FIRST_SCENE = 2001
MOST_SCENES = 7000
ANNOTATED_M = 70.0
"""Objects further from the ego than this are painted but not annotated."""
SHADOW_COLOUR = (52, 54, 57)
ABOUT = (
    "Synthetic: painted by drivevlm_sim.flat, a deliberately plain world. Nothing in it was "
    "recorded, and no result on it says anything about real roads."
)

Progress = Callable[[int, int], None]
"""Called with the keyframes done and the keyframes wanted."""


@dataclass(frozen=True, slots=True)
class FlatConfig:
    """What to make.

    Attributes:
        scenes: Kinds of scenes, in order; see ``SCENES``.
        copies: Scenes of each kind, each drawn anew.
        keyframes: Per scene, at 2 Hz. Nine and more give clips with 1 s of past and 3 s of future.
        size_px: Width and height of the images.
        seed: Of everything that varies.
        version: Name of the version folder.
        jpeg_quality: 1 to 100.
    """

    scenes: tuple[str, ...] = ("straight", "turn_left", "lead_stops", "pedestrian_crosses")
    copies: int = 1
    keyframes: int = 16
    size_px: tuple[int, int] = (448, 252)
    seed: int = 0
    version: str = "v1.0-flat"
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        unknown = [name for name in self.scenes if name not in SCENES]
        if unknown or not self.scenes:
            raise ValueError(f"scenes are of {', '.join(SCENES)}, got {unknown or 'none'}")
        if not 1 <= len(self.scenes) * self.copies <= MOST_SCENES or self.keyframes < 1:
            raise ValueError(f"expected 1 to {MOST_SCENES} scenes with at least one keyframe")
        if min(self.size_px) < 16 or not 1 <= self.jpeg_quality <= 100:
            raise ValueError("images need at least 16 pixels a side and a quality of 1 to 100")


def make_flat(
    out: Path, *, config: FlatConfig | None = None, progress: Progress | None = None
) -> Path:
    """The data root with the flat world in it, made unless it is there already.

    The folder appears whole or not at all; a second process waits for the first.

    Raises:
        WorldError: ``out`` holds something else, or cannot be written.
    """
    chosen = config or FlatConfig()
    recipe = {"world": "flat", "edition": EDITION, **asdict(chosen)}
    return made_once(out, recipe, lambda root: _write(root, chosen, progress))


def scene_names(config: FlatConfig) -> tuple[str, ...]:
    """``scene-2001`` and on: all kinds, then all kinds again for each further copy."""
    count = len(config.scenes) * config.copies
    return tuple(f"scene-{FIRST_SCENE + k}" for k in range(count))


def _write(root: Path, config: FlatConfig, progress: Progress | None) -> None:
    town = flat_town(config.seed)
    rig = flat_rig(config.size_px)
    studio = Studio(town, rig, jpeg_quality=config.jpeg_quality)
    names = scene_names(config)
    with NuScenesWriter(root, version=config.version, about=ABOUT) as writer:
        writer.add_map(town.layers)
        for k, name in enumerate(names):
            play = stage_of(config, town, k)
            description = f"Synthetic flat world: {play.title}"
            head = SceneHead(name, description, town.layers.location, "flat", "2023-11-14")
            first_us = FIRST_STAMP_US + k * SCENE_APART_US
            frames = studio.keyframes(play, first_us=first_us, count=config.keyframes)
            writer.add_scene(head, rig, _counted(frames, k, config, progress))
        splits = {"flat": names, "flat_train": names[0::2], "flat_val": names[1::2]}
        writer.finish({split: scenes for split, scenes in splits.items() if scenes})


def stage_of(config: FlatConfig, town: Town, k: int) -> Stage:
    """The ``k``-th scene of a world before it is painted."""
    kind = config.scenes[k % len(config.scenes)]
    until_s = config.keyframes * KEYFRAME_US / 1e6
    return stage(kind, town, seed=(config.seed, k), until_s=until_s)


def _counted(
    frames: Iterator[Keyframe], k: int, config: FlatConfig, progress: Progress | None
) -> Iterator[Keyframe]:
    wanted = len(scene_names(config)) * config.keyframes
    for done, frame in enumerate(frames, start=k * config.keyframes + 1):
        yield frame
        if progress is not None:
            progress(done, wanted)


class Studio:
    """Paints stages in a town with one rig."""

    def __init__(self, town: Town, rig: Rig, *, jpeg_quality: int) -> None:
        self._town, self._rig, self._quality = town, rig, jpeg_quality
        self._painters = {camera.name: Painter(camera) for camera in rig.cameras}
        self._scenery = Faces.joined([_faces(s, pose, SCENERY) for s, pose in town.scenery])

    def keyframes(self, play: Stage, *, first_us: int, count: int) -> Iterator[Keyframe]:
        """The keyframes of a stage, painted one after the other."""
        for k in range(count):
            yield self._keyframe(play, first_us, first_us + k * KEYFRAME_US)

    def paint(self, play: Stage, camera: str, time_s: float) -> Painting:
        """What a camera sees of a stage."""
        placed = [(a.shape_at(time_s), a.motion.pose_at(time_s)) for a in play.actors]
        faces = [_faces(shape, pose, k) for k, (shape, pose) in enumerate(placed)]
        shadows = GroundPaint(SHADOW_COLOUR, tuple(_shadow(a, time_s) for a in play.actors))
        return self._painters[camera].paint(
            Pose3.from_pose2(play.ego.pose_at(time_s)),
            (*self._town.ground, shadows),
            Faces.joined([*faces, self._scenery]),
        )

    def _keyframe(self, play: Stage, first_us: int, stamp_us: int) -> Keyframe:
        shots = []
        seen, alone = np.zeros(len(play.actors)), np.zeros(len(play.actors))
        for camera in self._rig.cameras:
            shot_us = stamp_us - FIRES_BEFORE_US[camera.name]
            time_s = (shot_us - first_us) / 1e6
            painting = self.paint(play, camera.name, time_s)
            pose = Pose3.from_pose2(play.ego.pose_at(time_s))
            shots.append(Shot(camera.name, shot_us, pose, self._jpeg(painting)))
            seen += np.bincount(painting.owner.ravel() + 1, minlength=len(seen) + 1)[1:]
            for owner, pixels in painting.alone_px.items():
                alone[owner] += pixels
        time_s = (stamp_us - first_us) / 1e6
        ego = Pose3.from_pose2(play.ego.pose_at(time_s))
        share = seen / np.maximum(alone, 1)
        return Keyframe(
            stamp_us,
            ego,
            tuple(shots),
            tuple(_annotations(play.actors, share, ego.planar(), time_s)),
            sweep(ego @ self._rig.ego_from_lidar, self._placed(play, time_s)),
        )

    def _placed(self, play: Stage, time_s: float) -> Sequence[tuple[Shape, Pose2]]:
        actors = [(a.shape_at(time_s), a.motion.pose_at(time_s)) for a in play.actors]
        return [*actors, *self._town.scenery]

    def _jpeg(self, painting: Painting) -> bytes:
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._quality]
        return bytes(cv2.imencode(".jpg", painting.rgb[..., ::-1], quality)[1].tobytes())


def _annotations(
    actors: Sequence[Actor], share: Floats, ego: Pose2, time_s: float
) -> Iterator[Annotation]:
    for actor, seen in zip(actors, share, strict=True):
        pose = actor.motion.pose_at(time_s)
        if np.hypot(pose.x_m - ego.x_m, pose.y_m - ego.y_m) > ANNOTATED_M:
            continue
        yield Annotation(
            instance=actor.name,
            category=actor.category,
            attribute=actor.attribute_at(time_s),
            center_global_m=(pose.x_m, pose.y_m, CLEARANCE_M + actor.size_lwh_m[2] / 2),
            size_lwh_m=actor.size_lwh_m,
            yaw_global_rad=pose.yaw_rad,
            visibility=visibility_level(float(seen)),
        )


def _faces(shape: Shape, pose: Pose2, owner: int) -> Faces:
    corners, normals = shape.placed_m(pose)
    owners = np.full(len(corners), owner, dtype=np.int64)
    return Faces(corners, normals, shape.colours, shape.detail, owners)


def _shadow(actor: Actor, time_s: float) -> Floats:
    half = np.array(actor.size_lwh_m[:2]) / 2 + 0.12
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    return actor.motion.pose_at(time_s).apply(half * signs)
