"""Parts become one data root: two versions that share maps, in the schema of nuScenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.data.dense import DENSE_FOLDER, dense_file
from drivevlm_sim.can_bus import RATES_HZ, DrivenTrack, write_can_bus
from drivevlm_sim.flat.rig import flat_rig
from drivevlm_sim.keyframes import SceneHead
from drivevlm_sim.labels_file import LABELS_FILE, write_labels
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.film import HEAD, PAIR, SIDES, FilmHead, log_of
from drivevlm_sim.make.keyframe_part import dense_of, keyframes_of
from drivevlm_sim.make.part_file import read_part
from drivevlm_sim.make.places import Place, joined, placed
from drivevlm_sim.make.plan import FilmJob, counted, traffic_jobs
from drivevlm_sim.make.reasons import lines_of
from drivevlm_sim.make.recipe import SYNTH_VERSION, TWINS_VERSION, WorldRecipe
from drivevlm_sim.make.route import route_line_m
from drivevlm_sim.make.stage import part_path
from drivevlm_sim.make.traffic_part import rejected_in
from drivevlm_sim.nuscenes_names import LOCATIONS
from drivevlm_sim.nuscenes_scene import instance_token, sample_token
from drivevlm_sim.nuscenes_writer import NuScenesWriter
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.map_layers import town_layers
from drivevlm_sim.town.town import Town
from drivevlm_sim.twins.twin_pair import CauseKind, Family
from drivevlm_sim.twins.twins_file import TWINS_FILE, SeenCause, TwinLine, write_twins

FIRST_STAMP_US = 1_800_000_000_000_000
APART_US = 600_000_000
"""Between the starts of two scenes."""
STEP_US = round(STEP_S * 1e6)
DATE, VEHICLE = "2027-01-15", "synth"
TWIN_CAN = ("pose",)
"""Twins have the messages that tell ego status alone: there are thousands of them."""
MADE_FILE = "made.json"
ABOUT = (
    "Synthetic: made by drivevlm_sim. Nothing in it was recorded, the pictures are stylised, and "
    "no result on it says anything about real roads."
)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The towns of a world and where they lie."""

    towns: Sequence[Town]
    places: Mapping[str, Place]

    @classmethod
    def of(cls, recipe: WorldRecipe) -> Ground:
        """All towns of a recipe.

        Raises:
            WorldError: They do not fit on the maps, or SUMO is missing.
        """
        towns = [make_town(recipe.town(k)) for k in range(recipe.towns)]
        return cls(towns, placed([(t.name, t.left_hand, t.size_m) for t in towns]))

    def write_maps(self, writer: NuScenesWriter) -> None:
        """All towns of a location on one map."""
        for location in LOCATIONS:
            here = [town for town in self.towns if self.places[town.name].location == location]
            if here:
                layers = [(t.name, town_layers(t, location), self.places[t.name]) for t in here]
                writer.add_map(joined(location, layers))


