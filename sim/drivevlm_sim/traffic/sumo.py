"""One SUMO simulation in this process: started by a net, routes and a seed, and read step by step.

SUMO is deterministic: the same net, routes, seed and interventions give the same run in any
process. libsumo keeps its one simulation in the process itself, so a process that forks holds two
equal ones. ``saveState`` is never used: it loses pedestrians and is not stable to the bit.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, wrap_rad
from drivevlm_sim.made_once import WorldError
from drivevlm_sim.scene_log import STEP_S, Lamps

# N: road users of one kind that are on the road in a step.
OPTIONS = (
    *("--step-length", str(STEP_S)),
    *("--lanechange.duration", "3"),
    *("--time-to-teleport", "-1"),
    *("--collision.action", "none"),
    *("--default.speeddev", "0.1"),
    *("--pedestrian.striping.dawdling", "0"),
    *("--ignore-route-errors", "--no-step-log", "--no-warnings", "--duration-log.disable"),
)
"""A lane change takes 3 s instead of a jump; who is stuck stays stuck instead of teleporting."""


class SumoLamp(int, Enum):
    """SUMO's bits of a vehicle's lamps that matter here."""

    RIGHT = 1
    LEFT = 2
    HAZARD = 4
    BRAKE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Vehicles:
    """All vehicles of a step, sorted by name.

    Attributes:
        names: N.
        types: N names of vehicle types (see ``drivers``).
        front_xy_m: (N, 2) middle of the front bumper, town axes.
        yaw_rad: (N,) as SUMO says it: along the lane, so it jumps where the lane bends; the
            tractrix gives the body's.
        speed_mps, acceleration_mps2: (N,) along the lane.
        lamps: (N,) bits of ``scene_log.Lamps``.
        lanes: N names of SUMO lanes, internal ones included.
        lane_m: (N,) of the front bumper from the lane's start.
        route_index: (N,) which edge of its route it is on.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    front_xy_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    acceleration_mps2: Floats
    lamps: NDArray[np.uint8]
    lanes: tuple[str, ...]
    lane_m: Floats
    route_index: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Persons:
    """All pedestrians of a step, sorted by name.

    Attributes:
        names: N.
        xy_m: (N, 2) town axes.
        yaw_rad, speed_mps: (N,).
        edges: N names of edges: sidewalks' own, ``:J_c0`` crossings, ``:J_w0`` walking areas.
    """

    names: tuple[str, ...]
    xy_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    edges: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything in one step.

    Attributes:
        step: How many steps have been made; the time is ``step * STEP_S``.
        signals: State of each signal plan as SUMO's drivers obey it, before any reaction time.
    """

    step: int
    vehicles: Vehicles
    persons: Persons
    signals: Mapping[str, str]

    @property
    def time_s(self) -> float:
        """Since the start of the run."""
        return self.step * STEP_S


def load_libsumo() -> ModuleType:
    """The libsumo module.

    Raises:
        WorldError: It is not installed.
    """
    try:
        # It prints a warning where pyarrow is of another version than the one it was built with;
        # it only matters to SUMO's own Parquet output, which is not used.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import libsumo
    except ImportError as error:
        raise WorldError(
            f"traffic needs SUMO, which is not installed ({error}): pip install 'drivevlm[sim]'"
        ) from error
    return libsumo  # type: ignore[no-any-return, unused-ignore]


def has_sumo() -> bool:
    """Whether SUMO is installed."""
    try:
        load_libsumo()
    except WorldError:
        return False
    return True


class Simulation:
    """A running simulation; a context manager.

    ``api`` is libsumo itself, for whoever intervenes (``api.vehicle.setSpeed`` and so on).
    """

    def __init__(
        self, *, net_xml: str, routes_xml: str, offset_m: tuple[float, float], seed: int
    ) -> None:
        """Start it at time 0; ``offset_m`` leads from SUMO's coordinates to the town's.

        Raises:
            WorldError: SUMO is missing, or does not take the net or the routes.
        """
        self.api: Any = load_libsumo()
        if "<edge" not in net_xml:  # SUMO itself would crash
            raise WorldError("SUMO does not take this town: its net has no edge")
        if self.api.isLoaded():
            raise RuntimeError("libsumo runs one simulation a process: close the other one first")
        self._offset_m = np.asarray(offset_m, dtype=np.float64)
        self.steps_made = 0
        self._words: dict[str, str] = {}
        self._pid = os.getpid()
        self._folder = Path(tempfile.mkdtemp(prefix="drivevlm-sumo-"))
        net, routes = self._folder / "town.net.xml", self._folder / "town.rou.xml"
        net.write_text(net_xml, encoding="utf-8")
        routes.write_text(routes_xml, encoding="utf-8")
        files = ("-n", str(net), "-r", str(routes), "--seed", str(seed))
        try:
            self.api.start(["sumo", *files, *OPTIONS])
        except Exception as error:
            self.close()
            raise WorldError(
                f"SUMO does not take this town or its routes ({error}; its own words are above)"
            ) from error

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its files; a forked child leaves both to its parent."""
        if os.getpid() != self._pid:
            return
        if self.api.isLoaded():
            self.api.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def step(self) -> Snapshot:
        """Make one step of ``STEP_S`` and tell what is there after it."""
        self.advance()
        return self.snapshot()

    def advance(self) -> None:
        """Make one step without looking."""
        self.api.simulationStep()
        self.steps_made += 1

    def snapshot(self) -> Snapshot:
        """What is there now."""
        lights = self.api.trafficlight
        return Snapshot(
            step=self.steps_made,
            vehicles=self._vehicles(),
            persons=self._persons(),
            signals={
                name: lights.getRedYellowGreenState(name) for name in sorted(lights.getIDList())
            },
        )

    def route(self, vehicle: str) -> tuple[str, ...]:
        """The edges of a vehicle's whole route, also those behind it."""
        return tuple(self.api.vehicle.getRoute(vehicle))

    def _vehicles(self) -> Vehicles:
        ask = self.api.vehicle
        names = tuple(self._same(name) for name in sorted(ask.getIDList()))
        return Vehicles(
            names=names,
            types=tuple(self._same(ask.getTypeID(name)) for name in names),
            front_xy_m=self._places([ask.getPosition(name) for name in names]),
            yaw_rad=_yaw_rad([ask.getAngle(name) for name in names]),
            speed_mps=np.array([ask.getSpeed(name) for name in names], dtype=np.float64),
            acceleration_mps2=np.array(
                [ask.getAcceleration(name) for name in names], dtype=np.float64
            ),
            lamps=np.array([_lamps(ask.getSignals(name)) for name in names], dtype=np.uint8),
            lanes=tuple(self._same(ask.getLaneID(name)) for name in names),
            lane_m=np.array([ask.getLanePosition(name) for name in names], dtype=np.float64),
            route_index=np.array([ask.getRouteIndex(name) for name in names], dtype=np.int64),
        )

    def _persons(self) -> Persons:
        ask = self.api.person
        names = tuple(self._same(name) for name in sorted(ask.getIDList()))
        return Persons(
            names=names,
            xy_m=self._places([ask.getPosition(name) for name in names]),
            yaw_rad=_yaw_rad([ask.getAngle(name) for name in names]),
            speed_mps=np.array([ask.getSpeed(name) for name in names], dtype=np.float64),
            edges=tuple(self._same(ask.getRoadID(name)) for name in names),
        )

    def _same(self, word: str) -> str:
        """One object for equal words: they take less room, also on the way to other processes."""
        return self._words.setdefault(word, word)

    def _places(self, xy_sumo_m: list[tuple[float, float]]) -> Floats:
        return np.array(xy_sumo_m, dtype=np.float64).reshape(-1, 2) + self._offset_m


def _yaw_rad(clockwise_from_north_deg: list[float]) -> Floats:
    angles = np.array(clockwise_from_north_deg, dtype=np.float64)
    return wrap_rad(math.pi / 2 - np.radians(angles))


def _lamps(bits: int) -> int:
    """SUMO's bits as ours; hazard lamps are both indicators."""
    lit = Lamps.BRAKE if bits & SumoLamp.BRAKE else 0
    if bits & (SumoLamp.LEFT | SumoLamp.HAZARD):
        lit |= Lamps.LEFT
    if bits & (SumoLamp.RIGHT | SumoLamp.HAZARD):
        lit |= Lamps.RIGHT
    return int(lit)
