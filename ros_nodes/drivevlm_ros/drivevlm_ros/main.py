"""What ``ros2 run drivevlm_ros drivevlm_node`` starts."""

from __future__ import annotations

from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

from drivevlm_ros.node import DriveVlmNode

THREADS = 8
"""Callbacks only store, so few do for many topics; one may be busy loading a model. Python lets
one of them compute at a time, whatever the number of cores."""


def main(args: Sequence[str] | None = None) -> None:
    """Spin until the process is told to end."""
    rclpy.init(args=args)
    node = DriveVlmNode()
    executor = MultiThreadedExecutor(num_threads=THREADS)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # as asked for
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()
