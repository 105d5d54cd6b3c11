"""A validation of what visual tokens show: heads are asked of clips that nobody learned from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch

from drivevlm.data.recording import twins_of
from drivevlm.train.batch import Desk
from drivevlm.train.lessons import DataSet, Place
from drivevlm.train.pupil import Pupil
from drivevlm.world.pose import Floats

Figures = dict[str, float | None]
Reached = dict[str, tuple[Floats, Floats]]
"""By clip (3,) how far the ego is said to get, and how far it got, in metres."""


def perceived(
    pupil: Pupil, desk: Desk, *, batch: int, within: Callable[[], AbstractContextManager[None]]
) -> Figures:
    """How far off the ego is said to get, and which pairs of twins that tells apart.

    A pair counts where both sides are nearer to their own way than to the twin's. Clips that cannot
    be read or whose way was not recorded stand in no count: ``sees_n``, ``sees_twin_pairs_n``.

    Args:
        pupil: With heads.
        desk: Of what is validated on, asked without noise.
        batch: Clips at once.
        within: Sets the arithmetic's precision.
    """
    figures: Figures = {}
    for number, data in enumerate(desk.sets):
        told: Figures = {}
        reached: Reached = {}
        for places in _batches(data, number, batch):
            reached |= _reached(pupil, desk, places, within)
        pairs = [p for p in twins_of(data.recording) if all(t in reached for t in p.tokens)]
        kind = "twin_" if pairs else ""
        off_m = [np.abs(said - true).mean() for said, true in reached.values()]
        told[f"sees_{kind}n"] = len(off_m)
        told[f"sees_{kind}reach_m"] = float(np.mean(off_m)) if off_m else None
        right: Mapping[str, list[bool]] = defaultdict(list)
        for pair in pairs:
            found = told_apart(*(reached[token] for token in pair.tokens))
            right["sees_twin_pairs"].append(found)
            right[f"sees_twin_pairs {pair.family}"].append(found)
        told |= {"sees_twin_pairs_n": len(pairs)} if pairs else {}
        told |= {name: float(np.mean(each)) for name, each in right.items()}
        figures = with_figures(figures, told)
    return figures


def with_figures(figures: Figures, more: Figures) -> Figures:
    """Those of one more data set; of a second one of the same kind all names end with `` 2``."""
    named, turn = dict(more), 1
    while set(named) & set(figures):
        turn += 1
        named = {f"{name} {turn}": value for name, value in more.items()}
    return figures | named


def told_apart(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> bool:
    """Whether what is said of both sides of a pair is nearer to the own truth than to the other."""
    (said, true), (said_too, true_too) = one, other
    return bool(
        np.abs(said - true).sum() < np.abs(said - true_too).sum()
        and np.abs(said_too - true_too).sum() < np.abs(said_too - true).sum()
    )


def _reached(
    pupil: Pupil,
    desk: Desk,
    places: tuple[Place, ...],
    within: Callable[[], AbstractContextManager[None]],
) -> Reached:
    assert pupil.heads is not None  # nobody is asked otherwise
    made = desk.batch(places, answers=False)
    tokens = [t for place in places for t in place.unit if t not in made.faults]
    if not tokens:
        return {}
    with torch.no_grad(), within():
        said = pupil.heads.reached_m(pupil.tokens(made), made).float().cpu().double().numpy()
    true = [each.reach_m.double().numpy() for each in made.seen]
    both = zip(tokens, said, true, strict=True)
    return {t: (s, r) for t, s, r in both if np.isfinite([s, r]).all()}


def _batches(data: DataSet, number: int, size: int) -> Iterator[tuple[Place, ...]]:
    """All units in their order, twins never parted."""
    batch: list[Place] = []
    for place, unit in enumerate(data.units):
        batch.append(Place(place, number, unit))
        if sum(len(each.unit) for each in batch) >= size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
