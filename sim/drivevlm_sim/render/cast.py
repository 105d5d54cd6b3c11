"""Who and what stands where in one step of a scene, and how it shows its lamps."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Pose2, Pose3
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.render.riders import STRIDE_M, WALK
from drivevlm_sim.render.shapes import Lamp
from drivevlm_sim.render.town_mesh import ground_m
from drivevlm_sim.scene_log import Body, Lamps, SceneLog, Track
from drivevlm_sim.town.town import SignalHead, Town

CLEARANCE_M = 0.02
"""Boxes begin above the ground by this, so that points of the ground lie outside."""
BLINK_STEPS = 4
"""Indicators are lit for so many steps and then dark for as many."""

LIT_OF_LETTER: Mapping[str, int] = {
    **dict.fromkeys("Gg", Lamp.GREEN.bit),
    **dict.fromkeys("yY", Lamp.AMBER.bit),
    **dict.fromkeys("rRs", Lamp.RED.bit),
    "u": Lamp.RED.bit | Lamp.AMBER.bit,
    "o": Lamp.AMBER.bit,
    "O": 0,
}
"""Lamps that a head shows for a letter of SUMO's states; ``o`` blinks."""


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A road user in one step.

    Attributes:
        name: Its track's.
        body: Its shape.
        pose: Which pose of the body's mesh; 0 but for people who walk.
        town_from_body: Its middle on the ground.
        colour: Which of its body's colours.
        lit: Bits of ``Lamp``.
    """

    name: str
    body: Body
    pose: int
    town_from_body: Pose3
    colour: int
    lit: int

    @property
    def size_lwh_m(self) -> tuple[float, float, float]:
        """Of its box, which begins ``CLEARANCE_M`` above the ground."""
        size = SIZES[self.body]
        return size.length_m, size.width_m, size.height_m - CLEARANCE_M

    @property
    def centre_m(self) -> tuple[float, float, float]:
        """Of its box, town axes."""
        x, y, z = (float(value) for value in self.town_from_body.translation_m)
        return x, y, z + (SIZES[self.body].height_m + CLEARANCE_M) / 2


def actors(town: Town, log: SceneLog, step: int) -> tuple[Actor, ...]:
    """All road users but the ego, by name."""
    if not 0 <= step < log.steps:
        raise ValueError(f"{log.name}: step is 0 to {log.steps - 1}, got {step}")
    rows = [
        (track, row)
        for _, track in sorted(log.others.items())
        if (row := track.at(step)) is not None
    ]
    if not rows:
        return ()
    z_m = ground_m(town, np.array([track.xy_m[row] for track, row in rows]))
    return tuple(
        _actor(track, row, step, float(z)) for (track, row), z in zip(rows, z_m, strict=True)
    )


def town_from_ego(log: SceneLog, step: int) -> Pose3:
    """The ego frame of a step: its rear axle on the ground."""
    x_m, y_m = (float(value) for value in log.rear_axle_m[step])
    return Pose3.from_pose2(Pose2(x_m, y_m, float(log.ego.yaw_rad[step])))


def signals(town: Town, log: SceneLog, step: int) -> Iterator[tuple[SignalHead, int]]:
    """Every signal head of the town and the bits of its lit lamps."""
    for head in town.signal_heads:
        if head.signal not in log.signals:
            raise WorldError(f"scene {log.name} tells no state of signal plan {head.signal!r}")
        state = log.signals[head.signal][step]
        if head.link >= len(state) or state[head.link] not in LIT_OF_LETTER:
            raise WorldError(
                f"scene {log.name}: link {head.link} of signal plan {head.signal!r} has no state "
                f"among {''.join(LIT_OF_LETTER)} in {state!r}"
            )
        letter = state[head.link]
        dark = letter == "o" and step // BLINK_STEPS % 2
        yield head, 0 if dark else LIT_OF_LETTER[letter]


def _actor(track: Track, row: int, step: int, z_m: float) -> Actor:
    x_m, y_m = (float(value) for value in track.xy_m[row])
    pose = Pose3.from_pose2(Pose2(x_m, y_m, float(track.yaw_rad[row])), z_m)
    walking = _walking_pose(track, row) if track.body is Body.PEDESTRIAN else 0
    return Actor(track.name, track.body, walking, pose, track.colour, _lamps(track, row, step))


def _walking_pose(track: Track, row: int) -> int:
    """The stride goes on with the way walked, so that it looks the same in every run."""
    if track.speed_mps[row] < 0.2:
        return 0
    steps_m = np.linalg.norm(np.diff(track.xy_m[: row + 1], axis=0), axis=1)
    way_m = float(steps_m.sum())
    return 1 + int(way_m / STRIDE_M * WALK) % WALK


def _lamps(track: Track, row: int, step: int) -> int:
    bits = int(track.lamps[row])
    shift = zlib.crc32(track.name.encode()) % (2 * BLINK_STEPS)
    blink = (step + shift) // BLINK_STEPS % 2 == 0
    lit = Lamp.BRAKE.bit if bits & Lamps.BRAKE else 0
    if blink:
        lit |= Lamp.LEFT.bit if bits & Lamps.LEFT else 0
        lit |= Lamp.RIGHT.bit if bits & Lamps.RIGHT else 0
    return lit
