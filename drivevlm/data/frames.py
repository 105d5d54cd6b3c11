"""A folder of images with no poses: every camera rig can be shown to a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from drivevlm.data.recording import DataError, SceneClips
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import RIG_SPREAD_US, Clip
from drivevlm.world.truth import Truth

FORM = '{"log": name, "timestamp": microseconds, "cameras": {name: path}}'


@dataclass(frozen=True, slots=True)
class FramesConfig:
    """A folder with ``frames.json``: a list of ``{"log", "timestamp", "cameras": {name: path}}``.

    Attributes:
        root: The folder; paths are relative to it, timestamps are in microseconds.
        cameras: Cameras to take, in the order in which they are shown; empty takes all.
        frames: Images per camera at most, of the log's earlier entries, newest last.
    """

    root: str = ""
    cameras: tuple[str, ...] = ()
    frames: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is at least 1, got {self.frames}")


@dataclass(frozen=True, slots=True)
class _Entry:
    log: str
    t0_us: int
    cameras: Mapping[str, str]

    @property
    def token(self) -> str:
        return f"{self.log}-{self.t0_us}"


class FramesRecording:
    """One clip per entry of ``frames.json``, its log being the scene. Nothing to score with."""

    synthetic = False
    most_proposals = 0

    def __init__(self, config: FramesConfig) -> None:
        """Raises DataError where the list is missing or wrong."""
        self._config = config
        self._root = Path(config.root).expanduser()
        if not config.root or not (self._root / "frames.json").is_file():
            raise DataError(f"data.root={config.root!r} must be a folder that holds frames.json")
        entries = _entries(self._root / "frames.json")
        self._entries = sorted(entries, key=lambda entry: (entry.log, entry.t0_us))
        self._row_of = {entry.token: row for row, entry in enumerate(self._entries)}
        if len(self._row_of) < len(self._entries):
            raise DataError(f"{self._root / 'frames.json'}: a log has two entries of one timestamp")
        self._check_cameras()

    @property
    def name(self) -> str:
        """``frames`` and the folder's name."""
        return f"frames {self._root.name}"

    @cached_property
    def digest(self) -> str:
        """Of the list and the way of reading it."""
        entries = [[entry.token, *sorted(entry.cameras.items())] for entry in self._entries]
        text = json.dumps([entries, self._config.cameras, self._config.frames])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """The chosen cameras, else every one that an entry has."""
        there = sorted({name for entry in self._entries for name in entry.cameras})
        return self._config.cameras or tuple(there)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Images only."""
        return {
            "cameras": "images of frames.json",
            "ego_status": "none",
            "scene_summary": "none",
            "proposals": "none",
            "command": "none",
        }

    def scenes(self) -> tuple[SceneClips, ...]:
        """Logs by name, their entries in order of time."""
        logs: dict[str, list[str]] = {}
        for entry in self._entries:
            logs.setdefault(entry.log, []).append(entry.token)
        return tuple(SceneClips(log, tuple(tokens)) for log, tokens in logs.items())

    def clip(self, token: str) -> Clip:
        """Uncalibrated cameras and nothing else."""
        if token not in self._row_of:
            raise DataError(f"{self.name} has no entry {token}")
        entry = self._entries[self._row_of[token]]
        chosen = self._config.cameras or tuple(entry.cameras)
        cameras = tuple(self._sequence(name, entry) for name in chosen if name in entry.cameras)
        return Clip(token, entry.log, entry.t0_us, cameras)

    def truth(self, token: str) -> Truth | None:
        """None: without poses nothing can be scored."""
        return None

    def with_map(self, truth: Truth) -> Truth:
        """The truth as it is."""
        return truth

    def _check_cameras(self) -> None:
        there = sorted({name for entry in self._entries for name in entry.cameras})
        unknown = [name for name in self._config.cameras if name not in there]
        if unknown:
            raise DataError(f"data.cameras: there is no {unknown[0]}, but {', '.join(there)}")

    def _sequence(self, name: str, now: _Entry) -> CameraSequence:
        row = self._row_of[now.token]
        past = self._entries[max(0, row - self._config.frames + 1) : row + 1]
        taken = [e for e in past if e.log == now.log and name in e.cameras]
        size_px = self._size_px(name, now)
        frames = {}
        for entry in taken:
            path = self._root / entry.cameras[name]
            if self._header_size_px(path) in (None, size_px):
                stamp_us = _stamp_us(path, entry.t0_us)
                frames[stamp_us] = Frame(stamp_us, size_px, path)
        return CameraSequence(Camera(name, size_px), tuple(frames[k] for k in sorted(frames)))

    def _size_px(self, name: str, now: _Entry) -> tuple[int, int]:
        """From the image's header; where that cannot be read, from the camera's other images.

        A broken image is then the failure of who reads it, not the end of the recording.
        """
        others = (entry for entry in self._entries if name in entry.cameras)
        for entry in (now, *others):
            size_px = self._header_size_px(self._root / entry.cameras[name])
            if size_px is not None:
                return size_px
        raise DataError(f"{self._root}: no image of {name} can be read; is the folder complete?")

    def _header_size_px(self, path: Path) -> tuple[int, int] | None:
        try:
            with Image.open(path) as image:
                return image.size
        except (OSError, Image.DecompressionBombError):
            return None


def _stamp_us(path: Path, t0_us: int) -> int:
    """From a file name like ``..__CAM_BACK__1537290738787558.jpg``, else the entry's own stamp."""
    last = path.stem.rpartition("__")[2]
    near = last.isdecimal() and abs(int(last) - t0_us) <= RIG_SPREAD_US
    return int(last) if near else t0_us


def _entries(path: Path) -> list[_Entry]:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: expected a list of {FORM}")
    return [_entry(path, number, row) for number, row in enumerate(rows)]


def _entry(path: Path, number: int, row: Any) -> _Entry:
    fields = row if isinstance(row, dict) else {}
    log, t0_us, cameras = (fields.get(key) for key in ("log", "timestamp", "cameras"))
    named = isinstance(cameras, dict) and all(isinstance(file, str) for file in cameras.values())
    if not (log and isinstance(log, str) and type(t0_us) is int and named and cameras):
        raise DataError(f"{path}: entry {number}: expected {FORM}, got {row!r:.120}")
    return _Entry(log, t0_us, cameras)
