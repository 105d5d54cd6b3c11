"""The scenes of the flat world: who is where, and how the ego answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drivevlm.world.pose import Pose2
from drivevlm_sim.curve import Curve
from drivevlm_sim.flat import shapes
from drivevlm_sim.flat.motion import ClosedLine, Leader, Motion, following, scheduled
from drivevlm_sim.flat.shapes import Colour, Shape
from drivevlm_sim.flat.streets import BAY_M, CENTER_M, CROSSING_X_M, MAIN_M
from drivevlm_sim.flat.town import Town

EGO_FRONT_M = 3.528
"""From the rear axle to the front bumper."""
WALK_MPS = 1.4
REACTION_S = 0.3
"""From a cause that shows itself to the first step that answers it."""
MOVING_MPS = 0.2
BRAKE_LAMP_MPS2 = -0.3

CAR, VAN = (4.6, 1.9, 1.6), (5.4, 2.0, 2.3)
TRUCK, BUS = (7.6, 2.5, 3.2), (11.0, 2.6, 3.2)
ADULT, CYCLIST, CONE = (0.7, 0.7, 1.75), (1.75, 0.65, 1.65), (0.4, 0.4, 0.75)

CAR_COLOURS: tuple[Colour, ...] = (
    *((178, 34, 38), (40, 74, 150), (226, 226, 224), (52, 54, 58)),
    *((160, 166, 172), (34, 96, 70), (206, 150, 40)),
)
COAT_COLOURS: tuple[Colour, ...] = ((196, 60, 50), (230, 190, 60), (60, 110, 180), (120, 70, 130))

Size = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """An annotated object.

    Attributes:
        name: Unique in its scene.
        category: Full nuScenes name.
        size_lwh_m: Of its annotated box.
        motion: Of the box's centre on the ground.
        colour: Of its body.
        parked: Stands without a driver.
    """

    name: str
    category: str
    size_lwh_m: Size
    motion: Motion
    colour: Colour
    parked: bool = False

    def shape_at(self, time_s: float) -> Shape:
        """What it looks like: brake lamps tell what its speed does."""
        state = self.motion.at(time_s)
        held = state.speed_mps < MOVING_MPS and not self.parked
        braking = held or state.acceleration_mps2 < BRAKE_LAMP_MPS2
        return _shape(self.category, self.size_lwh_m, self.colour, braking)

    def attribute_at(self, time_s: float) -> str:
        """Its nuScenes attribute; "" where its category has none."""
        kind = self.category.split(".")
        moving = self.motion.at(time_s).speed_mps > MOVING_MPS
        if kind[0] == "human":
            return "pedestrian.moving" if moving else "pedestrian.standing"
        if kind[0] != "vehicle":
            return ""
        if kind[1] == "bicycle":
            return "cycle.with_rider"
        return "vehicle.moving" if moving else f"vehicle.{'parked' if self.parked else 'stopped'}"


@lru_cache(maxsize=256)
def _shape(category: str, size_lwh_m: Size, colour: Colour, braking: bool) -> Shape:
    if category == "human.pedestrian.adult":
        return shapes.pedestrian(size_lwh_m, colour)
    if category == "vehicle.bicycle":
        return shapes.cyclist(size_lwh_m, colour)
    if category == "movable_object.trafficcone":
        return shapes.cone(size_lwh_m)
    vehicles = {"vehicle.truck": shapes.truck, "vehicle.bus.rigid": shapes.bus}
    return vehicles.get(category, shapes.car)(size_lwh_m, colour, braking=braking)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One scene before it is painted.

    Attributes:
        title: What happens, for people.
        ego: Motion of the rear axle.
        actors: Everyone else.
    """

    title: str
    ego: Motion
    actors: tuple[Actor, ...]


def stage(name: str, town: Town, *, seed: Sequence[int], until_s: float) -> Stage:
    """One of ``SCENES``; the seed varies speeds, places and colours.

    Args:
        name: Key of ``SCENES``.
        town: Where it plays.
        seed: Of this scene alone.
        until_s: How long the motions must last.
    """
    return SCENES[name](_Cast(town, np.random.default_rng(list(seed)), until_s))


