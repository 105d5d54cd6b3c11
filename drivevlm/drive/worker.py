"""One thread that decides, and one slot before it in which the newest wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Generic, Protocol, TypeVar


class Lost(str, Enum):
    """Why a task has no result."""

    BUSY = "busy"  # a newer one took its place while it waited
    LATE = "late"  # its deadline passed before it began, or before its result was there
    CRASHED = "crashed"  # it raised
    STOPPED = "stopped"  # the worker was stopped before its result was delivered


class Task(Protocol):
    """What can be handed to a desk."""

    @property
    def deadline_us(self) -> int:
        """On the node's clock; a result after it is worthless."""


T = TypeVar("T", bound=Task)
R = TypeVar("R")


class Desk(Generic[T, R]):
    """Works on a task in the calling thread: for tests and for bags that are read in lockstep.

    Args:
        decide: From the task and the seconds that are left until its deadline to a result.
        deliver: Takes a result that is there in time.
        lost: Takes a task without a result, why, and in one line what happened.
        clock_us: The node's clock.
    """

    def __init__(
        self,
        decide: Callable[[T, float], R],
        deliver: Callable[[T, R], None],
        lost: Callable[[T, Lost, str], None],
        clock_us: Callable[[], int],
    ) -> None:
        self._decide = decide
        self._deliver = deliver
        self._lost = lost
        self._clock_us = clock_us
        self._stopped = False

    def put(self, task: T) -> None:
        """Work on it before returning; after ``stop`` it is lost."""
        self._work(task)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, give_up: Callable[[], None] = lambda: None, *, timeout_s: float = 5.0) -> bool:
        """Deliver nothing from now on."""
        self._stopped = True
        return True

    def _work(self, task: T) -> None:
        try:
            if self._stopped:
                self._lost(task, Lost.STOPPED, "the worker was stopped")
                return
            left_s = (task.deadline_us - self._clock_us()) / 1e6
            if left_s <= 0:
                self._lost(task, Lost.LATE, f"it waited {-left_s:.3f} s past its deadline")
                return
            result = self._decide(task, left_s)
            if self._stopped:
                self._lost(task, Lost.STOPPED, "the worker was stopped while it was decided on")
                return
            over_s = (self._clock_us() - task.deadline_us) / 1e6
            if over_s > 0:
                self._lost(task, Lost.LATE, f"the decision came {over_s:.3f} s too late")
            else:
                self._deliver(task, result)
        # A planner may fail in ways that nobody foresaw. The vehicle must learn of it, from a
        # thread that goes on: it is counted, told in the diagnostics, and the fallback is due.
        except Exception as error:  # noqa: BLE001
            with suppress(Exception):  # who publishes may be what fails; it has counted by then
                self._lost(task, Lost.CRASHED, one_line(error))


class Worker(Desk[T, R]):
    """Works on tasks in its own thread: who hands one over never waits."""

    def __init__(
        self,
        decide: Callable[[T, float], R],
        deliver: Callable[[T, R], None],
        lost: Callable[[T, Lost, str], None],
        clock_us: Callable[[], int],
    ) -> None:
        super().__init__(decide, deliver, lost, clock_us)
        self._slot: T | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, task: T) -> None:
        """Hand a task over. It replaces one that still waits; after ``stop`` it is lost."""
        with self._changed:
            replaced, stopped = self._slot, self._stopped
            if not stopped:
                self._slot = task
                self._changed.notify()
        if stopped:
            self._lost(task, Lost.STOPPED, "the worker was stopped")
        elif replaced is not None:
            self._lost(replaced, Lost.BUSY, "a newer one took its place")

    def start(self) -> None:
        """Start the thread, once."""
        with self._changed:
            if self._thread is not None or self._stopped:
                raise RuntimeError("a worker is started once")
            self._thread = threading.Thread(target=self._run, name="decide", daemon=True)
        self._thread.start()

    def stop(self, give_up: Callable[[], None] = lambda: None, *, timeout_s: float = 5.0) -> bool:
        """End the thread, and say whether it ended in time. What waits or is decided on is lost.

        ``give_up`` is called once, to cancel the reply that is on its way.
        """
        with self._changed:
            first, self._stopped = not self._stopped, True
            waiting, self._slot = self._slot, None
            self._changed.notify()
        if waiting is not None:
            self._lost(waiting, Lost.STOPPED, "the worker was stopped")
        if first:
            give_up()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._slot is None and not self._stopped:
                    self._changed.wait()
                task, self._slot = self._slot, None
            if task is None:
                return
            self._work(task)


def one_line(error: BaseException) -> str:
    """Type and words of an error, without line breaks."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
