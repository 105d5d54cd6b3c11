"""An encoded image as a bad line leaves it."""

from __future__ import annotations

import random

HEAD = 16


def damaged(encoded: bytes, *, seed: int) -> bytes:
    """The bytes with the end cut off, the head overwritten, or some flipped; never the same."""
    draw, data = random.Random(seed), bytearray(encoded)
    if not data:
        return b"\0"
    kind = draw.randrange(3)
    if kind == 0:
        return bytes(data[: draw.randrange(len(data))])
    if kind == 1:
        count = min(HEAD, len(data))
        data[:count] = bytes(byte ^ 0xFF for byte in data[:count])
        return bytes(data)
    for place in draw.sample(range(len(data)), k=1 + len(data) // 1000):
        data[place] ^= 1 << draw.randrange(8)
    return bytes(data)
