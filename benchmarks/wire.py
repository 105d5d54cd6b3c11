"""What six cameras cost on the wire: losses, latency and CPU, between two processes.

    python benchmarks/wire.py [seconds]

Six CompressedImage topics of 350 kB at 10 Hz, all six at the same moment, best effort as cameras
are, on loopback. One process sends, the other hears, each through its own bus. Latency is from
before an image is written to when its callback begins, by the system's clock.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil

from drivevlm.drive.bus import Qos
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus

CAMERAS, SIZE, RATE_HZ = 6, 350_000, 10.0
IMAGE, HEADER, TIME = (
    "sensor_msgs/msg/CompressedImage",
    "std_msgs/msg/Header",
    "builtin_interfaces/msg/Time",
)
CAMERA_QOS = Qos(reliable=False, depth=5)
TOPICS = tuple(f"/bench/camera{number}/image/compressed" for number in range(CAMERAS))


class Cpu:
    """The share of one core that this process used since it was made."""

    def __init__(self) -> None:
        self._begun_s, self._used_s = time.monotonic(), self._used()

    def share(self) -> float:
        return (self._used() - self._used_s) / (time.monotonic() - self._begun_s)

    def _used(self) -> float:
        times = psutil.Process().cpu_times()
        return times.user + times.system


def hear(domain_id: int, pipe: Connection) -> None:
    """The other process: hears until it is told to report."""
    latencies_ms: list[float] = []
    lock = threading.Lock()

    def heard(message: Any) -> None:
        stamp = message.header.stamp
        took_ms = (time.time_ns() - (stamp.sec * 10**9 + stamp.nanosec)) / 1e6
        with lock:
            latencies_ms.append(took_ms)

    with DdsBus(DdsConfig(domain_id, loopback=True)) as bus:
        for topic in TOPICS:
            bus.subscribe(topic, IMAGE, CAMERA_QOS, heard)
        while any(bus.peers(topic) == 0 for topic in TOPICS):
            time.sleep(0.01)
        pipe.send("ready")
        cpu = Cpu()
        pipe.recv()
        pipe.send((latencies_ms, cpu.share()))


def send(bus: DdsBus, seconds: float) -> tuple[int, float]:
    """Send all there is to send: the number of images and the share of a core."""
    sends = [bus.publisher(topic, IMAGE, CAMERA_QOS) for topic in TOPICS]
    picture = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    while any(bus.peers(topic) == 0 for topic in TOPICS):
        time.sleep(0.01)
    time.sleep(0.5)  # the other side must have seen ours, too
    cpu, begun_s, ticks = Cpu(), time.monotonic(), round(seconds * RATE_HZ)
    for tick in range(ticks):
        time.sleep(max(0.0, begun_s + tick / RATE_HZ - time.monotonic()))
        for send_one in sends:
            now_s, now_ns = divmod(time.time_ns(), 10**9)
            stamp = bus.make(TIME, sec=now_s, nanosec=now_ns)
            header = bus.make(HEADER, stamp=stamp, frame_id="camera")
            send_one(bus.make(IMAGE, header=header, format="jpeg", data=picture))
    return ticks * CAMERAS, cpu.share()


def main(seconds: float) -> None:
    domain_id = random.SystemRandom().randrange(1, 101)
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=hear, args=(domain_id, theirs))
    other.start()
    load_before = os.getloadavg()[0]
    with DdsBus(DdsConfig(domain_id, loopback=True)) as bus:
        sent, send_share = send(bus, seconds)
        assert ours.recv() == "ready"
        time.sleep(0.5)
        ours.send("report")
        latencies_ms, hear_share = ours.recv()
    other.join()
    median, late, worst = np.percentile(latencies_ms, [50, 99, 100])
    print(f"python benchmarks/wire.py {seconds:g}")
    print(f"{CAMERAS} x {SIZE / 1000:g} kB at {RATE_HZ:g} Hz on loopback, {os.cpu_count()} cores, "
          f"load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after")  # fmt: skip
    rows = (
        ("sent", f"{sent}"),
        ("lost", f"{sent - len(latencies_ms)}"),
        ("not taken by DDS", f"{sum(bus.troubles().values())}"),
        ("latency, median", f"{median:.1f} ms"),
        ("latency, 99 %", f"{late:.1f} ms"),
        ("latency, worst", f"{worst:.1f} ms"),
        ("CPU of the sender", f"{send_share:.1%} of a core"),
        ("CPU of the hearer", f"{hear_share:.1%} of a core"),
    )
    for name, value in rows:
        print(f"  {name:<18} {value}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
