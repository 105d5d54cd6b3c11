"""Pictures as another camera or another hour might have taken them; nothing in them moves.

Colours, noise, blur and compression change; left stays left and far stays far, so that every answer
stays true.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivevlm.train.config import Augment

Image = NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Look:
    """How all pictures of a clip are changed.

    Attributes:
        gain: (3,) what each colour is multiplied with.
        gamma: Of the brightness.
        noise: Its deviation, of 255.
        blur_px: Deviation of the blur.
        jpeg: Quality; None compresses nothing.
        seed: Of the noise.
    """

    gain: tuple[float, float, float]
    gamma: float
    noise: float
    blur_px: float
    jpeg: int | None
    seed: int

    @classmethod
    def draw(cls, config: Augment, rng: Rng) -> Look:
        """By the generator alone."""
        colour, light, noise, blur = rng.uniform(-1, 1, 3), *rng.uniform(-1, 1, 3)
        compressed = rng.random() < 0.5
        lowest = config.jpeg
        return cls(
            tuple((1 + config.colour * colour).tolist()),
            float((1 + config.light) ** light),
            config.noise * abs(float(noise)),
            config.blur_px * abs(float(blur)),
            int(rng.integers(lowest, 96)) if compressed and lowest < 95 else None,
            int(rng.integers(2**31)),
        )

    def apply(self, image_rgb: Image, number: int = 0) -> Image:
        """The changed picture, of the same size; ``number`` tells a clip's pictures apart."""
        scale = np.arange(256) / 255.0
        table = np.clip(scale**self.gamma * 255.0, 0, 255)
        changed = table[image_rgb] * np.array(self.gain)
        if self.blur_px > 0.1:
            changed = cv2.GaussianBlur(changed, (0, 0), self.blur_px)
        if self.noise > 0:
            rng = np.random.default_rng([self.seed, number])
            changed = changed + rng.normal(0.0, self.noise, changed.shape)
        whole: Image = np.clip(np.round(changed), 0, 255).astype(np.uint8)
        if self.jpeg is None:
            return whole
        encoded = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
