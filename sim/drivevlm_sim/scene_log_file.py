"""Scene logs as files: a zip of plain arrays and one JSON, no pickle, exact to the bit.

Numbers that are round to 0.00001 (as those of logs made here are) are kept as whole numbers of
it, as differences from row to row, which pack well; any others are kept as they are.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.scene_log import Body, SceneLog, Track, Weather

VERSION = 1
SUFFIX = ".scene.zip"
GRID = 1e5
"""Steps in one unit of a rounded number."""
_HEAD = "scene.json"
_DATE = (1980, 1, 1, 0, 0, 0)
_COLUMNS = ("xy_m", "yaw_rad", "speed_mps", "acceleration_mps2", "lamps")
Array = NDArray[np.generic]


def on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values rounded to what the file keeps in few bytes."""
    return np.asarray(np.rint(values * GRID) / GRID)


def write_scene_log(path: Path, log: SceneLog) -> None:
    """Write a scene's log; the same log gives the same bytes."""
    path.write_bytes(scene_log_bytes(log))


def scene_log_bytes(log: SceneLog) -> bytes:
    """A scene's log as the bytes of its file."""
    words = _Words()
    tracks = [log.ego, *log.others.values()]
    arrays: dict[str, Array] = {"rear_axle_m": log.rear_axle_m, "command_m": log.command_m}
    for column in _COLUMNS:
        arrays[f"tracks/{column}"] = np.concatenate([getattr(track, column) for track in tracks])
    arrays["tracks/lane"] = words.rows([lane for track in tracks for lane in track.lane])
    arrays["command"] = words.rows(log.command)
    for name, states in log.signals.items():
        arrays[f"signals/{name}"] = words.rows(states)
    texts = {}
    for name, values in log.facts.items():
        if values.dtype.kind == "U":
            texts[name] = values.dtype.str
            arrays[f"facts/{name}"] = words.rows([str(value) for value in values])
        else:
            arrays[f"facts/{name}"] = values
    head = {
        "version": VERSION,
        **{key: getattr(log, key) for key in ("name", "town", "steps", "family", "seed")},
        "route": log.route,
        "weather": log.weather.value,
        "sun": log.sun,
        "tracks": [
            [name, track.name, track.body.value, track.first, len(track), track.colour]
            for name, track in zip(["", *log.others], tracks, strict=True)
        ],
        "signals": list(log.signals),
        "facts": list(log.facts),
        "texts": texts,
        "words": words.known,
    }
    return _zipped(head, arrays)


def read_scene_log(path: Path) -> SceneLog:
    """The log of a scene.

    Raises:
        WorldError: The file is no scene log, or one of another version.
    """
    try:
        return scene_log_of(path.read_bytes(), str(path))
    except OSError as error:
        raise WorldError(f"{path}: cannot be read ({error})") from error


def scene_log_of(data: bytes, path: str) -> SceneLog:
    """The log of a scene from the bytes of its file, which errors call ``path``.

    Raises:
        WorldError: They are no scene log, or one of another version.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            head = json.loads(archive.read(_HEAD))
            if head["version"] != VERSION:
                raise WorldError(
                    f"{path}: a scene log of version {head['version']}, "
                    f"but this program reads version {VERSION}: make it again"
                )
            arrays = _Arrays(archive)
            return _log(head, arrays)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, IndexError) as error:
        raise WorldError(f"{path}: no scene log, or a damaged one ({error})") from error


def _log(head: Mapping[str, Any], arrays: _Arrays) -> SceneLog:
    words: list[str] = head["words"]
    columns = {name: arrays.read(f"tracks/{name}") for name in _COLUMNS}
    lanes = arrays.words("tracks/lane", words)
    tracks: list[tuple[str, Track]] = []
    row = 0
    for key, name, body, first, length, colour in head["tracks"]:
        rows = slice(row, row + length)
        values: dict[str, Any] = {column: columns[column][rows].copy() for column in _COLUMNS}
        tracks.append(
            (key, Track(name, Body(body), first, lane=lanes[rows], colour=colour, **values))
        )
        row += length
    facts: dict[str, Array] = {}
    for name in head["facts"]:
        if name in head["texts"]:
            facts[name] = np.array(arrays.words(f"facts/{name}", words), dtype=head["texts"][name])
        else:
            facts[name] = arrays.read(f"facts/{name}")
    azimuth_rad, elevation_rad = head["sun"]
    return SceneLog(
        name=head["name"],
        town=head["town"],
        steps=head["steps"],
        ego=tracks[0][1],
        rear_axle_m=arrays.read("rear_axle_m"),
        others=dict(tracks[1:]),
        signals={name: arrays.words(f"signals/{name}", words) for name in head["signals"]},
        route=tuple(head["route"]),
        command=arrays.words("command", words),
        command_m=arrays.read("command_m"),
        weather=Weather(head["weather"]),
        sun=(azimuth_rad, elevation_rad),
        family=head["family"],
        seed=head["seed"],
        facts=facts,
    )


@dataclass(slots=True)
class _Words:
    """Texts that rows name by number."""

    known: list[str]
    places: dict[str, int]

    def __init__(self) -> None:
        self.known, self.places = [], {}

    def rows(self, texts: Sequence[str]) -> NDArray[np.int32]:
        for text in texts:
            if text not in self.places:
                self.places[text] = len(self.known)
                self.known.append(text)
        return np.array([self.places[text] for text in texts], dtype=np.int32)


class _Arrays:
    """Arrays of an open archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())

    def read(self, name: str) -> Any:
        if f"{name}.grid.npy" in self._names:
            steps = self._load(f"{name}.grid.npy")
            gaps = np.unpackbits(self._load(f"{name}.gap.npy"), count=steps.size).astype(bool)
            values = np.cumsum(steps, axis=0) / GRID
            values[gaps.reshape(values.shape)] = np.nan
            return values
        return self._load(f"{name}.npy")

    def words(self, name: str, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(words[row] for row in self.read(name))

    def _load(self, entry: str) -> Any:
        return np.load(io.BytesIO(self._archive.read(entry)), allow_pickle=False)


def _zipped(head: Mapping[str, object], arrays: Mapping[str, Array]) -> bytes:
    """One archive; its entries bear no date, so that equal logs are equal bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        entries = {_HEAD: json.dumps(head, separators=(",", ":")).encode()}
        for name, values in arrays.items():
            entries |= {f"{name}{end}.npy": _npy(part) for end, part in _packed(values).items()}
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _packed(values: Array) -> dict[str, Array]:
    """An array as it is, or as differences on the grid where that keeps it exactly."""
    if values.dtype != np.float64 or not len(values):
        return {"": values}
    gaps = np.isnan(values)
    steps = np.rint(np.where(gaps, 0.0, values) * GRID)
    negative_zero = np.signbit(values) & (values == 0)
    exact = np.abs(steps).max(initial=0) < 2**53 and not negative_zero.any()
    if not exact or not np.array_equal(np.where(gaps, 0.0, values), steps / GRID):
        return {"": values}
    whole = steps.astype(np.int64)
    differences = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1]))
    return {".grid": differences, ".gap": np.packbits(gaps)}


def _npy(values: Array) -> bytes:
    held = io.BytesIO()
    np.save(held, values, allow_pickle=False)
    return held.getvalue()
