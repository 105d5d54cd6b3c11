"""A window of a recording with an ego, as a scene's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats
from drivevlm.world.sets import Command
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import SceneLog, Track, Weather
from drivevlm_sim.scene_log_file import on_grid
from drivevlm_sim.town.town import Turn
from drivevlm_sim.traffic.demand import Parked, colour_of
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.path import Way, rest_of_route
from drivevlm_sim.traffic.record import Mover

COMMAND_AHEAD_M = 50.0
"""The router speaks this long before a junction."""
NEAR_M = 140.0
"""Who never comes nearer to the ego is left out of its scene."""
_COMMANDS = {
    Turn.LEFT: Command.LEFT,
    Turn.RIGHT: Command.RIGHT,
    Turn.STRAIGHT: Command.STRAIGHT,
}


@dataclass(frozen=True, slots=True)
class Sky:
    """Weather, and the sun's azimuth and elevation in radians."""

    weather: Weather = Weather.DAY
    sun: tuple[float, float] = (0.8, 0.9)


class Scenes:
    """Cuts scenes from one recording."""

    def __init__(self, witness: Witness, *, with_facts: bool = True) -> None:
        self.witness = witness
        self._with_facts = with_facts
        self.recording = witness.recording
        self._lives: dict[str, SceneLog] = {}

    def life(self, ego: str) -> SceneLog:
        """The whole time for which a vehicle is there, with it as the ego and without others."""
        if ego not in self._lives:
            mover = self.recording.vehicles[ego]
            first, steps = mover.track.first, len(mover.track)
            commands = [self._command(mover, row) for row in range(steps)]
            self._lives[ego] = SceneLog(
                name=f"{self.recording.town}/{ego}",
                town=self.recording.town,
                steps=steps,
                ego=_cut(mover.track, first, steps),
                rear_axle_m=mover.rear_axle_m,
                others={},
                signals={
                    name: states[first : first + steps]
                    for name, states in self.recording.signals.items()
                },
                route=rest_of_route(mover, 0),
                command=tuple(word.value for word, _ in commands),
                command_m=on_grid(np.array([away_m for _, away_m in commands])),
                weather=Sky().weather,
                sun=Sky().sun,
                family="",
                seed=self.recording.seed,
                facts=self.witness.facts(ego) if self._with_facts else {},
            )
        return self._lives[ego]

    def scene(
        self, ego: str, *, first: int, steps: int, name: str = "", family: str = "", sky: Sky
    ) -> SceneLog:
        """A window of ``steps`` from a step of the recording; the ego is there all the time."""
        mover, life = self.recording.vehicles[ego], self.life(ego)
        row = first - mover.track.first
        if row < 0 or row + steps > len(mover.track):
            raise ValueError(f"{ego} is not there from step {first} for {steps} steps")
        rows = slice(row, row + steps)
        return replace(
            life,
            name=name or f"{self.recording.town}/{ego}-{first}",
            steps=steps,
            ego=_cut(mover.track, first, steps),
            rear_axle_m=mover.rear_axle_m[rows],
            others=self._others(mover, first, steps),
            signals={plan: states[rows] for plan, states in life.signals.items()},
            route=rest_of_route(mover, row),
            command=life.command[rows],
            command_m=life.command_m[rows],
            weather=sky.weather,
            sun=sky.sun,
            family=family,
            facts=facts_in(life.facts, rows),
        )

    def _others(self, ego: Mover, first: int, steps: int) -> dict[str, Track]:
        row = first - ego.track.first
        way_m = ego.track.xy_m[row : row + steps]
        moving: Mapping[str, Track] = {
            **{name: mover.track for name, mover in sorted(self.recording.vehicles.items())},
            **dict(sorted(self.recording.walkers.items())),
        }
        others = {}
        for name, track in moving.items():
            here = _cut(track, first, steps) if name != ego.track.name else None
            if here is not None and len(here):
                at = way_m[here.first : here.first + len(here)]
                if np.hypot(*(here.xy_m - at).T).min() < NEAR_M:
                    others[name] = here
        for parked in self.recording.parked:
            if np.hypot(*(way_m - parked.xy_m).T).min() < NEAR_M:
                others[parked.name] = _still(parked, steps, self.recording.seed)
        return others

    def _command(self, mover: Mover, row: int) -> tuple[Command, float]:
        """What the router says, and how far its turn still is from the rear axle."""
        way, lane = self.witness.way(mover, row), mover.track.lane[row]
        front_m = SIZES[mover.track.body].rear_axle_from_front_m
        return _command(self.witness, way, lane, float(mover.lane_m[row]), front_m)


def _command(
    witness: Witness, way: Way, lane: str, lane_m: float, front_m: float
) -> tuple[Command, float]:
    roads = witness.recording.roads
    for link, line_m in way.links:
        node = roads.nodes[link.junction]
        if node.choices.get(roads.lanes[link.from_lane].edge, 0) < 2:
            continue
        inside = lane in link.via
        away_m = 0.0 if inside else line_m - lane_m + front_m
        if away_m > COMMAND_AHEAD_M:
            break
        if way.change:
            word = Command.CHANGE_LEFT if way.change > 0 else Command.CHANGE_RIGHT
            return word, away_m
        back = Command.RIGHT if witness.recording.left_hand else Command.LEFT
        return _COMMANDS.get(link.turn, back), away_m
    return Command.FOLLOW, np.nan


def _cut(track: Track, first: int, steps: int) -> Track:
    """A track's part in a window, its steps counted from the window's start; maybe empty."""
    begin = max(first, track.first)
    end = max(begin, min(first + steps, track.first + len(track)))
    rows = slice(begin - track.first, end - track.first)
    return replace(
        track,
        first=begin - first,
        xy_m=track.xy_m[rows],
        yaw_rad=track.yaw_rad[rows],
        speed_mps=track.speed_mps[rows],
        acceleration_mps2=track.acceleration_mps2[rows],
        lamps=track.lamps[rows],
        lane=track.lane[rows],
    )


def facts_in(
    facts: Mapping[str, NDArray[np.generic]], rows: slice
) -> dict[str, NDArray[np.generic]]:
    """Some rows of all facts."""
    return {name: _part(values, rows) for name, values in facts.items()}


def _part(values: NDArray[np.generic], rows: slice) -> NDArray[np.generic]:
    """Some rows; texts no wider than these need, so that they do not depend on other rows."""
    part = values[rows]
    return np.array(part.tolist(), dtype=np.str_) if part.dtype.kind == "U" else part


def _still(parked: Parked, steps: int, seed: int) -> Track:
    none: Floats = np.zeros(steps)
    return Track(
        name=parked.name,
        body=parked.body,
        first=0,
        xy_m=on_grid(np.tile(parked.xy_m, (steps, 1))),
        yaw_rad=on_grid(np.full(steps, parked.yaw_rad)),
        speed_mps=none,
        acceleration_mps2=none,
        lamps=np.full(steps, 0, dtype=np.uint8),
        lane=("",) * steps,
        colour=colour_of(parked.name, seed),
    )
