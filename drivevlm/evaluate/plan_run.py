"""The first half of an evaluation: every planner decides on every clip, and each is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import count
from threading import Event

from drivevlm.data.recording import DataError, Recording, SceneClips
from drivevlm.planner import Planner
from drivevlm.record.run_folder import Record, RunFolder
from drivevlm.world.clip import Clip

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""
Exchange = Callable[[Clip], Clip]
"""Puts another clip's content into some blocks of a clip."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` of ``count`` of a run: every ``count``-th scene, since memory needs order."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"a shard is i/n with 0 <= i < n, got {self}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``i/n``. Raises ValueError for anything else."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(count) > 0):
            raise ValueError(f"a shard is written i/n, e.g. 0/4, got {text!r}")
        return cls(int(index), int(count))

    def of(self, scenes: Sequence[SceneClips]) -> tuple[SceneClips, ...]:
        """This part's scenes."""
        return tuple(scenes[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def plan_run(
    recording: Recording,
    planners: Sequence[Planner],
    run: RunFolder,
    *,
    shard: Shard = WHOLE,
    scenes_in_flight: int = 1,
    exchange: Exchange | None = None,
    progress: Progress = lambda what, done, total: None,
    give_up: Callable[[], None] = lambda: None,
) -> None:
    """Decide on every clip that the run folder does not hold yet.

    Scenes interleave, ``scenes_in_flight`` at a time, since a planner's memory makes each scene
    sequential; a scene that was broken off goes on with the memory of its last record.
    KeyboardInterrupt leaves a folder that can be resumed; ``give_up`` is called then, and after
    any error, to cancel the replies that are still on their way.
    """
    scenes = shard.of(recording.scenes())
    if not scenes:
        raise DataError(f"part {shard} of {len(recording.scenes())} scenes holds none of them")
    for planner in planners:
        job = _Job(recording, planner, run, exchange, progress, give_up, Event())
        job.run(scenes, scenes_in_flight)


@dataclass(slots=True)
class _Job:
    recording: Recording
    planner: Planner
    run_folder: RunFolder
    exchange: Exchange | None
    progress: Progress
    give_up: Callable[[], None]
    stopped: Event

    def run(self, scenes: Sequence[SceneClips], in_flight: int) -> None:
        name, records = self.planner.name, self.run_folder.records
        total = sum(len(scene.tokens) for scene in scenes)
        there = sum((name, token) in records for scene in scenes for token in scene.tokens)
        self.progress(name, there, total)
        counter = count(there + 1)
        with ThreadPoolExecutor(max_workers=in_flight, thread_name_prefix="scene") as pool:
            futures: list[Future[None]] = [
                pool.submit(self.scene, scene, lambda: self.progress(name, next(counter), total))
                for scene in scenes
            ]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # After an error or Ctrl-C nothing new is started and nothing late is recorded.
                self.stopped.set()
                for future in futures:
                    future.cancel()
                if not all(future.done() for future in futures):
                    self.give_up()
        for future in futures:
            if not future.cancelled():
                future.result()

    def scene(self, scene: SceneClips, one_more: Callable[[], None]) -> None:
        name, records = self.planner.name, self.run_folder.records
        last: Record | None = None
        for token in scene.tokens:
            if self.stopped.is_set():
                return
            record = records.get((name, token))
            if record is not None:
                last = record
                continue
            if last is not None:
                self.planner.remember(self.recording.clip(last.clip), last.decision)
                last = None
            clip = self.recording.clip(token)
            shown = self.planner.recall(clip)
            if self.exchange is not None:
                shown = self.exchange(shown)
            decision = self.planner.decide(shown)
            if self.stopped.is_set():
                return
            self.planner.remember(clip, decision)
            self.run_folder.append(Record(name, scene.name, token, decision))
            one_more()
