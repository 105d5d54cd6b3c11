"""The navigation route of a scene, from the CAN bus expansion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from drivevlm.data.recording import DataError
from drivevlm.world.pose import Floats


def read_route(root: Path, scene: str) -> Floats | None:
    """(N, 2) the planned way in the global frame; None where a scene has none.

    It is where the operators wanted to go, not where the ego went. Raises DataError in one line.
    """
    path = root / "can_bus" / f"{scene}_route.json"
    if not path.is_file():
        return None
    try:
        route = np.array(json.loads(path.read_text(encoding="utf-8")), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not the route of a scene ({error})") from error
    if route.ndim != 2 or route.shape[1] != 2 or not np.isfinite(route).all():
        raise DataError(f"{path}: a route is a list of [x, y], got an array {route.shape}")
    return route if len(route) > 1 else None
