"""A tiny town and a scene in it, made by hand: a straight road with a crossing and one signal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from shapely import MultiPolygon, Polygon, box

from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import Body, SceneLog, Track, Weather
from drivevlm_sim.town.town import (
    Building,
    Connector,
    Control,
    Crossing,
    Junction,
    Paint,
    Prop,
    SignalHead,
    StopMark,
    Town,
    TownLane,
    Turn,
)

# The road runs along x through y = 100, one lane each way; side streets meet it at x = 130.
ROAD_Y_M = 100.0
LANE_M = 3.5
EGO_X_M = 90.0
HEAD_XYZ_M = (122.0, 95.5, 2.9)
WHITE = (0.72, 0.72, 0.70)


def tiny_town(walls: tuple[Building, ...] = ()) -> Town:
    """Two streets that cross; ``walls`` are added to its few buildings."""
    road = box(10, 96.5, 250, 103.5).union(box(126.5, 40, 133.5, 160))
    walk = box(10, 94, 250, 106).union(box(124, 40, 136, 160)).difference(road)
    dashes = [box(x, 99.95, x + 3, 100.05) for x in np.arange(12, 118, 6)]
    zebra = [box(119.5, y, 122.5, y + 0.5) for y in np.arange(96.7, 103, 1.0)]
    stripes = [*dashes, *zebra, box(117.6, 96.6, 118.0, 99.9)]
    buildings = tuple(
        Building(box(x, y, x + 18, y + 14), height, rgb)
        for x, y, height, rgb in (
            (30, 112, 12.0, (0.55, 0.38, 0.28)),
            (60, 110, 9.0, (0.60, 0.58, 0.50)),
            (95, 112, 18.0, (0.45, 0.47, 0.50)),
            (60, 76, 15.0, (0.50, 0.30, 0.24)),
            (95, 74, 9.5, (0.62, 0.55, 0.42)),
            (145, 112, 12.0, (0.50, 0.52, 0.48)),
            (145, 74, 22.0, (0.40, 0.42, 0.46)),
        )
    )
    props = tuple(
        [Prop("tree", (x, 107.5, 0.0), 0.3 * x, 1.0, k) for k, x in enumerate((40, 62, 84, 110))]
        + [Prop("lamp", (x, 105.2, 0.13), -np.pi / 2) for x in (50.0, 80.0, 110.0)]
        + [
            Prop("pole", (122.25, 95.5, 0.13), 0.0, variant=1),
            Prop("stop_sign", (124.8, 105.0, 0.13), 0.0),
            Prop("yield_sign", (112.0, 95.0, 0.13), np.pi),
            Prop("speed_sign", (104.0, 95.0, 0.13), np.pi, 1.0, 50),
        ]
    )
    lane = TownLane(
        "w_0", "w", 0, np.array([[10.0, 98.25], [118.0, 98.25]]), LANE_M, 13.9, (":j_0",)
    )
    ahead = Connector(
        ":j_0",
        "w_0",
        "e_0",
        "j",
        np.array([[118.0, 98.25], [142.0, 98.25]]),
        LANE_M,
        Turn.STRAIGHT,
        "j",
        0,
    )
    return Town(
        name="tiny",
        left_hand=False,
        size_m=(260.0, 200.0),
        net_xml="",
        offset_m=(0.0, 0.0),
        lanes={"w_0": lane},
        connectors={":j_0": ahead},
        junctions={"j": Junction("j", box(124, 94, 136, 106), Control.SIGNALS)},
        crossings={
            "j_c": Crossing(
                "j_c",
                "j",
                box(119.5, 96.5, 122.5, 103.5),
                np.array([[121.0, 96.5], [121.0, 103.5]]),
            )
        },
        stop_marks=(StopMark("w_0", box(117.6, 96.6, 118.0, 99.9), Control.SIGNALS),),
        signal_heads=(SignalHead(HEAD_XYZ_M, np.pi, "j", 0, "w", Turn.STRAIGHT),),
        road=_many(road),
        sidewalk=_many(walk),
        parking=(),
        buildings=buildings + walls,
        props=props,
        paint=tuple(Paint(shape, WHITE) for shape in stripes),
        lane_dividers=(),
        road_dividers=(np.array([[10.0, 100.0], [118.0, 100.0]]),),
    )


def standing(
    name: str,
    body: Body,
    xy_m: tuple[float, float],
    yaw_rad: float = 0.0,
    *,
    lamps: int = 0,
    colour: int = 0,
    steps: int = 1,
) -> Track:
    """A track that stays where it is."""
    return Track(
        name=name,
        body=body,
        first=0,
        xy_m=np.tile(np.array(xy_m, dtype=np.float64), (steps, 1)),
        yaw_rad=np.full(steps, yaw_rad),
        speed_mps=np.zeros(steps),
        acceleration_mps2=np.zeros(steps),
        lamps=np.full(steps, lamps, dtype=np.uint8),
        lane=("",) * steps,
        colour=colour,
    )


def tiny_log(
    others: tuple[Track, ...] = (),
    *,
    weather: Weather = Weather.DAY,
    state: str = "r",
    ego_yaw_rad: float = 0.0,
    seed: int = 1,
) -> SceneLog:
    """One step in ``tiny_town``; the ego's rear axle stands in its lane, 32 m before the signal."""
    size = SIZES[Body.SEDAN]
    axle = np.array([EGO_X_M, 98.25])
    middle_m = size.length_m / 2 - size.rear_overhang_m
    middle = axle + middle_m * np.array([np.cos(ego_yaw_rad), np.sin(ego_yaw_rad)])
    signals: Mapping[str, tuple[str, ...]] = {"j": (state,)}
    return SceneLog(
        name="tiny/0",
        town="tiny",
        steps=1,
        ego=standing("ego", Body.SEDAN, (float(middle[0]), float(middle[1])), ego_yaw_rad),
        rear_axle_m=axle[None],
        others={track.name: track for track in others},
        signals=signals,
        route=("w", "e"),
        command=("follow",),
        command_m=np.array([np.nan]),
        weather=weather,
        sun=(2.2, 0.75 if weather is not Weather.DUSK else 0.2),
        family="by_hand",
        seed=seed,
        facts={},
    )


def _many(shape: Polygon | MultiPolygon) -> MultiPolygon:
    return shape if isinstance(shape, MultiPolygon) else MultiPolygon([shape])
