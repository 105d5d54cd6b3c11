"""Where bodies and points lie along and beside a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import Track
from drivevlm_sim.traffic.roads import Lane

# K: points. N: vehicles.


class Middle:
    """The middle of a way, and how far one has driven at each of its points.

    It is measured as it lies: to SUMO all lanes of a road are equally long, in a bend too.

    Attributes:
        line: Through the middles of the way's lanes, also from where one ends aside to the next.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        points = np.concatenate([lane.centre_m for lane in lanes])
        apart_m = np.hypot(*np.diff(points, axis=0).T)
        ends = np.cumsum([len(lane.centre_m) for lane in lanes]) - 1
        driven_m = apart_m.copy()
        driven_m[ends[:-1]] = 0.0  # nobody drives straight aside
        kept = np.append(apart_m > 1e-6, True)  # shapely dislikes equal points
        self.line = shapely.LineString(points[kept])
        shapely.prepare(self.line)
        self._xy_m = points[kept]
        self._at_m, self._driven_m = (
            np.append(0.0, np.cumsum(steps_m))[kept] for steps_m in (apart_m, driven_m)
        )
        self._stretch = float(driven_m[: ends[0]].sum()) / lanes[0].length_m
        self._strips: dict[float, Polygon] = {}

    def front_m(self, lane_m: float) -> float:
        """How far one has driven at a place of the first lane that is given in SUMO's metres."""
        return lane_m * self._stretch

    def xy_m(self, driven_m: float) -> Floats:
        """Where one has driven so far: (2,)."""
        return np.array([np.interp(driven_m, self._driven_m, axis) for axis in self._xy_m.T])

    def driven_m(self, xy_m: Floats) -> Floats:
        """How far one has driven at the points of the middle that are nearest to (K, 2): (K,)."""
        at_m = shapely.line_locate_point(self.line, shapely.points(xy_m))
        driven_m: Floats = np.interp(at_m, self._at_m, self._driven_m)
        return driven_m

    def meets_m(self, body: Polygon, *within_m: float) -> float:
        """How far one has driven to where a body first comes so near to the middle.

        Where it never does, the next distance counts; after the last, where the body begins.
        """
        for near_m in within_m:
            if near_m not in self._strips:
                self._strips[near_m] = self.line.buffer(near_m)
            reached = shapely.get_coordinates(shapely.intersection(self._strips[near_m], body))
            if len(reached):
                return float(self.driven_m(reached).min())
        return float(self.driven_m(shapely.get_coordinates(body)).min())


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """Vehicles of one moment, seen from above.

    Attributes:
        names: N.
        middles_m: (N, 2).
        halves_m: (N, 2) from there to the middle of the front bumper.
        lines: (N,) from the tails to the fronts.
        outlines: (N,) boxes.
    """

    names: tuple[str, ...]
    middles_m: Floats
    halves_m: Floats
    lines: NDArray[np.object_]
    outlines: NDArray[np.object_]

    @classmethod
    def there(cls, tracks: Iterable[Track], step: int) -> Bodies:
        """Those of the tracks that are there in a step."""
        here = [(track, row) for track in tracks if (row := track.at(step)) is not None]
        sizes_m = [(SIZES[track.body].length_m, SIZES[track.body].width_m) for track, _ in here]
        half_m, half_width_m = np.array(sizes_m).reshape(-1, 2).T / 2
        yaw_rad = np.array([track.yaw_rad[row] for track, row in here])
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        middles_m = np.array([track.xy_m[row] for track, row in here]).reshape(-1, 2)
        halves_m = np.stack([half_m * cos, half_m * sin], axis=1)
        left_m = np.stack([-half_width_m * sin, half_width_m * cos], axis=1)
        sides = (halves_m + left_m, halves_m - left_m, -halves_m - left_m, left_m - halves_m)
        return cls(
            names=tuple(track.name for track, _ in here),
            middles_m=middles_m,
            halves_m=halves_m,
            lines=shapely.linestrings(np.stack([middles_m - halves_m, middles_m + halves_m], 1)),
            outlines=shapely.polygons(np.stack([middles_m + side for side in sides], axis=1)),
        )


def left_m(line_m: Floats, xy_m: Floats) -> Floats:
    """How far (K, 2) points lie to the left of a line: (K,)."""
    start, step = line_m[:-1], np.diff(line_m, axis=0)
    length2 = np.maximum((step**2).sum(axis=1), 1e-12)
    off = xy_m[:, None] - start
    share = np.clip((off * step).sum(axis=2) / length2, 0, 1)
    away = off - share[..., None] * step
    nearest = np.argmin((away**2).sum(axis=2), axis=1)
    along, off = step[nearest], off[np.arange(len(xy_m)), nearest]
    left_m: Floats = (along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]) / np.sqrt(length2[nearest])
    return left_m