class _Cast:
    """Collects the actors of a scene and draws what varies."""

    def __init__(self, town: Town, rng: np.random.Generator, until_s: float) -> None:
        self.town, self.rng, self.until_s = town, rng, until_s
        self.actors: list[Actor] = []

    def around(self, value: float, spread: float) -> float:
        """A number near ``value``."""
        return float(value + self.rng.uniform(-spread, spread))

    def colour(self, among: tuple[Colour, ...]) -> Colour:
        return among[int(self.rng.integers(len(among)))]

    def vehicle(
        self,
        name: str,
        motion: Motion,
        *,
        category: str = "vehicle.car",
        size: Size = CAR,
        parked: bool = False,
    ) -> Actor:
        colour = self.colour(CAR_COLOURS)
        self.actors.append(Actor(name, category, size, motion, colour, parked))
        return self.actors[-1]

    def walker(self, name: str, motion: Motion) -> None:
        colour = self.colour(COAT_COLOURS)
        self.actors.append(Actor(name, "human.pedestrian.adult", ADULT, motion, colour))

    def oncoming(self, name: str, lane: int, *, x_m: float, speed_mps: float) -> None:
        """A car that comes from the east on the main road and goes straight on."""
        route = self.town.route(f"east in {lane}", f"east {lane} to west", f"west out {lane}")
        run_m = route.arcs[0].start.x_m - x_m
        self.vehicle(name, scheduled(route, run_m=run_m, speed_mps=speed_mps))

    def townsfolk(self) -> None:
        """Those who are there in every scene: parked cars, walkers, a truck at the stop sign."""
        bay_y = CENTER_M[1] - MAIN_M - BAY_M[2] / 2
        for k in self.rng.permutation(14)[:6]:
            pose = Pose2(BAY_M[0] + 6.0 * float(k) + 3.0, bay_y, 0.0)
            self.vehicle(f"parked {k}", Motion.standing(pose), parked=True)
        south = self.town.lane("south in 0").curve
        waiting = Motion.standing(south.pose_at(south.length_m - TRUCK[0] / 2 - 1.0))
        self.vehicle("waiting truck", waiting, category="vehicle.truck", size=TRUCK)
        for k, x_m in enumerate((95.0, 150.0, 190.0, 262.0, 300.0, 345.0)):
            side = 1 if k % 2 else -1
            beside_bay = side < 0 and x_m > BAY_M[0]
            y_m = CENTER_M[1] + side * (MAIN_M + 1.7 + (BAY_M[2] if beside_bay else 0.0))
            heading = 0.0 if self.rng.random() < 0.5 else np.pi
            path = Curve.of(Pose2(self.around(x_m, 8.0), y_m, heading), (200.0, 0.0))
            speed = self.around(1.3, 0.2)
            self.walker(f"walker {k}", scheduled(path, run_m=0.0, speed_mps=speed))
        corner = CENTER_M[0] + 13.0, CENTER_M[1] + MAIN_M + 1.2
        for k in range(3):
            pose = Pose2(corner[0] + 1.6 * k, corner[1], 0.0)
            cone = Motion.standing(pose)
            kind = "movable_object.trafficcone"
            self.actors.append(Actor(f"cone {k}", kind, CONE, cone, (225, 90, 30)))

    def cyclist(self, *, x_m: float) -> None:
        """Rides west along the kerb of the main road."""
        y_m = CENTER_M[1] + MAIN_M - 0.9
        path = Curve.of(Pose2(x_m, y_m, np.pi), (300.0, 0.0))
        motion = scheduled(path, run_m=0.0, speed_mps=self.around(4.5, 0.4))
        colour = self.colour(COAT_COLOURS)
        self.actors.append(Actor("cyclist", "vehicle.bicycle", CYCLIST, motion, colour))

    def stage(self, title: str, ego: Motion) -> Stage:
        return Stage(title, ego, tuple(self.actors))


def _straight(cast: _Cast) -> Stage:
    route = cast.town.route("west in 1", "west 1 to east", "east out 1")
    speed = cast.around(10.0, 0.8)
    start = cast.around(228.0, 4.0)
    lead = scheduled(route, run_m=start + cast.around(32.0, 4.0), speed_mps=speed + 0.3)
    cast.vehicle("lead", lead)
    passing = cast.town.route("west in 0", "west 0 to east", "east out 0")
    cast.vehicle("passing", scheduled(passing, run_m=start - 14.0, speed_mps=speed + 3.0), size=VAN)
    cast.oncoming("oncoming 0", 0, x_m=cast.around(330.0, 6.0), speed_mps=9.0)
    cast.oncoming("oncoming 1", 0, x_m=cast.around(385.0, 6.0), speed_mps=9.0)
    cast.cyclist(x_m=cast.around(320.0, 6.0))
    cast.townsfolk()
    return cast.stage(
        "straight road, constant speed", scheduled(route, run_m=start, speed_mps=speed)
    )


