"""The streets of a town before they have lanes: points and the streets between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from drivevlm.world.pose import wrap_rad
from drivevlm_sim.town.recipe import Kind, Rule, TownRecipe

STUB_M = 75.0
"""Length of the streets that leave a town."""
STRAIGHT_RAD = 0.7
"""Two streets that meet are one where it bends by less than this."""
RING_M = 20.0
"""Radius of a roundabout's middle line."""

SIGNALS, STOP, YIELD, ALL_WAY = "traffic_light", "priority_stop", "priority", "allway_stop"
PLAIN = "priority"
"""Type of a point at which nobody has to wait."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of the plan.

    Attributes:
        xy_m: Where.
        rule: SUMO's junction type.
        radius_m: Of its kerbs.
    """

    xy_m: tuple[float, float]
    rule: str = PLAIN
    radius_m: float = 6.0


@dataclass(frozen=True, slots=True)
class Street:
    """Both directions between two spots, or one.

    Attributes:
        a, b: Names of the spots.
        lanes: Each way.
        speed_mps: Limit.
        priority: The higher goes first.
        parking: Whether a row of cars may stand on each side.
        one_way: From ``a`` to ``b`` only; no sidewalk on its left.
        shape_m: Corners between both ends.
        main: Whether it is a main street.
    """

    a: str
    b: str
    lanes: int
    speed_mps: float
    priority: int
    parking: bool = False
    one_way: bool = False
    shape_m: tuple[tuple[float, float], ...] = ()
    main: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Spots by name, streets, and the rings of roundabouts as spots in driving order."""

    spots: dict[str, Spot]
    streets: tuple[Street, ...]
    rings: tuple[tuple[str, ...], ...] = ()


def street_plan(recipe: TownRecipe, rng: Generator) -> Plan:
    """The plan of all kinds but the random one, which SUMO draws (``with_rules`` ends it)."""
    spots, streets = _rows_and_columns(recipe, rng)
    rings: list[tuple[str, ...]] = []
    if recipe.kind is Kind.ROUNDABOUT:
        for name in _ring_spots(recipe, rng):
            rings.append(_make_ring(spots, streets, name, left_hand=recipe.left_hand))
    plan = Plan(spots, tuple(streets), tuple(rings))
    return with_rules(plan, recipe, rng)


def with_rules(plan: Plan, recipe: TownRecipe, rng: Generator) -> Plan:
    """Who goes first at each spot, and where cars park."""
    on_ring = {name for ring in plan.rings for name in ring}
    arms = dict.fromkeys(plan.spots, 0)
    for street in plan.streets:
        arms[street.a] += 1
        arms[street.b] += 1
    spots = dict(plan.spots)
    crossroads = [name for name in spots if arms[name] > 2 and name not in on_ring]
    signals = len(crossroads) if recipe.rule is Rule.SIGNALS else (len(crossroads) + 1) // 2
    if recipe.rule is Rule.PRIORITY:
        signals = 0
    order = [crossroads[k] for k in rng.permutation(len(crossroads))]
    for k, name in enumerate(order):
        # Signs take turns, so that a small town has all of them.
        rule = SIGNALS if k < signals else (STOP, YIELD, ALL_WAY)[(k - signals) % 3]
        if rule in (STOP, YIELD) and not _goes_on(plan, name):
            rule = ALL_WAY
        spots[name] = replace(spots[name], rule=rule)
    streets = tuple(
        replace(street, parking=bool(rng.random() < recipe.parking and not street.one_way))
        for street in plan.streets
    )
    return Plan(spots, streets, plan.rings)


def by_strokes(plan: Plan, recipe: TownRecipe, rng: Generator) -> Plan:
    """Make streets that go on in a line one street: a main one or not, with its own priority."""
    first = list(range(len(plan.streets)))

    def root(k: int) -> int:
        while first[k] != k:
            k = first[k]
        return k

    for name in plan.spots:
        taken: set[int] = set()
        for _, a, b in _pairs(plan, name):
            if taken.isdisjoint((a, b)):
                taken |= {a, b}
                first[root(a)] = root(b)
    sizes: dict[int, int] = {}
    for k in range(len(first)):
        sizes[root(k)] = sizes.get(root(k), 0) + 1
    # Longer ones go first; of equal ones, chance decides.
    shuffled = [sorted(sizes)[k] for k in rng.permutation(len(sizes))]
    ranks = {k: rank for rank, k in enumerate(sorted(shuffled, key=lambda k: sizes[k]))}
    streets = []
    for k, street in enumerate(plan.streets):
        rank = ranks[root(k)]
        main = rank >= len(sizes) // 2
        lanes, speed = (recipe.lanes, recipe.speed_mps) if main else side_street(recipe)
        streets.append(replace(street, lanes=lanes, speed_mps=speed, priority=2 + rank, main=main))
    return Plan(plan.spots, tuple(streets), plan.rings)


def _pairs(plan: Plan, name: str) -> list[tuple[float, int, int]]:
    """Streets at a spot that go on as each other: (bend in radians, both), straightest first."""
    here = np.array(plan.spots[name].xy_m)
    arms: list[tuple[float, int]] = []
    for k, street in enumerate(plan.streets):
        if name in (street.a, street.b):
            other = street.b if street.a == name else street.a
            way = np.array(plan.spots[other].xy_m) - here
            arms.append((float(np.arctan2(way[1], way[0])), k))
    pairs = [
        (abs(float(wrap_rad(a - b - np.pi))), k, other)
        for (a, k), (b, other) in itertools.combinations(arms, 2)
    ]
    return sorted(pair for pair in pairs if pair[0] < STRAIGHT_RAD)


def _goes_on(plan: Plan, name: str) -> bool:
    """Whether the street of the highest priority at a spot goes straight on there."""
    priorities = [s.priority for s in plan.streets if name in (s.a, s.b)]
    for _, a, b in _pairs(plan, name):
        both = {plan.streets[a].priority, plan.streets[b].priority}
        if both == {max(priorities)} and priorities.count(max(priorities)) == 2:
            return True
    return False


def side_street(recipe: TownRecipe) -> tuple[int, float]:
    """Lanes and limit of a street that is not a main one."""
    return max(1, recipe.lanes - 1), round(recipe.speed_mps * 5 / 6, 2)


def _rows_and_columns(recipe: TownRecipe, rng: Generator) -> tuple[dict[str, Spot], list[Street]]:
    """Main streets along x, side streets along y, and stubs that leave the town."""
    spots: dict[str, Spot] = {}
    middle = recipe.rows // 2
    for i in range(recipe.columns):
        for j in range(recipe.rows):
            x, y = np.array([i, j]) * recipe.block_m + _jitter(recipe, rng)
            spots[_name(i, j)] = Spot((round(x, 2), round(y, 2)))
    streets: list[Street] = []

    def street(a: str, b: str, *, main: bool, priority: int) -> None:
        lanes, speed = (recipe.lanes, recipe.speed_mps) if main else side_street(recipe)
        streets.append(Street(a, b, lanes, speed, priority, main=main))

    for j in range(recipe.rows):
        main = recipe.kind is not Kind.ARTERIAL or j == middle
        for i in range(recipe.columns - 1):
            street(_name(i, j), _name(i + 1, j), main=main, priority=5 if main else 3)
        if main:
            for i, side in ((0, -1.0), (recipe.columns - 1, 1.0)):
                street(_stub(spots, _name(i, j), (side, 0.0)), _name(i, j), main=True, priority=5)
    for i in range(recipe.columns):
        for j in range(recipe.rows - 1):
            # An arterial has side streets that do not go through.
            if recipe.kind is Kind.ARTERIAL and 0 < i < recipe.columns - 1 and rng.random() < 0.3:
                continue
            street(_name(i, j), _name(i, j + 1), main=False, priority=2)
        for j, side in ((0, -1.0), (recipe.rows - 1, 1.0)):
            if recipe.kind is not Kind.ARTERIAL and i % 2 == 0:
                street(_stub(spots, _name(i, j), (0.0, side)), _name(i, j), main=False, priority=2)
    return spots, streets


def _name(i: int, j: int) -> str:
    return f"{'ABCDEFGHIJKL'[i]}{j}"


def _jitter(recipe: TownRecipe, rng: Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.clip(rng.normal(0.0, 1.0, 2), -1.6, 1.6) * recipe.jitter_m


def _stub(spots: dict[str, Spot], at: str, way: tuple[float, float]) -> str:
    name = f"{at}{'w' if way[0] < 0 else 'e' if way[0] > 0 else 's' if way[1] < 0 else 'n'}"
    x, y = np.array(spots[at].xy_m) + np.array(way) * STUB_M
    spots[name] = Spot((round(x, 2), round(y, 2)))
    return name


def _ring_spots(recipe: TownRecipe, rng: Generator) -> list[str]:
    """Junctions that become roundabouts: no two next to each other, one at least."""
    inner = [
        _name(i, j)
        for i in range(recipe.columns)
        for j in range(recipe.rows)
        if (i + j) % 2 == 1 and 0 < i < recipe.columns - 1
    ]
    return [inner[k] for k in sorted(rng.permutation(len(inner))[:3])]


def _make_ring(
    spots: dict[str, Spot], streets: list[Street], name: str, *, left_hand: bool
) -> tuple[str, ...]:
    """Put a one-way ring where a spot was; its arms end on the ring.

    It is driven counter-clockwise, and clockwise where one drives on the left.
    """
    middle = np.array(spots.pop(name).xy_m)
    arms: list[tuple[float, str]] = []
    for k, street in enumerate(streets):
        if name not in (street.a, street.b):
            continue
        other = street.b if street.a == name else street.a
        way = np.array(spots[other].xy_m) - middle
        angle = float(np.arctan2(way[1], way[0]))
        end = f"{name}r{len(arms)}"
        x, y = middle + RING_M * np.array([np.cos(angle), np.sin(angle)])
        spots[end] = Spot((round(float(x), 2), round(float(y), 2)), radius_m=7.0)
        arms.append((angle, end))
        lanes = min(street.lanes, 1)
        streets[k] = (
            replace(street, a=end, lanes=lanes)
            if street.a == name
            else replace(street, b=end, lanes=lanes)
        )
    arms.sort(reverse=left_hand)
    turn = -1.0 if left_hand else 1.0
    for k, (angle, end) in enumerate(arms):
        after_angle, after = arms[(k + 1) % len(arms)]
        sweep = (turn * (after_angle - angle)) % (2 * np.pi)
        bends = angle + turn * sweep * np.linspace(0, 1, max(3, int(sweep / 0.2)))[1:-1]
        shape = tuple(
            (
                round(float(middle[0] + RING_M * np.cos(t)), 2),
                round(float(middle[1] + RING_M * np.sin(t)), 2),
            )
            for t in bends
        )
        streets.append(Street(end, after, 1, 7.0, 9, one_way=True, shape_m=shape))
    return tuple(end for _, end in arms)
