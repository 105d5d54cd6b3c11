"""Planar curves of straight lines and circular arcs: what lanes and vehicles follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drivevlm.world.kinematics import arc
from drivevlm.world.pose import Floats, Pose2, wrap_rad

# N: sampled points.
STRAIGHT_RADPM = 1e-6
"""A curvature below this is a straight line."""


@dataclass(frozen=True, slots=True)
class Arc:
    """One piece of a curve.

    Attributes:
        start: Where it begins, heading along it.
        length_m: Positive.
        curvature_radpm: Positive turns left; 0 is straight.
    """

    start: Pose2
    length_m: float
    curvature_radpm: float

    @property
    def straight(self) -> bool:
        """Whether it does not turn."""
        return abs(self.curvature_radpm) < STRAIGHT_RADPM

    def pose_at(self, run_m: float) -> Pose2:
        """The pose after ``run_m`` along the piece."""
        origin = np.array([self.start.x_m, self.start.y_m])
        xy_m, yaw = arc(origin, self.start.yaw_rad, run_m, self.curvature_radpm)
        return Pose2(float(xy_m[0]), float(xy_m[1]), float(wrap_rad(yaw)))


@dataclass(frozen=True, slots=True)
class Curve:
    """Pieces that follow each other; beyond both ends it goes straight on.

    Attributes:
        arcs: At least one, each beginning where the one before ends.
    """

    arcs: tuple[Arc, ...]

    def __post_init__(self) -> None:
        if not self.arcs or min(piece.length_m for piece in self.arcs) <= 0:
            raise ValueError("a curve needs at least one piece, each of positive length")
        for before, after in zip(self.arcs[:-1], self.arcs[1:], strict=True):
            end = before.pose_at(before.length_m)
            gap_m = np.hypot(end.x_m - after.start.x_m, end.y_m - after.start.y_m)
            if gap_m > 1e-3:
                raise ValueError(f"the pieces of a curve must join, two are {gap_m:.3f} m apart")

    @classmethod
    def of(cls, start: Pose2, *pieces: tuple[float, float]) -> Curve:
        """From a start and (length, curvature) of each piece; pieces of no length are left out."""
        arcs = []
        for length_m, curvature_radpm in pieces:
            if length_m > 1e-9:
                arcs.append(Arc(start, length_m, curvature_radpm))
                start = arcs[-1].pose_at(length_m)
        return cls(tuple(arcs))

    @property
    def length_m(self) -> float:
        """From the first piece's start to the last one's end."""
        return sum(piece.length_m for piece in self.arcs)

    @property
    def end(self) -> Pose2:
        """Pose at the end of the last piece."""
        return self.arcs[-1].pose_at(self.arcs[-1].length_m)

    def pose_at(self, run_m: float) -> Pose2:
        """Pose after ``run_m``; negative before the start."""
        if run_m < 0:
            return self.arcs[0].start @ Pose2(run_m, 0.0, 0.0)
        for piece in self.arcs:
            if run_m <= piece.length_m:
                return piece.pose_at(run_m)
            run_m -= piece.length_m
        return self.end @ Pose2(run_m, 0.0, 0.0)

    def curvatures(self) -> Iterator[tuple[float, float]]:
        """(start, curvature) of each piece, the start in metres along the curve."""
        run_m = 0.0
        for piece in self.arcs:
            yield run_m, piece.curvature_radpm
            run_m += piece.length_m

    def line_m(self, *, left_m: float = 0.0, step_m: float = 1.0) -> Floats:
        """(N, 2) points of the line that runs ``left_m`` to the left; straight pieces need two."""
        runs, start_m = [0.0], 0.0
        for piece in self.arcs:
            steps = 1 if piece.straight else max(2, int(np.ceil(piece.length_m / step_m)))
            runs.extend(start_m + piece.length_m * np.arange(1, steps + 1) / steps)
            start_m += piece.length_m
        poses = [self.pose_at(run_m) for run_m in runs]
        return np.array([pose.apply(np.array([0.0, left_m])) for pose in poses])
