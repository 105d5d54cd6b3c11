"""One small town with traffic, made once for the tests that need it, and scenes made by hand."""

from functools import cache

import numpy as np
import pytest

from drivevlm_sim.bodies import CARS
from drivevlm_sim.scene_log import Body, SceneLog, Track, Weather
from drivevlm_sim.town.recipe import Rule, TownRecipe
from drivevlm_sim.town.town import Town
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.record import Recording, run
from drivevlm_sim.traffic.scene import Scenes, Sky
from drivevlm_sim.traffic.sumo import has_sumo

needs_sumo = pytest.mark.skipif(not has_sumo(), reason="SUMO is not installed (extra [sim])")
RECIPE = TownRecipe(seed=11, rule=Rule.MIXED, columns=3, rows=2)
SECONDS = 100.0
SEED = 5


@cache
def town() -> Town:
    from drivevlm_sim.town.make_town import make_town

    return make_town(RECIPE)


@cache
def recorded() -> Recording:
    return run(town(), seed=SEED, seconds=SECONDS)


@cache
def scenes() -> Scenes:
    return Scenes(Witness(recorded()))


def cars(recorded: Recording) -> list[str]:
    """Names of the cars that are there for 10 s, those that come first first."""
    return [
        name
        for name, mover in recorded.vehicles.items()
        if mover.track.body in CARS and len(mover.track) > 100
    ]


def middle_scene(scenes: Scenes) -> SceneLog:
    """Ten seconds of a car, from its third second on."""
    ego = cars(scenes.recording)[3]
    first = scenes.recording.vehicles[ego].track.first + 30
    return scenes.scene(ego, first=first, steps=70, family="test", sky=Sky(Weather.DUSK, (1, 0.2)))


def standing_scene(*others: Track, steps: int = 100) -> SceneLog:
    """A sedan that stands at (50, 50) and looks east, among others."""
    ego = still("ego", Body.SEDAN, (50.0, 50.0), steps)
    return SceneLog(
        name="by-hand",
        town="none",
        steps=steps,
        ego=ego,
        rear_axle_m=ego.xy_m - [1.36, 0.0],
        others={track.name: track for track in others},
        signals={},
        route=("a", "b"),
        command=("follow",) * steps,
        command_m=np.full(steps, np.nan),
        weather=Weather.RAIN,
        sun=(0.1, 0.7),
        family="by hand",
        seed=3,
        facts={"signal_state": np.array([""] * steps), "gap_m": np.full(steps, 1 / 3)},
    )


def still(name: str, body: Body, xy_m: tuple[float, float], steps: int) -> Track:
    return Track(
        name=name,
        body=body,
        first=0,
        xy_m=np.tile(np.array(xy_m), (steps, 1)),
        yaw_rad=np.zeros(steps),
        speed_mps=np.zeros(steps),
        acceleration_mps2=np.zeros(steps),
        lamps=np.zeros(steps, dtype=np.uint8),
        lane=("",) * steps,
    )
