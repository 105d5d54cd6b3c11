"""What goes wrong, when, and all without end."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.event import SceneStream
from drivevlm.drive.replay.faults import Fault, FaultKind, Faults, FaultsConfig

ANCHOR = ReplayConfig().anchor
SEAM, LOSS = "another place", "loss of the anchor"
SEAM_US = 100_000
BETWEEN_US = 20_000
"""From the last message of a scene to the first one of the next."""

Within = Callable[..., Fault]
KINDS: Mapping[str, Callable[[Within, random.Random], Fault]] = {
    "drop": lambda fault, draw: fault(FaultKind.DROP, 0.4),
    "delay": lambda fault, draw: fault(FaultKind.DELAY, 0.5, by_s=0.4),
    "duplicate": lambda fault, draw: fault(FaultKind.DUPLICATE, 0.5),
    "reorder": lambda fault, draw: fault(FaultKind.REORDER, 0.3),
    "corrupt": lambda fault, draw: fault(FaultKind.CORRUPT, 0.8),
    "clock back": lambda fault, draw: fault(FaultKind.JUMP, by_s=-draw.uniform(2, 60)),
    "clock ahead": lambda fault, draw: fault(FaultKind.JUMP, by_s=draw.uniform(2, 60)),
    "loss of a camera": lambda fault, draw: fault(FaultKind.LOSS, what="CAM_BACK/*"),
    LOSS: lambda fault, draw: fault(FaultKind.LOSS, what=f"{ANCHOR}/*"),
}
TAIL_S = {"delay": 0.4, "reorder": 0.5}
"""So long after its window a fault still does something."""
LOSS_S = 3.0
"""Long enough for the report of a silent anchor to be late."""


@dataclass(slots=True)
class Episode:
    """One fault: when it was, and what followed. Not a number: it has not happened.

    Attributes:
        kind: What went wrong.
        from_us, until_us: On the vehicle's own clock, which no fault touches.
        last_picture_s: By the wall: the anchor's last picture before it.
        over_s: By the wall: its end.
        told_s: By the wall: the anchor was reported silent.
        recovery_s: Of the node: from its end to the next valid plan.
    """

    kind: str
    from_us: int
    until_us: int
    last_picture_s: float = math.nan
    over_s: float = math.nan
    told_s: float = math.nan
    recovery_s: float = math.nan


def troubled(
    scenes: Sequence[SceneStream], episodes: list[Episode], *, seed: int
) -> Iterator[SceneStream]:
    """Scene after scene for ever, at times that only go on, each with one fault within it.

    A scene begins elsewhere than the one before it ended: that is a fault of its own. What goes
    wrong in a scene is added to ``episodes`` before the scene comes.
    """
    draw, kinds, number = random.Random(seed), list[str](), 0
    at_us = scenes[0].events[0].at_us
    while True:
        kinds = kinds or draw.sample(list(KINDS), len(KINDS))
        kind, scene = kinds.pop(), scenes[number % len(scenes)]
        from_s, for_s = draw.uniform(1.5, 2.5), draw.uniform(1.0, 2.0)
        for_s = LOSS_S if kind == LOSS else for_s
        until_s = from_s + for_s + TAIL_S.get(kind, 0.0)
        episodes.append(Episode(SEAM, at_us, at_us + SEAM_US))
        episodes.append(Episode(kind, at_us + round(from_s * 1e6), at_us + round(until_s * 1e6)))
        fault = KINDS[kind](partial(Fault, from_s=from_s, for_s=for_s), draw)
        faults = Faults(FaultsConfig((fault,), draw.randrange(2**32)))
        yield faults.done_to(scene.shifted(at_us - scene.events[0].at_us))
        at_us += scene.events[-1].at_us - scene.events[0].at_us + BETWEEN_US
        number += 1
