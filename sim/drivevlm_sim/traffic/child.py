"""Something done in a forked child: libsumo's one simulation goes on there from where it is."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

R = TypeVar("R")


class ChildDiedError(RuntimeError):
    """The child ended without an answer: SUMO crashed in it."""


def in_child(work: Callable[[], R]) -> R:
    """What ``work`` returns, done in a copy of this process; nothing of it remains here.

    Raises:
        ChildDiedError: SUMO crashed.
        RuntimeError: It failed otherwise; the message holds its traceback.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _tell(sender, work)
    sender.close()
    try:
        done, answer = receiver.recv()
    except (EOFError, OSError):  # it died before or amid its answer
        raise ChildDiedError from None
    finally:
        receiver.close()
        os.waitpid(child, 0)
    if not done:
        raise RuntimeError(f"a forked run failed:\n{answer}")
    return answer  # type: ignore[no-any-return]


def _tell(sender: Connection, work: Callable[[], object]) -> None:
    """The child's whole life: it never comes back."""
    try:
        sender.send((True, work()))
    except BaseException:  # whatever it was, the parent is told  # noqa: BLE001
        sender.send((False, traceback.format_exc()))
    finally:
        sender.close()
        os._exit(0)
