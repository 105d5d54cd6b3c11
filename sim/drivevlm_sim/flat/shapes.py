"""What things look like: upright boxes with flat details, each in the frame of its own object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from drivevlm.world.pose import Floats, Pose2

# F: four-cornered faces. C: upright boxes.
Colour = tuple[int, int, int]

INSET_M = 0.03
"""The body keeps so much from its annotated box, so that what the lidar hits lies inside."""
CLEARANCE_M = 0.02
"""The annotated box begins above the ground by this, so that ground points lie outside."""
DETAIL_M = 0.01
"""Details stand off their face by this."""

GLASS = (38, 48, 58)
TYRE = (28, 28, 30)
HEADLAMP = (255, 252, 220)
TAIL_LAMP = (150, 16, 20)
BRAKE_LAMP = (255, 40, 40)
SKIN = (214, 170, 140)

_FACES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "front": ((1, -1, -1), (1, 1, -1), (1, 1, 1), (1, -1, 1)),
    "back": ((-1, 1, -1), (-1, -1, -1), (-1, -1, 1), (-1, 1, 1)),
    "left": ((1, 1, -1), (-1, 1, -1), (-1, 1, 1), (1, 1, 1)),
    "right": ((-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)),
    "top": ((1, 1, 1), (1, -1, 1), (-1, -1, 1), (-1, 1, 1)),
    "bottom": ((1, -1, -1), (1, 1, -1), (-1, 1, -1), (-1, -1, -1)),
}
"""Corners as signs along x, y, z; seen from outside, first along the lower edge."""


_OUTWARD = {
    "front": np.array([1.0, 0.0, 0.0]),
    "back": np.array([-1.0, 0.0, 0.0]),
    "left": np.array([0.0, 1.0, 0.0]),
    "right": np.array([0.0, -1.0, 0.0]),
    "top": np.array([0.0, 0.0, 1.0]),
    "bottom": np.array([0.0, 0.0, -1.0]),
}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Faces to paint and boxes for the lidar, in the frame of the object (ground at z = 0).

    Attributes:
        faces_m: (F, 4, 3) corners.
        normals: (F, 3) outward.
        colours: (F, 3) RGB 0..255.
        detail: (F,) whether it is a flat detail on another face.
        boxes_m: (C, 6) centre and half sizes.
    """

    faces_m: Floats
    normals: Floats
    colours: Floats
    detail: np.ndarray[tuple[int], np.dtype[np.bool_]]
    boxes_m: Floats

    def placed_m(self, pose: Pose2) -> tuple[Floats, Floats]:
        """Faces and normals in the global frame."""
        cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return self.faces_m @ turn + np.array([pose.x_m, pose.y_m, 0.0]), self.normals @ turn


@dataclass
class Sculptor:
    """Puts boxes and details together."""

    _faces: list[Floats] = field(default_factory=list)
    _normals: list[Floats] = field(default_factory=list)
    _colours: list[Colour] = field(default_factory=list)
    _detail: list[bool] = field(default_factory=list)
    _boxes: list[tuple[Floats, Floats]] = field(default_factory=list)

    def box(self, center_m: Sequence[float], size_m: Sequence[float], colour: Colour) -> Sculptor:
        """Add an upright box."""
        center, half = np.array(center_m, float), np.array(size_m, float) / 2
        self._boxes.append((center, half))
        for name, signs in _FACES.items():
            self._add(center + half * np.array(signs), _OUTWARD[name], colour, detail=False)
        return self

    def detail(
        self, face: str, across: tuple[float, float], up: tuple[float, float], colour: Colour
    ) -> Sculptor:
        """Add a flat rectangle on a face of the last box.

        ``across`` and ``up`` are shares of the face, seen from outside, from its lower left.
        """
        center, half = self._boxes[-1]
        corners = center + half * np.array(_FACES[face])
        origin, right, top = corners[0], corners[1] - corners[0], corners[3] - corners[0]
        shares = ((across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1]))
        flat = np.array([origin + u * right + v * top for u, v in shares])
        self._add(flat + DETAIL_M * _OUTWARD[face], _OUTWARD[face], colour, detail=True)
        return self

    def shape(self) -> Shape:
        """What was put together."""
        return Shape(
            np.array(self._faces),
            np.array(self._normals),
            np.array(self._colours, float),
            np.array(self._detail),
            np.array([np.concatenate(box) for box in self._boxes]),
        )

    def _add(self, corners: Floats, normal: Floats, colour: Colour, *, detail: bool) -> None:
        self._faces.append(corners)
        self._normals.append(normal)
        self._colours.append(colour)
        self._detail.append(detail)


