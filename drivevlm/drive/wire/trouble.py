"""What goes wrong on the wire: counted each time, told the first time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum


class Trouble(str, Enum):
    """What can go wrong with a topic while the node runs."""

    UNREADABLE = "unreadable"  # a message came that is none of its type
    CALLBACK = "callback"  # what was subscribed with it raised
    UNSENT = "unsent"  # DDS did not take a message
    MISMATCHED = "mismatched"  # a peer of the same topic and type offers another QoS


class Troubles:
    """Counts by topic and kind.

    Args:
        tell: Gets one line the first time of each.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Trouble]] = Counter()

    def add(self, topic: str, kind: Trouble, detail: str) -> None:
        """One more."""
        with self._lock:
            self._counts[topic, kind] += 1
            first = self._counts[topic, kind] == 1
        if first:
            self._tell(f"{topic}: {kind.value}: {detail} (told once, counted from now on)")

    def counts(self) -> Mapping[tuple[str, Trouble], int]:
        """How often each happened."""
        with self._lock:
            return dict(self._counts)
