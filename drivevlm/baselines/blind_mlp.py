"""What a network without eyes may read beside past ego motion: the ego's status and the command.

It is what a planner that looks has to beat. Unlike ``ego_mlp`` it may plan to set off from a
standstill: who knows the command knows that the ego will not stand for ever.
"""

from __future__ import annotations

import numpy as np

from drivevlm.baselines.ego_mlp import MOVING_M, NAMES, Seen, seen
from drivevlm.baselines.motions import NoPastError
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.ego import EgoStatus
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Command

# F: features of a clip.
NEAR_M = 20.0
"""Distances are told as ``exp(-distance / NEAR_M)``: 1 here, 0 far away or nowhere."""
STATUS = ("status speed", "status acceleration", "yaw rate of the status")
SIDES = {
    "turn": (Command.LEFT, Command.RIGHT),
    "change": (Command.CHANGE_LEFT, Command.CHANGE_RIGHT),
}
PLAIN = (Command.STRAIGHT, Command.STOP_AT_GOAL)
COMMAND = (
    *(f"left by {what} of the command{how}" for what in SIDES for how in ("", ", near")),
    *(f"command {plain.value}{how}" for plain in PLAIN for how in ("", ", near")),
)
FULL = (*NAMES, *STATUS, *COMMAND)
"""Names of the features with past poses and the whole status."""
SPEED_ONLY = (STATUS[0], *COMMAND)
"""Those with today's speed as all that is known of the ego."""


def blind(clip: Clip) -> Seen:
    """The ``FULL`` features. Raises NoPastError with fewer than two past poses or no status."""
    motion, status = seen(clip), _status(clip)
    told = (status.speed_mps, status.acceleration_mps2, status.yaw_rate_radps)
    known = np.array([np.nan if value is None else value for value in told])
    features = np.concatenate([motion.features, known, _command(clip.command)])
    return Seen(features, status.speed_mps, MOVING_M)


def blind_by_speed(clip: Clip) -> Seen:
    """The ``SPEED_ONLY`` features. Raises NoPastError where the speed is not known."""
    speed_mps = _status(clip).speed_mps
    return Seen(np.concatenate([[speed_mps], _command(clip.command)]), speed_mps, MOVING_M)


def _status(clip: Clip) -> EgoStatus:
    if clip.status is None:
        raise NoPastError("the network needs the ego's speed")
    return clip.status


def nearness(distance_m: float | None) -> float:
    """1 here, 0 far away, or where there is none."""
    return 0.0 if distance_m is None else float(np.exp(-max(distance_m, 0.0) / NEAR_M))


def _command(command: RouteCommand | None) -> Floats:
    """The ``COMMAND`` features; all 0 without a command."""
    asked = None if command is None else command.command
    near = 0.0 if command is None else nearness(command.distance_m)
    signs = [float(asked is left) - float(asked is right) for left, right in SIDES.values()]
    signs += [float(asked is plain) for plain in PLAIN]
    return np.array([value for sign in signs for value in (sign, sign * near)])