def car(size_lwh_m: tuple[float, float, float], colour: Colour, *, braking: bool) -> Shape:
    """A car: bonnet, cabin with windows, white lamps ahead and red ones behind."""
    length, width, height = _inner(size_lwh_m)
    low, belt = 0.22 + CLEARANCE_M, 0.56 * height
    made = Sculptor().box((0, 0, (low + belt) / 2), (length, width, belt - low), colour)
    _headlamps(made, (0.5, 0.78))
    _tail_lamps(made, (0.4, 0.8), braking=braking)
    _wheels(made)
    cabin = (0.55 * length, 0.86 * width, height + CLEARANCE_M - belt)
    made.box((-0.08 * length, 0, belt + cabin[2] / 2), cabin, colour)
    for face in ("front", "back"):
        made.detail(face, (0.06, 0.94), (0.12, 0.86), GLASS)
    for face in ("left", "right"):
        made.detail(face, (0.06, 0.47), (0.12, 0.82), GLASS)
        made.detail(face, (0.53, 0.94), (0.12, 0.82), GLASS)
    return made.shape()


def truck(size_lwh_m: tuple[float, float, float], colour: Colour, *, braking: bool) -> Shape:
    """A lorry: a light cargo box behind a coloured cab."""
    length, width, height = _inner(size_lwh_m)
    low, cab = 0.4, 0.26 * length
    cargo = (length - cab - 0.2, width, height + CLEARANCE_M - low)
    made = Sculptor().box(
        (-length / 2 + cargo[0] / 2, 0, low + cargo[2] / 2), cargo, (205, 205, 198)
    )
    _tail_lamps(made, (0.03, 0.12), braking=braking)
    made.detail("back", (0.49, 0.51), (0.14, 0.96), (120, 120, 118))
    _wheels(made)
    made.box(
        (length / 2 - cab / 2, 0, low + 0.36 * height), (cab, 0.96 * width, 0.72 * height), colour
    )
    _headlamps(made, (0.12, 0.26))
    made.detail("front", (0.06, 0.94), (0.52, 0.92), GLASS)
    for face in ("left", "right"):
        made.detail(face, (0.25, 0.85), (0.55, 0.9), GLASS)
    return made.shape()


def bus(size_lwh_m: tuple[float, float, float], colour: Colour, *, braking: bool) -> Shape:
    """A bus: one long box with a band of windows."""
    length, width, height = _inner(size_lwh_m)
    low = 0.3
    tall = height + CLEARANCE_M - low
    made = Sculptor().box((0, 0, low + tall / 2), (length, width, tall), colour)
    _headlamps(made, (0.1, 0.22))
    _tail_lamps(made, (0.1, 0.24), braking=braking)
    _wheels(made)
    made.detail("front", (0.04, 0.96), (0.38, 0.92), GLASS)
    made.detail("back", (0.15, 0.85), (0.5, 0.88), GLASS)
    for face in ("left", "right"):
        for k in range(6):
            made.detail(face, (0.03 + 0.16 * k, 0.16 + 0.16 * k), (0.45, 0.85), GLASS)
    return made.shape()


def pedestrian(size_lwh_m: tuple[float, float, float], colour: Colour) -> Shape:
    """A standing person: legs, coat, head."""
    length, width, height = _inner(size_lwh_m)
    hip, neck, low = 0.46 * height, 0.84 * height, CLEARANCE_M + 0.01
    made = Sculptor().box(
        (0, 0, (low + hip) / 2), (0.4 * length, 0.6 * width, hip - low), (45, 50, 70)
    )
    made.box((0, 0, (hip + neck) / 2), (0.55 * length, width, neck - hip), colour)
    top = height + CLEARANCE_M - neck
    made.box((0, 0, neck + top / 2), (0.32 * length, 0.36 * width, top), SKIN)
    return made.detail("back", (0.0, 1.0), (0.2, 1.0), (60, 40, 30)).shape()


