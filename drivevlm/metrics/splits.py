"""Kinds of clips over which figures are also given: what the driver did, and in which light."""

from __future__ import annotations

import re

import numpy as np

from drivevlm.world.kinematics import STOP_MPS, TURN_RAD
from drivevlm.world.labels import command_of_future
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Command
from drivevlm.world.truth import FUTURE_STEPS, Truth

FAILS_M = 2.0
"""Constant velocity fails where it ends further than this from the recorded place."""

SPLITS: dict[str, str] = {
    "command_left": "the lidar ends 2 m or more to the left of where it is (the peers' command)",
    "command_right": "the lidar ends 2 m or more to the right",
    "command_straight": "the lidar ends less than 2 m aside",
    "turning": f"the heading changes by {TURN_RAD:g} rad (20 degrees) or more within 3 s",
    "straight": f"the heading changes by less than {TURN_RAD:g} rad within 3 s",
    "standing": f"slower than {STOP_MPS:g} m/s at decision time",
    "moving": f"{STOP_MPS:g} m/s or faster at decision time",
    "day": "the scene is described, and not as a night",
    "night": "the scene's description speaks of night",
    "rain": "the scene's description speaks of rain, falling or just over, by day or night",
    "constant_velocity_fails": f"constant velocity ends more than {FAILS_M:g} m off at 3 s",
    "onset": f"constant acceleration and turn rate end more than {FAILS_M:g} m off too",
}
"""What each holds, by name, in the order of tables. They overlap."""

_COMMANDS = {
    Command.LEFT: "command_left",
    Command.RIGHT: "command_right",
    Command.STRAIGHT: "command_straight",
}
# At the beginnings of words: "train" and "midnight blue" are not meant.
_NIGHT, _RAIN = re.compile(r"\bnight", re.IGNORECASE), re.compile(r"\brain", re.IGNORECASE)


def splits_of(
    truth: Truth, constant_velocity_xy_m: Floats | None = None, ctra_xy_m: Floats | None = None
) -> tuple[str, ...]:
    """The names of the kinds to which a clip belongs, in the order of ``SPLITS``.

    A clip of which something is not recorded (an end, a neighbour in time, a description) belongs
    to none of the kinds that ask for it.

    Args:
        truth: Of the clip.
        constant_velocity_xy_m: (T, 2) where the rear axle would be at 0.5 s, 1 s, ... 3 s if it
            kept its velocity, in the ego frame; None where that is not known.
        ctra_xy_m: (T, 2) the same, if it kept its acceleration and turn rate.
    """
    found = {
        _command(truth),
        _turning(truth),
        _standing(truth),
        *_weather(truth),
    }
    if _misses(truth, constant_velocity_xy_m):
        found.add("constant_velocity_fails")
        # What ego motion alone does not give away begins here.
        if _misses(truth, ctra_xy_m):
            found.add("onset")
    return tuple(name for name in SPLITS if name in found)


def _command(truth: Truth) -> str:
    """As the peers', at the last recorded future step; "" in a scene's last keyframe."""
    return _COMMANDS[command_of_future(truth)] if max(truth.steps) > 0 else ""


def _turning(truth: Truth) -> str:
    turn_rad = truth.future_path()[1][-1]
    if np.isnan(turn_rad):
        return ""
    return "turning" if abs(turn_rad) >= TURN_RAD else "straight"


def _standing(truth: Truth) -> str:
    """By the half second before, in a scene's first keyframe by the one after."""
    neighbour = truth.steps.get(-1) or truth.steps.get(1)
    if neighbour is None:
        return ""
    run_m = neighbour.global_from_ego.translation_m - truth.now.global_from_ego.translation_m
    passed_s = abs(neighbour.stamp_us - truth.now.stamp_us) / 1e6
    return "standing" if np.hypot(run_m[0], run_m[1]) / passed_s < STOP_MPS else "moving"


def _weather(truth: Truth) -> tuple[str, ...]:
    if not truth.description:
        return ()
    light = "night" if _NIGHT.search(truth.description) else "day"
    return (light, "rain") if _RAIN.search(truth.description) else (light,)


def _misses(truth: Truth, xy_m: Floats | None) -> bool:
    """Whether a path ends too far from the recorded place; False where that is not known."""
    end_m = truth.future_path()[0][-1]
    if xy_m is None or np.isnan(end_m).any():
        return False
    if xy_m.shape != (FUTURE_STEPS, 2):
        raise ValueError(
            f"clip {truth.token}: a path must be ({FUTURE_STEPS}, 2), got {xy_m.shape}"
        )
    return bool(np.hypot(*(xy_m[-1] - end_m)) > FAILS_M)
