"""Faults for half an hour: what a node publishes while all that it hears goes wrong in turn.

    python benchmarks/soak.py [minutes] [rate=4] [seed=0] [out=soak.json]

The bundled scenes, again and again at four times their pace, on DDS on loopback. One process is
the vehicle, the other a node whose scripted model takes 50 ms and says what was truly driven after
the picture that it is shown, or a wild plan where it does not know the picture. In every scene one
thing goes wrong for a second or two, each kind as often as any other, all drawn by the seed; and
where a scene begins, the vehicle is put elsewhere. Every plan that is published is judged by where
the ego truly was. Prints tables, writes all of it to ``out``, exits with 1 where a bound is broken.

Times are those of the node, ``rate`` seconds of which pass in one of the wall, but for one: that
the anchor fell silent is timed by the wall, by which the watchdog beats. The scenes have two
pictures a second: by the node's clock none is missing within half a second, by the wall there are
eight.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import random
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from soaking.episodes import troubled
from soaking.heard import Soak
from soaking.node import NAMES, REPLAY, Note, recording, run_node
from soaking.told import settle, show, told

from drivevlm.drive.replay.event import CLOCK, SceneStream
from drivevlm.drive.replay.feed import Feed, play
from drivevlm.drive.replay.motion import EgoMotion, motions
from drivevlm.drive.replay.stream import lines_of, streams
from drivevlm.drive.topics import COMPRESSED, DIAGNOSTICS, KINEMATIC_STATE, TRAJECTORY
from drivevlm.drive.wire.config import DdsConfig
from drivevlm.drive.wire.dds import DdsBus
from drivevlm.verbs.progress import bars

PATIENCE_S = 300.0
"""For the other process to begin, and to end: only a machine that is very busy needs it."""
SETTLE_S = 1.0


class Vehicle:
    """Plays the scenes, and hears what the node makes of them."""

    def __init__(self, bus: DdsBus, notes: multiprocessing.Queue[Note], rate: float) -> None:
        source = recording()
        self.soak = Soak(rate)
        self._bus = bus
        self._notes = notes
        self._scenes = list(streams(source, REPLAY))
        self._egos: dict[str, EgoMotion] = {
            token: motions(source.ego_track(scene.name), [source.clip(token).t0_us])[0]
            for scene in source.scenes()
            for token in scene.tokens
        }
        self._lines = lines_of(source.cameras, REPLAY)
        self._feed = Feed(bus, NAMES, self._lines)
        hears = {TRAJECTORY: self.soak.on_trajectory, DIAGNOSTICS: self.soak.on_diagnostics}
        for topic, hear in hears.items():
            bus.subscribe(NAMES.of(topic), topic.type_name, topic.qos, hear)

    def drive(self, minutes: float, *, seed: int, console: Console) -> None:
        """Until the time is over by the wall, and to the end of the scene."""
        topics = (COMPRESSED, KINEMATIC_STATE, CLOCK)
        needed = [line for line in self._lines if line.topic in topics]
        self._feed.wait_heard(needed, self._bus.peers, timeout_s=PATIENCE_S)
        time.sleep(SETTLE_S)  # the other side must have seen ours, too
        begun_s, whole_s = time.monotonic(), minutes * 60
        endless = troubled(self._scenes, self.soak.episodes, seed=seed)
        with bars(console) as progress:

            def scenes() -> Iterator[SceneStream]:
                while (passed_s := time.monotonic() - begun_s) < whole_s:
                    progress("seconds", round(passed_s), round(whole_s))
                    self.drain()
                    yield next(endless)

            reached = partial(self.soak.reached, self._egos)
            self.soak.late_s = play(scenes(), self._feed, rate=self.soak.rate, reached=reached)
        time.sleep(SETTLE_S)  # the last plan is on its way

    def drain(self, *, wait_s: float = 0.0) -> None:
        """Take the notes that are there; with ``wait_s`` all, to the last one."""
        try:
            while (note := self._notes.get(block=wait_s > 0, timeout=wait_s)) is not None:
                self.soak.take(note)
        except queue.Empty:
            if wait_s:
                self.soak.raised.append(f"the node's process says nothing for {wait_s:g} s")


def soaked(minutes: float, *, rate: float, seed: int, console: Console) -> Soak:
    """The whole of it."""
    domain_id = random.SystemRandom().randrange(1, 101)
    context = multiprocessing.get_context("spawn")
    (ours, theirs), notes = context.Pipe(), context.Queue()
    other = context.Process(target=run_node, args=(domain_id, theirs, notes), daemon=True)
    other.start()
    with DdsBus(DdsConfig(domain_id, loopback=True)) as bus:
        vehicle = Vehicle(bus, notes, rate)
        if not ours.poll(PATIENCE_S):
            raise TimeoutError(f"the node's process is not ready within {PATIENCE_S:g} s")
        ours.recv()
        vehicle.drive(minutes, seed=seed, console=console)
        ours.send("end")
        vehicle.drain(wait_s=PATIENCE_S)
    other.join(PATIENCE_S)
    soak = vehicle.soak
    soak.raised += [f"the vehicle's wire: {what}" for what in bus.troubles()]
    if other.exitcode != 0:
        soak.raised.append(f"the node's process ended with {other.exitcode}")
    return soak


def main(words: list[str]) -> int:
    named = dict(word.split("=", 1) for word in words if "=" in word)
    (minutes,) = [float(word) for word in words if "=" not in word] or [1.0]
    rate, seed = float(named.pop("rate", 4.0)), int(named.pop("seed", 0))
    out = Path(named.pop("out", "soak.json"))
    if named:
        sys.exit(f"expected minutes, rate=, seed= and out=, got {', '.join(named)}")
    console = Console()
    soak = soaked(minutes, rate=rate, seed=seed, console=console)
    settle(soak)
    result = told(soak, f"benchmarks/soak.py {minutes:g} rate={rate:g} seed={seed}")
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result, console)
    console.print(str(out), soft_wrap=True, markup=False, highlight=False)
    return 0 if all(bound["kept"] for bound in result["bounds"]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
