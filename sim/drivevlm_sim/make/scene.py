"""Films one scene or one pair: logs become keyframes with pictures, boxes and lidar points."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random

import cv2
import numpy as np

from drivevlm_sim.bodies import SIZES
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import Annotation, Keyframe, Rig, Shot
from drivevlm_sim.make.film import LOG, PAIR, SIDES, FilmHead
from drivevlm_sim.make.keyframe_part import members_of
from drivevlm_sim.make.plan import FilmJob
from drivevlm_sim.make.reasons import reasons_member
from drivevlm_sim.make.recipe import KEYFRAME_S, Choice, WorldRecipe
from drivevlm_sim.make.traffic_part import pair_in, scene_in
from drivevlm_sim.render.cast import Actor, town_from_ego
from drivevlm_sim.render.lens import Rgb8
from drivevlm_sim.render.picture import Renderer
from drivevlm_sim.render.truth_pass import Sight, Sweep
from drivevlm_sim.scene_log import STEP_S, Body, SceneLog, Weather
from drivevlm_sim.scene_log_file import scene_log_bytes
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.recipe import TownRecipe
from drivevlm_sim.town.town import Town
from drivevlm_sim.twins.rules import SEEN_PIXELS, cause_there_s
from drivevlm_sim.twins.twin_pair import TwinPair

KEYFRAME_STEPS = round(KEYFRAME_S / STEP_S)
ANNOTATED_M = 80.0
"""Road users farther from the ego than this have no box."""
STANDS_MPS = 0.2
PICTURED = (-2 * KEYFRAME_STEPS, -KEYFRAME_STEPS, 0)
"""Steps from t0 at which pairs have pictures; they have keyframes from 3 s before to 3 s after."""
AROUND = range(-30, 31, KEYFRAME_STEPS)
LOOKS_DIFFERENT = 24
"""Of 255: pixels that differ by more do not differ by the packing of the pictures alone."""
GROUND_EVERY = 6
"""Points of road and houses are many and alike: so many-th columns of a sweep keep them."""
LIDAR_STEPS_PER_M = 256
"""Points are told to 4 mm, about what a lidar resolves; so they take a third of the room packed."""


@dataclass(frozen=True, slots=True, eq=False)
class Studio:
    """A town and what draws it with one rig."""

    town: Town
    renderer: Renderer
    rig: Rig
    recipe: WorldRecipe

    def keyframe(
        self, log: SceneLog, step: int, *, pictured: bool = True
    ) -> tuple[Keyframe, Sight]:
        """One keyframe in town axes, its time counted from the log's first step.

        Without pictures it has no cloud either, but boxes know their points all the same.
        """
        sight = self.renderer.sight(log, step, self.rig, sweep=Sweep(ground_every=GROUND_EVERY))
        stamp_us, ego = round(step * STEP_S * 1e6), town_from_ego(log, step)
        images = self.renderer.images(log, step, self.rig) if pictured else {}
        points = sight.lidar_points()
        boxes = (
            _annotation(actor, log, step, sight.visibility[actor.name], points[actor.name])
            for actor in sight.actors
            if np.hypot(*(actor.centre_m - ego.translation_m)[:2]) <= ANNOTATED_M
        )
        annotations = tuple(replace(box, lidar_points=None) if pictured else box for box in boxes)
        shots = tuple(
            Shot(camera.name, stamp_us, ego, self._jpeg(images.get(camera.name)))
            for camera in self.rig.cameras
        )
        cloud = sight.cloud if pictured else None
        return Keyframe(stamp_us, ego, shots, annotations, cloud), sight

    def members(
        self, log: SceneLog, frames: Sequence[tuple[int, Keyframe, Sight]], prefix: str = ""
    ) -> dict[str, bytes]:
        """A scene as members of a part, from step, keyframe and sight of each moment."""
        validation = self.recipe.choice is Choice.RANDOM
        reasons = reasons_member(log, self.town, frames, validation=validation, prefix=prefix)
        thinned = [_thinned(frame, self.recipe.lidar_every) for _, frame, _ in frames]
        return {
            f"{prefix}{LOG}": scene_log_bytes(log),
            **reasons,
            **members_of(thinned, prefix),
        }

    def _jpeg(self, image: Rgb8 | None) -> bytes | None:
        if image is None:
            return None
        # Smaller at the same quality: coded with tables made for this very picture.
        flags = [cv2.IMWRITE_JPEG_QUALITY, self.recipe.jpeg_quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        return bytes(cv2.imencode(".jpg", image[..., ::-1], flags)[1].tobytes())


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


def film(folder: Path, job: FilmJob) -> dict[str, bytes]:
    """The part of a job: the first of its candidates whose cause is seen."""
    rejected: Counter[str] = Counter()
    for part, name in job.candidates:
        filmed = (_pair if job.is_pair else _scene)(folder, job, part, name)
        if isinstance(filmed, dict):
            images = sum(member.endswith(".jpg") for member in filmed)
            return {**FilmHead(name, job.town, images, rejected).members(), **filmed}
        rejected[filmed] += 1
    return FilmHead("", job.town, 0, rejected).members()


def _scene(folder: Path, job: FilmJob, part: str, name: str) -> dict[str, bytes] | str:
    log = under(scene_in(folder, part, name), job.weather)
    stage = studio(job.recipe, _town_of(part, job.recipe))
    steps = range(0, log.steps, KEYFRAME_STEPS)[: job.recipe.keyframes]
    frames = [(step, *stage.keyframe(log, step)) for step in steps]
    return stage.members(log, frames)


def _pair(folder: Path, job: FilmJob, part: str, name: str) -> dict[str, bytes] | str:
    """Both scenes of a pair, or why not."""
    pair = pair_in(folder, part, name)
    a, b = (under(log, job.weather, job.recipe.rng_seed(name)) for log in (pair.a, pair.b))
    pair = replace(pair, a=a, b=b)
    stage = studio(job.recipe, _town_of(part, job.recipe))
    now = [stage.keyframe(log, pair.t0) for log in (a, b)]
    camera, pixels = cause_pixels(pair, stage.town, now)
    if pixels < SEEN_PIXELS:
        return "cause_not_seen"
    members = {PAIR: _pair_json(pair, camera, pixels)}
    for side, log, shown in zip(SIDES, (a, b), now, strict=True):
        steps = [pair.t0 + k for k in AROUND if 0 <= pair.t0 + k < log.steps]
        frames = [
            (step, *(shown if step == pair.t0 else stage.keyframe(log, step, pictured=pictured)))
            for step in steps
            for pictured in [step - pair.t0 in PICTURED]
        ]
        members |= stage.members(log, frames, side)
    return members


def cause_pixels(
    pair: TwinPair, town: Town, now: Sequence[tuple[Keyframe, Sight]]
) -> tuple[str, int]:
    """The camera that shows most of the cause at t0 in either scene, and how many pixels.

    Of a signal only those pixels count that look different: most of a head is its dark box.
    """
    sights = [sight for _, sight in now]
    if pair.cause.signal:
        counts = _changed_lamps(pair, town, now)
    else:
        counts = Counter()
        for sight in sights:
            if any(actor.name == pair.cause.instance for actor in sight.actors):
                counts |= Counter(sight.pixels_of(pair.cause.instance))
    camera = max(sorted(counts), key=lambda name: counts[name], default="")
    return camera, counts[camera] if camera else 0


def _changed_lamps(
    pair: TwinPair, town: Town, now: Sequence[tuple[Keyframe, Sight]]
) -> Counter[str]:
    """By camera, how many pixels of the ego's own heads differ between both scenes."""
    (a, sight), (b, _) = now
    own = [
        len(sight.actors) + 1 + k
        for k, head in enumerate(town.signal_heads)
        if head.signal == pair.cause.signal and head.link in pair.cause.links
    ]
    counts: Counter[str] = Counter()
    for shot_a, shot_b in zip(a.shots, b.shots, strict=True):
        heads = np.isin(sight.masks[shot_a.camera], own)
        if heads.any() and shot_a.jpeg is not None and shot_b.jpeg is not None:
            apart = cv2.absdiff(_decoded(shot_a.jpeg), _decoded(shot_b.jpeg)).max(axis=2)
            counts[shot_a.camera] = int((heads & (apart > LOOKS_DIFFERENT)).sum())
    return counts


