"""What the planner is asked for: the router's word, or to stop at the goal that is near."""

from __future__ import annotations

import math

from drivevlm.drive.messages.route import Goal
from drivevlm.drive.node_config import RouteConfig
from drivevlm.drive.odometry import OdometrySample
from drivevlm.world.clip import RouteCommand
from drivevlm.world.sets import Command, Provenance

MOST_TURN_RAD = math.pi / 4
"""A goal that heads another way than the ego lies in another lane."""
PASSED_M = 2.0
"""A goal so little behind the ego is still the one to stop at."""


class Router:
    """The last word of the navigation command, and the goal of the last route.

    A route names lanelets of a map that is not here. What can be used is its goal, once it lies
    just ahead, about in the ego's lane and heading the ego's way. On a road that comes back to
    itself this can be too early: then the navigation command is to be used, and no route.
    """

    def __init__(self, config: RouteConfig) -> None:
        self._config = config
        self._command: RouteCommand | None = None
        self._goal: Goal | None = None

    def said(self, command: RouteCommand | None) -> None:
        """The router's word; it holds until the next."""
        self._command = command

    def goes_to(self, goal: Goal) -> None:
        """The goal of a new route."""
        self._goal = goal

    def complaint(self, now: OdometrySample) -> str | None:
        """Why the route cannot be used, if so, in one line."""
        if self._goal is None or self._goal.frame_id == now.frame_id:
            return None
        return (
            f"the route is in frame {self._goal.frame_id!r} and the odometry in {now.frame_id!r}: "
            "its goal is not used"
        )

    def command(self, now: OdometrySample | None) -> RouteCommand | None:
        """What is asked for where the ego is now."""
        goal_m = None if now is None or self._goal is None else self._ahead_m(self._goal, now)
        if goal_m is None:
            return self._command
        return RouteCommand(Command.STOP_AT_GOAL, Provenance.ROUTE, distance_m=goal_m)

    def _ahead_m(self, goal: Goal, now: OdometrySample) -> float | None:
        """Metres to a goal that lies just ahead; None where it does not."""
        if goal.frame_id != now.frame_id:
            return None
        ego_from_goal = now.odom_from_ego.planar().inverse() @ goal.map_from_goal
        ahead = -PASSED_M <= ego_from_goal.x_m <= self._config.near_m
        beside = abs(ego_from_goal.y_m) > self._config.aside_m
        if not ahead or beside or abs(ego_from_goal.yaw_rad) > MOST_TURN_RAD:
            return None
        return max(0.0, ego_from_goal.x_m)
