"""A replay at its own pace, whatever a node makes of it: what it answers in time, and what not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from drivevlm.drive.replay.answers import NEVER_SENT, Answer, Answered
from drivevlm.drive.replay.event import Event, SceneStream
from drivevlm.drive.replay.feed import Feed, Sleep, play
from drivevlm.drive.replay.heard import Plans, PlayClock
from drivevlm.drive.replay.listener import Listener
from drivevlm.world.decision import Failure
from drivevlm.world.published import Published
from drivevlm.world.sets import FailureKind

LINGER_S = 1.0
"""So long the last answers are waited for when all was sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A scene that was played.

    Attributes:
        answered: Its clips, and what came of them.
        published: The plans that the node published, in the order heard.
        late_s: How late the latest message was sent, by the wall: what the replay itself lagged.
    """

    answered: tuple[Answered, ...]
    published: tuple[Published, ...]
    late_s: float


def live(
    scenes: Iterable[SceneStream],
    feed: Feed,
    listener: Listener,
    plans: Plans,
    clock: PlayClock,
    *,
    reached: Callable[[SceneStream, Event], None] = lambda scene, event: None,
    sleep: Sleep = time.sleep,
) -> Iterator[Played]:
    """Play scene after scene at the clock's rate. A clip without an answer is a failure.

    A scene is told of when the next one was played too, so that late answers find their clip.
    ``plans`` must have been made with ``clock``.
    """

    def both(scene: SceneStream, event: Event) -> None:
        clock.reached(scene, event)
        reached(scene, event)

    before: tuple[SceneStream, float] | None = None
    for scene in scenes:
        late_s = play(
            [scene], feed, rate=clock.rate, reached=both, wall_s=clock.wall_s, sleep=sleep
        )
        if before is not None:
            yield _played(*before, feed, listener, plans, wait_s=0.0)
        before = scene, late_s
    if before is not None:
        yield _played(*before, feed, listener, plans, wait_s=LINGER_S)


def _played(
    scene: SceneStream,
    late_s: float,
    feed: Feed,
    listener: Listener,
    plans: Plans,
    *,
    wait_s: float,
) -> Played:
    end_s = time.monotonic() + wait_s
    due = {event.clip: event.stamp_us for event in scene.events if event.clip}
    anchor = {event.line for event in scene.events if event.clip}
    pictures_us = {event.stamp_us for event in scene.events if event.line in anchor}
    answers = dict[int, Answer | None]()

    def answer(stamp_us: int) -> Answer | None:
        if stamp_us not in answers:
            left_s = max(0.0, end_s - time.monotonic())
            answers[stamp_us] = listener.answer(stamp_us, timeout_s=left_s)
        return answers[stamp_us]

    def is_fresh(stamp_us: int) -> bool:
        told = answer(stamp_us)
        return stamp_us in pictures_us if told is None else bool(told.passed)

    answered = [_answered(scene.scene, clip, due, feed, answer) for clip in scene.clips]
    return Played(tuple(answered), tuple(plans.of(scene.scene, is_fresh)), late_s)


def _answered(
    scene: str,
    clip: str,
    due: dict[str, int],
    feed: Feed,
    answer: Callable[[int], Answer | None],
) -> Answered:
    missed = feed.missed.get(clip) if clip in due else NEVER_SENT
    if missed is not None:
        return Answered(scene, clip, None, Failure(FailureKind.IMAGE, missed))
    told = answer(due[clip])
    if told is not None:
        return Answered(scene, clip, told)
    return Answered(scene, clip, None, Failure(FailureKind.DEADLINE, "no answer while it played"))
