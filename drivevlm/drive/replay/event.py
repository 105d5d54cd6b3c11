"""What a replay is made of: one message of one topic at its time, as a plain value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from drivevlm.drive.bus import Bus, Message, Qos
from drivevlm.drive.topics import Topic

CLOCK = Topic("/clock", "rosgraph_msgs/msg/Clock", Qos(reliable=False, depth=1))
TF = Topic("/tf", "tf2_msgs/msg/TFMessage", Qos(reliable=True, depth=100))
ACCELERATION = Topic(
    "~/input/acceleration",
    "geometry_msgs/msg/AccelWithCovarianceStamped",
    Qos(reliable=False, depth=10),
)


class Content(Protocol):
    """What a message says, whenever it is said."""

    def message(self, bus: Bus, stamp_us: int) -> Message:
        """The same on a bus, with this stamp."""


@dataclass(frozen=True, slots=True)
class Line:
    """One topic, for one camera where its name holds one.

    Attributes:
        topic: Its name may hold ``{cam}``.
        camera: Stands in its place; "" for a topic of no camera.
    """

    topic: Topic
    camera: str = ""

    @property
    def name(self) -> str:
        """As in ``CAM_FRONT/image/compressed``, ``kinematic_state`` or ``/clock``."""
        return self.topic.short(self.camera)


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One message at its time.

    Attributes:
        at_us: When it comes, on the recording's clock.
        stamp_us: What its header says; of ``/clock``, the time told.
        line: Where it goes.
        content: What it says.
        clip: Token of the clip whose decision it makes due: it is the anchor's picture. Else "".
    """

    at_us: int
    stamp_us: int
    line: Line
    content: Content
    clip: str = ""

    def message(self, bus: Bus) -> Message:
        """On a bus. Raises FrameError where a picture cannot be read."""
        return self.content.message(bus, self.stamp_us)


@dataclass(frozen=True, slots=True, eq=False)
class SceneStream:
    """All that a vehicle would publish in one scene.

    Attributes:
        scene: Its name.
        events: In the order in which they come.
        clips: Tokens of its clips.
        notes: What no topic carries, in words: a node cannot decide on it as an evaluation does.
    """

    scene: str
    events: tuple[Event, ...]
    clips: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def shifted(self, by_us: int) -> SceneStream:
        """The same at another time."""
        moved = (
            replace(event, at_us=event.at_us + by_us, stamp_us=event.stamp_us + by_us)
            for event in self.events
        )
        return replace(self, events=tuple(moved))


def in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    """By when they come; those that come together stay in the order given."""
    return tuple(sorted(events, key=lambda event: event.at_us))
