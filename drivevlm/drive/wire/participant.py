"""Joining a domain: the process's one set of settings for it, and this node's part in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from drivevlm.drive.wire.config import DdsConfig, loopback_config
from drivevlm.drive.wire.store import WireError

_LOCK = threading.Lock()
_LOOPBACKS: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""Domains of this process that keep to the machine: all that join one share it."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """A part in a domain. Whoever drops it leaves.

    Attributes:
        participant: To which topics and endpoints belong.
        domain: Kept while it is used; None where it has the settings of the environment.
    """

    participant: Any
    domain: Any


def join(config: DdsConfig) -> Joined:
    """Take part.

    Raises:
        WireError: cyclonedds is not installed, or the domain cannot be joined.
    """
    try:
        from cyclonedds.core import DDSException
        from cyclonedds.domain import Domain, DomainParticipant
    except ImportError as error:
        raise WireError(f"topics need cyclonedds ({error}): pip install 'drivevlm[dds]'") from None
    number = config.domain
    with _LOCK:
        domain = _LOOPBACKS.get(number)
        if domain is not None and not config.loopback:
            raise WireError(
                f"domain {number} keeps to this machine in this process: join with loopback, or "
                "take another domain_id"
            )
        try:
            if domain is None and config.loopback:
                domain = Domain(number, loopback_config())
                _LOOPBACKS[number] = domain
            return Joined(DomainParticipant(number), domain)
        except DDSException as error:
            what = "loopback" if config.loopback else "CYCLONEDDS_URI, if any"
            raise WireError(
                f"domain {number} cannot be joined with the settings of {what} ({error}): is it "
                "open in this process with others, or has it 33 processes already?"
            ) from error