def _decoded(jpeg: bytes) -> Rgb8:
    picture = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, dtype=np.uint8)


def _pair_json(pair: TwinPair, camera: str, pixels: int) -> bytes:
    cause = pair.cause
    told = {
        "pair": pair.name,
        "family": pair.family.value,
        "town": pair.town,
        "t0": pair.t0,
        "cause": {
            "kind": cause.kind.value,
            "camera": camera,
            "pixels": pixels,
            "distance_m": cause.distance_m,
            "there_s": None if cause.signal else round(cause_there_s(pair), 3),
            "instance": cause.instance,
            "signal": f"{cause.signal}/{cause.link}" if cause.signal else "",
        },
        "gap_3s_m": pair.gap_m(3.0),
    }
    return json.dumps(told).encode()


def under(log: SceneLog, weather: Weather, seed: int | None = None) -> SceneLog:
    """A log under another sky; the sun's place is drawn from the log's own seed and name."""
    rng = Random(f"{log.seed} {log.name}" if seed is None else seed)
    low, high = (0.10, 0.22) if weather is Weather.DUSK else (0.45, 1.15)
    sun = (rng.uniform(-np.pi, np.pi), rng.uniform(low, high))
    seed = rng.randrange(2**31)  # of noise: of the sensors and of the pictures
    return replace(log, weather=weather, sun=sun, seed=seed)


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


def _town_of(part: str, recipe: WorldRecipe) -> TownRecipe:
    return recipe.town(int(part.split("-")[1]))
