"""What the images of clips look like to a frozen encoder: computed once, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from drivevlm.data.recording import DataError, Recording
from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.pictures import (
    ImageConfig,
    Picture,
    image_part,
    now_from_picture,
    pictures_of,
    rays_of,
)
from drivevlm.model.network import DriveVLM
from drivevlm.model.processor import DriveVLMProcessor
from drivevlm.model.published import tensors_sha256
from drivevlm.train.store import ArrayStore
from drivevlm.vlm.native.features import picture_digest
from drivevlm.vlm.seam import ImagePart
from drivevlm.world.camera import FrameError

Progress = Callable[[str, int, int], None]
Image = NDArray[np.uint8]
Seen = tuple[NDArray[np.float16], NDArray[np.float16] | None]
"""Features (C, h, w) and rays (6, h, w) of an image's cells; no rays where they are unknown."""
_DIGITS = 6
"""Of metres and directions: what differs by less is the same camera at the same place."""
TOGETHER = 16
"""Clips that are looked at, and then kept, at a time."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One clip: for each of its pictures by name, what its features and rays are called."""

    pictures: Mapping[str, tuple[str, str | None]]
    fault: str


class Views:
    """The features and rays of the pictures of one recording.

    Args:
        folder: Of all that is kept, for any recording and encoder.
        recording: Whose clips are looked at.
        images: Which pictures of them.
        model: Its encoder, which must not learn.
        processor: Of the model.
        precision: The encoder's, as in ``TrainConfig``.
    """

    def __init__(
        self,
        folder: Path,
        recording: Recording,
        images: ImageConfig,
        model: DriveVLM,
        processor: DriveVLMProcessor,
        precision: str = "float32",
    ) -> None:
        self._recording, self._images = recording, images
        self._model, self._processor = model, processor
        self._halves = precision == "bfloat16"
        looks = [model.config.strides, model.config.image_mean, model.config.image_std]
        trunk = tensors_sha256(model.vision_encoder.state_dict())
        eyes = hashlib.sha256(json.dumps([trunk, looks]).encode()).hexdigest()[:16]
        eyes += f"-{precision}" if self._halves else ""
        about = [recording.digest, asdict(images), processor.cell_px, eyes]
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        self._lines_file = folder / f"views-{key}.jsonl"
        self._lock = folder / "views.lock"
        self._features_folder = folder / f"features-{eyes}"
        self._rays_folder = folder / f"rays-{processor.cell_px}"
        self._open()

    def _open(self) -> None:
        self._features = ArrayStore(self._features_folder)
        self._rays = ArrayStore(self._rays_folder)
        self._clips = _read(self._lines_file, self._features, self._rays)

    def prepare(self, tokens: Sequence[str], progress: Progress) -> None:
        """Look at all clips that were not seen before, while no other training does."""
        if not self._missing(tokens):
            return
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            self._open()  # another training may have looked at some
            self._prepare(tokens, progress)

    def _prepare(self, tokens: Sequence[str], progress: Progress) -> None:
        missing = self._missing(tokens)
        done = len(tokens) - len(missing)
        with self._lines_file.open("a", encoding="utf-8") as lines, ThreadPoolExecutor() as pool:
            for start in range(0, len(missing), TOGETHER):
                some = missing[start : start + TOGETHER]
                found = self._look(some, pool)
                self._clips.update(found)
                # The numbers first: a line speaks of what is there.
                self._features.flush()
                self._rays.flush()
                kept = [json.dumps({"token": t, **asdict(line)}) for t, line in found.items()]
                lines.write("\n" + "\n".join(kept))  # apart from what a killed process left
                lines.flush()
                progress("images of clips", done + start + len(some), len(tokens))
        self._features.close()
        self._rays.close()

    def _missing(self, tokens: Sequence[str]) -> list[str]:
        """Those that were never seen; what could not be read before may be there by now."""
        return [t for t in tokens if t not in self._clips or self._clips[t].fault]

    @property
    def faults(self) -> dict[str, str]:
        """Clips that cannot be looked at, and why."""
        return {token: line.fault for token, line in self._clips.items() if line.fault}

    def of(self, token: str, pictures: Sequence[Picture]) -> Iterator[Seen]:
        """What is known of some of a clip's pictures."""
        known = self._clips[token].pictures
        for picture in pictures:
            features, rays = known[_name(picture)]
            yield self._features[features], None if rays is None else self._rays[rays]

    def _look(self, tokens: Sequence[str], pool: Executor) -> dict[str, _Line]:
        """Clips that are looked at together: an image that several of them show is encoded once."""
        found: dict[str, _Line] = {}
        new: dict[str, Image] = {}
        for token, looked in zip(tokens, pool.map(self._pictures, tokens), strict=True):
            if isinstance(looked, str):
                found[token] = _Line({}, looked)
                continue
            new |= {name: image for _, name, image in looked if name not in self._features}
            pictures = {_name(p): (name, self._keep_rays(p)) for p, name, _ in looked}
            found[token] = _Line(pictures, "")
        half = torch.autocast(self._model.device.type, torch.bfloat16, enabled=self._halves)
        with torch.no_grad(), half:
            made = self._model.encode([_pixels_of(image) for image in new.values()])
        for name, features in zip(new, made, strict=True):
            self._features.add(name, features.float().numpy())
        return found

    def _pictures(self, token: str) -> list[tuple[Picture, str, Image]] | str:
        """A clip's pictures, what each is called, and its pixels; or why there are none."""
        try:
            pictures = pictures_of(self._recording.clip(token), self._images)
            images = [self._pixels(picture).image_rgb for picture in pictures]
        except (FrameError, DataError) as error:
            return str(error)
        names = map(picture_digest, images)
        return list(zip(pictures, names, images, strict=True))

    def _pixels(self, picture: Picture) -> ImagePart:
        return image_part(picture, replace(self._images, rays=False), Switch.ON, _name)

    def _keep_rays(self, picture: Picture) -> str | None:
        """A camera of a rig looks the same way at every present moment: its rays are made once."""
        camera = picture.camera
        if not self._images.rays or camera.intrinsics is None or camera.ego_from_camera is None:
            return None
        pose = now_from_picture(picture)
        numbers = (camera.intrinsics, pose.rotation, pose.translation_m, np.array(picture.crop))
        geometry = hashlib.blake2b(repr(camera.size_px).encode(), digest_size=16)
        for each in numbers:
            # Poses of now differ from none at all by the rounding of their sums.
            geometry.update((np.round(np.asarray(each, np.float64), _DIGITS) + 0.0).tobytes())
        name = f"{geometry.hexdigest()} {self._images.width_px}"
        if name not in self._rays:
            self._rays.add(name, self._processor.cell_rays(rays_of(picture, self._images)).numpy())
        return name


def _pixels_of(image_rgb: Image) -> Tensor:
    return torch.from_numpy(np.array(image_rgb)).permute(2, 0, 1)


def _name(picture: Picture) -> str:
    crop = ":".join(f"{edge:.4f}" for edge in picture.crop)
    return f"{picture.camera.name} {picture.frame.stamp_us} {crop}"


def _read(file: Path, features: ArrayStore, rays: ArrayStore) -> dict[str, _Line]:
    """Clips that were looked at, as far as all that is said of them is there."""
    found: dict[str, _Line] = {}
    if not file.exists():
        return found
    for text in file.read_text(encoding="utf-8").split("\n"):
        try:
            about = json.loads(text)
        except ValueError:  # the end of a killed process
            continue
        pictures = {name: (seen[0], seen[1]) for name, seen in about["pictures"].items()}
        if all(f in features and (r is None or r in rays) for f, r in pictures.values()):
            found[about["token"]] = _Line(pictures, about["fault"])
    return found
