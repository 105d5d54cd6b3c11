"""The shell beside a fake rclpy, on a car that drives straight on."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dialogue_cases import png
from drive_bus import ODOMETRY, LocalBus, image_topic, output
from drive_cases import DELAY_US, SPEED_MPS, START_US, Puppet
from drive_node_cases import GOOD, RANKS, RIG_OF_ONE
from rclpy_fake import modules
from rclpy_graph import Graph

from drivevlm.drive.health import Level

AUTOWARE = (
    "autoware_planning_msgs",
    "autoware_internal_planning_msgs",
    "autoware_internal_debug_msgs",
    "vision_msgs",
)
MARKERS = "/drivevlm/debug/markers"
PATIENCE_S = 10.0


def given(**values: Any) -> dict[str, Any]:
    """What a parameter file holds, beside a camera whose calibration is known."""
    return RIG_OF_ONE | {name.replace("__", "."): value for name, value in values.items()}


@contextmanager
def imported(graph: Graph) -> Iterator[Callable[[str], Any]]:
    """Imports modules of the shell, which find this graph's rclpy and messages."""
    fake = modules(graph)
    packages = {"drivevlm_ros", *graph.lacks, *(name for name in fake if "." not in name)}
    of_ros = lambda name: name.partition(".")[0] in packages  # noqa: E731
    before = {name: module for name, module in sys.modules.items() if of_ros(name)}
    try:
        _forget(of_ros)
        sys.modules.update(fake)
        yield lambda name: importlib.import_module(f"drivevlm_ros.{name}")
    finally:
        _forget(of_ros)
        sys.modules.update(before)


def _forget(which: Callable[[str], bool]) -> None:
    for name in [name for name in sys.modules if which(name)]:
        del sys.modules[name]


@dataclass
class Shell:
    """The node as ROS would hold it."""

    graph: Graph
    planner: Puppet = field(default_factory=lambda: Puppet([GOOD]))
    fails: list[Exception] = field(default_factory=list)
    pen: LocalBus = field(default_factory=LocalBus)
    node: Any = None

    def load(self, config: object) -> Puppet:
        if self.fails:
            raise self.fails.pop(0)
        return self.planner

    def start(self) -> Shell:
        """ROS runs, and the node starts by itself."""
        self.graph.tick(us=0)
        assert self.node.label == "active", self.node.get_logger().lines
        return self

    def drive(self, until_s: float, *, from_s: float = 0.0, decides: bool = True) -> Shell:
        """Every 50 ms odometry, every 100 ms a picture, waited for, and a beat of the timers."""
        for k in range(round(from_s * 20), round(until_s * 20) + 1):
            stamp_us = START_US + k * 50_000
            self.graph.clock.now_us = stamp_us + DELAY_US
            self.graph.send(ODOMETRY, self.pen.odometry(stamp_us, SPEED_MPS * k * 0.05))
            if k % 2 == 0:
                told = len(self.graph.sent[MARKERS])  # of all that is sent, the last
                picture = self.pen.compressed(stamp_us, png(k % 256))
                self.graph.send(image_topic("CAM_FRONT"), picture)
                if decides:
                    until(lambda: len(self.graph.sent[MARKERS]) > told, "a decision")  # noqa: B023
                self.graph.tick(us=0)
        return self

    def sent(self, name: str) -> list[Any]:
        return self.graph.sent[self.graph.remaps.get(output(name), output(name))]

    @property
    def status(self) -> Any:
        """The last one in the diagnostics."""
        return self.graph.sent["/diagnostics"][-1].status[0]

    @property
    def told(self) -> tuple[Level, str]:
        return RANKS[self.status.level], self.status.message

    @property
    def counts(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.status.values}

    def logged(self, severity: str) -> list[str]:
        return [text for kind, text in self.node.get_logger().lines if kind == severity]


def until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not come within {PATIENCE_S} s"
        time.sleep(0.001)


@contextmanager
def shell(graph: Graph | None = None, **more: Any) -> Iterator[Shell]:
    """A node that has just been made."""
    graph = graph or Graph(given())
    with imported(graph) as module:
        found = Shell(graph, **more)
        found.node = module("node").DriveVlmNode(found.load)
        try:
            yield found
        finally:
            found.node.close()
