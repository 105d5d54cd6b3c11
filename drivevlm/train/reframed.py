"""A recording as other cameras might have filmed it: a window of each picture, in other colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from drivevlm.data.dense import DenseView, Pixels, SignalHead
from drivevlm.data.derived import ChangedImage, Derived, Rgb
from drivevlm.data.recording import Recording
from drivevlm.train.augment import Look
from drivevlm.train.config import Augment
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats


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
class ReframedImage(ChangedImage):
    """A stored image through a window and in another look."""

    window: Window
    look: Look
    number: int

    def changed(self, rgb: Rgb) -> Rgb:
        """The window, as large as the picture was, in the look."""
        size_px = (rgb.shape[1], rgb.shape[0])
        seen = cv2.warpAffine(
            rgb, self.window.pixels_from(size_px)[:2], size_px, borderMode=cv2.BORDER_REPLICATE
        )
        return self.look.apply(np.asarray(seen, dtype=np.uint8), self.number)


class Reframed(Derived):
    """Another recording's clips and truths, with its tokens; every camera has a window of its own.

    Both sides of a pair have the same windows and colours. What a label calls visible may lie
    beyond a window's edge.

    Args:
        recording: What was recorded.
        augment: How far windows and colours may go.
        seed: Of what is drawn.
    """

    def __init__(self, recording: Recording, augment: Augment, seed: int) -> None:
        super().__init__(recording, "reframed", seed, asdict(augment))
        self._augment, self._seed = augment, seed

    def clip(self, token: str) -> Clip:
        """What a planner may know, through the windows."""
        clip = self._recording.clip(token)
        look = Look.draw(self._augment, self._rng(token, "look"))
        cameras = tuple(self._sequence(token, sequence, look) for sequence in clip.cameras)
        return replace(clip, cameras=cameras)

    def dense(self, token: str) -> Mapping[str, DenseView]:
        """Truth per pixel by camera, where the recording has it."""
        sizes = {s.camera.name: s.camera.size_px for s in self._recording.clip(token).cameras}
        return {
            name: self._view(token, name, view, sizes[name])
            for name, view in super().dense(token).items()
            if name in sizes  # not of a camera that dropped out
        }

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
