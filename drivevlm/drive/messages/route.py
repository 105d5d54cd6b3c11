"""What the router says: a word of a closed set, or a goal on the map."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from difflib import get_close_matches

from drivevlm.drive.bus import Message
from drivevlm.drive.messages.fields import BadMessageError, frame_of, pose3
from drivevlm.world.clip import RouteCommand
from drivevlm.world.pose import Pose2
from drivevlm.world.sets import Command, Provenance

KEYS = ("command", "text", "distance_m")
WORDS = tuple(command.value for command in Command)


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a route ends.

    Attributes:
        frame_id: The frame of the map.
        map_from_goal: The rear axle at the goal, in it.
    """

    frame_id: str
    map_from_goal: Pose2


def route_command(message: Message) -> RouteCommand | None:
    """A ``std_msgs/String``: a word such as ``left``, or JSON ``{"command": "left", "text": "...",
    "distance_m": 30}``. An empty one takes the last command back: None.
    """
    text = str(message.data).strip()
    if not text:
        return None
    told = _told(text) if text.startswith("{") else {"command": text}
    word, words, distance_m = (told.get(key) for key in KEYS)
    if word not in WORDS:
        near = get_close_matches(str(word), WORDS, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise BadMessageError(f"data: expected one of {', '.join(WORDS)}, got {word!r}{hint}")
    if not isinstance(words, str | None):
        raise BadMessageError(f"data: expected words as text, got {words!r}")
    return RouteCommand(Command(word), Provenance.ROUTE, words or "", _metres(distance_m))


def goal_of(message: Message) -> Goal:
    """The goal of an ``autoware_planning_msgs/LaneletRoute``.

    Its segments name lanelets of a map that is not here, so no turn can be read from them.
    """
    pose = message.goal_pose
    map_from_goal = pose3(pose.position, pose.orientation, "goal_pose").planar()
    return Goal(frame_of(message), map_from_goal)


def _metres(distance_m: object) -> float | None:
    if distance_m is None:
        return None
    if isinstance(distance_m, (int, float)) and not isinstance(distance_m, bool):
        metres = float(distance_m)
        if 0 <= metres < math.inf:
            return metres
    raise BadMessageError(f"data: expected metres ahead as distance_m, got {distance_m!r}")


def _told(text: str) -> dict[str, object]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise BadMessageError(
            f"data: expected a word or JSON, got {text[:60]!r}: {error}"
        ) from None
    unknown = sorted(set(told) - set(KEYS))
    if unknown:
        raise BadMessageError(f"data: expected {', '.join(KEYS)}, got {', '.join(unknown)}")
    return dict(told)
