"""What the node itself has to tell beside the runtime's health: bad messages, missing inputs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drivevlm.drive.health import Diagnostic, Level

TAKEN = "messages on "
"""Values of the diagnostics begin so that count what was taken up of each topic heard."""
TOLD_US = 5_000_000
"""So long after the last bad message of a topic it is told."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell.

    Attributes:
        level: How grave it is.
        text: In one line.
    """

    level: Level
    text: str


@dataclass(slots=True)
class _Bad:
    count: int = 0
    last: str = ""
    when_us: int = 0


class Notices:
    """Collects notices until a diagnostic is sent. Any thread may tell it something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bad: dict[str, _Bad] = {}
        self._taken: dict[str, int] = {}
        self._lasting: dict[str, Notice] = {}

    def hears(self, topic: str) -> None:
        """A topic, by its short name, is listened to from now on."""
        with self._lock:
            self._taken.setdefault(topic, 0)

    def taken(self, topic: str) -> None:
        """A message of a topic was taken up: used, or found bad."""
        with self._lock:
            self._taken[topic] += 1

    def bad(self, topic: str, why: str, now_us: int) -> None:
        """A message of a topic could not be used, or not wholly."""
        with self._lock:
            told = self._bad.setdefault(topic, _Bad())
            told.count, told.last, told.when_us = told.count + 1, one_line(why), now_us

    def say(self, key: str, level: Level, text: str | None) -> None:
        """Tell this until something else is said under this key; nothing takes it back."""
        with self._lock:
            if text:
                self._lasting[key] = Notice(level, one_line(text))
            else:
                self._lasting.pop(key, None)

    def clear(self) -> None:
        """Forget all but the counts."""
        with self._lock:
            self._lasting.clear()
            for told in self._bad.values():
                told.when_us = -TOLD_US

    def counts(self) -> Mapping[str, int]:
        """Bad messages by topic."""
        with self._lock:
            return {topic: told.count for topic, told in self._bad.items()}

    def last(self) -> Mapping[str, str]:
        """What was wrong with the last bad message of each topic."""
        with self._lock:
            return {topic: told.last for topic, told in self._bad.items()}

    def lasting(self) -> Sequence[str]:
        """What nothing has taken back so far."""
        with self._lock:
            return [notice.text for notice in self._lasting.values()]

    def added_to(self, diagnostic: Diagnostic, now_us: int) -> Diagnostic:
        """The diagnostic with all that is to be told: worst first, the level the worst of all."""
        notices = self._notices(now_us)
        if diagnostic.message != "ok":
            notices.append(Notice(diagnostic.level, diagnostic.message))
        values = {f"bad messages on {name}": str(n) for name, n in sorted(self.counts().items())}
        with self._lock:
            values |= {f"{TAKEN}{name}": str(n) for name, n in sorted(self._taken.items())}
        worst_first = sorted(notices, key=lambda notice: -notice.level.value)
        return replace(
            diagnostic,
            level=worst_first[0].level if worst_first else diagnostic.level,
            message="; ".join(notice.text for notice in worst_first) or "ok",
            values={**diagnostic.values, **values},
        )

    def _notices(self, now_us: int) -> list[Notice]:
        with self._lock:
            recent = [
                Notice(Level.WARN, f"{told.count} bad on {topic}, the last: {told.last}")
                for topic, told in self._bad.items()
                if 0 <= now_us - told.when_us < TOLD_US
            ]
            return [*self._lasting.values(), *recent]


def one_line(text: str) -> str:
    """Words without line breaks, cut where they go on for long."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]} ..."
