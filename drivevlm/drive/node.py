"""The node: a runtime on a bus, with the lifecycle of ROS as plain methods."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from drivevlm.drive.bus import Bus
from drivevlm.drive.health import Diagnostic, Level
from drivevlm.drive.inputs import InputError, Inputs
from drivevlm.drive.messages.images import RgbFromImage, rgb_of_image
from drivevlm.drive.messages.stamps import Nanoseconds
from drivevlm.drive.node_config import NodeConfig
from drivevlm.drive.notices import Notices
from drivevlm.drive.outputs import Diagnoses, Outputs, Senders
from drivevlm.drive.parameters import ParameterError, changed, node_config
from drivevlm.drive.publish import Ended
from drivevlm.drive.runtime import Runtime
from drivevlm.drive.topics import Names, TopicError
from drivevlm.drive.worker import one_line
from drivevlm.planner import Planner

WATCHDOG_S = 0.1
TICKS_PER_S = 10
MakePlanner = Callable[[NodeConfig], Planner]


class State(str, Enum):
    """As in a ROS lifecycle."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What configuring makes and cleaning up lets go.

    Attributes:
        stuck: Its planner did not end when it was told to: it cannot be asked again.
    """

    config: NodeConfig
    planner: Planner
    inputs: Inputs
    outputs: Outputs
    stuck: bool = False


class Node:
    """One planner on the topics of a vehicle.

    A transition returns whether it was made. One that fails is told in the diagnostics, as an
    error that stays until another one is made; one that is none of the present state's changes
    nothing. Nothing that comes over the bus makes a callback raise. Diagnostics go out ten times a
    second while the node is active, and else once a second.

    Args:
        bus: Topics, timers and the clock.
        make_planner: Loads the planner when the node is configured. It may raise anything.
        names: The node's name, and where its topics are.
        rgb_of_image: Pixels of a ``sensor_msgs/Image``.
        lockstep: Decide in the callback's thread: for tests, and for bags where every picture
            shall be decided on.
        ended: Is told what became of each picture of the anchor. It must not raise.
    """

    def __init__(
        self,
        bus: Bus,
        make_planner: MakePlanner,
        *,
        names: Names | None = None,
        rgb_of_image: RgbFromImage = rgb_of_image,
        lockstep: bool = False,
        ended: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        self._bus = bus
        self._make_planner = make_planner
        self._names = names or Names()
        self._rgb_of_image = rgb_of_image
        self._lockstep = lockstep
        self._ended = ended
        self._lock = threading.RLock()  # one transition at a time
        self._state = State.UNCONFIGURED
        self._made: _Made | None = None
        self._runtime: Runtime | None = None
        self._failure: str | None = None
        self._notices = Notices()
        self._senders = Senders(bus, self._names)
        self._diagnoses = Diagnoses(bus, self._senders, self._notices, node=self._names.node)
        self._scenes = itertools.count()
        self._ticks = 0
        self._clock_us, self._clock_stands = -1, 0
        bus.every(WATCHDOG_S, self._tick)

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def config(self) -> NodeConfig | None:
        """Its settings, once it is configured."""
        made = self._made
        return None if made is None else made.config

    @property
    def notices(self) -> Notices:
        """What it has to tell beside its runtime's health."""
        return self._notices

    @property
    def failure(self) -> str | None:
        """Why it could not be configured the last time, in one line; None where it could."""
        return self._failure

    def configure(self, values: Mapping[str, object]) -> bool:
        """Check the parameters, open the topics and load the planner, which may take minutes."""
        with self._lock:
            if self._state is not State.UNCONFIGURED:
                return False
            try:
                self._made = self._make(values)
            except (ParameterError, TopicError, InputError) as error:
                return self._failed(str(error))
            # A model fails to load in ways that nobody can list (files, memory, drivers). The
            # vehicle must learn of it from a node that lives.
            except Exception as error:  # noqa: BLE001
                return self._failed(one_line(error))
            return self._is_now(State.INACTIVE)

    def activate(self) -> bool:
        """Decide and publish from now on."""
        with self._lock:
            made = self._made
            if self._state is not State.INACTIVE or made is None or made.stuck:
                return False
            runtime = Runtime(
                made.planner,
                made.outputs,
                made.config.drive,
                clock_us=self._bus.now_us,
                lockstep=self._lockstep,
                scenes=self._scenes,
                ended=self._ended,
            )
            made.outputs.mute(False)
            runtime.start()
            made.inputs.attach(runtime)
            self._runtime = runtime
            return self._is_now(State.ACTIVE)

    def deactivate(self) -> bool:
        """Publish nothing from now on; history is forgotten, and with it the last plan."""
        with self._lock:
            made, runtime = self._made, self._runtime
            if self._state is not State.ACTIVE or made is None or runtime is None:
                return False
            made.outputs.mute(True)
            made.inputs.attach(None)
            self._runtime = None
            if not runtime.stop():
                self._made = replace(made, stuck=True)
                text = "its planner does not end: clean the node up and configure it again"
                self._notices.say("planner", Level.ERROR, text)
            return self._is_now(State.INACTIVE)

    def cleanup(self) -> bool:
        """Leave the topics and let the planner go."""
        with self._lock:
            made = self._made
            if self._state is not State.INACTIVE or made is None:
                return False
            made.inputs.close()
            self._made = None
            self._notices.clear()
            return self._is_now(State.UNCONFIGURED)

    def shutdown(self) -> bool:
        """End, from any state. The bus is closed by whoever opened it."""
        with self._lock:
            if self._state is State.ACTIVE:
                self.deactivate()
            if self._state is State.INACTIVE:
                self.cleanup()
            self._state = State.FINALIZED
            return True

    def change(self, values: Mapping[str, object]) -> str | None:
        """Change parameters: all of them, or none, and why in one line.

        While the node is not configured anything may change, for it is read when it is.
        """
        with self._lock:
            made = self._made
            if made is None:
                return None
            try:
                config = changed(made.config, values)
            except ParameterError as error:
                return str(error)
            made.outputs.switch(config.output)
            self._made = replace(made, config=config)
            return None

    def _make(self, values: Mapping[str, object]) -> _Made:
        config = node_config(values, name=self._names.node)
        self._names.check_remap(config.drive.sync.cameras)
        nanoseconds = Nanoseconds()
        outputs = Outputs(
            self._bus,
            self._senders,
            config,
            diagnoses=self._diagnoses,
            notices=self._notices,
            nanoseconds=nanoseconds,
        )
        inputs = Inputs(
            self._bus,
            self._names,
            config,
            notices=self._notices,
            nanoseconds=nanoseconds,
            rgb_of_image=self._rgb_of_image,
        )
        inputs.open()
        try:
            planner = self._make_planner(config)
        except BaseException:
            inputs.close()
            raise
        return _Made(config, planner, inputs, outputs)

    def _is_now(self, state: State) -> bool:
        self._state, self._failure = state, None
        self._notices.say("lifecycle", Level.OK, None)
        self._tell()
        return True

    def _failed(self, why: str) -> bool:
        self._failure = why
        self._notices.clear()
        self._notices.say("lifecycle", Level.ERROR, f"the node cannot be configured: {why}")
        self._tell()
        return False

    def _tick(self) -> None:
        try:
            self._watch()
        # The watchdog is what reports all else. It must beat on, whatever fails within it.
        except Exception as error:  # noqa: BLE001
            self._send(Level.ERROR, f"the watchdog fails: {one_line(error)}")

    def _watch(self) -> None:
        if self._state is State.FINALIZED:
            return
        now_us, runtime = self._bus.now_us(), self._runtime
        self._watch_clock(now_us)
        if runtime is not None:
            runtime.on_tick()
            return
        self._ticks += 1
        if self._ticks % TICKS_PER_S == 0:
            self._tell()

    def _watch_clock(self, now_us: int) -> None:
        """A clock that stands still hides every silence."""
        self._clock_stands = self._clock_stands + 1 if now_us == self._clock_us else 0
        self._clock_us = now_us
        text = None
        if now_us == 0:
            text = "no time came yet: use_sim_time is on, and nothing publishes /clock"
        elif self._clock_stands >= TICKS_PER_S:
            text = f"the node's clock stands still for {self._clock_stands * WATCHDOG_S:.0f} s"
        self._notices.say("clock", Level.ERROR if now_us == 0 else Level.WARN, text)

    def _tell(self) -> None:
        """How a node is that is not active."""
        if self._runtime is None:
            self._send(Level.WARN, f"the node is {self._state.value}")

    def _send(self, level: Level, text: str) -> None:
        name = f"{self._names.node}: inference_status"
        with suppress(Exception):  # where diagnostics cannot be sent, nothing is left to tell it by
            self._diagnoses.send(Diagnostic(name, level, text, {}))
