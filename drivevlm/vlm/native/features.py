"""What the encoder made of images, kept: a picture that comes again is not encoded again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Encode = Callable[[Sequence[Tensor]], list[Tensor]]
"""(C, h, w) features of each image (3, H, W)."""
_DIGEST_BYTES = 16


def picture_digest(image_rgb: NDArray[np.uint8]) -> str:
    """32 hexadecimal digits over the size and the pixels of an image (H, W, 3)."""
    blake = hashlib.blake2b(repr(image_rgb.shape).encode(), digest_size=_DIGEST_BYTES)
    blake.update(np.ascontiguousarray(image_rgb).data)
    return blake.hexdigest()


class FeatureCache:
    """The features of the images that were asked for last. For one thread: nothing is locked.

    Args:
        encode: Makes them.
        most: How many are kept; 0 keeps none.
    """

    def __init__(self, encode: Encode, *, most: int) -> None:
        self._encode = encode
        self._most = most
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, digests: Sequence[str], pixels: Sequence[Tensor]) -> list[Tensor]:
        """Features of each image; those that are not kept are encoded in one call."""
        new = {d: p for d, p in zip(digests, pixels, strict=True) if d not in self._kept}
        if new:
            made = self._encode(list(new.values()))
            self._kept.update(zip(new, made, strict=True))
        found = [self._kept[digest] for digest in digests]
        for digest in digests:
            self._kept.move_to_end(digest)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found
