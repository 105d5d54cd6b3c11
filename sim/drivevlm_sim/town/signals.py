"""Signal heads and the poles that carry them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import LineString, Polygon, prepare
from shapely.geometry.base import BaseGeometry

from drivevlm.world.pose import Pose2
from drivevlm_sim.town.street import Approach
from drivevlm_sim.town.town import Connector, Control, Junction, Prop, SignalHead, Turn

MAST_HEAD_M, POLE_HEAD_M = 5.2, 2.9
"""Heights of a head's middle, on the mast's arm and on the pole."""
SPACING_M = 1.5
"""Heads on an arm are apart by this at least."""
CLEAR_M = 0.6
"""From the kerb to whatever stands on the sidewalk."""
FAR_M, FURTHEST_M = 60.0, 14.0


@dataclass(frozen=True, slots=True)
class Mast:
    """A pole and its heads."""

    pole: Prop
    heads: tuple[SignalHead, ...]


def masts(
    streets: tuple[Approach, ...], junctions: dict[str, Junction], driven: BaseGeometry
) -> Iterator[Mast]:
    """For each approach with signals: a mast across the junction, and a pole beside its end.

    The mast's head next to the middle of the street is for the turn across the oncoming traffic,
    where there is one; the other one is for those who go straight on.

    Attributes:
        driven: Road and parking; nothing stands there.
    """
    prepare(driven)
    for street in streets:
        if street.control is not Control.SIGNALS or not street.connectors:
            continue
        yield _far_mast(street, junctions[street.junction].polygon, driven)
        yield _near_pole(street, driven)


def beside_road(
    pose: Pose2, *, outward: float, driven: BaseGeometry, clear_m: float = CLEAR_M
) -> tuple[float, float]:
    """How far ahead and to the left of a pose (negative: right) one is first off the road.

    Ahead is 0 wherever there is a place beside the pose. ``driven`` should be prepared.
    """
    lefts = outward * np.arange(0.0, FURTHEST_M, 0.25)
    for ahead in (0.0, 1.5, 3.0, 5.0, 8.0):
        points = shapely.points(pose.apply(np.column_stack([np.full(len(lefts), ahead), lefts])))
        free = ~shapely.dwithin(driven, points, clear_m)
        if free.any():
            return ahead, float(lefts[np.argmax(free)])
    return 0.0, outward * FURTHEST_M


def _links(street: Approach) -> tuple[Connector | None, Connector]:
    """The turn across oncoming traffic, and the way on of most others."""
    across = Turn.LEFT if street.inward > 0 else Turn.RIGHT
    with_signal = [one for one in street.connectors if one.signal]
    order = [Turn.STRAIGHT, Turn.RIGHT if across is Turn.LEFT else Turn.LEFT, across, Turn.BACK]
    main = min(with_signal, key=lambda one: (order.index(one.turn), one.link))
    turning = [one for one in with_signal if one.turn is across and one is not main]
    return (turning[0] if turning else None), main


def _far_mast(street: Approach, junction: Polygon, driven: BaseGeometry) -> Mast:
    end, inward = street.end, street.inward
    ahead = LineString([end.apply(np.array([x, 0.0])) for x in (0.0, FAR_M)])
    across = ahead.intersection(junction.buffer(0.5))
    far_m = float(across.length) + 1.0
    corner = end @ Pose2(far_m, 0.0, 0.0)
    foot_x, foot_left = beside_road(corner, outward=-inward, driven=driven)
    foot = corner @ Pose2(foot_x, foot_left, 0.0)
    turning, main = _links(street)
    to_end = end.inverse()
    lefts = []
    for link in (main, turning):
        if link is not None:
            lane = next(one for one in street.lanes if one.name == link.from_lane)
            lefts.append(float(to_end.apply(lane.centre_m[-1])[1]) - foot_left)
    arms = [inward * left for left in lefts]
    arms[0] = max(arms[0], 1.0)
    if len(arms) > 1:
        arms[1] = max(arms[1], arms[0] + SPACING_M)
    heads = [_head(street, main, foot, inward * arms[0], MAST_HEAD_M)]
    if turning is not None:
        heads.append(_head(street, turning, foot, inward * arms[1], MAST_HEAD_M))
    pole = Prop("pole", (foot.x_m, foot.y_m, 0.0), foot.yaw_rad, reach_m=inward * arms[-1])
    return Mast(pole, tuple(heads))


def _near_pole(street: Approach, driven: BaseGeometry) -> Mast:
    at = street.end @ Pose2(-0.6, 0.0, 0.0)
    ahead, left = beside_road(at, outward=-street.inward, driven=driven, clear_m=0.4)
    foot = at @ Pose2(ahead, left, 0.0)
    _, main = _links(street)
    pole = Prop("pole", (foot.x_m, foot.y_m, 0.0), foot.yaw_rad, variant=1)
    return Mast(pole, (_head(street, main, foot, 0.0, POLE_HEAD_M),))


def _head(
    street: Approach, link: Connector, foot: Pose2, left_m: float, height_m: float
) -> SignalHead:
    x, y = foot.apply(np.array([-0.25, left_m]))
    looks = foot @ Pose2(0.0, 0.0, np.pi)
    return SignalHead(
        xyz_m=(float(x), float(y), height_m),
        yaw_rad=looks.yaw_rad,
        signal=link.signal,
        link=link.link,
        approach=street.edge,
        turn=link.turn,
    )
