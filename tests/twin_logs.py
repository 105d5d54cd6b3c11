"""Scene logs of twins made by hand: a straight road, a car ahead, a walker, a light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.scene_log import STEP_S, Body, SceneLog, Track, Weather
from drivevlm_sim.twins.twin_pair import Cause, CauseKind, Family, TwinPair

STEPS = 81
T0 = 40


def track(
    name: str, x_m: Floats, *, y_m: float = 0.0, first: int = 0, body: Body = Body.SEDAN
) -> Track:
    """A road user that moves along x; ``x_m`` says where it is in each step."""
    speed = np.gradient(x_m, STEP_S) if len(x_m) > 1 else np.zeros(1)
    return Track(
        name=name,
        body=body,
        first=first,
        xy_m=np.stack([x_m, np.full(len(x_m), y_m)], axis=1),
        yaw_rad=np.zeros(len(x_m)),
        speed_mps=speed,
        acceleration_mps2=np.diff(speed, prepend=speed[:1]) / STEP_S,
        lamps=np.zeros(len(x_m), dtype=np.uint8),
        lane=("A0B0_1",) * len(x_m),
    )


def driven_m(braking_mps2: float) -> Floats:
    """Where a car of 10 m/s is that brakes from the step after t0 on, until it stands; exact."""
    speed = np.full(STEPS, 10.0)
    after = np.arange(1, STEPS - T0) * STEP_S
    speed[T0 + 1 :] = np.maximum(10.0 - braking_mps2 * after, 0.0)
    return np.concatenate([[0.0], np.cumsum(speed[1:] * STEP_S)])


def ego(braking_mps2: float) -> Track:
    """The ego, with the speed that its driver has, not one taken from its places."""
    x_m = driven_m(braking_mps2)
    speed = np.diff(x_m, prepend=x_m[:1] - 1.0) / STEP_S
    acceleration = np.diff(speed, prepend=speed[:1]) / STEP_S
    plain = track("ego", x_m + 1.5)
    return replace(plain, speed_mps=speed, acceleration_mps2=acceleration)


def log(name: str, *, braking_mps2: float, others: tuple[Track, ...], lights: str) -> SceneLog:
    """A scene whose ego brakes after t0; ``lights`` is a plan of two places, at all times."""
    mine = ego(braking_mps2)
    return SceneLog(
        name=name,
        town="by-hand",
        steps=STEPS,
        ego=mine,
        rear_axle_m=mine.xy_m - [1.5, 0.0],
        others={other.name: other for other in others},
        signals={"J": (lights,) * STEPS},
        route=("A0B0", "B0C0"),
        command=("follow",) * STEPS,
        command_m=np.full(STEPS, np.nan),
        weather=Weather.DAY,
        sun=(0.0, 1.0),
        family="by hand",
        seed=0,
        facts={},
    )


def bystander(x_m: float = 60.0) -> Track:
    """A car parked on the other side."""
    return track("v1", np.full(STEPS, x_m), y_m=6.0)


def obstacle() -> Track:
    """A vehicle that stands in the ego's lane, 25 m before it at t0."""
    return track("x", np.full(STEPS, 65.0), body=Body.VAN)


def stopped_pair() -> TwinPair:
    """A vehicle stands in the ego's lane in scene b; there the ego brakes by 3 m/s2."""
    return TwinPair(
        name="by-hand/1",
        family=Family.STOPPED_VEHICLE,
        town="by-hand",
        a=log("a", braking_mps2=0.0, others=(bystander(),), lights="Gr"),
        b=log("b", braking_mps2=3.0, others=(bystander(), obstacle()), lights="Gr"),
        t0=T0,
        cause=Cause(CauseKind.VEHICLE, instance="x", distance_m=25.0),
    )


def signal_pair() -> TwinPair:
    """The ego's own light, the first of two, turns red in scene b."""
    pair = stopped_pair()
    return replace(
        pair,
        family=Family.SIGNAL_APPROACH,
        a=replace(pair.a, signals={"J": ("Gr",) * STEPS}),
        b=replace(pair.b, signals={"J": ("Gr",) * 35 + ("rr",) * 46}, others=pair.a.others),
        cause=Cause(CauseKind.SIGNAL, signal="J", link=0, links=(0,), distance_m=25.0),
    )


def nudged(values: Floats, step: int, by: float) -> Floats:
    """A copy with one step's value moved, in the first column if there are several."""
    copy = values.copy()
    copy[(step, 0) if copy.ndim == 2 else step] += by
    return copy
