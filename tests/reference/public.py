"""The public reference cases of the planning protocols, read once."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from conftest import reference

from drivevlm.metrics.cases import Cases
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.score import Scores
from drivevlm.metrics.surface import Paths
from drivevlm.world.truth import Truth
from reference.tables import truths


@lru_cache(maxsize=1)
def split() -> Any:
    """Of ``loader.Split``; the test is skipped where the cases are absent."""
    folder = reference("planning_metrics")
    sys.path.insert(0, str(folder))
    try:
        from loader import Split
    finally:
        sys.path.remove(str(folder))
    found = Split("public")
    found._g = dict(found._g)  # unpacked once, not at every access
    return found


@lru_cache(maxsize=1)
def public_truths() -> dict[str, Truth]:
    return truths(Path(split().dataroot) / "v1.0-mini")


@lru_cache(maxsize=4)
def public_cases(protocol: PlanningProtocol) -> Cases:
    return protocol.prepare(public_truths()[token] for token in split().tokens)


def predictions(tokens: tuple[str, ...], *, ego: bool = False) -> Paths:
    """The stored paths, with no heading of their own."""
    xy_m = np.array([split().pred(token)[int(ego)] for token in tokens], dtype=np.float64)
    return Paths(xy_m, np.zeros(xy_m.shape[:2]))


def public_scores(protocol: PlanningProtocol) -> Scores:
    """Of the stored paths, in the lidar's axes."""
    cases = public_cases(protocol)
    return protocol.judge_paths(cases, predictions(cases.tokens))


def expected(tokens: tuple[str, ...], protocol: str, field: str) -> np.ndarray:
    """(N, ...) what the peer's own code computed."""
    return np.array([split().expected(token, protocol)[field] for token in tokens])
