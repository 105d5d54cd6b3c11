"""A call every so often, in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


def next_beat(beat: int, *, since_s: float, period_s: float) -> int:
    """The beat after this one, left out those that passed in the time since the start."""
    return max(beat, math.floor(since_s / period_s)) + 1


class Timer:
    """Calls at ``start + n * period``: how long a call takes moves no later one.

    Beats that a call overruns are left out. The first one comes after one period.

    Args:
        period_s: Between beats, by the monotonic clock.
        call: Must not raise.
    """

    def __init__(self, period_s: float, call: Callable[[], None]) -> None:
        if not (math.isfinite(period_s) and period_s > 0):
            raise ValueError(f"a timer's period must be above 0 s, got {period_s}")
        self._period_s = period_s
        self._call = call
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No beat begins from now on."""
        self._stopped.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the call that is under way, unless this is it."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        begun_s, beat = time.monotonic(), 1
        while not self._stopped.wait(begun_s + beat * self._period_s - time.monotonic()):
            self._call()
            beat = next_beat(beat, since_s=time.monotonic() - begun_s, period_s=self._period_s)
