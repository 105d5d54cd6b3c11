"""Map polygons near the ego, from the nuScenes map expansion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from shapely import Polygon, STRtree, box, make_valid

from drivevlm.world.pose import Floats

LAYERS = ("drivable_area", "road_segment", "lane")
NEAR_M = 75.0
"""Polygons that touch the square of this half side are near."""


@dataclass(slots=True)
class Maps:
    """Loads a location's map on first use."""

    root: Path
    _trees: dict[str, dict[str, STRtree]] = field(default_factory=dict)

    def near(self, location: str, center_global_m: Floats) -> Mapping[str, tuple[Polygon, ...]]:
        """By layer, the whole polygons near a point (2,); empty without a map expansion."""
        if location not in self._trees:
            self._trees[location] = _load(self.root, location)
        x, y = (float(v) for v in center_global_m)
        window = box(x - NEAR_M, y - NEAR_M, x + NEAR_M, y + NEAR_M)
        found = {}
        for layer, tree in self._trees[location].items():
            hits = np.sort(tree.query(window, predicate="intersects"))
            found[layer] = tuple(tree.geometries[hits])
        return found


def _load(root: Path, location: str) -> dict[str, STRtree]:
    if not (root / "maps" / "expansion" / f"{location}.json").exists():
        return {}
    from nuscenes.map_expansion.map_api import NuScenesMap

    api = NuScenesMap(dataroot=str(root), map_name=location)
    trees = {}
    for layer in LAYERS:
        polygons = []
        for record in getattr(api, layer):
            tokens = (
                record["polygon_tokens"]
                if "polygon_tokens" in record
                else [record["polygon_token"]]
            )
            polygons += [api.extract_polygon(token) for token in tokens]
        trees[layer] = STRtree([part for polygon in polygons for part in _valid(polygon)])
    return trees


def _valid(polygon: Polygon) -> list[Polygon]:
    """The polygon, or its valid parts where rounding made it cross itself."""
    if polygon.is_valid:
        return [polygon]
    parts = getattr(make_valid(polygon), "geoms", [])
    return [part for part in parts if isinstance(part, Polygon)]
