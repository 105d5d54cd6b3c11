"""What differs between the pictures of both sides of a pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from drivevlm_sim.check.disk import Rectangle
from drivevlm_sim.check.findings import Finding, Rule
from drivevlm_sim.check.pair import NOW, Pair
from drivevlm_sim.twins.rules import SEEN_PIXELS

PICTURED = (-2, -1, 0)
"""Keyframes from t0 that have pictures."""
LOOKS_DIFFERENT = 24
"""Of 255: what JPEG alone does to a pixel is less."""
SAME_NOISE_SHARE = 0.5
"""With noise of its own, a picture would differ nearly everywhere."""
ROUND_PX = 3.0
"""A box is projected to within this."""

DIFFERENT_RULE = Rule(
    "twin_pictures_differ", "pixels that differ in the cause's camera at t0", "px", SEEN_PIXELS
)
WHERE_RULE = Rule(
    "twin_cause_seen", "of these, within the cause's projected box", "px", SEEN_PIXELS
)
NOISE_RULE = Rule(
    "twin_noise_shared",
    "share of any picture that differs, as much brighter as darker",
    most=SAME_NOISE_SHARE,
)
MISSING_RULE = Rule("twin_pictures", "pictures missing at t0 and the two keyframes before", most=0)


@dataclass(frozen=True, slots=True)
class Differences:
    """Of a pair's pictures.

    Attributes:
        missing: Pictures that are not on disk, or are not two of one size.
        pixels: That look different in the cause's camera at t0.
        inside: Of these, those in the cause's box; None of a signal.
        noisy: Greatest share of a picture's pixels that differ at all and as noise does, half of
            them brighter and half darker; a cause's headlamps may light all that a camera sees.
        compared, identical: Pictures of both sides, and how many are the same bytes.
    """

    missing: int
    pixels: int
    inside: int | None
    noisy: float
    compared: int
    identical: int


def differences(pair: Pair) -> Differences:
    """Read both sides' pictures."""
    missing = compared = identical = pixels = 0
    noisy = 0.0
    inside: int | None = None if pair.line.cause.signal else 0
    for k in PICTURED:
        for camera in pair.disk.cameras:
            paths = [_picture(pair, side, camera, k) for side in range(2)]
            missing += sum(path is None for path in paths)
            if paths[0] is None or paths[1] is None:
                continue
            compared += 1
            if paths[0].read_bytes() == paths[1].read_bytes():
                identical += 1
                continue
            one, other = (cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths)
            if one is None or other is None or one.shape != other.shape:
                missing += 1
                continue
            apart = cv2.absdiff(one, other).max(axis=2)
            noisy = max(noisy, _as_noise(one, other))
            if k == NOW and camera == pair.line.cause.camera:
                different = apart > LOOKS_DIFFERENT
                pixels = int(different.sum())
                if inside is not None:
                    inside = int((different & _within(pair.cause_px(camera), different)).sum())
    return Differences(missing, pixels, inside, noisy, compared, identical)


def picture_findings(found: Mapping[str, Differences]) -> list[Finding]:
    """All rules of pictures."""
    return [
        Finding.of(MISSING_RULE, {name: float(one.missing) for name, one in found.items()}),
        Finding.of(DIFFERENT_RULE, {name: float(one.pixels) for name, one in found.items()}),
        Finding.of(WHERE_RULE, {name: _float(one.inside) for name, one in found.items()}),
        Finding.of(NOISE_RULE, {name: one.noisy for name, one in found.items()}),
    ]


def _as_noise(one: MatLike, other: MatLike) -> float:
    """Twice the smaller of the shares of pixels that are brighter and that are darker."""
    brighter = one.sum(axis=2, dtype=np.int64) - other.sum(axis=2, dtype=np.int64)
    return 2 * min(float((brighter > 0).mean()), float((brighter < 0).mean()))


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _picture(pair: Pair, side: int, camera: str, k: int) -> Path | None:
    sample = pair.samples[side].get(k)
    path = None if sample is None else pair.disk.picture(camera, sample)
    return path if path is not None and path.is_file() else None


def _within(rectangles: list[Rectangle], like: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where any of the rectangles lies, a little widened."""
    mask = np.zeros(like.shape, dtype=bool)
    for left, top, right, bottom in rectangles:
        rows = slice(max(int(top - ROUND_PX), 0), int(np.ceil(bottom + ROUND_PX)))
        mask[rows, max(int(left - ROUND_PX), 0) : int(np.ceil(right + ROUND_PX))] = True
    return mask
