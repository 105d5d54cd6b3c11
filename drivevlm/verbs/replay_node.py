"""What is replayed, the node that it is played to, and the record of what that node answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from rich.console import Console

from drivevlm.build.parts import Parts
from drivevlm.build.settings import SettingError
from drivevlm.drive.health import PLANNER, PROMPT
from drivevlm.drive.replay.answers import Answered, records
from drivevlm.drive.replay.config import ReplayConfig
from drivevlm.drive.replay.event import CLOCK, Event, Line, SceneStream
from drivevlm.drive.replay.faults import Faults
from drivevlm.drive.replay.feed import LOOK_S, Feed
from drivevlm.drive.replay.heard import Plans, PlayClock
from drivevlm.drive.replay.listener import Listener
from drivevlm.drive.replay.live import live
from drivevlm.drive.replay.lockstep import lockstep
from drivevlm.drive.replay.source import ReplayError, replayable
from drivevlm.drive.replay.stream import lines_of, scene_stream
from drivevlm.drive.topics import (
    COMPRESSED,
    INPUTS,
    KINEMATIC_STATE,
    REASONING,
    REASONING_PLAIN,
    Names,
)
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.evaluate.plan_run import Progress
from drivevlm.record.published import append_published
from drivevlm.record.run_folder import RunFolder
from drivevlm.verbs.node_start import say
from drivevlm.verbs.replay_settings import ReplaySettings

ASKS = "vlm"
"""The planner of a node whose diagnostics name none."""
MEET_S = 1.0
"""So long the last topics of a node are waited for when it is there."""
LATE_S = 0.1
"""A replay that lags more than this is told of: its node may have missed what came too fast."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """What is replayed.

    Attributes:
        parts: Whose recording and shard.
        lines: Where it may be published.
        anchor: The camera whose pictures are decided on.
        faults: What goes wrong on the way.
        streams: Scene after scene, once. What a scene cannot tell is said, once.
    """

    parts: Parts
    lines: tuple[Line, ...]
    anchor: str
    faults: Faults
    streams: Iterator[SceneStream]

    @classmethod
    def of(cls, parts: Parts, settings: ReplaySettings, console: Console) -> Scenes:
        """Raises ReplayError where the recording cannot be replayed, SettingError for a block."""
        if parts.exchange is not None:
            raise SettingError(
                "block: a replay exchanges nothing between clips, take on, off or blank as the "
                "node shows them"
            )
        source, read = replayable(parts.recording), parts.chosen.nuscenes_config()
        config = settings.stream(anchor=ReplayConfig().anchor if read is None else read.anchor)
        faults, said = Faults(settings.faults), set[str]()

        def streams() -> Iterator[SceneStream]:
            for scene in parts.shard.of(parts.recording.scenes()):
                stream = scene_stream(source, scene, config)
                for note in [note for note in stream.notes if note not in said]:
                    said.add(note)
                    say(console, note)
                yield faults.done_to(stream)

        rest = streams()
        first = next(rest, None)  # what cannot be replayed is told before a node is waited for
        if first is None:
            raise ReplayError(f"part {parts.shard} of {source.name} holds no scene")
        lines = lines_of(source.cameras, config)
        return cls(parts, lines, config.anchor, faults, chain([first], rest))

    @property
    def clips(self) -> int:
        """How many there are."""
        scenes = self.parts.shard.of(self.parts.recording.scenes())
        return sum(len(scene.tokens) for scene in scenes)


@dataclass(frozen=True, slots=True)
class NodePeer:
    """A node that is there, and all that speaks with it."""

    bus: DdsBus
    names: Names
    feed: Feed
    listener: Listener

    @classmethod
    def met(
        cls, bus: DdsBus, names: Names, scenes: Scenes, settings: ReplaySettings, console: Console
    ) -> NodePeer:
        """Wait for it. Raises ReplayError where it does not come."""
        reasoning = REASONING_PLAIN if settings.plain else REASONING
        feed = Feed(bus, names, scenes.lines)
        peer = cls(bus, names, feed, Listener(bus, names, reasoning=reasoning))
        say(console, f"waiting for the node {names.node_full}")
        end_s = time.monotonic() + settings.wait.node_s
        needed = [Line(COMPRESSED, scenes.anchor), Line(KINEMATIC_STATE), Line(CLOCK)]
        feed.wait_heard(needed, bus.peers, timeout_s=settings.wait.node_s)
        peer.listener.wait_active(max(0.0, end_s - time.monotonic()))
        inputs = [line for line in scenes.lines if line.topic in INPUTS]
        end_s = time.monotonic() + MEET_S
        while feed.unheard(inputs, bus.peers) and time.monotonic() < end_s:
            time.sleep(LOOK_S)
        for name in feed.unheard(inputs, bus.peers):
            say(console, f"nobody hears {name}: what it tells has no part in the decisions")
        if not peer.asks_like(scenes.parts):
            say(
                console,
                "the node asks in other words than prompt and block say here: tell them as the "
                "node has them, or the page shows no request",
            )
        return peer

    @property
    def planner(self) -> str:
        """As the node calls it."""
        return self.listener.told.get(PLANNER, ASKS)

    def asks_like(self, parts: Parts) -> bool:
        """Whether the node's prompt, if it has any, is that of these settings."""
        return self.listener.told.get(PROMPT, parts.dialogue.digest) == parts.dialogue.digest


def play_to(
    peer: NodePeer, scenes: Scenes, settings: ReplaySettings, run: RunFolder, progress: Progress
) -> dict[str, Any]:
    """Play all scenes and record every clip, and live every plan; returns how many of what.

    Of those that were ``answered``, ``failures`` tells how many failed, by kind.
    """
    planner, total = peer.planner, scenes.clips
    counts, failures = Counter[str](), Counter[str]()

    def record(answered: Iterable[Answered]) -> None:
        for one in answered:
            held_back = one.answer is not None and one.answer.passed is False
            if one.answer is not None and one.answer.decision.failure is not None:
                failures[one.answer.decision.failure.kind.value] += 1
            counts.update(clips=1, answered=int(one.answer is not None), held_back=int(held_back))
            for line in records([one], planner=planner):
                run.append(line)

    progress("clips", 0, total)
    if settings.lockstep:
        for one in lockstep(scenes.streams, peer.feed, peer.listener, settings.wait):
            record([one])
            progress("clips", counts["clips"], total)
        return {**counts, "failures": failures}
    due, clock, late_s = count(1), PlayClock(settings.rate), 0.0

    def reached(scene: SceneStream, event: Event) -> None:
        if event.clip:
            progress("clips", next(due), total)

    plans = Plans(peer.bus, peer.names, clock)
    for played in live(scenes.streams, peer.feed, peer.listener, plans, clock, reached=reached):
        record(played.answered)
        for plan in played.published:
            append_published(run.path, plan)
        fallbacks = sum(plan.fallback for plan in played.published)
        counts.update(plans=len(played.published), fallbacks=fallbacks)
        late_s = max(late_s, played.late_s)
    told = {**counts, "failures": failures}
    return {**told, "unusable_plans": plans.unusable, "late_s": round(late_s, 3)}
