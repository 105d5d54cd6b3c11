"""The two ends of a topic: one that sends, and one that hears in a thread of its own."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivevlm.drive.bus import Message, Qos
from drivevlm.drive.wire.participant import Joined
from drivevlm.drive.wire.shell import user_data
from drivevlm.drive.wire.store import typestore
from drivevlm.drive.wire.trouble import Trouble, Troubles
from drivevlm.drive.worker import one_line

BLOCKING_NS = 100_000_000
"""A reliable writer whose peers lag waits so long for room, then gives the message up."""
WAIT_NS = 1_000_000_000
"""Nothing depends on it: data and the end wake the thread at once."""
UNLIMITED = -1
CANNOT_BE_WRITTEN = (
    struct.error,
    AttributeError,
    TypeError,
    ValueError,
    OverflowError,
    AssertionError,
)
"""What the typestore raises for a field that holds something else than its type says."""


def dds_qos(qos: Qos, type_name: str) -> Any:
    """The same in the words of DDS, as ROS's own port of Cyclone asks for it."""
    from cyclonedds.qos import Policy
    from cyclonedds.qos import Qos as DdsQos

    reliability = Policy.Reliability
    kept = Policy.History.KeepLast(qos.depth)
    return DdsQos(
        reliability.Reliable(BLOCKING_NS) if qos.reliable else reliability.BestEffort,
        kept,
        Policy.Durability.TransientLocal if qos.latched else Policy.Durability.Volatile,
        Policy.DurabilityService(0, kept, UNLIMITED, UNLIMITED, UNLIMITED),
        Policy.WriterDataLifecycle(autodispose=False),
        Policy.DataRepresentation(use_cdrv0_representation=True),
        Policy.Userdata(user_data(type_name)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What both ends of a topic have in common.

    Attributes:
        joined: Ends only when the last of its endpoints has.
        topic: Of DDS.
        name: The topic's, in full.
        type_name: Of its messages.
        qos: How they are carried.
        log: Of what goes wrong.
    """

    joined: Joined
    topic: Any
    name: str
    type_name: str
    qos: Qos
    log: Troubles


class Sender:
    """Sends messages to one topic, from any thread. After ``close`` it sends none."""

    def __init__(self, line: Line) -> None:
        from cyclonedds.core import DDSException
        from cyclonedds.pub import DataWriter

        quality = dds_qos(line.qos, line.type_name)
        self._open: tuple[Line, Any] | None = (
            line,
            DataWriter(line.joined.participant, line.topic, quality),
        )
        self._refused = DDSException

    def __call__(self, message: Message) -> None:
        """Send it. What DDS does not take, as when peers lag for too long, is counted.

        Raises:
            TypeError: It is no message of this type, or a field holds something else.
        """
        ends = self._open
        if ends is None:
            return
        line, writer = ends
        came = getattr(message, "__msgtype__", type(message).__name__)
        if came != line.type_name:
            raise TypeError(f"{line.name} carries {line.type_name}, got a {came}")
        try:
            cdr = bytes(typestore().serialize_cdr(message, line.type_name))
        except CANNOT_BE_WRITTEN as error:
            raise TypeError(
                f"{line.name}: a field of this {line.type_name} holds something else than its "
                f"type says: {error}"
            ) from error
        try:
            writer.write(line.topic.data_type(cdr))
        except self._refused as error:
            line.log.add(line.name, Trouble.UNSENT, str(error))

    def peers(self) -> int:
        """How many hear it."""
        ends = self._open
        return 0 if ends is None else int(ends[1].get_publication_matched_status().current_count)

    def close(self) -> None:
        """Leave the topic, as soon as no other thread is sending."""
        self._open = None


class Hearer:
    """Hears one topic: each message is read and handed to the callback, in one thread, in order.

    A slow callback delays its own topic only; what comes meanwhile is kept up to the depth of the
    QoS, oldest dropped first.

    Args:
        line: What to hear.
        callback: Gets each message.
    """

    def __init__(self, line: Line, callback: Callable[[Message], None]) -> None:
        from cyclonedds.core import (
            DDSStatus,
            GuardCondition,
            InstanceState,
            ReadCondition,
            SampleState,
            ViewState,
            WaitSet,
        )
        from cyclonedds.sub import DataReader

        quality = dds_qos(line.qos, line.type_name)
        reader = DataReader(line.joined.participant, line.topic, quality)
        reader.set_status_mask(DDSStatus.RequestedIncompatibleQos)
        anything = SampleState.Any | ViewState.Any | InstanceState.Any
        waking = GuardCondition(line.joined.participant)
        waits = WaitSet(line.joined.participant)
        for reason in (ReadCondition(reader, anything), reader, waking):
            waits.attach(reason)
        self._callback = callback
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ends: tuple[Any, Any] | None = (reader, waking)
        self._thread = threading.Thread(
            target=self._run, args=(line, reader, waits), name=f"hear {line.name}", daemon=True
        )
        self._thread.start()

    def peers(self) -> int:
        """How many send to it."""
        ends = self._ends
        return 0 if ends is None else int(ends[0].get_subscription_matched_status().current_count)

    def stop(self) -> None:
        """Hear no more: the thread ends after the callback that is under way, if any."""
        with self._lock:
            if self._ends is not None and not self._closed.is_set():
                self._ends[1].set(True)
                self._closed.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the callback that is under way, unless this is it."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self, line: Line, reader: Any, waits: Any) -> None:
        while not self._closed.is_set():
            waits.wait(WAIT_NS)
            for sample in reader.take(line.qos.depth):
                if isinstance(sample, line.topic.data_type) and not self._closed.is_set():
                    hand_over(line, sample.cdr, self._callback)
            if reader.take_status(reader.status_mask):
                detail = f"a publisher offers less than {line.qos}: its messages do not come"
                line.log.add(line.name, Trouble.MISMATCHED, detail)
        self._ends = None  # whoever still holds this must not hold the topic


def hand_over(line: Line, cdr: bytes, callback: Callable[[Message], None]) -> None:
    """Read one payload for the callback. Never raises: what goes wrong is counted."""
    from rosbags.serde import SerdeError

    try:
        message = typestore().deserialize_cdr(cdr, line.type_name)
    except SerdeError as error:
        line.log.add(line.name, Trouble.UNREADABLE, str(error))
        return
    try:
        callback(message)
    # Whoever subscribed may fail in ways that nobody foresaw. The thread must go on, for a camera
    # that falls silent over one message is worse: it is counted and told.
    except Exception as error:  # noqa: BLE001
        line.log.add(line.name, Trouble.CALLBACK, one_line(error))