def _turn(cast: _Cast, *, side: str) -> Stage:
    lane, target = (0, "north") if side == "left" else (1, "south")
    names = (f"west in {lane}", f"west {lane} to {target}", f"{target} out 0")
    ego = following(
        cast.town.route(*names),
        run_m=cast.around(166.0, 4.0),
        speed_mps=cast.around(7.5, 0.5),
        cruise_mps=cast.around(8.5, 0.5),
        front_m=EGO_FRONT_M,
        hazards=(),
        until_s=cast.until_s,
    )
    inner = cast.town.lane("east in 0").curve
    waiting = Motion.standing(inner.pose_at(inner.length_m - BUS[0] / 2 - 1.0))
    cast.vehicle("waiting bus", waiting, category="vehicle.bus.rigid", size=BUS)
    cast.oncoming("oncoming 0", 1, x_m=cast.around(282.0, 4.0), speed_mps=cast.around(10.5, 0.5))
    north = cast.town.lane("north in 0").curve
    stopped = Motion.standing(north.pose_at(north.length_m - CAR[0] / 2 - 1.2))
    cast.vehicle("waiting car", stopped)
    cast.townsfolk()
    return cast.stage(f"turn {side} at a junction", ego)


def _turn_left(cast: _Cast) -> Stage:
    return _turn(cast, side="left")


def _turn_right(cast: _Cast) -> Stage:
    return _turn(cast, side="right")


def _lead_stops(cast: _Cast) -> Stage:
    route = cast.town.route("west in 0", "west 0 to north", "north out 0")
    speed, brake = cast.around(9.0, 0.6), cast.around(2.5, 0.2)
    brakes_s = cast.around(0.9, 0.3)
    stops_m = cast.town.lane("west in 0").curve.length_m - CAR[0] / 2 - 1.0
    from_m = stops_m - speed**2 / (2 * brake) - speed * (brakes_s + 1.0)
    lead = scheduled(route, run_m=from_m, speed_mps=speed, changes=((brakes_s, -brake),))
    cast.vehicle("lead", lead)
    ego = following(
        route,
        run_m=from_m - CAR[0] / 2 - EGO_FRONT_M - cast.around(17.0, 2.0),
        speed_mps=speed,
        cruise_mps=speed + 2.5,
        front_m=EGO_FRONT_M,
        hazards=(Leader(lead, CAR[0]),),
        until_s=cast.until_s,
    )
    for k in range(3):
        x_m = 262.0 + 24.0 * k
        cast.oncoming(f"oncoming {k}", 0, x_m=cast.around(x_m, 4.0), speed_mps=8.5)
    cast.cyclist(x_m=cast.around(205.0, 6.0))
    cast.townsfolk()
    return cast.stage("stop behind a lead vehicle that waits to turn left", ego)


def _pedestrian_crosses(cast: _Cast) -> Stage:
    route = cast.town.route("west in 1", "west 1 to east", "east out 1")
    speed = cast.around(9.0, 0.6)
    goes_s = cast.around(1.6, 0.3)
    kerb_y = CENTER_M[1] - MAIN_M
    middle_x = sum(CROSSING_X_M) / 2
    across = Curve.of(Pose2(middle_x, kerb_y - 1.0, np.pi / 2), (30.0, 0.0))
    changes = ((goes_s, 2.0), (goes_s + WALK_MPS / 2.0, 0.0))
    cast.walker("crossing", scheduled(across, run_m=0.0, speed_mps=0.0, changes=changes))
    line_m = CROSSING_X_M[0] - 1.2 - route.arcs[0].start.x_m
    clear_s = goes_s + (1.0 + 3.5 + 1.2) / WALK_MPS
    ego = following(
        route,
        run_m=line_m - EGO_FRONT_M - 25.0 - speed * (goes_s + 1.0),
        speed_mps=speed,
        cruise_mps=speed,
        front_m=EGO_FRONT_M,
        hazards=(ClosedLine(line_m + 2.0, goes_s + REACTION_S, clear_s),),
        until_s=cast.until_s,
    )
    standing = Pose2(middle_x + 0.8, CENTER_M[1] + MAIN_M + 1.2, -np.pi / 2)
    cast.walker("standing", Motion.standing(standing))
    lane = cast.town.lane("west out 0").curve
    waits = Motion.standing(
        lane.pose_at(lane.arcs[0].start.x_m - CROSSING_X_M[1] - 1.8 - VAN[0] / 2)
    )
    cast.vehicle("waiting van", waits, size=VAN)
    cast.oncoming("oncoming 0", 1, x_m=cast.around(250.0, 6.0), speed_mps=8.0)
    cast.townsfolk()
    return cast.stage("brake for a pedestrian on a crossing", ego)


SCENES: dict[str, Callable[[_Cast], Stage]] = {
    "straight": _straight,
    "turn_left": _turn_left,
    "turn_right": _turn_right,
    "lead_stops": _lead_stops,
    "pedestrian_crosses": _pedestrian_crosses,
}
