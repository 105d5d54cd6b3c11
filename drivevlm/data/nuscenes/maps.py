"""Map polygons near the ego, from the JSON files of the nuScenes map expansion.

The devkit's map class takes only the four official towns and parses lanes nobody asks for here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from shapely import Polygon, STRtree, box, make_valid

from drivevlm.data.nuscenes.folder import map_file, read_json
from drivevlm.data.recording import DataError
from drivevlm.world.pose import Floats

LAYERS = ("drivable_area", "road_segment", "lane")
NEAR_M = 75.0
"""Polygons that touch the square of this half side are near: it holds the peers' 100 m grid in
any rotation, and 3 s at 25 m/s."""


@dataclass(slots=True)
class Maps:
    """Loads a location's map on first use."""

    root: Path
    _trees: dict[str, dict[str, STRtree]] = field(default_factory=dict)

    def near(self, location: str, center_global_m: Floats) -> Mapping[str, tuple[Polygon, ...]]:
        """By layer, the whole polygons near a point (2,); empty without a map expansion."""
        if location not in self._trees:
            self._trees[location] = _load(map_file(self.root, location))
        x, y = (float(v) for v in center_global_m)
        window = box(x - NEAR_M, y - NEAR_M, x + NEAR_M, y + NEAR_M)
        found = {}
        for layer, tree in self._trees[location].items():
            hits = np.sort(tree.query(window, predicate="intersects"))
            found[layer] = tuple(tree.geometries[hits])
        return found


def _load(path: Path) -> dict[str, STRtree]:
    if not path.is_file():
        return {}
    tables = read_json(path)
    try:
        node = {record["token"]: (record["x"], record["y"]) for record in tables["node"]}
        outline = {record["token"]: record for record in tables["polygon"]}
        return {
            layer: STRtree(
                [
                    part
                    for record in tables[layer]
                    for token in _polygon_tokens(record)
                    for part in _valid(_polygon(outline[token], node))
                ]
            )
            for layer in LAYERS
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a map expansion of nuScenes ({type(error).__name__}: {error}): "
            "unpack the map expansion (v1.3) again"
        ) from error


def _polygon_tokens(record: Mapping[str, Any]) -> list[str]:
    """A drivable area lists many polygons, other layers name one."""
    return list(
        record["polygon_tokens"] if "polygon_tokens" in record else [record["polygon_token"]]
    )


def _polygon(record: Mapping[str, Any], node: Mapping[str, tuple[float, float]]) -> Polygon:
    holes = [hole["node_tokens"] for hole in record["holes"] if len(hole["node_tokens"]) > 2]
    return Polygon(
        [node[token] for token in record["exterior_node_tokens"]],
        [[node[token] for token in hole] for hole in holes],
    )


def _valid(polygon: Polygon) -> list[Polygon]:
    """The polygon, or its valid parts where rounding made it cross itself."""
    if polygon.is_valid:
        return [polygon]
    fixed = make_valid(polygon)
    parts = getattr(fixed, "geoms", [fixed])
    flat = [piece for part in parts for piece in getattr(part, "geoms", [part])]
    return [piece for piece in flat if isinstance(piece, Polygon)]
