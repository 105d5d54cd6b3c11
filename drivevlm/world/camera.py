"""Cameras of any rig and the encoded images they took."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from drivevlm.world.pose import Floats, Pose3

NEAREST_DEPTH_M = 0.1
"""Points nearer to the image plane than this are not projected."""


class FrameError(Exception):
    """An image is missing, truncated, or not of the declared size."""


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """One camera of a rig.

    Attributes:
        name: As the recording calls it, e.g. ``CAM_FRONT``.
        size_px: Width and height of its images.
        intrinsics: (3, 3) pinhole matrix in pixels of ``size_px``; None where uncalibrated.
        ego_from_camera: The optical frame (x right, y down, z ahead); None where uncalibrated.
    """

    name: str
    size_px: tuple[int, int]
    intrinsics: Floats | None = None
    ego_from_camera: Pose3 | None = None

    def __post_init__(self) -> None:
        if min(self.size_px) < 1:
            raise ValueError(f"camera {self.name!r}: size_px must be positive, got {self.size_px}")
        k = self.intrinsics
        if k is not None and (k.shape != (3, 3) or not np.isfinite(k).all()):
            raise ValueError(f"camera {self.name!r}: intrinsics must be a finite (3, 3) matrix")

    def project(self, xyz_camera_m: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Pixels (N, 2) of points (N, 3) in the optical frame, and which lie before the lens.

        Pixels of points that do not lie before the lens are NaN.
        """
        if self.intrinsics is None:
            raise ValueError(f"camera {self.name!r} has no intrinsics to project with")
        ahead = xyz_camera_m[:, 2] > NEAREST_DEPTH_M
        pixels = np.full((len(xyz_camera_m), 2), np.nan)
        uvw = xyz_camera_m[ahead] @ self.intrinsics.T
        pixels[ahead] = uvw[:, :2] / uvw[:, 2:]
        return pixels, ahead


class Stored(Protocol):
    """An encoded image that lies somewhere: a path, or a place within a larger file."""

    def read_bytes(self) -> bytes:
        """The original bytes. Raises OSError where they cannot be read."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One encoded image (JPEG or PNG), read on first use.

    It holds a path or the bytes themselves, so it can be pickled, sent to a worker and replayed as
    the original file. ``loaded()`` gives one that needs no file any more.

    Attributes:
        stamp_us: When the image was taken.
        size_px: Declared width and height.
        source: Where it lies, or its bytes.
        now_from_then: The ego frame at ``stamp_us`` seen from the ego frame of decision time;
            None where poses are unknown.
    """

    stamp_us: int
    size_px: tuple[int, int]
    source: Path | Stored | bytes
    now_from_then: Pose3 | None = None

    def __getstate__(self) -> dict[str, object]:
        names = ("stamp_us", "size_px", "source", "now_from_then")
        return {name: self.__dict__[name] for name in names}

    @cached_property
    def encoded(self) -> bytes:
        """The original bytes. Raises FrameError where the file cannot be read."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            return self.source.read_bytes()
        except OSError as error:
            raise FrameError(f"{self.source}: cannot read the image ({error.strerror})") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the encoded bytes, hexadecimal."""
        return hashlib.sha256(self.encoded).hexdigest()

    def loaded(self) -> Frame:
        """The same frame, carrying its bytes."""
        return Frame(self.stamp_us, self.size_px, self.encoded, self.now_from_then)

    def decode(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB. Raises FrameError where missing, truncated or of another size."""
        where = "an image in memory" if isinstance(self.source, bytes) else self.source
        try:
            with Image.open(io.BytesIO(self.encoded)) as image:
                rgb = np.asarray(image.convert("RGB"))
        except (
            OSError,
            UnidentifiedImageError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ) as error:
            raise FrameError(
                f"{where}: expected a whole JPEG or PNG, got {len(self.encoded)} bytes ({error})"
            ) from error
        if rgb.shape[1::-1] != self.size_px:
            raise FrameError(f"{where}: expected {self.size_px} pixels, got {rgb.shape[1::-1]}")
        return rgb


@dataclass(frozen=True, slots=True, eq=False)
class CameraSequence:
    """What one camera saw: oldest first, newest last. It may hold fewer frames than were wanted."""

    camera: Camera
    frames: tuple[Frame, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError(f"camera {self.camera.name!r}: a sequence holds at least one frame")
        stamps = [frame.stamp_us for frame in self.frames]
        if sorted(set(stamps)) != stamps:
            raise ValueError(f"camera {self.camera.name!r}: stamps must increase, got {stamps}")
        wrong = [f.size_px for f in self.frames if f.size_px != self.camera.size_px]
        if wrong:
            raise ValueError(
                f"camera {self.camera.name!r} takes {self.camera.size_px}, a frame has {wrong[0]}"
            )
