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


@dataclass(frozen=True, slots=True)
class FramesConfig:
    """A folder with ``frames.json``: a list of ``{"log", "timestamp", "cameras": {name: path}}``.

    Attributes:
        root: The folder; paths are relative to it, timestamps are in microseconds.
        cameras: Cameras to take; empty takes all.
    """

    root: str = ""
    cameras: tuple[str, ...] = ()


class FramesRecording:
    """One clip per entry of ``frames.json``, its log being the scene. Nothing to score with."""

    synthetic = False

    def __init__(self, config: FramesConfig) -> None:
        """Raises DataError where the list is missing or wrong."""
        self._config = config
        self._root = Path(config.root).expanduser()
        path = self._root / "frames.json"
        if not config.root or not path.exists():
            raise DataError(f"data.root={config.root!r} must be a folder that holds frames.json")
        try:
            self._entries = [_checked(entry) for entry in json.loads(path.read_text())]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: expected a list of {{log, timestamp, cameras}}, got {error!r}"
            ) from None
        self._row_of = {f"{e['log']}-{e['timestamp']}": i for i, e in enumerate(self._entries)}

    @property
    def name(self) -> str:
        """``frames`` and the folder's name."""
        return f"frames {self._root.name}"

    @cached_property
    def digest(self) -> str:
        """Of the list and the chosen cameras."""
        text = json.dumps([self._entries, self._config.cameras], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

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
        logs: dict[str, list[tuple[int, str]]] = {}
        for token, row in self._row_of.items():
            entry = self._entries[row]
            logs.setdefault(entry["log"], []).append((entry["timestamp"], token))
        return tuple(
            SceneClips(log, tuple(token for _, token in sorted(logs[log]))) for log in sorted(logs)
        )

    def clip(self, token: str) -> Clip:
        """Uncalibrated cameras and nothing else."""
        if token not in self._row_of:
            raise DataError(f"{self.name} has no entry {token}")
        entry = self._entries[self._row_of[token]]
        chosen = self._config.cameras or tuple(entry["cameras"])
        missing = [name for name in chosen if name not in entry["cameras"]]
        if missing:
            raise DataError(f"entry {token} has no camera {missing[0]}: {sorted(entry['cameras'])}")
        t0_us = int(entry["timestamp"])
        cameras = tuple(self._sequence(name, entry["cameras"][name], t0_us) for name in chosen)
        return Clip(token, str(entry["log"]), t0_us, cameras)

    def truth(self, token: str) -> Truth | None:
        """None: without poses nothing can be scored."""
        return None

    def with_map(self, truth: Truth) -> Truth:
        """The truth as it is."""
        return truth

    def _sequence(self, name: str, file: str, t0_us: int) -> CameraSequence:
        path = self._root / file
        try:
            with Image.open(path) as image:
                size_px = image.size
        except OSError as error:
            raise DataError(f"camera {name}: cannot read the size of {path} ({error})") from None
        frame = Frame(_stamp_us(path, t0_us), size_px, path)
        return CameraSequence(Camera(name, size_px), (frame,))


def _stamp_us(path: Path, t0_us: int) -> int:
    """From a file name like ``..__CAM_BACK__1537290738787558.jpg``, else the entry's own stamp."""
    last = path.stem.rpartition("__")[2]
    near = last.isdecimal() and abs(int(last) - t0_us) <= RIG_SPREAD_US
    return int(last) if near else t0_us


def _checked(entry: Any) -> dict[str, Any]:
    if not (entry["log"] and int(entry["timestamp"]) and dict(entry["cameras"])):
        raise ValueError(f"an entry is empty: {entry}")
    return dict(entry)
