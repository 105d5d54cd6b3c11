"""A tiny generated recording, made once for all tests that need pictures."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from drivevlm_sim.flat.make import FlatConfig, make_flat

CONFIG = FlatConfig(scenes=("straight", "lead_stops"), keyframes=9, size_px=(128, 72))


@cache
def flat_root() -> Path:
    """The data root; its version folder is ``v1.0-flat``."""
    return make_flat(Path(tempfile.gettempdir()) / "drivevlm-tests" / "flat-2x9", config=CONFIG)


def flat_words(*more: str) -> list[str]:
    """Command line words that read it."""
    return ["data=nuscenes", f"data.root={flat_root()}", "data.version=v1.0-flat", *more]
