"""The topics of the node as data: names, types, how they are carried; and their full names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from drivevlm.drive.bus import Qos

TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
INPUT, CAMERA = "~/input/", "{cam}"
OWNED_BY_OTHERS = ("/planning/trajectory",)
"""Autoware's planning validator publishes here: a planner that does too bypasses it."""


class TopicError(Exception):
    """A name that no topic can bear; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        name: Below the node (``~/...``) or absolute; ``{cam}`` stands for a camera's name.
        type_name: Of its messages.
        qos: How it is carried.
    """

    name: str
    type_name: str
    qos: Qos

    def short(self, camera: str = "") -> str:
        """As in ``CAM_FRONT/image/compressed``, ``kinematic_state`` or ``/clock``: not remapped."""
        return self.name.replace(INPUT, "").replace(CAMERA, camera)


SENSOR = Qos(reliable=False, depth=5)
LATCHED = Qos(reliable=True, depth=1, latched=True)
OUT = Qos(reliable=True, depth=1)

COMPRESSED = Topic("~/input/{cam}/image/compressed", "sensor_msgs/msg/CompressedImage", SENSOR)
IMAGE = Topic("~/input/{cam}/image", "sensor_msgs/msg/Image", SENSOR)
CAMERA_INFO = Topic(
    "~/input/{cam}/camera_info", "sensor_msgs/msg/CameraInfo", Qos(reliable=False, depth=1)
)
KINEMATIC_STATE = Topic(
    "~/input/kinematic_state", "nav_msgs/msg/Odometry", Qos(reliable=False, depth=50)
)
PREDICTED_OBJECTS = Topic(
    "~/input/objects", "autoware_perception_msgs/msg/PredictedObjects", SENSOR
)
DETECTIONS = Topic("~/input/objects", "vision_msgs/msg/Detection3DArray", SENSOR)
NAVIGATION_COMMAND = Topic("~/input/navigation_command", "std_msgs/msg/String", LATCHED)
ROUTE = Topic("~/input/route", "autoware_planning_msgs/msg/LaneletRoute", LATCHED)
# Every static publisher latches its own part of the tree, and all of them come at once.
TF_STATIC = Topic(
    "/tf_static", "tf2_msgs/msg/TFMessage", Qos(reliable=True, depth=100, latched=True)
)
INPUTS = (
    COMPRESSED,
    IMAGE,
    CAMERA_INFO,
    KINEMATIC_STATE,
    PREDICTED_OBJECTS,
    DETECTIONS,
    NAVIGATION_COMMAND,
    ROUTE,
    TF_STATIC,
)

TRAJECTORY = Topic("~/output/trajectory", "autoware_planning_msgs/msg/Trajectory", OUT)
CANDIDATES = Topic(
    "~/output/candidate_trajectories",
    "autoware_internal_planning_msgs/msg/CandidateTrajectories",
    OUT,
)
PATH = Topic("~/output/path", "nav_msgs/msg/Path", OUT)
OBJECTS = Topic("~/output/objects", "vision_msgs/msg/Detection3DArray", OUT)
REASONING = Topic("~/output/reasoning", "autoware_internal_debug_msgs/msg/StringStamped", OUT)
REASONING_PLAIN = Topic("~/output/reasoning", "std_msgs/msg/String", OUT)
"""In place of ``REASONING`` where its package is not there."""
MARKERS = Topic("~/debug/markers", "visualization_msgs/msg/MarkerArray", OUT)
DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", OUT)
OUTPUTS = (
    TRAJECTORY,
    CANDIDATES,
    PATH,
    OBJECTS,
    REASONING,
    REASONING_PLAIN,
    MARKERS,
    DIAGNOSTICS,
)

AUTOWARE: Mapping[str, str] = {
    "~/input/kinematic_state": "/localization/kinematic_state",
    "~/input/objects": "/perception/object_recognition/objects",
    "~/input/route": "/planning/mission_planning/route",
    **{
        topic.name: topic.name.replace("~/output", "/planning/generator/drivevlm")
        for topic in (TRAJECTORY, CANDIDATES, PATH, OBJECTS, REASONING)
    },
}
"""Where these topics are in an Autoware vehicle: the remapping that a launch file begins with."""


@dataclass(frozen=True, slots=True)
class Names:
    """Full names of a node's topics.

    Attributes:
        node: The node's name.
        namespace: ``/`` or ``/a/b``.
        remap: New names by old ones, both full, below the node or below the namespace. Empty under
            ROS, whose own remapping does it.
    """

    node: str = "drivevlm"
    namespace: str = "/"
    remap: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.node, *self.namespace.strip("/").split("/")):
            if name and not TOKEN.fullmatch(name):
                raise TopicError(f"{name!r} is no name in ROS: letters, digits and _ are")
        if not self.node:
            raise TopicError("a node needs a name")

    @property
    def node_full(self) -> str:
        """The node's full name."""
        return self._below(self.node)

    def of(self, topic: Topic, camera: str | None = None) -> str:
        """A topic's full name, remapped."""
        name = topic.name
        if CAMERA in name:
            if camera is None or not TOKEN.fullmatch(camera):
                raise TopicError(
                    f"camera {camera!r} names a topic, so it holds letters, digits and _ only, "
                    "and begins with no digit"
                )
            name = name.replace(CAMERA, camera)
        full = self.full(name)
        new = {self.full(old): self.full(new) for old, new in self.remap.items()}
        full = new.get(full, full)
        if topic in OUTPUTS:
            check_output(full)
        return full

    def full(self, name: str) -> str:
        """A name below the node, below the namespace or absolute, from the root."""
        if name.startswith("~/"):
            name = f"{self.node_full}/{name[2:]}"
        elif not name.startswith("/"):
            name = self._below(name)
        tokens = name[1:].split("/")
        if not all(TOKEN.fullmatch(token) for token in tokens):
            raise TopicError(f"{name!r} is no name of a topic in ROS")
        return name

    def check_remap(self, cameras: Sequence[str]) -> None:
        """Raise TopicError where a name that no topic has is remapped, with the nearest one.

        And where an output would go to a topic that others own.
        """
        plain = Names(self.node, self.namespace)
        known = {
            plain.of(topic, camera) for topic in (*INPUTS, *OUTPUTS) for camera in (*cameras, "_")
        }
        for old in self.remap:
            if self.full(old) not in known:
                near = get_close_matches(self.full(old), known, n=1)
                hint = f", did you mean {near[0]}?" if near else ""
                raise TopicError(f"remap: the node has no topic {old}{hint}")
        for topic in OUTPUTS:
            self.of(topic)

    def _below(self, name: str) -> str:
        return f"/{self.namespace.strip('/')}/{name}".replace("//", "/")


def check_output(full: str) -> None:
    """Raise TopicError where an output would go to a topic that others own."""
    if full in OWNED_BY_OTHERS:
        raise TopicError(
            f"{full} belongs to Autoware's planning validator: publish elsewhere, as "
            f"{AUTOWARE[TRAJECTORY.name]}, and let the validator take it from there"
        )
