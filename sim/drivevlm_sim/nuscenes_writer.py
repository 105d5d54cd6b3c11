"""Writes worlds in the nuScenes v1.0 schema, so that the unmodified devkit loads them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from drivevlm_sim.keyframes import Keyframe, Rig, SceneHead
from drivevlm_sim.map_layers import MapLayers
from drivevlm_sim.nuscenes_map import empty_layers, mask_file, write_map
from drivevlm_sim.nuscenes_names import (
    ATTRIBUTES,
    CATEGORIES,
    LOCATIONS,
    MAP_MASKS,
    VISIBILITY_LEVELS,
)
from drivevlm_sim.nuscenes_scene import SceneRows
from drivevlm_sim.table_file import TableFile
from drivevlm_sim.tokens import token

TABLES = (
    *("category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor"),
    *("ego_pose", "log", "scene", "sample", "sample_data", "sample_annotation", "map"),
)


class NuScenesWriter:
    """One version folder, its sensor files and its maps.

    Sensor files are written as they come, table rows scene by scene; the version folder appears
    under its name only in ``finish``, so an interrupted write is no dataset. Use it in a ``with``
    block. Several versions may share a root, written one after the other.

    Args:
        root: The data root, made where it is missing.
        version: Name of the version folder; the devkit takes any.
        about: Goes into ``README.md`` and the tables' descriptions: what this is.
    """

    def __init__(self, root: Path, *, version: str, about: str) -> None:
        self._root, self._version, self._about = root, version, about
        self._final = root / version
        self._growing = root / f".{version}.unfinished"
        if self._final.exists():
            raise FileExistsError(
                f"{self._final} is already there: remove it, or write to another root or version"
            )
        if self._growing.exists():
            shutil.rmtree(self._growing)
        self._growing.mkdir(parents=True)
        self._tables = {name: TableFile(self._growing / f"{name}.json") for name in TABLES}
        self._logs: dict[str, list[str]] = {location: [] for location in LOCATIONS}
        self._scenes: set[str] = set()
        self._sensors: set[str] = set()
        self._maps: set[str] = set()
        self._write_closed_tables()

    def add_map(self, layers: MapLayers) -> None:
        """Write the map of one location; locations without one get an empty map in ``finish``."""
        if layers.location in self._maps:
            raise ValueError(f"the map of {layers.location} was written already")
        write_map(self._root, layers)
        self._maps.add(layers.location)

    def add_scene(self, head: SceneHead, rig: Rig, keyframes: Iterable[Keyframe]) -> None:
        """Write one scene; its keyframes may come from a generator, oldest first."""
        if head.name in self._scenes:
            raise ValueError(f"{head.name} was written already")
        scene = SceneRows(self._root, self._version, head, rig)
        for keyframe in keyframes:
            scene.add(keyframe)
        for name, rows in scene.finished().items():
            self._tables[name].write(rows)
        new = [row for row in scene.sensors() if row["token"] not in self._sensors]
        self._tables["sensor"].write(new)
        self._sensors.update(row["token"] for row in new)
        self._scenes.add(head.name)
        self._logs[head.location].append(scene.log)

    def beside_tables(self, name: str) -> Path:
        """Where a further file of the version folder is to be written, before ``finish``."""
        return self._growing / name

    def finish(self, splits: Mapping[str, tuple[str, ...]]) -> Path:
        """Close the tables and show the version folder; returns it.

        Args:
            splits: Scene names of each custom split, for ``splits.json``.
        """
        for name, scenes in splits.items():
            unknown = sorted(set(scenes) - self._scenes)
            if unknown:
                raise ValueError(f"split {name!r} names scenes that were not written: {unknown}")
        for location in LOCATIONS:
            if location not in self._maps and not (self._root / mask_file(location)).exists():
                write_map(self._root, empty_layers(location))
        self._tables["map"].write(
            {
                "token": MAP_MASKS[location],
                "category": "semantic_prior",
                "filename": mask_file(location),
                "log_tokens": self._logs[location],
            }
            for location in LOCATIONS
        )
        for table in self._tables.values():
            table.close()
        listed = {name: list(scenes) for name, scenes in splits.items()}
        (self._growing / "splits.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
        (self._root / "README.md").write_text(self._about + "\n", encoding="utf-8")
        os.replace(self._growing, self._final)
        return self._final

    def __enter__(self) -> NuScenesWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Without ``finish`` nothing stays of the version folder."""
        for table in self._tables.values():
            table.close()
        shutil.rmtree(self._growing, ignore_errors=True)

    def _write_closed_tables(self) -> None:
        for table, names in (("category", CATEGORIES), ("attribute", ATTRIBUTES)):
            self._tables[table].write(
                {"token": token(table, name), "name": name, "description": self._about}
                for name in names
            )
        self._tables["visibility"].write(
            {"token": key, "level": level, "description": self._about}
            for key, level in VISIBILITY_LEVELS.items()
        )
