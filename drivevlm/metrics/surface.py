"""What a path may touch, and how it and the ego are laid over each other: the seam of surfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from drivevlm.metrics.raster import Bools, Ints
from drivevlm.world.pose import Floats
from drivevlm.world.truth import Truth

# N: clips, T: steps. A protocol's axes: see ``rule.Axes``.

Arrays = Mapping[str, NDArray[Any]]

PATH_DIGITS = 6
"""Paths are rounded to micrometres when their axes are changed, so that rounding noise never moves
a stop to another cell."""


class CannotJudgeError(Exception):
    """The recording lacks something that a protocol needs; the message says what."""


@dataclass(frozen=True, slots=True)
class EgoBox:
    """The ego's outline round the point whose path is scored.

    Attributes:
        length_m, width_m: Of the box.
        ahead_m: From the point to the box's centre.
    """

    length_m: float
    width_m: float
    ahead_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Of one point of the ego, in a protocol's axes of decision time.

    Attributes:
        xy_m: (N, T, 2).
        yaw_rad: (N, T) heading of the ego's length, counter-clockwise from the first axis.
    """

    xy_m: Floats
    yaw_rad: Floats

    def __post_init__(self) -> None:
        if self.xy_m.ndim != 3 or self.xy_m.shape != (*self.yaw_rad.shape, 2):
            raise ValueError(
                "paths need (N, T, 2) positions and (N, T) headings, got "
                f"{self.xy_m.shape} and {self.yaw_rad.shape}"
            )

    def __len__(self) -> int:
        return len(self.xy_m)


class Layer(Protocol):
    """What can be touched in each of N clips, step by step."""

    def touched(self, paths: Paths) -> Bools:
        """(N, T) whether the ego touches it."""

    def take(self, rows: Ints) -> Layer:
        """The layer of some of the clips."""

    def arrays(self) -> Arrays:
        """All of it as plain arrays; ``Surface.load`` takes them back."""


class Surface(Protocol):
    """How something and the ego are laid over each other."""

    def prepare(self, truth: Truth) -> Any:
        """One clip's part. Raises CannotJudgeError where the recording lacks what it needs."""

    def join(self, parts: Sequence[Any]) -> Layer:
        """The layer of as many clips as there are parts."""

    def load(self, arrays: Arrays) -> Layer:
        """A layer from its plain arrays."""
