"""Hears a node: whether it is active, what it answers, and what it complains of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.health import MEMORY
from drivevlm.drive.notices import TAKEN
from drivevlm.drive.replay.answers import Answer, AnswerError, answer_of
from drivevlm.drive.replay.feed import LOOK_S, Sleep
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import DIAGNOSTICS, REASONING, Names, Topic

LOST_REPORTS = 20
"""A node reports ten times a second."""


class Listener:
    """Keeps the answers of one node by their stamps, and its last diagnostics.

    Args:
        bus: Where it is heard.
        names: Its name, and where its topics are.
        reasoning: ``REASONING_PLAIN`` for a node under a ROS without Autoware's packages.
    """

    def __init__(self, bus: Bus, names: Names, *, reasoning: Topic = REASONING) -> None:
        self._names = names
        self._status = f"{names.node}: inference_status"
        self._changed = threading.Condition()
        self._answers: dict[int, Answer] = {}
        self._said = "it says nothing"
        self._told: Mapping[str, str] = {}
        self._reports = 0
        self._ends: list[Callable[[], None]] = [
            bus.subscribe(names.of(topic), topic.type_name, topic.qos, hear)
            for topic, hear in ((reasoning, self._on_reasoning), (DIAGNOSTICS, self._on_status))
        ]

    @property
    def said(self) -> str:
        """The node's last diagnostics, in words."""
        return self._said

    @property
    def told(self) -> Mapping[str, str]:
        """The values of the node's last diagnostics; empty before they come."""
        return self._told

    def wait_active(self, timeout_s: float, *, sleep: Sleep = time.sleep) -> None:
        """Return as soon as the node is active. Raises ReplayError where it is not in time."""
        end_s = time.monotonic() + timeout_s
        while MEMORY not in self._told:
            sleep(LOOK_S)
            if MEMORY not in self._told and time.monotonic() >= end_s:
                raise ReplayError(
                    f"no active node {self._names.node_full} was heard within {timeout_s:g} s "
                    f"({self._said}): start it, in the same domain and under this name"
                )

    @property
    def taken(self) -> Mapping[str, int]:
        """How many messages of each line that it hears the node has taken up, by its name."""
        told = self._told
        names = (key for key in told if key.startswith(TAKEN))
        return {key.removeprefix(TAKEN): int(told[key]) for key in names}

    def wait_taken(
        self, wanted: Mapping[str, int], timeout_s: float, *, sleep: Sleep = time.sleep
    ) -> Mapping[str, int]:
        """Return as soon as the node has taken up so many messages; returns how many it has.

        Topics overtake each other, and on a busy machine any of them may lag. What it does not
        hear does not count. After ``LOST_REPORTS`` in a row that tell of no more, the rest is lost.
        """
        end_s, seen, still = time.monotonic() + timeout_s, self._reports, 0
        taken = self.taken
        while any(taken[name] < wanted[name] for name in wanted if name in taken):
            if still >= LOST_REPORTS or time.monotonic() >= end_s:
                break
            sleep(LOOK_S)
            before, taken = taken, self.taken
            still = 0 if taken != before else still + self._reports - seen
            seen = self._reports
        return taken

    def answer(self, stamp_us: int, *, timeout_s: float) -> Answer | None:
        """The answer to a decision time; None where it does not come in time."""
        with self._changed:
            self._changed.wait_for(lambda: stamp_us in self._answers, timeout_s)
            return self._answers.pop(stamp_us, None)

    def close(self) -> None:
        """Hear no more."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def _on_reasoning(self, message: Message) -> None:
        try:
            answer = answer_of(str(message.data))
        except AnswerError as error:
            self._said = f"its reasoning cannot be read: {error}"
            return
        with self._changed:
            self._answers[answer.stamp_us] = answer
            self._changed.notify_all()

    def _on_status(self, message: Message) -> None:
        for status in message.status:
            if status.name == self._status:
                self._said = f"it says: {status.message}"
                told = {str(pair.key): str(pair.value) for pair in status.values}
                self._told = told
                self._reports += 1
