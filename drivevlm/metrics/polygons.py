"""Surfaces made of exact polygons: other road users that are hit, and an area that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from drivevlm.metrics.footprints import Footprints, joined
from drivevlm.metrics.raster import Bools, Ints, spread
from drivevlm.metrics.surface import Arrays, EgoBox, Paths
from drivevlm.world.truth import Truth

# N: clips, T: steps, M: rectangles of all clips and steps together.

SLACK_M = 1e-6
"""What is nearer than two outlines' half diagonals together, and this, is looked at closely."""


def ego_footprints(paths: Paths, ego: EgoBox) -> Footprints:
    """The ego's outline at each of the N * T steps, clip by clip; its centre ahead of the point.

    A step whose place or heading is not known gives a rectangle of NaN.
    """
    yaw_rad = paths.yaw_rad.reshape(-1)
    ahead_m = ego.ahead_m * np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=-1)
    size_lw_m = np.broadcast_to([ego.length_m, ego.width_m], (len(yaw_rad), 2))
    step = np.tile(np.arange(paths.yaw_rad.shape[1]), len(paths))
    return Footprints(step, paths.xy_m.reshape(-1, 2) + ahead_m, yaw_rad, size_lw_m)


def only(footprints: Footprints, rows: Ints) -> Footprints:
    """Some of the rectangles."""
    f = footprints
    return Footprints(f.step[rows], f.center_m[rows], f.yaw_rad[rows], f.size_lw_m[rows])


def outlines(footprints: Footprints, rows: Ints) -> NDArray[np.object_]:
    """(len(rows),) some of the rectangles as shapely polygons."""
    return np.asarray(shapely.polygons(only(footprints, rows).corners_m()), dtype=object)


@dataclass(frozen=True, slots=True)
class PolygonSurface:
    """Rectangles on the ground that the ego's rectangle may meet. To touch counts.

    Attributes:
        agents: Whom a clip's ego may hit, in the protocol's axes of decision time.
        ego: The ego's outline.
    """

    agents: Callable[[Truth], Footprints]
    ego: EgoBox

    def prepare(self, truth: Truth) -> Footprints:
        """One clip's rectangles."""
        return self.agents(truth)

    def join(self, parts: Sequence[Footprints]) -> PolygonLayer:
        """The layer of as many clips."""
        return PolygonLayer(
            self.ego, np.cumsum([0, *(len(part.step) for part in parts)]), joined(list(parts))
        )

    def load(self, arrays: Arrays) -> PolygonLayer:
        """A layer from its plain arrays."""
        names = ("step", "center_m", "yaw_rad", "size_lw_m")
        return PolygonLayer(self.ego, arrays["ends"], Footprints(*(arrays[k] for k in names)))


@dataclass(frozen=True, slots=True, eq=False)
class PolygonLayer:
    """Rectangles of N clips.

    Attributes:
        ego: The ego's outline.
        ends: (N + 1,) where each clip's rectangles begin and end.
        users: M rectangles.
    """

    ego: EgoBox
    ends: Ints
    users: Footprints

    def touched(self, paths: Paths) -> Bools:
        """(N, T) whether the ego's rectangle and another one have a point in common."""
        users, (clips, steps) = self.users, paths.yaw_rad.shape
        if len(users.step) and users.step.max() >= steps:
            raise ValueError(f"road users of {users.step.max() + 1} steps, paths of {steps}")
        egos = ego_footprints(paths, self.ego)
        under = np.repeat(np.arange(clips), np.diff(self.ends)) * steps + users.step
        diagonals_m = np.hypot(*users.size_lw_m.T) + np.hypot(self.ego.length_m, self.ego.width_m)
        apart_m = np.hypot(*(users.center_m - egos.center_m[under]).T)
        # Never true where the ego's place is not known.
        near = np.flatnonzero(apart_m <= diagonals_m / 2 + SLACK_M)
        meets = shapely.intersects(outlines(egos, under[near]), outlines(users, near))
        touched = np.zeros(clips * steps, dtype=np.bool_)
        touched[under[near[meets]]] = True
        return touched.reshape(clips, steps)

    def take(self, rows: Ints) -> PolygonLayer:
        """The layer of some of the clips."""
        counts = np.diff(self.ends)[rows]
        owner, within = spread(counts)
        kept = only(self.users, self.ends[rows][owner] + within)
        return PolygonLayer(self.ego, np.cumsum([0, *counts]), kept)

    def arrays(self) -> Arrays:
        """All of it as plain arrays."""
        return {
            "ends": self.ends,
            "step": self.users.step,
            "center_m": self.users.center_m,
            "yaw_rad": self.users.yaw_rad,
            "size_lw_m": self.users.size_lw_m,
        }


@dataclass(frozen=True, slots=True)
class AreaSurface:
    """An area that the ego must not leave: it touches where some of its rectangle lies outside.

    The border belongs to the area.

    Attributes:
        area: A clip's area, in the protocol's axes of decision time, the same at all steps.
        ego: The ego's outline.
    """

    area: Callable[[Truth], shapely.Geometry]
    ego: EgoBox

    def prepare(self, truth: Truth) -> bytes:
        """One clip's area, as well-known binary."""
        return shapely.to_wkb(self.area(truth))

    def join(self, parts: Sequence[bytes]) -> AreaLayer:
        """The layer of as many clips."""
        return AreaLayer(self.ego, _ready(parts))

    def load(self, arrays: Arrays) -> AreaLayer:
        """A layer from its plain arrays."""
        blob, ends = arrays["wkb"].tobytes(), arrays["ends"]
        return self.join([blob[a:b] for a, b in pairwise(ends)])


def _ready(parts: Sequence[bytes]) -> NDArray[np.object_]:
    """(N,) areas, indexed so that many outlines can be held against each."""
    areas = np.asarray(shapely.from_wkb(np.array(parts, dtype=object)), dtype=object)
    shapely.prepare(areas)
    return areas


@dataclass(frozen=True, slots=True, eq=False)
class AreaLayer:
    """Areas of N clips.

    Attributes:
        ego: The ego's outline.
        areas: (N,) shapely geometries.
    """

    ego: EgoBox
    areas: NDArray[np.object_]

    def touched(self, paths: Paths) -> Bools:
        """(N, T) whether some of the ego lies outside; not where its place is not known."""
        shape = paths.yaw_rad.shape
        known = np.isfinite(paths.xy_m).all(axis=-1) & np.isfinite(paths.yaw_rad)
        egos = outlines(ego_footprints(paths, self.ego), np.flatnonzero(known))
        outside = np.zeros(shape, dtype=np.bool_)
        outside[known] = ~shapely.covers(self.areas[np.nonzero(known)[0]], egos)
        return outside

    def take(self, rows: Ints) -> AreaLayer:
        """The layer of some of the clips."""
        return AreaLayer(self.ego, self.areas[rows])

    def arrays(self) -> Arrays:
        """All of it as plain arrays: the areas' well-known binary, and (N + 1,) its ends."""
        parts = list(shapely.to_wkb(self.areas))
        ends = np.cumsum([0, *map(len, parts)])
        return {"wkb": np.frombuffer(b"".join(parts), np.uint8), "ends": ends}
