"""The closed sets: every word with which a planner may be commanded or may decide."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Command(str, Enum):
    """What the router asks for."""

    FOLLOW = "follow"
    LEFT = "left"
    RIGHT = "right"
    STRAIGHT = "straight"
    CHANGE_LEFT = "change_left"
    CHANGE_RIGHT = "change_right"
    STOP_AT_GOAL = "stop_at_goal"
    UNKNOWN = "unknown"


class Signal(str, Enum):
    """State of the traffic light that concerns the ego."""

    NONE = "none"
    RED = "red"
    AMBER = "amber"
    GREEN = "green"
    UNKNOWN = "unknown"


class Longitudinal(str, Enum):
    """What the ego decides to do along its path."""

    TRACK_SPEED = "track_speed"
    FOLLOW_LEAD = "follow_lead"
    ADAPT_TO_ROAD = "adapt_to_road"
    SEARCH_GAP = "search_gap"
    PASS = "pass"
    YIELD = "yield"
    STOP = "stop"


class Lateral(str, Enum):
    """What the ego decides to do across its path."""

    KEEP_LANE = "keep_lane"
    MERGE = "merge"
    SPLIT = "split"
    NUDGE_LEFT = "nudge_left"
    NUDGE_RIGHT = "nudge_right"
    CHANGE_LEFT = "change_left"
    CHANGE_RIGHT = "change_right"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    PULL_OVER = "pull_over"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class MetaDecision:
    """What the ego does along and across its path."""

    longitudinal: Longitudinal
    lateral: Lateral


class LaneRelation(str, Enum):
    """Where an object stands or moves relative to the ego's lane."""

    EGO_LANE = "ego_lane"
    LEFT_LANE = "left_lane"
    RIGHT_LANE = "right_lane"
    ONCOMING = "oncoming"
    CROSSING = "crossing"
    OFF_ROAD = "off_road"


class Verdict(str, Enum):
    """What a planner says of an object: a proposal kept or dropped, or an object of its own."""

    KEPT = "kept"
    DROPPED = "dropped"
    ADDED = "added"


class Provenance(str, Enum):
    """Where a prompt input comes from; recorded with every score.

    ``ORACLE`` is made from labels, ``GT_FUTURE`` from the recorded future. Both leak.
    """

    PAST_POSES = "past_poses"
    CAN_BUS = "can_bus"
    ODOMETRY = "odometry"
    FILE = "file"
    ROUTE = "route"
    DETECTOR = "detector"
    MEMORY = "memory"
    ORACLE = "oracle"
    GT_FUTURE = "gt_future"

    @property
    def leaks(self) -> bool:
        """Whether a real vehicle could not have known this."""
        return self in (Provenance.ORACLE, Provenance.GT_FUTURE)


class FailureKind(str, Enum):
    """Why there is no plan. Failures stay in every total."""

    UNREADABLE = "unreadable"  # the reply does not follow the answer format
    TRUNCATED = "truncated"  # the reply ran into its token budget
    IMAGE = "image"  # an image is missing or broken
    NO_PAST = "no_past"  # the planner needs past poses that the clip lacks
    DEADLINE = "deadline"  # the reply came too late
    MODEL = "model"  # the model or its server failed
    NO_PLAN = "no_plan"  # a plan file has none for the clip
    NO_FUTURE = "no_future"  # the recorded future is incomplete (the expert's own failure)
