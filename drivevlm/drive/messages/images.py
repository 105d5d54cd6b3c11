"""Pictures as they are stored: JPEG and PNG as they came, raw pixels as PPM: no time is lost."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.fields import BadMessageError

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
RgbFromImage = Callable[[Message], Pixels]

TO_RGB: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
"""Bytes of a pixel, and how OpenCV makes it red, green and blue."""
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def encoded_of_compressed(message: Message) -> bytes:
    """The JPEG or PNG of a ``sensor_msgs/CompressedImage``, byte for byte."""
    encoded = bytes(message.data)
    if not encoded.startswith(BEGINNINGS):
        raise BadMessageError(
            f"data: expected a JPEG or PNG, got {len(encoded)} bytes of format {message.format!r} "
            f"that begin with {encoded[:8]!r}"
        )
    return encoded


def rgb_of_image(message: Message) -> Pixels:
    """The pixels of a ``sensor_msgs/Image`` of one byte per channel, in which no byte order counts.

    Rows may be padded; transparency is left out.
    """
    encoding, width, height = str(message.encoding), int(message.width), int(message.height)
    if encoding not in TO_RGB:
        raise BadMessageError(
            f"encoding: expected one of {', '.join(TO_RGB)}, got {encoding!r}: convert it, or "
            "publish a compressed image (parameter camera.transport)"
        )
    (each, code), step = TO_RGB[encoding], int(message.step)
    if min(width, height) < 1 or step < width * each:
        raise BadMessageError(
            f"step: expected at least {each} bytes for each of {width} x {height} pixels, got "
            f"rows of {step} bytes"
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if len(data) < step * height:
        raise BadMessageError(
            f"data: expected {height} rows of {step} bytes = {step * height}, got {len(data)}"
        )
    rows = data[: step * height].reshape(height, step)
    pixels = rows[:, : width * each].reshape(height, width, each)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)


def ppm_of(rgb: Pixels) -> bytes:
    """Pixels (H, W, 3) as an image file without compression, which ``Frame.decode`` reads."""
    height, width = rgb.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + rgb.tobytes()


def size_px_of(encoded: bytes) -> tuple[int, int]:
    """Width and height of an encoded image, from its first bytes."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.size
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise BadMessageError(f"data: expected a whole image, got {error}") from error
