"""Tests what matters to the egos of drawn scenes: a job between traffic and films."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from drivevlm_sim.labels.suspects import Kind, Suspect, suspects
from drivevlm_sim.labels.without import WATCHED_STEPS, Question, moved_m
from drivevlm_sim.make.part_file import read_part
from drivevlm_sim.make.plan import ReasonJob, reason_part
from drivevlm_sim.make.recipe import KEYFRAME_S
from drivevlm_sim.make.stage import part_path
from drivevlm_sim.make.traffic import again, first_step
from drivevlm_sim.make.traffic_part import scene_in
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.twins.twin_pair import CauseKind, TwinPair

_TESTED = "tested.json"
DIGITS = 3
Tested = Mapping[int, Mapping[Suspect, float]]
"""By step of a scene and by what was taken away then: how far that moves the ego, in metres."""
_KINDS = {
    CauseKind.SIGNAL: Kind.LIGHT,
    CauseKind.VEHICLE: Kind.VEHICLE,
    CauseKind.PEDESTRIAN: Kind.WALKER,
}


def find_out(folder: Path, job: ReasonJob) -> dict[str, bytes]:
    """The part of a job: what each suspect of each keyframe does to the ego."""
    asked = [
        (name, step, Question(first_step(name) + step, log.ego.name, suspect))
        for name in job.scenes
        for log in [scene_in(folder, job.traffic, name)]
        for step in range(0, log.steps, round(KEYFRAME_S / STEP_S))
        for suspect in suspects(log, step)
    ]
    simulation, roads = again(job.recipe, job.town, job.run)
    with simulation:
        answers = moved_m(simulation, roads, [question for _, _, question in asked])
    told: dict[str, list[list[object]]] = {name: [] for name in job.scenes}
    for name, step, question in asked:
        suspect = question.suspect
        if suspect is not None and question in answers:
            moved = round(answers[question], DIGITS)
            told[name].append([step, suspect.kind.value, suspect.name, moved])
    return {_TESTED: json.dumps(told).encode()}


def tested_in(folder: Path, traffic: str, scene: str) -> Tested:
    """What was found out about a scene of a traffic part."""
    path = part_path(folder, reason_part(traffic))
    tested: dict[int, dict[Suspect, float]] = {}
    for step, kind, name, moved in json.loads(read_part(path, _TESTED)[_TESTED])[scene]:
        tested.setdefault(step, {})[Suspect(Kind(kind), name)] = moved
    return tested


def tested_by_twin(pair: TwinPair, log: SceneLog) -> Tested:
    """What the other scene of a pair tells of the cause at t0, where this one has it."""
    cause, steps = pair.cause, slice(pair.t0 + 1, pair.t0 + 1 + WATCHED_STEPS)
    track = log.others.get(cause.instance)
    if cause.instance and (track is None or track.at(pair.t0) is None):
        return {}
    name = cause.instance or f"{cause.signal}/{cause.link}"
    both = [side.rear_axle_m[steps] for side in (pair.a, pair.b)]
    shared = min(map(len, both))
    apart = np.hypot(*(both[0][:shared] - both[1][:shared]).T)
    moved = round(float(apart.max(initial=0.0)), DIGITS)
    return {pair.t0: {Suspect(_KINDS[cause.kind], name): moved}}
