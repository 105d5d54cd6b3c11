"""How the runtime is: what comes in, what is lost and why, how long things take."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import psutil

KEPT = 200
"""Latencies by stage, the newest ones."""
RATE_SPAN_US = 2_000_000
MEMORY = "memory_mb"
"""A value that only a runtime tells: a node that does not run has none."""
PLANNER, MODEL, REVISION, PROMPT = "planner", "model", "model revision", "prompt digest"
"""Values that say who decides; the last three where a model is asked."""


class Level(Enum):
    """As in a ROS DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One status report.

    Attributes:
        name: ``<node>: inference_status``.
        level: The worst of what is told.
        message: What is wrong, in one line; ``ok`` where nothing is.
        values: Numbers as words, by name.
    """

    name: str
    level: Level
    message: str
    values: Mapping[str, str]


class Health:
    """Counts, and judges at each report. Any thread may tell it something.

    Args:
        name: Of the node.
        needed: Sources (cameras, ``odometry``) without which there is no decision: their silence
            is an error.
        optional: Sources whose silence is a warning, as is that of any other that spoke once.
        silent_s: A source that said nothing for longer is silent.
        max_plan_age_s: A newest plan that is older is an error.
        about: Values that stay: who decides.
    """

    def __init__(
        self,
        name: str,
        *,
        needed: Sequence[str],
        optional: Sequence[str] = (),
        silent_s: float,
        max_plan_age_s: float,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._about = dict(about or {})
        self._needed = tuple(needed)
        self._optional = tuple(optional)
        self._silent_s = silent_s
        self._max_plan_age_s = max_plan_age_s
        self._lock = threading.Lock()
        self._process = psutil.Process()
        self._counts: Counter[str] = Counter()
        self._latencies_ms: dict[str, deque[float]] = {}
        self._arrivals_us: dict[str, deque[int]] = {}
        self._began_us: int | None = None
        self._plan_us: int | None = None
        self._trouble: str | None = None
        self._fallback: str | None = None
        self._fault: str | None = None

    def arrived(self, source: str, now_us: int) -> None:
        """A source said something."""
        with self._lock:
            arrivals = self._arrivals_us.setdefault(source, deque(maxlen=KEPT))
            while arrivals and not 0 <= now_us - arrivals[0] <= RATE_SPAN_US:
                arrivals.popleft()
            arrivals.append(now_us)

    def count(self, what: str) -> None:
        """One more of it."""
        with self._lock:
            self._counts[what] += 1

    def took(self, timings_ms: Mapping[str, float]) -> None:
        """How long the stages of a decision took."""
        with self._lock:
            for stage, ms in timings_ms.items():
                self._latencies_ms.setdefault(stage, deque(maxlen=KEPT)).append(ms)

    def planned(self, stamp_us: int) -> None:
        """A plan of this decision time was published: all is well again."""
        with self._lock:
            self._counts["published"] += 1
            self._plan_us, self._trouble, self._fallback = stamp_us, None, None

    def troubled(self, why: str) -> None:
        """No plan was published, for this reason; it is told until one is."""
        with self._lock:
            self._trouble = why

    def fell_back(self, kind: str) -> None:
        """The fallback was published in place of a plan; it is told until one is there."""
        with self._lock:
            self._counts[f"fallback_{kind}"] += 1
            self._fallback = kind

    def restarted(self, now_us: int) -> None:
        """History was cleared: silence and the age of the plan are counted from now."""
        with self._lock:
            self._began_us, self._plan_us = now_us, None
            self._arrivals_us.clear()

    def broken(self, why: str | None) -> None:
        """A fault that stays an error until it is taken back with None, e.g. no model."""
        with self._lock:
            self._fault = why

    def counts(self) -> Mapping[str, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)

    def report(self, now_us: int) -> Diagnostic:
        """How things are now."""
        with self._lock:
            if self._began_us is None and now_us > 0:  # 0: no time came over /clock yet
                self._began_us = now_us
            errors, warnings = self._errors(now_us), self._warnings(now_us)
            level = Level.ERROR if errors else Level.WARN if warnings else Level.OK
            message = "; ".join([*errors, *warnings]) or "ok"
            name = f"{self._name}: inference_status"
            return Diagnostic(name, level, message, self._values(now_us))

    def _errors(self, now_us: int) -> list[str]:
        found = [self._fault] if self._fault is not None else []
        found += self._silent(self._needed, now_us)
        age_s = self._age_s(self._plan_us, now_us)
        if age_s > self._max_plan_age_s:
            since = "yet" if self._plan_us is None else f"for {age_s:.2f} s"
            found.append(f"no plan {since}")
        return found

    def _warnings(self, now_us: int) -> list[str]:
        others = [name for name in self._arrivals_us if name not in self._needed]
        found = self._silent(sorted({*self._optional, *others}), now_us)
        if self._trouble is not None:
            found.append(self._trouble)
        if self._fallback is not None:
            found.append(f"the fallback {self._fallback!r} is published in place of a plan")
        return found

    def _silent(self, sources: Sequence[str], now_us: int) -> list[str]:
        found = []
        for source in sources:
            arrivals = self._arrivals_us.get(source)
            age_s = self._age_s(arrivals[-1] if arrivals else None, now_us)
            if age_s > self._silent_s:
                found.append(f"{source} is silent for {age_s:.2f} s")
        return found

    def _age_s(self, then_us: int | None, now_us: int) -> float:
        since_us = self._began_us if then_us is None else then_us
        return (now_us - (now_us if since_us is None else since_us)) / 1e6

    def _values(self, now_us: int) -> dict[str, str]:
        values = self._about | {name: str(n) for name, n in sorted(self._counts.items())}
        for source in sorted({*self._needed, *self._optional, *self._arrivals_us}):
            arrivals = self._arrivals_us.get(source, ())
            recent = sum(now_us - us <= RATE_SPAN_US for us in arrivals)
            values[f"{source} rate_hz"] = f"{recent / (RATE_SPAN_US / 1e6):.1f}"
        for stage, ms in sorted(self._latencies_ms.items()):
            for percent in (50, 95, 99):
                values[f"{stage} p{percent}_ms"] = f"{np.percentile(ms, percent):.1f}"
        if self._plan_us is not None:
            values["plan age_s"] = f"{(now_us - self._plan_us) / 1e6:.3f}"
        values[MEMORY] = f"{self._process.memory_info().rss / 1e6:.0f}"
        return values
