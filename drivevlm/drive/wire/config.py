"""Where the wire is: the domain, and whether it leaves this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from drivevlm.drive.wire.store import WireError

DOMAIN_VARIABLE = "ROS_DOMAIN_ID"
LAST_DOMAIN = 232
"""Ports of higher domains do not exist. Up to 101, they are free on every system."""
RECEIVE_BUFFER = "4MB"
"""Six cameras at once need it. The system may grant less (``net.core.rmem_max``), and then loses
messages under load; to ask for it as a minimum would refuse to start there."""


@dataclass(frozen=True, slots=True)
class DdsConfig:
    """How to join.

    Attributes:
        domain_id: Peers of one domain hear each other. None: ``ROS_DOMAIN_ID``, or 0.
        loopback: Only this machine is reached, by the settings of ``loopback_config``: peers need
            the same. Else those of ``CYCLONEDDS_URI`` count.
        use_sim_time: The node's clock is the topic ``/clock``, not that of the system.
    """

    domain_id: int | None = None
    loopback: bool = False
    use_sim_time: bool = False

    def __post_init__(self) -> None:
        if self.domain_id is not None and not 0 <= self.domain_id <= LAST_DOMAIN:
            raise ValueError(f"domain_id must be from 0 to {LAST_DOMAIN}, got {self.domain_id}")

    @property
    def domain(self) -> int:
        """The domain that is joined. Raises WireError where the environment's is none."""
        if self.domain_id is not None:
            return self.domain_id
        text = os.environ.get(DOMAIN_VARIABLE) or "0"
        if not text.isdecimal() or int(text) > LAST_DOMAIN:
            raise WireError(
                f"the environment's {DOMAIN_VARIABLE} must be from 0 to {LAST_DOMAIN}, got {text!r}"
            )
        return int(text)


def loopback_config() -> str:
    """Settings of Cyclone DDS that keep to this machine, without multicast.

    Up to 33 processes find each other. A ROS node joins them when its ``CYCLONEDDS_URI`` holds
    this text and its ``RMW_IMPLEMENTATION`` is ``rmw_cyclonedds_cpp``.
    """
    return (
        '<CycloneDDS xmlns="https://cdds.io/config"><Domain id="any">'
        "<General>"
        '<Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>'
        "<AllowMulticast>false</AllowMulticast>"
        "<MaxMessageSize>65500B</MaxMessageSize>"
        "</General>"
        f'<Internal><SocketReceiveBufferSize max="{RECEIVE_BUFFER}"/></Internal>'
        "<Discovery>"
        "<ParticipantIndex>auto</ParticipantIndex>"
        "<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
        '<Peers><Peer address="127.0.0.1"/></Peers>'
        "</Discovery>"
        "</Domain></CycloneDDS>"
    )
