"""The node as ROS sees it: each transition is one of ``drivevlm.drive.node.Node``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn

from drivevlm.drive import node as drive
from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.topics import Names
from drivevlm.drive.worker import one_line
from drivevlm.planner import Planner
from drivevlm_ros.bus import RosBus
from drivevlm_ros.parameters import Declared, is_ours
from drivevlm_ros.pixels import rgb_converter

NAME = "drivevlm"
AT_ONCE_S = 0.01


class DriveVlmNode(LifecycleNode):  # type: ignore[misc]  # rclpy is there under ROS only
    """A planner on the topics of a vehicle.

    Transitions, parameters and topics are handed on; all else is done without ROS.

    Args:
        make_planner: Loads the planner when the node is configured.
        name: Of the node, unless ROS is told another.
    """

    def __init__(
        self,
        make_planner: Callable[[NodeConfig], Planner] | None = None,
        *,
        name: str = NAME,
    ) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True)
        self._bus = RosBus(self)
        self._declared = Declared(self)
        self._core = drive.Node(
            self._bus,
            make_planner or self._make_planner,
            names=Names(self.get_name(), self.get_namespace()),
            rgb_of_image=rgb_converter(),
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        # A word that makes no sense starts the node too, so that it is told what is wrong with it.
        if self._declared.values()["autostart"] is not False:
            self._bus.once(AT_ONCE_S, self._autostart)

    @property
    def bus(self) -> RosBus:
        """Its topics."""
        return self._bus

    @property
    def core(self) -> drive.Node:
        """The node without ROS."""
        return self._core

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Check the parameters, open the topics, load the planner."""
        return self._made("configured", self._configure)

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Decide and publish from now on."""
        return self._made("activated", self._core.activate)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Publish nothing but diagnostics from now on."""
        return self._made("deactivated", self._core.deactivate)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Leave the topics and let the planner go."""
        return self._made("cleaned up", self._core.cleanup)

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """End, from any state."""
        return self._made("shut down", self._core.shutdown)

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """After a transition that raised: back to the beginning, or to the end."""
        return self._made("brought back to its beginning", self._begin_anew)

    def close(self) -> None:
        """End what runs, when the process does."""
        self._core.shutdown()

    def _configure(self) -> bool:
        self._declared.declare()  # a rig that was changed since has other cameras to calibrate
        return self._core.configure(self._declared.values())

    def _begin_anew(self) -> bool:
        self._core.deactivate()
        self._core.cleanup()
        return self._core.state is drive.State.UNCONFIGURED

    def _made(self, what: str, transition: Callable[[], bool]) -> TransitionCallbackReturn:
        try:
            made = transition()
        except Exception as error:  # rclpy makes an ERROR of it, and keeps silent about what it was
            self.get_logger().error(f"the node cannot be {what}: {one_line(error)}")
            raise
        if made:
            self.get_logger().info(f"the node is {what}")
            return TransitionCallbackReturn.SUCCESS
        why = self._core.failure or f"it is {self._core.state.value}"
        self.get_logger().error(f"the node cannot be {what}: {why}")
        return TransitionCallbackReturn.FAILURE

    def _autostart(self) -> None:
        if self._core.state is not drive.State.UNCONFIGURED:  # somebody was faster
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _on_set_parameters(self, changes: Sequence[Any]) -> SetParametersResult:
        values = {change.name: change.value for change in changes if is_ours(change.name)}
        why = self._core.change(values) if values else None
        return SetParametersResult(successful=why is None, reason=why or "")

    def _make_planner(self, config: NodeConfig) -> Planner:
        # Here, so that whatever keeps it from being imported is a node that cannot be configured.
        from drivevlm.build.node_planner import node_planner

        return node_planner(config, self.get_logger().info)
