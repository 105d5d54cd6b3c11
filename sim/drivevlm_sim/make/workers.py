"""Independent jobs on local processes, results as they come."""

from __future__ import annotations

import logging
import multiprocessing
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from drivevlm_sim.made_once import WorldError

LOG = logging.getLogger(__name__)
MOST_TRIES = 3
"""Graphics drivers crash now and then; a job with which a process died so often is given up."""
J = TypeVar("J")
R = TypeVar("R")


def done_jobs(
    work: Callable[[J], R], jobs: Sequence[J], *, processes: int
) -> Iterator[tuple[J, R]]:
    """Each job with what ``work`` returned for it, in the order in which they end.

    Processes are started afresh (nothing of a simulation or of a graphics context is inherited),
    and each ends by itself when this one does, however it ends. A job whose process died is tried
    again in another one.

    Raises:
        WorldError: A job raised it, or ``MOST_TRIES`` processes died at one; what is done stays.
        RuntimeError: A job failed otherwise; the message holds its traceback.
    """
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, work(job)
        return
    crew = [_Worker(work) for _ in range(min(processes, len(jobs)))]
    waiting, deaths = list(reversed(jobs)), Counter[int]()
    try:
        for worker in crew:
            worker.give(waiting.pop())
        while busy := {worker.link: worker for worker in crew if worker.job is not None}:
            for link in wait(list(busy)):
                worker = busy[link]  # type: ignore[index]
                job = worker.job
                try:
                    done = worker.take()
                except _DiedError as died:
                    deaths[id(job)] += 1
                    if deaths[id(job)] == MOST_TRIES:
                        raise WorldError(
                            f"{MOST_TRIES} processes died at {job} ({died}; out of memory?): what "
                            "was made is kept, the same command goes on"
                        ) from None
                    LOG.warning("a process died at %s (%s): it is tried again", job, died)
                    worker.dismiss()
                    crew[crew.index(worker)] = worker = _Worker(work)
                    worker.give(job)
                    continue
                yield done
                if waiting:
                    worker.give(waiting.pop())
    finally:
        for worker in crew:
            worker.dismiss()


class _DiedError(Exception):
    """A process ended without an answer."""


class _Worker:
    """A process and what it is at."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.link, theirs = spawn.Pipe()
        self.process: BaseProcess = spawn.Process(target=_serve, args=(work, theirs), daemon=False)
        # One thread each: the processes share the cores among themselves.
        with _Environment(OMP_NUM_THREADS="1", LP_NUM_THREADS="1"):
            self.process.start()
        theirs.close()  # so that its end is seen here
        self.job: Any = None

    def give(self, job: Any) -> None:
        self.job = job
        with suppress(OSError):  # a dead process is told of by ``take``
            self.link.send(job)

    def take(self) -> tuple[Any, Any]:
        """The job and its result. Raises _DiedError where there is none."""
        job, self.job = self.job, None
        try:
            kind, result = self.link.recv()
        except (EOFError, OSError):
            self.process.join()
            raise _DiedError(f"exit {self.process.exitcode}") from None
        if kind == "world":
            raise WorldError(result)
        if kind == "bug":
            raise RuntimeError(f"{job} failed:\n{result}")
        return job, result

    def dismiss(self) -> None:
        """End it: at once where it is still at a job, whose result nobody will take."""
        if self.job is not None:
            self.process.terminate()
        self.link.close()
        self.process.join()


class _Environment:
    """Environment variables for the processes that are started inside the block."""

    def __init__(self, **values: str) -> None:
        self._values, self._before = values, {name: os.environ.get(name) for name in values}

    def __enter__(self) -> None:
        os.environ.update(self._values)

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve(work: Callable[[Any], Any], link: Connection) -> None:
    """What a process does: jobs until the other end of its link is gone."""
    # Ctrl-C is the parent's to hear: it ends its processes itself.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            job = link.recv()
        except EOFError:
            return
        try:
            answer = ("done", work(job))
        except WorldError as error:
            answer = ("world", str(error))
        except BaseException:  # noqa: BLE001  # told to the parent, which raises it
            answer = ("bug", traceback.format_exc())
        with suppress(OSError):
            link.send(answer)
