"""The runtime's outputs on a bus, each of which can be switched."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping

from drivevlm.drive.bus import Bus, Message, Send
from drivevlm.drive.gate import age_check
from drivevlm.drive.health import Diagnostic, Level
from drivevlm.drive.messages.markers import decision_markers, fallback_markers
from drivevlm.drive.messages.outgoing import (
    candidates_message,
    detections_message,
    diagnostics_message,
    path_message,
    stamped_string_message,
    string_message,
    trajectory_message,
)
from drivevlm.drive.messages.stamps import Nanoseconds
from drivevlm.drive.node_config import NodeConfig, OutputConfig
from drivevlm.drive.notices import Notices
from drivevlm.drive.parameters import values_of
from drivevlm.drive.plan_message import Source, Trajectory
from drivevlm.drive.publish import Reasoning, UntimelyError
from drivevlm.drive.topics import (
    CANDIDATES,
    DIAGNOSTICS,
    MARKERS,
    OBJECTS,
    PATH,
    REASONING,
    REASONING_PLAIN,
    TRAJECTORY,
    Names,
    Topic,
)
from drivevlm.drive.worker import one_line

OUTPUTS: Mapping[str, tuple[Topic, ...]] = {
    "trajectory": (TRAJECTORY,),
    "candidate_trajectories": (CANDIDATES,),
    "path": (PATH,),
    "reasoning": (REASONING, REASONING_PLAIN),
    "objects": (OBJECTS,),
    "markers": (MARKERS,),
}
"""By switch: the topic, or others in its place where its package is not there, best first."""
OF_A_PLAN = ("trajectory", "candidate_trajectories", "path")


class OutputError(Exception):
    """Nothing could be published; the message is one line."""


class Senders:
    """One publisher per topic, however often the node is configured."""

    def __init__(self, bus: Bus, names: Names) -> None:
        self._bus = bus
        self._names = names
        self._sends: dict[Topic, Send] = {}

    def of(self, topic: Topic) -> Send:
        """Sends to a topic."""
        if topic not in self._sends:
            full = self._names.of(topic)
            self._sends[topic] = self._bus.publisher(full, topic.type_name, topic.qos)
        return self._sends[topic]


class Diagnoses:
    """Sends diagnostics, with the node's own notices in them."""

    def __init__(self, bus: Bus, senders: Senders, notices: Notices, *, node: str) -> None:
        self._bus = bus
        self._send = senders.of(DIAGNOSTICS)
        self._notices = notices
        self._node = node

    def send(self, diagnostic: Diagnostic) -> None:
        """How the node is."""
        now_us = self._bus.now_us()
        whole = self._notices.added_to(diagnostic, now_us)
        self._send(diagnostics_message(self._bus, whole, now_us, node=self._node))