def cyclist(size_lwh_m: tuple[float, float, float], colour: Colour) -> Shape:
    """A bicycle with its rider."""
    length, width, height = _inner(size_lwh_m)
    wheel, low = 0.36 * length, CLEARANCE_M + INSET_M
    made = Sculptor()
    for side in (-1, 1):
        middle = side * (length - wheel) / 2
        made.box((middle, 0, low + wheel / 2), (wheel, 0.05, wheel), TYRE)
    made.box((0, 0, low + 0.75 * wheel), (0.5 * length, 0.07, 0.14), (150, 40, 40))
    hip = low + wheel
    rest = height - hip
    made.box((-0.08 * length, 0, hip + 0.36 * rest), (0.34, 0.8 * width, 0.72 * rest), colour)
    return made.box((0, 0, hip + 0.86 * rest), (0.2, 0.3 * width, 0.28 * rest), SKIN).shape()


def cone(size_lwh_m: tuple[float, float, float]) -> Shape:
    """A traffic cone, as a stack of boxes."""
    length, width, height = _inner(size_lwh_m)
    made = Sculptor()
    for k, (share, colour) in enumerate(
        ((1.0, (225, 90, 30)), (0.6, (240, 240, 235)), (0.35, (225, 90, 30)))
    ):
        middle = CLEARANCE_M + INSET_M + (k + 0.5) * (height - INSET_M) / 3
        made.box((0, 0, middle), (share * length, share * width, (height - INSET_M) / 3), colour)
    return made.shape()


def building(size_lwh_m: tuple[float, float, float], colour: Colour) -> Shape:
    """A house block with a band of windows on every floor."""
    length, width, height = size_lwh_m
    made = Sculptor().box((0, 0, height / 2), (length, width, height), colour)
    floors = max(2, int(height / 3.2))
    for face in ("front", "back", "left", "right"):
        for k in range(floors):
            made.detail(
                face, (0.05, 0.95), ((k + 0.35) / floors, (k + 0.75) / floors), (70, 84, 98)
            )
    return made.shape()


def tree(height_m: float, colour: Colour) -> Shape:
    """A trunk with a crown."""
    made = Sculptor().box((0, 0, 0.25 * height_m), (0.35, 0.35, 0.5 * height_m), (92, 70, 52))
    wide = 0.5 * height_m
    made.box((0, 0, 0.62 * height_m), (wide, wide, 0.44 * height_m), colour)
    return made.box(
        (0, 0, 0.9 * height_m), (0.6 * wide, 0.6 * wide, 0.2 * height_m), colour
    ).shape()


def _inner(size_lwh_m: tuple[float, float, float]) -> tuple[float, float, float]:
    length, width, height = size_lwh_m
    return length - 2 * INSET_M, width - 2 * INSET_M, height - INSET_M


def _headlamps(made: Sculptor, up: tuple[float, float]) -> None:
    for across in ((0.04, 0.24), (0.76, 0.96)):
        made.detail("front", across, up, HEADLAMP)
    made.detail("front", (0.3, 0.7), (0.4 * up[0], up[1] - 0.2 * (up[1] - up[0])), TYRE)


def _tail_lamps(made: Sculptor, up: tuple[float, float], *, braking: bool) -> None:
    for across in ((0.03, 0.22), (0.78, 0.97)):
        made.detail("back", across, up, BRAKE_LAMP if braking else TAIL_LAMP)
    middle = (up[0] - 0.2 * (up[1] - up[0]), up[0] + 0.4 * (up[1] - up[0]))
    made.detail("back", (0.38, 0.62), middle, (235, 235, 230))


def _wheels(made: Sculptor) -> None:
    for face in ("left", "right"):
        made.detail(face, (0.1, 0.26), (0.0, 0.4), TYRE)
        made.detail(face, (0.74, 0.9), (0.0, 0.4), TYRE)
