"""What the lens and the sensor add to a picture: glare, rain, drops, exposure and noise."""

from __future__ import annotations

import zlib
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drivevlm_sim.render.weather import Look

# H, W: of the picture.
Rgb8 = NDArray[np.uint8]
"""(H, W, 3)."""
_BANK = 1 << 22
_EXPOSURE = 0.035
"""Standard deviation of the exposure, as a share."""


def through_lens(rgb: Rgb8, look: Look, seed: int, step: int, camera: str) -> Rgb8:
    """The picture as a sensor delivers it; the same seed, step and camera add the same."""
    rng = np.random.default_rng([seed, step, zlib.crc32(camera.encode())])
    if look.dark > 0:
        rgb = _glare(rgb, 0.5 * look.dark)
    if look.wet:
        rgb = _streaks(rgb, rng)
        # Drops stay on a lens for a second or two.
        rgb = _drops(rgb, np.random.default_rng([seed, step // 15, zlib.crc32(camera.encode())]))
    gain = 1.0 + _EXPOSURE * float(rng.standard_normal())
    table = np.clip(np.arange(256) * gain, 0, 255).astype(np.int16)
    start = int(rng.integers(0, _BANK - rgb.size)) if rgb.size < _BANK else 0
    noise = np.resize(_noise_bank()[start : start + rgb.size], rgb.size).reshape(rgb.shape)
    noisy = table[rgb] + (noise * np.float32(look.noise)).astype(np.int16)
    return np.asarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _glare(rgb: Rgb8, strength: float) -> Rgb8:
    """Bright lamps spill over; computed on a small picture."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    bright = np.clip(small.astype(np.float32) - 150, 0, None)
    near = cv2.GaussianBlur(bright, (0, 0), width / 448 * 1.2)
    far = cv2.GaussianBlur(bright, (0, 0), width / 448 * 4.0)
    spill = cv2.resize((near * 0.7 + far) * strength, (width, height))
    return np.asarray(np.clip(rgb + spill, 0, 255).astype(np.uint8))


def _streaks(rgb: Rgb8, rng: Generator) -> Rgb8:
    """Falling rain, as short pale lines."""
    streaks = _streak_layers((rgb.shape[1], rgb.shape[0]))[int(rng.integers(0, 6))]
    return np.asarray(cv2.add(rgb, cv2.cvtColor(streaks, cv2.COLOR_GRAY2RGB)))


@cache
def _streak_layers(size_px: tuple[int, int]) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    width, height = size_px
    scale = width / 448
    layers = []
    for _ in range(6):
        layer = np.zeros((height, width), dtype=np.uint8)
        for _ in range(150):
            x, y = rng.random(2) * (width, height)
            long = rng.uniform(5, 18) * scale
            a = round(x), round(y)
            b = round(x + long * rng.normal(0.08, 0.05)), round(y + long)
            thick = max(1, round(scale * 0.6))
            cv2.line(layer, a, b, (int(rng.integers(10, 30)),), thick, cv2.LINE_AA)
        layers.append(np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.5 * scale), dtype=np.uint8))
    return layers


def _drops(rgb: Rgb8, rng: Generator) -> Rgb8:
    """Each drop on the lens shows its surroundings upside down, blurred."""
    height, width = rgb.shape[:2]
    scale = width / 448
    wet = rgb.copy()
    for _ in range(int(rng.integers(5, 13))):
        x, y = rng.random(2) * (width, height)
        radius = float(np.clip(rng.gamma(2.2, 2.0), 2.0, 10.0)) * scale
        left, top = max(0, int(x - radius)), max(0, int(y - radius))
        right, bottom = min(width, int(x + radius) + 2), min(height, int(y + radius) + 2)
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
        away = np.hypot(columns - x, (rows - y) / 1.15) / radius
        turned_x = np.clip(x - (columns - x) * 3.0, 0, width - 1).astype(np.float32)
        turned_y = np.clip(y - (rows - y) * 3.0, 0, height - 1).astype(np.float32)
        turned = cv2.remap(rgb, turned_x, turned_y, cv2.INTER_LINEAR).astype(np.float32)
        inside = np.asarray(cv2.GaussianBlur(turned, (0, 0), max(0.8, radius * 0.15)))
        inside = inside * (1.08 - 0.35 * np.clip(away, 0, 1) ** 3)[..., None]
        cover = np.clip((1.0 - away) * 3.0, 0, 0.85)[..., None]
        patch = wet[top:bottom, left:right]
        patch[:] = np.clip(patch * (1 - cover) + inside * cover, 0, 255).astype(np.uint8)
    return wet


@cache
def _noise_bank() -> NDArray[np.float32]:
    """Normal numbers, drawn once: pictures take a part that begins anywhere."""
    return np.random.default_rng(3).standard_normal(_BANK, dtype=np.float32)
