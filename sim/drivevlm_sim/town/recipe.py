"""What a town is made from: a few numbers and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm_sim.made_once import WorldError


class Kind(str, Enum):
    """How the streets lie."""

    GRID = "grid"
    RANDOM = "random"
    ARTERIAL = "arterial"
    ROUNDABOUT = "roundabout"


class Rule(str, Enum):
    """Who goes first where streets meet.

    ``PRIORITY`` has stop and yield signs and some all-way stops; ``MIXED`` has half of its
    junctions with signals.
    """

    SIGNALS = "signals"
    PRIORITY = "priority"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class TownRecipe:
    """One town; equal recipes make equal towns.

    Attributes:
        kind: How the streets lie.
        seed: Of everything that varies.
        left_hand: Whether one drives on the left.
        rule: Who goes first.
        lanes: Of a main street, each way: 1 to 3. Side streets have one less, but one.
        speed_mps: Limit on main streets; side streets have 5/6 of it.
        columns, rows: Of junctions. A random town has about as many junctions in all; an arterial
            has ``rows`` parallel streets of which the middle one is the main street.
        block_m: From junction to junction along x and y.
        jitter_m: Junctions are off their places by about this.
        parking: Share of the streets with parking rows, 0 to 1.
        crossings: Share of the junctions' arms with a zebra crossing, 0 to 1.
    """

    kind: Kind = Kind.GRID
    seed: int = 0
    left_hand: bool = False
    rule: Rule = Rule.SIGNALS
    lanes: int = 2
    speed_mps: float = 12.5
    columns: int = 4
    rows: int = 3
    block_m: tuple[float, float] = (110.0, 95.0)
    jitter_m: float = 5.0
    parking: float = 0.35
    crossings: float = 0.85

    def __post_init__(self) -> None:
        limits = {
            "lanes": (self.lanes, 1, 3),
            "speed_mps": (self.speed_mps, 5.0, 20.0),
            "columns": (self.columns, 2, 12),
            "rows": (self.rows, 2, 12),
            "block_m": (min(self.block_m), 70.0, 400.0),
            "jitter_m": (self.jitter_m, 0.0, 10.0),
            "parking": (self.parking, 0.0, 1.0),
            "crossings": (self.crossings, 0.0, 1.0),
            "seed": (self.seed, 0, 2**31 - 1),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise WorldError(f"a town's {name} lies in {least} to {most}, got {value}")

    @property
    def name(self) -> str:
        """Of the town."""
        return f"{self.kind.value}-{self.seed}"


def town_recipe(seed: int) -> TownRecipe:
    """A sensible recipe by seed: of any three in a row, one has priority junctions alone.

    Four kinds take turns; every fifth town drives on the left.
    """
    rng = np.random.default_rng([seed, 100])
    kind = (Kind.GRID, Kind.ARTERIAL, Kind.RANDOM, Kind.ROUNDABOUT)[seed % 4]
    rule = (Rule.SIGNALS, Rule.PRIORITY, Rule.MIXED)[seed % 3]
    lanes = int(rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2])) if rule is not Rule.PRIORITY else 1
    if rule is Rule.PRIORITY and kind is Kind.ARTERIAL:
        lanes = 2
    if kind is Kind.ROUNDABOUT:
        lanes = min(lanes, 2)
    return TownRecipe(
        kind=kind,
        seed=seed,
        left_hand=seed % 5 == 4,
        rule=rule,
        lanes=lanes,
        speed_mps=float(rng.choice([11.0, 12.5, 13.9])),
        columns=int(rng.integers(3, 5)),
        rows=3,
        block_m=(float(rng.uniform(95, 135)), float(rng.uniform(85, 115))),
        jitter_m=float(rng.uniform(0, 6)),
        parking=float(rng.uniform(0.2, 0.5)),
        crossings=float(rng.uniform(0.7, 1.0)),
    )
