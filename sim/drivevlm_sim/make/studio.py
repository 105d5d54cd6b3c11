"""Takes one moment of a scene: pictures, boxes, lidar points and truth per pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import cv2
import numpy as np

from drivevlm.data.dense import dense_bytes
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import Annotation, Keyframe, Rig, Shot
from drivevlm_sim.labels.decide import TOLD_M
from drivevlm_sim.make.dense import dense_views
from drivevlm_sim.make.film import LOG
from drivevlm_sim.make.keyframe_part import members_of
from drivevlm_sim.make.plan import FilmJob
from drivevlm_sim.make.reasons import reasons_member
from drivevlm_sim.make.recipe import Choice, WorldRecipe
from drivevlm_sim.make.tested import Tested
from drivevlm_sim.nuscenes_scene import instance_token
from drivevlm_sim.render.cast import Actor, town_from_ego
from drivevlm_sim.render.lens import Rgb8
from drivevlm_sim.render.lidar import Sweep
from drivevlm_sim.render.picture import Renderer
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.scene_log import STEP_S, Body, SceneLog
from drivevlm_sim.scene_log_file import scene_log_bytes
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.recipe import TownRecipe
from drivevlm_sim.town.town import Town

STANDS_MPS = 0.2
GROUND_EVERY = 6
"""Points of road and houses are many and alike: so many-th columns of a sweep keep them."""
LIDAR_STEPS_PER_M = 256
"""Points are told to 4 mm, about what a lidar resolves; so they take a third of the room packed."""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One moment of a scene as it was filmed."""

    log: SceneLog
    step: int
    frame: Keyframe
    sight: Sight


