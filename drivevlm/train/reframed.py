"""A recording as other cameras might have filmed it: a window of each picture, in other colours."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from drivevlm.data.dense import DenseView, Pixels, SignalHead
from drivevlm.data.recording import Recording, SceneClips, twins_of
from drivevlm.train.augment import Look
from drivevlm.train.config import Augment
from drivevlm.world.camera import Camera, CameraSequence, Frame, Stored
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth
from drivevlm.world.twins import TwinPair


@dataclass(frozen=True, slots=True)
class Window:
    """What is kept of a picture, which then fills its size: a longer lens, turned a little.

    Attributes:
        left, top: As shares of the picture's width and height.
        share: Of the width and of the height.
    """

    left: float
    top: float
    share: float

    @classmethod
    def draw(cls, most: float, rng: np.random.Generator) -> Window:
        """One whose share is 1 / ``most`` at least."""
        share = 1 / float(rng.uniform(1.0, most))
        left, top = (float(rng.uniform(0, 1 - share)) for _ in range(2))
        return cls(left, top, share)

    def pixels_from(self, size_px: tuple[int, int]) -> Floats:
        """(3, 3) places in the new picture of places in the old one; pixel centres are whole."""
        offsets = [
            (0.5 - start * size) / self.share - 0.5
            for start, size in zip((self.left, self.top), size_px, strict=True)
        ]
        zoom = 1 / self.share
        return np.array([[zoom, 0.0, offsets[0]], [0.0, zoom, offsets[1]], [0.0, 0.0, 1.0]])

    def camera(self, camera: Camera) -> Camera:
        """The camera that sees no more than that."""
        k = camera.intrinsics
        return replace(
            camera, intrinsics=None if k is None else self.pixels_from(camera.size_px) @ k
        )

    def of(self, pixels: Pixels | None) -> Pixels | None:
        """The window of a mask or a depth, each new pixel the nearest old one."""
        if pixels is None:
            return None
        rows, columns = (
            np.floor((start + (np.arange(size) + 0.5) / size * self.share) * size).astype(int)
            for start, size in zip((self.top, self.left), pixels.shape, strict=True)
        )
        kept: Pixels = pixels[np.ix_(rows, columns)]
        return kept

    def head(self, head: SignalHead, size_px: tuple[int, int]) -> SignalHead:
        """A signal head in the new picture, or beyond its edge."""
        m = self.pixels_from(size_px)
        left, top, right, bottom = head.box_px
        x, y = m[0, 0] * np.array([left, right]) + m[0, 2], m[1, 1] * np.array([top, bottom])
        y = y + m[1, 2]
        return replace(head, box_px=(float(x[0]), float(y[0]), float(x[1]), float(y[1])))


@dataclass(frozen=True, slots=True)
class ReframedImage:
    """A stored image through a window and in another look."""

    source: Path | Stored | bytes
    window: Window
    look: Look
    number: int

    def read_bytes(self) -> bytes:
        """As PNG; of what is no image the original bytes, for their reader to refuse.

        Raises OSError where the original cannot be read.
        """
        whole = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        try:
            with Image.open(io.BytesIO(whole)) as image:
                rgb = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return whole
        size_px = (rgb.shape[1], rgb.shape[0])
        seen = cv2.warpAffine(
            rgb, self.window.pixels_from(size_px)[:2], size_px, borderMode=cv2.BORDER_REPLICATE
        )
        kept = io.BytesIO()
        changed = self.look.apply(np.asarray(seen, dtype=np.uint8), self.number)
        Image.fromarray(changed).save(kept, "png", compress_level=1)
        return kept.getvalue()

    def __str__(self) -> str:
        told = "bytes" if isinstance(self.source, bytes) else self.source
        return f"{told} reframed"


class Reframed:
    """Another recording's clips and truths, with its tokens; every camera has a window of its own.

    Both sides of a pair have the same windows and colours. What a label calls visible may lie
    beyond a window's edge. It has no map.

    Args:
        recording: What was recorded.
        augment: How far windows and colours may go.
        seed: Of what is drawn.
    """

    def __init__(self, recording: Recording, augment: Augment, seed: int) -> None:
        self._recording, self._augment, self._seed = recording, augment, seed
        self.synthetic = recording.synthetic
        self.provenance = recording.provenance
        self.cameras = recording.cameras
        self.most_proposals = recording.most_proposals

    @property
    def name(self) -> str:
        """The recording's, and that it is reframed."""
        return f"{self._recording.name} reframed"

    @cached_property
    def digest(self) -> str:
        """Another one for another recording, seed or settings."""
        about = ["reframed", self._recording.digest, self._seed, asdict(self._augment)]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        """The pairs, where the clips are twins."""
        return twins_of(self._recording)

    def scenes(self) -> tuple[SceneClips, ...]:
        """The recording's."""
        return self._recording.scenes()

    def truth(self, token: str) -> Truth | None:
        """The recording's, without its map."""
        return self._recording.truth(token)

    def with_map(self, truth: Truth) -> Truth:
        """The truth as it is: nothing is learned from a map."""
        return truth

    def clip(self, token: str) -> Clip:
        """What a planner may know, through the windows."""
        clip = self._recording.clip(token)
        look = Look.draw(self._augment, self._rng(token, "look"))
        cameras = tuple(self._sequence(token, sequence, look) for sequence in clip.cameras)
        return replace(clip, cameras=cameras)

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """Truth per pixel by camera, where the recording has it."""
        look = getattr(self._recording, "dense", None)
        sizes = {s.camera.name: s.camera.size_px for s in self._recording.clip(token).cameras}
        found = {} if look is None else look(token)
        return {name: self._view(token, name, view, sizes[name]) for name, view in found.items()}

    @cached_property
    def _pairs(self) -> Mapping[str, str]:
        return {token: pair.name for pair in self.twins for token in pair.tokens}

    def _rng(self, token: str, what: str) -> np.random.Generator:
        """Of one thing of a clip, the same for its twin."""
        about = (self._pairs.get(token, token), what)
        return np.random.default_rng([self._seed, *repr(about).encode()])

    def _window(self, token: str, camera: str) -> Window:
        return Window.draw(self._augment.zoom, self._rng(token, camera))

    def _sequence(self, token: str, sequence: CameraSequence, look: Look) -> CameraSequence:
        name = sequence.camera.name
        window = self._window(token, name)
        number = int(self._rng(token, f"noise of {name}").integers(2**31))
        frames = tuple(
            Frame(
                frame.stamp_us,
                frame.size_px,
                ReframedImage(frame.source, window, look, number + k),
                frame.now_from_then,
            )
            for k, frame in enumerate(sequence.frames)
        )
        return CameraSequence(window.camera(sequence.camera), frames)

    def _view(
        self, token: str, camera: str, view: DenseView, size_px: tuple[int, int]
    ) -> DenseView:
        window = self._window(token, camera)
        heads = tuple(window.head(head, size_px) for head in view.heads)
        return DenseView(window.of(view.mask), view.instances, window.of(view.depth_cm), heads)
