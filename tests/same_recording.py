"""Holds two recordings against each other, field by field, whatever fields there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from drivevlm.data.recording import Recording
from drivevlm.world.camera import Frame, FrameError


def tokens_of(recording: Recording) -> list[str]:
    return [token for scene in recording.scenes() for token in scene.tokens]


def difference(a: Any, b: Any, name: str = "") -> str:
    """Where two values differ first; "" where they are equal to the last bit."""
    if isinstance(a, Frame) and isinstance(b, Frame):
        pairs = [(key, getattr(a, key), getattr(b, key)) for key in ("stamp_us", "size_px")]
        pairs += [("now_from_then", a.now_from_then, b.now_from_then)]
        pairs += [("encoded", bytes_of(a), bytes_of(b))]
    elif type(a) is not type(b):
        return f"{name}: {type(a)} and {type(b)}"
    elif is_dataclass(a):
        pairs = [(f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    elif isinstance(a, Mapping):
        if list(a) != list(b):
            return f"{name}: {list(a)} and {list(b)}"
        pairs = [(str(key), a[key], b[key]) for key in a]
    elif isinstance(a, (tuple, list)):
        if len(a) != len(b):
            return f"{name}: {len(a)} and {len(b)}"
        pairs = [(str(k), *both) for k, both in enumerate(zip(a, b, strict=True))]
    elif isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        return "" if same else f"{name}: {a} and {b}"
    elif hasattr(a, "wkb"):
        return "" if a.wkb == b.wkb else f"{name}: {a} and {b}"
    else:
        return "" if a == b else f"{name}: {a!r} and {b!r}"
    found = (difference(mine, yours, f"{name}.{key}") for key, mine, yours in pairs)
    return next((words for words in found if words), "")


def bytes_of(frame: Frame) -> bytes | None:
    """What a frame holds; None where it cannot be read."""
    try:
        return frame.encoded
    except FrameError:
        return None


def assert_same(a: Recording, b: Recording) -> None:
    """All that the protocol of a recording tells."""
    about = ("name", "synthetic", "cameras", "most_proposals", "provenance")
    for key in about:
        mine, yours = getattr(a, key), getattr(b, key)
        assert (dict(mine) if key == "provenance" else mine) == (
            dict(yours) if key == "provenance" else yours
        ), key
    assert a.scenes() == b.scenes()
    assert getattr(a, "twins", ()) == getattr(b, "twins", ())
    for token in tokens_of(a):
        assert difference(a.clip(token), b.clip(token), "clip") == "", token
        mine, yours = a.truth(token), b.truth(token)
        assert difference(mine, yours, "truth") == "", token
        if mine is not None and yours is not None:
            assert difference(a.with_map(mine), b.with_map(yours), "map") == "", token
