"""The tree of frames that do not move against each other: how a sensor sits in the ego frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivevlm.world.pose import Pose3


@dataclass(frozen=True, slots=True, eq=False)
class StaticTransform:
    """One edge: a frame seen from its parent."""

    parent: str
    child: str
    parent_from_child: Pose3


class FrameTree:
    """Grows edge by edge, in any order; a newer edge replaces the older one of its child."""

    def __init__(self) -> None:
        self._above: dict[str, StaticTransform] = {}

    def add(self, edge: StaticTransform) -> None:
        """Hang a frame under its parent."""
        self._above[edge.child] = edge

    def between(self, *, target: str, source: str) -> Pose3 | None:
        """``target_from_source``; None where the edges known so far do not join them."""
        target_up = dict(self._upwards(target))
        for frame, frame_from_source in self._upwards(source):
            if frame in target_up:
                return target_up[frame].inverse() @ frame_from_source
        return None

    def _upwards(self, frame: str) -> Iterator[tuple[str, Pose3]]:
        """The frame and all above it, each with how it sees the frame."""
        start_seen, here = Pose3.identity(), frame
        for _ in range(len(self._above) + 1):  # edges in a circle end too
            yield here, start_seen
            edge = self._above.get(here)
            if edge is None:
                return
            here, start_seen = edge.parent, edge.parent_from_child @ start_seen
