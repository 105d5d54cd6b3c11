"""Raw pictures: by ``ros2_numpy`` where it is there, else by the node's own converter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.images import TO_RGB, Pixels, RgbFromImage, rgb_of_image


def rgb_converter() -> RgbFromImage:
    """Turns a ``sensor_msgs/Image`` into pixels (H, W, 3), red first."""
    try:
        from ros2_numpy import numpify
    # It was written for an old numpy: beside a newer one, names are missing as it is imported.
    except (ImportError, AttributeError):
        return rgb_of_image
    return partial(rgb_by, numpify)


def rgb_by(numpify: Callable[[Message], Any], message: Message) -> Pixels:
    """The pixels as ``numpify`` reads them, in the order that the node wants.

    It cannot read padded rows: those, and what is no picture, are left to the node's own converter.
    """
    each, code = TO_RGB.get(str(message.encoding), (0, None))
    step, height = int(message.step), int(message.height)
    if not each or step != int(message.width) * each or len(message.data) != step * height:
        return rgb_of_image(message)
    pixels = np.ascontiguousarray(numpify(message), dtype=np.uint8)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
