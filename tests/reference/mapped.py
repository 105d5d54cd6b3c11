"""Truths with map polygons, read by our own reader: of the public reference cases and of roads."""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from conftest import reference

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.world.truth import Truth
from reference.public import split


def read(root: Path) -> dict[str, Truth]:
    with tempfile.TemporaryDirectory() as cache:
        recording = NuScenesRecording(NuScenesConfig(root=str(root), cache=cache))
        tokens = [token for scene in recording.scenes() for token in scene.tokens]
        return {token: recording.with_map(recording.truth(token)) for token in tokens}


@lru_cache(maxsize=1)
def public() -> dict[str, Truth]:
    return read(Path(split().dataroot))


@lru_cache(maxsize=1)
def mini() -> dict[str, Truth]:
    return read(reference("nuscenes_mini_real"))


@lru_cache(maxsize=2)
def public_cases(protocol: PlanningProtocol) -> Cases:
    return protocol.prepare(public()[token] for token in split().tokens)


def checksum(grid: np.ndarray) -> int:
    return zlib.crc32(np.packbits(grid.astype(bool).ravel()).tobytes())


def strip(left_m: float, right_m: float, *, ahead_m: float = 200.0) -> shapely.Polygon:
    """A straight piece of map along x, up to ``ahead_m``."""
    return shapely.box(-200.0, right_m, ahead_m, left_m)


def on_map(truth: Truth, **layers: shapely.Polygon) -> Truth:
    """The truth on a map of one polygon a layer, or none."""
    names = ("drivable_area", "road_segment", "lane")
    given = {name: (layers[name],) if name in layers else () for name in names}
    return replace(truth, map_polygons=given)
