"""The node with pip alone: run on the DDS wire, or used to look at what reaches it."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from drivevlm.build.node_planner import node_planner
from drivevlm.build.settings import SettingError
from drivevlm.drive.bus import Message
from drivevlm.drive.health import Level
from drivevlm.drive.listen import Arrival, Listener
from drivevlm.drive.node import Node
from drivevlm.drive.parameters import ParameterError, node_config
from drivevlm.drive.parameters_file import yaml_of
from drivevlm.drive.topics import DIAGNOSTICS, Names, TopicError
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.drive.wire.store import WireError
from drivevlm.record.run_folder import write_atomically
from drivevlm.report.arrivals_table import ArrivalsTable
from drivevlm.verbs.node_start import parameter_values, remapped, say, stopped
from drivevlm.verbs.progress import bars

NODE_ERRORS = (WireError, ParameterError, TopicError)
TOLD_EVERY_S = 2.0
"""A state that changes within this is not told anew."""
_DIGITS = re.compile(r"[\d.]+")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How the node is started. Every other KEY=VALUE is one of its parameters.

    Attributes:
        config: YAML file of its parameters, in ROS's form or plain; what is typed comes after it.
        name: Of the node.
        namespace: Its topics lie below it.
        remap: New names of topics, as in ~/input/objects:=/objects; ``autoware`` stands for all
            those of an Autoware vehicle.
        domain: Peers of one domain hear each other; empty for ROS_DOMAIN_ID, or 0.
        loopback: Keep to this machine.
        parameters: Write all parameters, with what each is for, into this file, and end.
        check: Tell which inputs arrive instead of planning; the exit code is 1 where one that is
            needed does not, or comes wrong.
        seconds: So long the node runs, or ``check`` listens. 0 runs it until it is stopped, and
            lets ``check`` listen for 5 s.
        out: Folder of check.json.
    """

    config: str = ""
    name: str = "drivevlm"
    namespace: str = "/"
    remap: tuple[str, ...] = ()
    domain: int | None = None
    loopback: bool = False
    parameters: str = ""
    check: bool = False
    seconds: float = 0.0
    out: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds is finite and not negative, got {self.seconds}")


def run_node(settings: NodeSettings, typed: Mapping[str, object], console: Console) -> int:
    """Run the node until it is stopped; returns the exit code.

    Args:
        settings: How it is started.
        typed: Its parameters, flat or nested.
        console: Where its state is told whenever it changes.
    """
    names = Names(settings.name, settings.namespace, remapped(settings.remap))
    values = parameter_values(settings.config, typed, names)
    config = node_config(values, name=settings.name)
    if settings.parameters:
        _write(Path(settings.parameters), yaml_of(config), console, "parameters")
        return 0
    names.check_remap(config.drive.sync.cameras)
    try:
        wire = DdsConfig(settings.domain, settings.loopback, config.use_sim_time)
    except ValueError as error:
        raise SettingError(str(error)) from None
    with DdsBus(wire, tell=partial(say, console)) as bus:
        if settings.check:
            return _check(Listener(bus, names, config), settings, console)
        with stopped() as stop:
            node = Node(bus, node_planner, names=names)
            bus.subscribe(
                DIAGNOSTICS.name, DIAGNOSTICS.type_name, DIAGNOSTICS.qos, _teller(names, console)
            )
            if node.configure(values) and config.autostart:
                node.activate()
            stop.wait(settings.seconds or None)
            node.shutdown()
    return 0


def _check(listener: Listener, settings: NodeSettings, console: Console) -> int:
    seconds = settings.seconds or 5.0
    begun_s = time.monotonic()
    with bars(console) as progress, stopped() as stop:
        passed_s = 0.0
        while passed_s < seconds and not stop.wait(0.1):
            passed_s = time.monotonic() - begun_s
            progress("listening, s", min(round(passed_s), round(seconds)), round(seconds))
    arrivals = listener.arrivals()
    console.print(ArrivalsTable(arrivals))
    if settings.out:
        rows = [asdict(arrival) for arrival in arrivals]
        text = json.dumps({"seconds": seconds, "inputs": rows}, indent=1) + "\n"
        _write(Path(settings.out) / "check.json", text, console, "out")
    return 1 if any(_is_lacking(arrival) for arrival in arrivals) else 0


def _write(path: Path, text: str, console: Console, setting: str) -> None:
    """Write a file where its setting wants it, and tell its path as the last line."""
    path = path.expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise SettingError(f"{setting}={path} cannot be written ({error.strerror})") from None
    say(console, path)


def _is_lacking(arrival: Arrival) -> bool:
    return arrival.needed and bool(arrival.problem)


def _teller(names: Names, console: Console) -> Callable[[Message], None]:
    """Prints the node's status whenever it changes in more than its numbers."""
    last: dict[str, object] = {"text": None, "when_s": -TOLD_EVERY_S}

    def tell(message: Message) -> None:
        for status in message.status:
            if status.name != f"{names.node}: inference_status":
                continue
            text = f"{Level(int(status.level)).name}: {status.message}"
            plain, now_s = _DIGITS.sub("#", text), time.monotonic()
            if plain != last["text"] and now_s - float(str(last["when_s"])) >= TOLD_EVERY_S:
                last.update(text=plain, when_s=now_s)
                say(console, text)

    return tell
