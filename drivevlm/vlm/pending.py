"""A request in the making: its clock, its reply or error, and its cancel button."""

from __future__ import annotations

import time
from concurrent.futures import Future, InvalidStateError, wait

from drivevlm.vlm.seam import CancelError, DeadlineError, Reply, Request


class Job:
    """A request on its way to a reply; the ``Pending`` of engines that work in a thread.

    The sender holds ``result`` and ``cancel``; the engine calls ``answer`` or ``fail`` once, and
    looks at ``over`` while it works. Whoever comes first wins, the others change nothing.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.submitted_s = time.monotonic()
        self._future: Future[Reply] = Future()

    def result(self, timeout: float | None = None) -> Reply:
        """Wait for the reply, never past the deadline.

        Raises DeadlineError as soon as the deadline has passed, CancelError after a cancel,
        TimeoutError when ``timeout`` seconds passed first, and whatever the engine raised.
        """
        left_s = self._left_s()
        late_first = left_s is not None and (timeout is None or left_s <= timeout)
        wait_s = max(0.0, left_s) if left_s is not None and late_first else timeout
        if not wait([self._future], wait_s).done:
            if not late_first:
                raise TimeoutError(f"no reply within {timeout:g} s; it is still on its way")
            self._settle_late()
        return self._future.result()

    def cancel(self) -> bool:
        """Give the request up, also while its reply is being written; False if it was done."""
        return _settle(self._future, CancelError("the request was cancelled"))

    @property
    def over(self) -> bool:
        """Nobody waits any more: answered, failed, cancelled or late."""
        return self._expire() or self._future.done()

    def answer(self, reply: Reply) -> None:
        """Hand the reply over, unless it is too late."""
        if not self.over:
            _settle(self._future, reply)

    def fail(self, error: BaseException) -> None:
        """Hand an error over."""
        _settle(self._future, error)

    def _left_s(self) -> float | None:
        deadline_s = self.request.deadline_s
        return None if deadline_s is None else self.submitted_s + deadline_s - time.monotonic()

    def _expire(self) -> bool:
        """True, and settled, once the deadline has passed."""
        left_s = self._left_s()
        if left_s is None or left_s > 0:
            return False
        self._settle_late()
        return True

    def _settle_late(self) -> None:
        late = f"no reply within the deadline of {self.request.deadline_s:g} s"
        _settle(self._future, DeadlineError(late))


def _settle(future: Future[Reply], outcome: Reply | BaseException) -> bool:
    """True for whoever comes first."""
    try:
        if isinstance(outcome, Reply):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
    except InvalidStateError:
        return False
    return True