def assemble(
    root: Path, recipe: WorldRecipe, jobs: Sequence[FilmJob], folder: Path, missing: Sequence[str]
) -> None:
    """Write the data root from the parts in ``folder``.

    Raises:
        WorldError: A part cannot be read, or none of its films could be made.
    """
    ground = Ground.of(recipe)
    heads = {job.name: FilmHead.of(read_part(part_path(folder, job.name), HEAD)) for job in jobs}
    filmed = sorted((job for job in jobs if heads[job.name].taken), key=lambda job: job.number)
    if not filmed:
        reasons = counted(head.rejected for head in heads.values())
        words = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        raise WorldError(f"impossible recipe: every film was given up ({words})")
    for kind in (_Scenes, _Twins):
        chosen = [job for job in filmed if job.is_pair == (kind is _Twins)]
        if chosen:
            kind(root, recipe, ground).write(chosen, folder)
    told = _made(recipe, filmed, heads, folder, missing)
    (root / MADE_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _made(
    recipe: WorldRecipe,
    filmed: Sequence[FilmJob],
    heads: Mapping[str, FilmHead],
    folder: Path,
    missing: Sequence[str],
) -> dict[str, Any]:
    """What a world holds, what was asked for in vain, and what was filtered out and why."""
    traffic = [rejected_in(folder, job) for job in traffic_jobs(recipe)]
    return {
        "scenes": sum(not job.is_pair for job in filmed),
        "pairs": sum(job.is_pair for job in filmed),
        "wanted": {"scenes": recipe.scenes, "pairs": recipe.pairs},
        "images": sum(heads[job.name].images for job in filmed),
        "missing": list(missing),
        "rejected_traffic": {
            kind: counted(part[kind] for part in traffic) for kind in ("scenes", "pairs")
        },
        "rejected_films": counted(head.rejected for head in heads.values()),
    }


class _Scenes:
    """Writes the films of one version."""

    version = SYNTH_VERSION
    can_kinds = tuple(RATES_HZ)

    def __init__(self, root: Path, recipe: WorldRecipe, ground: Ground) -> None:
        self._root, self._recipe, self._ground = root, recipe, ground
        self._rig = flat_rig(recipe.size_px)
        self._splits: dict[str, list[str]] = {}
        self._labels: list[str] = []

    def write(self, jobs: Sequence[FilmJob], folder: Path) -> None:
        """The whole version."""
        with NuScenesWriter(self._root, version=self.version, about=ABOUT) as writer:
            self._ground.write_maps(writer)
            for job in jobs:
                self.film(writer, job, read_part(part_path(folder, job.name)))
            self.further_files(writer)
            writer.finish({name: tuple(scenes) for name, scenes in self._splits.items()})

    def film(self, writer: NuScenesWriter, job: FilmJob, members: Mapping[str, bytes]) -> None:
        """One part."""
        (name,) = job.scenes
        self.scene(writer, name, job, members)

    def further_files(self, writer: NuScenesWriter) -> None:
        """What lies beside the tables."""
        write_labels(writer.beside_tables(LABELS_FILE), self._labels)

    def scene(
        self,
        writer: NuScenesWriter,
        name: str,
        job: FilmJob,
        members: Mapping[str, bytes],
        side: str = "",
    ) -> SceneLog:
        """One scene: tables, sensor files, CAN bus, reasons."""
        log, first_us = log_of(members, side), first_stamp_us(job)
        number = [town.name for town in self._ground.towns].index(log.town)
        town, place = self._ground.towns[number], self._ground.places[log.town]
        title = f"Synthetic, {log.weather.value}, {log.town}: {log.family.replace('_', ' ')}"
        head = SceneHead(name, title, place.location, VEHICLE, DATE)
        frames = tuple(keyframes_of(members, side, moved_m=place.offset_m, later_us=first_us))
        writer.add_scene(head, self._rig, frames)
        for frame, content in zip(frames, dense_of(members, side), strict=True):
            if content is not None:
                dense = writer.beside_tables(DENSE_FOLDER)
                dense.mkdir(exist_ok=True)
                sample = sample_token(self.version, name, frame.stamp_us)
                dense_file(dense, sample).write_bytes(content)
        write_can_bus(self._root, name, driven_track(log, town, place, first_us), self.can_kinds)
        self._labels += lines_of(
            members,
            side,
            sample_of=lambda stamp_us: sample_token(self.version, name, stamp_us + first_us),
            token_of=partial(instance_token, self.version, name),
        )
        self._splits.setdefault(self._recipe.split_of(number), []).append(name)
        return log


class _Twins(_Scenes):
    """Writes pairs, each as two scenes."""

    version = TWINS_VERSION
    can_kinds = TWIN_CAN

    def __init__(self, root: Path, recipe: WorldRecipe, ground: Ground) -> None:
        super().__init__(root, recipe, ground)
        self._lines: list[TwinLine] = []

    def film(self, writer: NuScenesWriter, job: FilmJob, members: Mapping[str, bytes]) -> None:
        """Both scenes of a pair, and its line."""
        pair = json.loads(members[PAIR])
        names = job.scenes
        logs = [
            self.scene(writer, name, job, members, side)
            for name, side in zip(names, SIDES, strict=True)
        ]
        t0_us = first_stamp_us(job) + pair["t0"] * STEP_US
        cause = {**pair["cause"], "kind": CauseKind(pair["cause"]["kind"])}
        if cause["instance"]:
            # A road user that is in one scene only has the token that it has there.
            holder = names[0] if cause["instance"] in logs[0].others else names[1]
            cause["instance"] = instance_token(self.version, holder, cause["instance"])
        samples = [sample_token(self.version, name, t0_us) for name in names]
        self._lines.append(
            TwinLine(
                pair=pair["pair"],
                family=Family(pair["family"]),
                town=pair["town"],
                samples=(samples[0], samples[1]),
                t0_us=t0_us,
                cause=SeenCause(**cause),
                gap_3s_m=pair["gap_3s_m"],
            )
        )

    def further_files(self, writer: NuScenesWriter) -> None:
        """The list of pairs too."""
        super().further_files(writer)
        write_twins(writer.beside_tables(TWINS_FILE), self._lines)


def first_stamp_us(job: FilmJob) -> int:
    """When the first step of a film is; both scenes of a pair play at the same time."""
    return FIRST_STAMP_US + job.number * APART_US


def driven_track(log: SceneLog, town: Town, place: Place, first_us: int) -> DrivenTrack:
    """The ego of a log on its map."""
    offset_m = np.array(place.offset_m)
    return DrivenTrack(
        stamps_us=first_us + STEP_US * np.arange(log.steps, dtype=np.int64),
        xy_global_m=log.rear_axle_m + offset_m,
        yaw_global_rad=log.ego.yaw_rad,
        speed_mps=log.ego.speed_mps,
        acceleration_mps2=log.ego.acceleration_mps2,
        lamps=log.ego.lamps,
        route_global_m=route_line_m(town, log) + offset_m,
        seed=log.seed,
    )
