"""Films one scene or one pair, moment by moment."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import cv2
import numpy as np

from drivevlm_sim.make.film import PAIR, SIDES, FilmHead
from drivevlm_sim.make.plan import FilmJob
from drivevlm_sim.make.recipe import KEYFRAME_S, WorldRecipe
from drivevlm_sim.make.studio import Studio, Take, studio
from drivevlm_sim.make.tested import tested_by_twin, tested_in
from drivevlm_sim.make.traffic_part import pair_in, scene_in
from drivevlm_sim.render.lens import Rgb8
from drivevlm_sim.scene_log import STEP_S, SceneLog, Weather
from drivevlm_sim.town.recipe import TownRecipe
from drivevlm_sim.town.town import Town
from drivevlm_sim.twins.rules import SEEN_PIXELS, cause_there_s
from drivevlm_sim.twins.twin_pair import TwinPair

KEYFRAME_STEPS = round(KEYFRAME_S / STEP_S)
PICTURED = (-2 * KEYFRAME_STEPS, -KEYFRAME_STEPS, 0)
"""Steps from t0 at which pairs have pictures; they have keyframes from 3 s before to 3 s after."""
AROUND = range(-30, 31, KEYFRAME_STEPS)
LOOKS_DIFFERENT = 24
"""Of 255: pixels that differ by more do not differ by the packing of the pictures alone."""


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
    takes = [stage.take(log, step) for step in steps]
    return stage.members(takes, tested_in(folder, part, name), job)


def _pair(folder: Path, job: FilmJob, part: str, name: str) -> dict[str, bytes] | str:
    """Both scenes of a pair, or why not."""
    pair = pair_in(folder, part, name)
    a, b = (under(log, job.weather, job.recipe.rng_seed(name)) for log in (pair.a, pair.b))
    pair = replace(pair, a=a, b=b)
    stage = studio(job.recipe, _town_of(part, job.recipe))
    now = _both(stage, pair, pair.t0)
    camera, pixels = cause_pixels(pair, stage.town, now)
    if pixels < SEEN_PIXELS:
        return "cause_not_seen"
    steps = [pair.t0 + k for k in AROUND if 0 <= pair.t0 + k < min(a.steps, b.steps)]
    takes = [now if step == pair.t0 else _both(stage, pair, step) for step in steps]
    members = {PAIR: _pair_json(pair, camera, pixels)}
    for side, (prefix, log) in enumerate(zip(SIDES, (a, b), strict=True)):
        mine = [both[side] for both in takes]
        members |= stage.members(mine, tested_by_twin(pair, log), job, side, prefix)
    return members


def _both(stage: Studio, pair: TwinPair, step: int) -> tuple[Take, Take]:
    """Both scenes in a step: the second is drawn where it differs from the first."""
    pictured = step - pair.t0 in PICTURED
    first = stage.take(pair.a, step, pictured=pictured)
    return first, stage.take(pair.b, step, pictured=pictured, like=first)


def cause_pixels(pair: TwinPair, town: Town, now: tuple[Take, Take]) -> tuple[str, int]:
    """The camera that shows most of the cause at t0 in either scene, and how many pixels.

    Of a signal only those pixels count that look different: most of a head is its dark box.
    """
    if pair.cause.signal:
        counts = _changed_lamps(pair, town, now)
    else:
        counts = Counter()
        for sight in (take.sight for take in now):
            if any(actor.name == pair.cause.instance for actor in sight.actors):
                counts |= Counter(sight.pixels_of(pair.cause.instance))
    camera = max(sorted(counts), key=lambda name: counts[name], default="")
    return camera, counts[camera] if camera else 0


def _changed_lamps(pair: TwinPair, town: Town, now: tuple[Take, Take]) -> Counter[str]:
    """By camera, how many pixels of the ego's own heads differ between both scenes."""
    a, b = now
    sight = a.sight
    own = [
        len(sight.actors) + 1 + k
        for k, head in enumerate(town.signal_heads)
        if head.signal == pair.cause.signal and head.link in pair.cause.links
    ]
    counts: Counter[str] = Counter()
    for shot_a, shot_b in zip(a.frame.shots, b.frame.shots, strict=True):
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


def _town_of(part: str, recipe: WorldRecipe) -> TownRecipe:
    return recipe.town(int(part.split("-")[1]))