class Outputs:
    """Turns what the runtime hands out into messages. A ``drivevlm.drive.publish.Publish``.

    An output that cannot be made or sent is told of and takes no other one with it.

    Args:
        bus: Where they go.
        senders: The node's publishers.
        config: What is switched on.
        diagnoses: Where diagnostics go.
        notices: Is told of what cannot be published.
        nanoseconds: Stamps of inputs in full.
    """

    def __init__(
        self,
        bus: Bus,
        senders: Senders,
        config: NodeConfig,
        *,
        diagnoses: Diagnoses,
        notices: Notices,
        nanoseconds: Nanoseconds,
    ) -> None:
        self._bus = bus
        self._senders = senders
        self._config = config
        self._diagnoses = diagnoses
        self._notices = notices
        self._nanoseconds = nanoseconds
        self._generator_id = generator_id(config)
        self._on: Mapping[str, tuple[Topic, Send]] = {}
        self._muted = False
        self.switch(config.output)

    def switch(self, config: OutputConfig) -> None:
        """Publish these from now on. Those whose package is not there are told of, and left out."""
        found: dict[str, tuple[Topic, Send]] = {}
        for name, topics in OUTPUTS.items():
            topic = next((topic for topic in topics if self._bus.knows(topic.type_name)), None)
            if name in config.on and topic is not None:
                found[name] = topic, self._senders.of(topic)
            self._tell_missing(name, name in config.on and topic is None)
        self._on = found
        blind = any(name in config.on for name in OF_A_PLAN) and not set(found) & set(OF_A_PLAN)
        text = "no plan can be published: no package of a switched-on output is there"
        self._notices.say("output", Level.ERROR, text if blind else None)

    def mute(self, muted: bool) -> None:
        """Publish nothing but diagnostics, whatever is still on its way."""
        self._muted = muted

    def trajectory(self, trajectory: Trajectory) -> None:
        """A plan, or a fallback.

        Raises:
            UntimelyError: While its messages were made it grew too old to be sent, or the clock
                jumped back.
            OutputError: No output took it.
        """
        stamp_ns = self._nanoseconds.ns_of(trajectory.stamp_us)
        bus, node = self._bus, self._config.drive.name
        makers: dict[str, Callable[[], Message]] = {
            "trajectory": lambda: trajectory_message(bus, trajectory, stamp_ns),
            "candidate_trajectories": lambda: candidates_message(
                bus, trajectory, stamp_ns, generator=node, generator_id=self._generator_id
            ),
            "path": lambda: path_message(bus, trajectory, stamp_ns),
        }
        wanted = [name for name in OF_A_PLAN if name in self._on]
        untimely_us: list[int] = []

        def in_time() -> bool:
            now_us = bus.now_us()
            if not age_check(trajectory, now_us, self._config.drive.gate).passed:
                untimely_us.append(now_us)
            return not untimely_us  # a clock that jumps to and fro mends nothing

        sent = [name for name in wanted if self._sent(name, makers[name], in_time)]
        if wanted and not sent and not self._muted:
            if untimely_us:
                raise UntimelyError(untimely_us[0])
            raise OutputError(f"none of {', '.join(wanted)} could be published")
        if trajectory.source is not Source.PLANNER:
            self._sent("markers", lambda: fallback_markers(bus, trajectory, stamp_ns))

    def reasoning(self, reasoning: Reasoning) -> None:
        """A decision with all that led to it."""
        stamp_ns = self._nanoseconds.ns_of(reasoning.stamp_us)
        bus, base_frame = self._bus, self._config.base_frame
        self._sent("reasoning", lambda: self._words(reasoning.text, stamp_ns))
        self._sent(
            "objects",
            lambda: detections_message(
                bus, reasoning.decision.seen, stamp_ns, base_frame=base_frame
            ),
        )
        self._sent(
            "markers", lambda: decision_markers(bus, reasoning, stamp_ns, base_frame=base_frame)
        )

    def diagnostics(self, diagnostic: Diagnostic) -> None:
        """How the runtime is."""
        self._diagnoses.send(diagnostic)

    def _words(self, text: str, stamp_ns: int) -> Message:
        if self._on["reasoning"][0] is REASONING:
            return stamped_string_message(self._bus, text, stamp_ns)
        return string_message(self._bus, text)

    def _sent(
        self, name: str, make: Callable[[], Message], in_time: Callable[[], bool] = lambda: True
    ) -> bool:
        """``in_time`` is asked last of all: to make a message takes its time."""
        if name not in self._on or self._muted:
            return False
        topic, send = self._on[name]
        try:
            message = make()
            if not in_time():
                return False
            send(message)
        # A message class may refuse a field, and a wire a message, in ways that nobody foresaw:
        # a drawing that cannot be sent must not cost the vehicle its trajectory.
        except Exception as error:  # noqa: BLE001
            self._notices.bad(topic.name, one_line(error), self._bus.now_us())
            return False
        return True

    def _tell_missing(self, name: str, missing: bool) -> None:
        types = " or ".join(topic.type_name for topic in OUTPUTS[name])
        text = f"output.{name} is not published: {types} is not there, source its package"
        self._notices.say(f"output.{name}", Level.OK, text if missing else None)


def generator_id(config: NodeConfig) -> bytes:
    """16 bytes that are the same for one name and configuration, always."""
    words = json.dumps([config.drive.name, values_of(config)], sort_keys=True)
    return uuid.uuid5(uuid.NAMESPACE_URL, words).bytes
