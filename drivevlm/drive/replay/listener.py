"""Hears a node: whether it is active, what it answers, and what it complains of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.replay.answers import Answer, AnswerError, answer_of
from drivevlm.drive.replay.feed import LOOK_S, Sleep
from drivevlm.drive.replay.source import ReplayError
from drivevlm.drive.topics import DIAGNOSTICS, REASONING, Names, Topic

OF_AN_ACTIVE_NODE = "memory_mb"
"""A value of the diagnostics that only a runtime tells: a node that does not run has none."""
OF_ARRIVALS = "rate_hz"
"""Values of the diagnostics end so that grow with every message that the runtime was handed."""


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
        self._active = False
        self._reports: list[tuple[str, ...]] = []
        self._ends: list[Callable[[], None]] = [
            bus.subscribe(names.of(topic), topic.type_name, topic.qos, hear)
            for topic, hear in ((reasoning, self._on_reasoning), (DIAGNOSTICS, self._on_status))
        ]

    @property
    def said(self) -> str:
        """The node's last diagnostics, in words."""
        return self._said

    def wait_active(self, timeout_s: float, *, sleep: Sleep = time.sleep) -> None:
        """Return as soon as the node is active. Raises ReplayError where it is not in time."""
        end_s = time.monotonic() + timeout_s
        while not self._active:
            sleep(LOOK_S)
            if not self._active and time.monotonic() >= end_s:
                raise ReplayError(
                    f"no active node {self._names.node_full} was heard within {timeout_s:g} s "
                    f"({self._said}): start it, in the same domain and under this name"
                )

    def wait_settled(self, timeout_s: float, *, sleep: Sleep = time.sleep) -> bool:
        """Whether the node has taken up all that was sent before, as far as can be heard.

        It has as soon as two reports in a row tell of the same arrivals, while its clock stands:
        topics overtake each other, and on a busy machine any of them may lag.
        """
        end_s = time.monotonic() + timeout_s
        self._reports.clear()
        while len(self._reports) < 2 or self._reports[-1] != self._reports[-2]:
            if time.monotonic() >= end_s:
                return False
            sleep(LOOK_S)
        return True

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
                self._active = OF_AN_ACTIVE_NODE in told
                arrivals = (told[key] for key in sorted(told) if key.endswith(OF_ARRIVALS))
                self._reports.append(tuple(arrivals))
