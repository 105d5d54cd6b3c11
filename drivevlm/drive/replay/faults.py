"""What can go wrong between a vehicle's sensors and the node, on request and by a seed."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase

from drivevlm.drive.replay.contents import Picture
from drivevlm.drive.replay.event import Event, SceneStream, in_order


class FaultKind(str, Enum):
    """What goes wrong."""

    DROP = "drop"  # a message is lost
    DELAY = "delay"  # it comes up to by_s later, with its own stamp
    DUPLICATE = "duplicate"  # it comes twice
    REORDER = "reorder"  # it changes places with the next one of its topic
    CORRUPT = "corrupt"  # bytes of a picture are broken
    JUMP = "jump"  # the vehicle's clock, and so all stamps, are off by by_s in the window
    LOSS = "loss"  # all of these topics is lost in the window: a camera's cable


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong in every scene.

    Attributes:
        kind: What happens.
        share: Chance of each message in the window; of a jump or a loss, of each scene.
        what: Which topics, by a pattern such as ``kinematic_state``, ``CAM_BACK/*`` or
            ``*/image/*``. A jump is of all.
        from_s: When the window begins, after the scene's first message.
        for_s: How long it lasts.
        by_s: How long a delay may be at most; how far a jump goes, back where it is negative.
    """

    kind: FaultKind
    share: float = 1.0
    what: str = "*"
    from_s: float = 0.0
    for_s: float = math.inf
    by_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share lies in [0, 1], got {self.share:g}")
        if not (0 <= self.from_s < math.inf and self.for_s > 0):
            raise ValueError(
                f"a window begins at from_s >= 0 and lasts for_s > 0, got {self.from_s:g} and "
                f"{self.for_s:g}"
            )
        needs = {FaultKind.DELAY: self.by_s > 0, FaultKind.JUMP: self.by_s != 0}
        if not (math.isfinite(self.by_s) and needs.get(self.kind, self.by_s == 0)):
            raise ValueError(
                f"by_s is of a delay (above 0) or a jump (not 0), got {self.by_s:g} for "
                f"{self.kind.value}"
            )
        if self.kind is FaultKind.JUMP and self.what != "*":
            raise ValueError(f"a jump of the clock is of all topics, got what={self.what!r}")


@dataclass(frozen=True, slots=True)
class FaultsConfig:
    """All that goes wrong, one after the other.

    Attributes:
        faults: Each is done to what the one before it left.
        seed: Of all draws; a scene's do not depend on other scenes.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0


class Faults:
    """Does them to scenes, and counts.

    Attributes:
        injected: Messages that were hit, by kind and by name of their line.
    """

    def __init__(self, config: FaultsConfig) -> None:
        self._config = config
        self.injected: Counter[tuple[FaultKind, str]] = Counter()

    def done_to(self, scene: SceneStream) -> SceneStream:
        """The scene with all faults."""
        if not scene.events:
            return scene
        first_us = scene.events[0].at_us
        events: Sequence[Event] = scene.events
        for k, fault in enumerate(self._config.faults):
            draw = random.Random(f"{self._config.seed} {k} {scene.scene}")
            hit = _hit(events, fault, first_us, draw)
            self.injected.update((fault.kind, events[i].line.name) for i in hit)
            events = in_order(DOINGS[fault.kind](events, hit, fault, draw))
        return replace(scene, events=tuple(events))


def _hit(
    events: Sequence[Event], fault: Fault, first_us: int, draw: random.Random
) -> frozenset[int]:
    """Which of the events it befalls."""
    start_us = first_us + fault.from_s * 1e6
    among = [
        k
        for k, event in enumerate(events)
        if start_us <= event.at_us < start_us + fault.for_s * 1e6
        and fnmatchcase(event.line.name, fault.what)
        and (fault.kind is not FaultKind.CORRUPT or isinstance(event.content, Picture))
    ]
    if fault.kind in (FaultKind.JUMP, FaultKind.LOSS):
        return frozenset(among if draw.random() < fault.share else ())
    return frozenset(k for k in among if draw.random() < fault.share)


Hit = frozenset[int]
Doing = Callable[[Sequence[Event], Hit, Fault, random.Random], list[Event]]


def _lost(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    return [event for k, event in enumerate(events) if k not in hit]


def _delayed(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    late = list(events)
    for k in sorted(hit):
        later_us = 1 + int(draw.random() * fault.by_s * 1e6)
        late[k] = replace(events[k], at_us=events[k].at_us + later_us)
    return late


def _twice(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    """The second one makes no decision due."""
    found = list[Event]()
    for k, event in enumerate(events):
        found.append(event)
        if k in hit:
            found.append(replace(event, clip=""))
    return found


def _swapped(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    """Each comes when the next of its line should have come, and that one in its place."""
    moved, following = list(events), dict[object, int]()
    for k in range(len(events) - 1, -1, -1):
        line = events[k].line
        after = following.get(line)
        if k in hit and after is not None:
            times = moved[k].at_us, moved[after].at_us
            moved[k] = replace(moved[after], at_us=times[0])
            moved[after] = replace(events[k], at_us=times[1])
        following[line] = k
    return moved


def _broken(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    found = list(events)
    for k in sorted(hit):
        content = events[k].content
        if isinstance(content, Picture):
            damage = draw.randrange(2**32)
            found[k] = replace(events[k], content=replace(content, damage=damage))
    return found


def _jumped(events: Sequence[Event], hit: Hit, fault: Fault, draw: random.Random) -> list[Event]:
    by_us = round(fault.by_s * 1e6)
    return [
        replace(event, stamp_us=event.stamp_us + by_us) if k in hit else event
        for k, event in enumerate(events)
    ]


DOINGS: Mapping[FaultKind, Doing] = {
    FaultKind.DROP: _lost,
    FaultKind.DELAY: _delayed,
    FaultKind.DUPLICATE: _twice,
    FaultKind.REORDER: _swapped,
    FaultKind.CORRUPT: _broken,
    FaultKind.JUMP: _jumped,
    FaultKind.LOSS: _lost,
}