@dataclass(frozen=True, slots=True, eq=False)
class Studio:
    """A town and what draws it with one rig."""

    town: Town
    renderer: Renderer
    rig: Rig
    recipe: WorldRecipe

    def take(
        self, log: SceneLog, step: int, *, pictured: bool = True, like: Take | None = None
    ) -> Take:
        """One keyframe in town axes, its time counted from the log's first step.

        Without pictures it has no cloud either, but boxes know their points all the same. ``like``
        is of the same step of a scene that may look the same: it saves time and changes nothing.
        """
        sight = self.renderer.sight(
            log,
            step,
            self.rig,
            sweep=Sweep(ground_every=GROUND_EVERY, side_px=400),
            like=None if like is None else like.sight,
        )
        stamp_us, ego = round(step * STEP_S * 1e6), town_from_ego(log, step)
        jpegs = self._jpegs(log, step, sight, like) if pictured else {}
        points = sight.lidar_points()
        boxes = (
            _annotation(actor, log, step, sight.visibility[actor.name], points[actor.name])
            for actor in sight.actors
            if np.hypot(*(actor.centre_m - ego.translation_m)[:2]) <= TOLD_M
        )
        annotations = tuple(replace(box, lidar_points=None) if pictured else box for box in boxes)
        shots = tuple(
            Shot(camera.name, stamp_us, ego, jpegs.get(camera.name)) for camera in self.rig.cameras
        )
        cloud = sight.cloud if pictured else None
        frame = Keyframe(stamp_us, ego, shots, annotations, cloud)
        return Take(log, step, frame, sight)

    def _jpegs(self, log: SceneLog, step: int, sight: Sight, like: Take | None) -> dict[str, bytes]:
        """Pictures by camera, those that look the same taken over."""
        jpegs: dict[str, bytes] = {}
        if like is not None:
            other = (like.log, like.sight)
            same = self.renderer.same_pictures(log, step, self.rig, sight=sight, like=other)
            jpegs = {s.camera: s.jpeg for s in like.frame.shots if s.camera in same and s.jpeg}
        left = [camera.name for camera in self.rig.cameras if camera.name not in jpegs]
        drawn = self.renderer.images(log, step, self.rig, cameras=left, sight=sight)
        return jpegs | {camera: self._jpeg(image) for camera, image in drawn.items()}

    def _jpeg(self, image: Rgb8) -> bytes:
        # Smaller at the same quality: coded with tables made for this very picture.
        flags = [cv2.IMWRITE_JPEG_QUALITY, self.recipe.jpeg_quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        return bytes(cv2.imencode(".jpg", image[..., ::-1], flags)[1].tobytes())

    def members(
        self, takes: Sequence[Take], tested: Tested, job: FilmJob, side: int = 0, prefix: str = ""
    ) -> dict[str, bytes]:
        """A scene as members of a part.

        Args:
            takes: Its moments, the oldest first.
            tested: What was taken away to see whether it matters.
            job: That the scene is filmed for.
            side: Which of the job's scenes it is.
            prefix: Of the members' names.
        """
        log = takes[0].log
        validation = self.recipe.choice is Choice.RANDOM
        frames = [(take.step, take.frame, take.sight) for take in takes]
        reasons = reasons_member(
            log, self.town, frames, validation=validation, prefix=prefix, tested=tested
        )
        thinned = [_thinned(take.frame, self.recipe.lidar_every) for take in takes]
        name = partial(instance_token, job.version, job.scenes[side])
        dense = [self._dense(take, name) for take in takes]
        return {
            f"{prefix}{LOG}": scene_log_bytes(log),
            **reasons,
            **members_of(thinned, prefix, dense),
        }

    def _dense(self, take: Take, name: Callable[[str], str]) -> bytes | None:
        """The truth per pixel of a keyframe that has pictures."""
        if not self.recipe.dense_every or all(shot.jpeg is None for shot in take.frame.shots):
            return None
        views = dense_views(
            take.sight,
            take.log,
            take.step,
            town=self.town,
            rig=self.rig,
            boxed={box.instance: name(box.instance) for box in take.frame.annotations},
            every=self.recipe.dense_every,
        )
        return dense_bytes(views)


@lru_cache(maxsize=1)
def _town(recipe: TownRecipe) -> tuple[Town, Renderer]:
    town = make_town(recipe)
    return town, Renderer(town)


def studio(recipe: WorldRecipe, town: TownRecipe) -> Studio:
    """The studio of a town; the last one is kept.

    Raises:
        WorldError: SUMO or EGL is missing.
    """
    made, renderer = _town(town)
    return Studio(made, renderer, flat_rig(recipe.size_px), recipe)


def _annotation(actor: Actor, log: SceneLog, step: int, visibility: int, points: int) -> Annotation:
    track = log.others[actor.name]
    row = track.at(step)
    assert row is not None  # it was drawn
    return Annotation(
        instance=actor.name,
        category=SIZES[actor.body].category,
        attribute=_attribute(actor.body, float(track.speed_mps[row]), parked=not any(track.lane)),
        center_global_m=actor.centre_m,
        size_lwh_m=actor.size_lwh_m,
        yaw_global_rad=actor.town_from_body.yaw_rad,
        visibility=visibility,
        lidar_points=points,
    )


def _attribute(body: Body, speed_mps: float, *, parked: bool) -> str:
    moves = speed_mps > STANDS_MPS
    if body is Body.PEDESTRIAN:
        return "pedestrian.moving" if moves else "pedestrian.standing"
    if body in (Body.BICYCLE, Body.MOTORCYCLE):
        return "cycle.with_rider"
    if parked:
        return "vehicle.parked"
    return "vehicle.moving" if moves else "vehicle.stopped"


def _thinned(frame: Keyframe, every: int) -> Keyframe:
    """A cloud with fewer points; boxes keep the count of those that are left."""
    if frame.cloud is None:
        return frame
    cloud = frame.cloud[::every].copy()
    cloud[:, :3] = np.round(cloud[:, :3] * LIDAR_STEPS_PER_M) / LIDAR_STEPS_PER_M
    return replace(frame, cloud=cloud)
