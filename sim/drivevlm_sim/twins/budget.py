"""Which of the pairs that towns gave go into a dataset.

Simulating a pair costs a fraction of rendering it, so towns make more than are wanted and the
draw is over all of them: families share evenly, and within a family the least filled bin of
distance and speed is served first. Splits drawn in this way are matched in distance and speed as
far as their towns supply; ``mismatch`` says how far they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from drivevlm.world.sets import Command
from drivevlm_sim.twins.twin_pair import Family, TwinPair

DISTANCE_BINS_M = (8.0, 16.0, 24.0, 33.0, 44.0)
SPEED_BINS_MPS = (0.5, 5.0, 8.0, 11.0)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the draw knows of a pair.

    Attributes:
        pair, family, town: As in the pair.
        command: What the router says at t0.
        distance_m: Of the cause at t0.
        speed_mps: Of the ego at t0.
    """

    pair: str
    family: Family
    town: str
    command: Command
    distance_m: float
    speed_mps: float

    @classmethod
    def of(cls, pair: TwinPair) -> Offer:
        """The offer that a pair makes."""
        return cls(
            pair=pair.name,
            family=pair.family,
            town=pair.town,
            command=Command(pair.a.command[pair.t0]),
            distance_m=pair.cause.distance_m,
            speed_mps=float(pair.a.ego.speed_mps[pair.t0]),
        )

    @property
    def bin(self) -> tuple[int, int]:
        """Number of its bin of distance and of speed."""
        distance = int(np.searchsorted(DISTANCE_BINS_M, self.distance_m, side="right"))
        return distance, int(np.searchsorted(SPEED_BINS_MPS, self.speed_mps, side="right"))


@dataclass(frozen=True, slots=True)
class PairWish:
    """How many pairs a dataset wants.

    Attributes:
        pairs: In all.
        family_share: No family holds more than this share of them.
        approaching: At least so many approaching signals.
        left_turns: At least so many of these before a left turn.
    """

    pairs: int
    family_share: float = 0.25
    approaching: int = 0
    left_turns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.left_turns <= self.approaching <= self.most_of_a_family:
            raise ValueError(
                f"of {self.pairs} pairs a family may hold {self.most_of_a_family}: cannot want "
                f"{self.approaching} approaching signals, {self.left_turns} of them left turns"
            )

    @property
    def most_of_a_family(self) -> int:
        """How many pairs one family may hold."""
        return int(self.family_share * self.pairs + 1e-9)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn.

    Attributes:
        chosen: Names of pairs, in the order of the draw.
        spare: By family, names in the order in which they stand in where the renderer finds that
            a chosen one's cause is not seen.
        missing: In words, what the wish asks for and the offers do not give.
    """

    chosen: tuple[str, ...]
    spare: Mapping[Family, tuple[str, ...]]
    missing: tuple[str, ...]


def draw(offers: Iterable[Offer], wish: PairWish, seed: int) -> Drawn:
    """Choose pairs; the same offers, in any order, wish and seed give the same choice.

    If fewer pairs can be had than wished for, the share of a family is of those that can be had.
    """
    ordered = _ordered(offers, wish, seed)
    supply = {family: len(line) for family, line in ordered.items()}
    total = largest_total(supply, wish)
    quotas = _quotas(supply, wish, total)
    chosen = tuple(o.pair for family in Family for o in ordered[family][: quotas[family]])
    approaching = ordered[Family.SIGNAL_APPROACH][: quotas[Family.SIGNAL_APPROACH]]
    left = sum(offer.command is Command.LEFT for offer in approaching)
    figures = (
        ("pairs", total, wish.pairs),
        ("approaching signals", len(approaching), wish.approaching),
        ("left turns at approaching signals", left, wish.left_turns),
    )
    return Drawn(
        chosen=chosen,
        spare={f: tuple(o.pair for o in ordered[f][quotas[f] :]) for f in Family},
        missing=tuple(f"{n} {what} of {of}" for what, n, of in figures if n < of),
    )


def largest_total(supply: Mapping[Family, int], wish: PairWish) -> int:
    """The most pairs, up to the wish, of which no family holds more than its share."""
    for total in range(wish.pairs, 0, -1):
        most = int(wish.family_share * total + 1e-9)
        if sum(min(count, most) for count in supply.values()) >= total:
            return total
    return 0


def family_shares(families: Sequence[Family]) -> dict[Family, float]:
    """Share of each family that is there."""
    return {family: count / len(families) for family, count in sorted(Counter(families).items())}


def mismatch(a: Sequence[float], b: Sequence[float]) -> float:
    """Greatest difference of two samples' cumulative shares: 0 alike, 1 apart; 1 if one is empty.

    It is the Kolmogorov-Smirnov distance.
    """
    if not a or not b:
        return 1.0
    points = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(x), points, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _quotas(supply: Mapping[Family, int], wish: PairWish, total: int) -> dict[Family, int]:
    """Pairs by family: approaching signals first as wished, then whoever has least."""
    most = int(wish.family_share * total + 1e-9)
    quotas = dict.fromkeys(Family, 0)
    approach = Family.SIGNAL_APPROACH
    quotas[approach] = min(wish.approaching, supply[approach], most)
    while sum(quotas.values()) < total:
        open_ = [f for f in Family if quotas[f] < min(supply[f], most)]
        quotas[min(open_, key=lambda family: quotas[family])] += 1
    return quotas


def _ordered(offers: Iterable[Offer], wish: PairWish, seed: int) -> dict[Family, list[Offer]]:
    """Offers by family in the order in which they are taken."""
    rng = Random(seed)
    shuffled = sorted(offers, key=lambda offer: offer.pair)
    rng.shuffle(shuffled)
    lines: dict[Family, list[Offer]] = {}
    for family in Family:
        mine = [offer for offer in shuffled if offer.family is family]
        first: list[Offer] = []
        if family is Family.SIGNAL_APPROACH:
            left = [offer for offer in mine if offer.command is Command.LEFT]
            first = _levelled(left, [])[: wish.left_turns]
        taken = {offer.pair for offer in first}
        lines[family] = first + _levelled([o for o in mine if o.pair not in taken], first)
    return lines


def _levelled(offers: Sequence[Offer], before: Sequence[Offer]) -> list[Offer]:
    """Offers, again and again one of the least filled bin, and in it of the least filled town."""
    bins = Counter(offer.bin for offer in before)
    towns = Counter(offer.town for offer in before)
    waiting: dict[tuple[int, int], dict[str, list[Offer]]] = {}
    for offer in reversed(offers):
        waiting.setdefault(offer.bin, {}).setdefault(offer.town, []).append(offer)
    line: list[Offer] = []
    while waiting:
        place = min(waiting, key=lambda place: (bins[place], place))
        town = min(waiting[place], key=lambda town: (towns[town], town))
        line.append(waiting[place][town].pop())
        bins[place] += 1
        towns[town] += 1
        if not waiting[place][town]:
            del waiting[place][town]
        if not waiting[place]:
            del waiting[place]
    return line
