"""The queue of an engine: one thread, and batches of what waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Request, VLMError

Write = Callable[[Sequence[Job]], None]
"""Answers or fails every job of a batch, one after the other or together."""
Kind = Callable[[Request], Hashable]


def any_kind(request: Request) -> Hashable:
    """All requests may share a batch."""
    return None


class Batches:
    """Requests that wait for one thread, which writes them together.

    Args:
        name: Of the model, for who comes too late.
        write: Does the work, in the thread; what it raises goes to every job of its batch.
        batch_size: Rows written at once; a request has as many as samples.
        batch_wait_ms: How long a batch waits to fill up.
        kind: Only requests of one kind share a batch.
    """

    def __init__(
        self,
        name: str,
        write: Write,
        *,
        batch_size: int,
        batch_wait_ms: float,
        kind: Kind = any_kind,
    ) -> None:
        self._name = name
        self._write = write
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_ms / 1e3
        self._kind = kind
        self._waiting: deque[Job] = deque()
        self._writing: list[Job] = []
        self._arrival = threading.Condition()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="drivevlm-writer")

    def submit(self, request: Request) -> Job:
        """Queue a request. Raises VLMError once closed."""
        job = Job(request)
        with self._arrival:
            if self._closed:
                raise VLMError(f"{self._name} is closed")
            self._waiting.append(job)
            self._thread.submit(self._serve)
            self._arrival.notify_all()
        return job

    def close(self) -> None:
        """Cancel what waits and what is being written, and wait for the thread."""
        with self._arrival:
            self._closed = True
            for job in (*self._waiting, *self._writing):
                job.cancel()
            self._arrival.notify_all()
        self._thread.shutdown(wait=True)

    def _serve(self) -> None:
        """Write one batch of what waits; nothing may be left, since batches take several."""
        jobs = self._take()
        try:
            with torch.inference_mode():
                self._write(jobs)
        except (VLMError, MemoryError, RuntimeError) as error:
            for job in jobs:
                job.fail(_memory_error(error) or error)
        except BaseException as error:  # whoever waits must hear of any bug
            for job in jobs:
                job.fail(error)
            raise
        finally:
            with self._arrival:
                self._writing = []

    def _take(self) -> list[Job]:
        until_s = time.monotonic() + self._batch_wait_s
        with self._arrival:
            while True:
                batch = self._fitting()
                rows = sum(job.request.samples for job in batch)
                wait_s = until_s - time.monotonic()
                if rows >= self._batch_size or not batch or wait_s <= 0 or self._closed:
                    break
                self._arrival.wait(wait_s)
            self._waiting = deque(job for job in self._waiting if job not in batch)
            self._writing = batch
            return batch

    def _fitting(self) -> list[Job]:
        """Those that go with the oldest: as many rows as fit, all of its kind."""
        self._waiting = deque(job for job in self._waiting if not job.over)
        batch: list[Job] = []
        rows = 0
        for job in self._waiting:
            rows += job.request.samples
            if batch and rows > self._batch_size:
                break
            if not batch or self._kind(job.request) == self._kind(batch[0].request):
                batch.append(job)
        return batch


def _memory_error(error: Exception) -> VLMError | None:
    """One clear line where memory ran out; None for any other error."""
    short = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not short and "DefaultCPUAllocator" not in str(error):
        return None
    return VLMError(
        "memory ran out while writing: lower batch_size, samples, image sizes or max_tokens"
    )
