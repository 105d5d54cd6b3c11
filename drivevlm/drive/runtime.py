"""The runtime: callbacks store, the anchor's image makes a decision due, a worker decides."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from drivevlm.drive.buffers import Buffers, Encoded, Objects, Seen
from drivevlm.drive.config import SLACK_US, DriveConfig
from drivevlm.drive.health import MODEL, PLANNER, PROMPT, REVISION, Health
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.outlet import Decided, Outlet
from drivevlm.drive.publish import Ended, Publish
from drivevlm.drive.sync import Refusal, moment_of
from drivevlm.drive.worker import Desk, Lost, Worker, one_line
from drivevlm.planner import Planner, VLMPlanner, plan_next
from drivevlm.world.camera import Camera
from drivevlm.world.clip import RouteCommand

ODOMETRY, OBJECTS = "odometry", "objects"
TOGETHER_US = 25_000
"""Cameras that fire together have stamps so near (nuScenes' front ones 8 ms): no nearer image is to
be waited for."""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionTask:
    """A decision that is due.

    Attributes:
        t0_us: Stamp of the anchor's image.
        deadline_us: On the node's clock.
        seen: What was stored when it became due.
        scene: Changes whenever history was cleared.
    """

    t0_us: int
    deadline_us: int
    seen: Seen
    scene: str


class Runtime:
    """One planner on a vehicle, or on a bag.

    Callbacks may come from any thread and never wait for the planner. Time is the node's clock,
    handed in. A plan that fails is not published: the declared fallback is, or nothing, and the
    diagnostics say why.

    Args:
        planner: Whose ``decide`` is called in one thread only.
        publish: Where outputs go.
        config: Settings.
        clock_us: The node's clock in microseconds.
        lockstep: Decide in the thread of the callback: for tests, and for bags where every image
            shall be decided on.
        scenes: Numbers of the scenes. Who runs one planner several times hands the same on, so
            that no scene bears the name of an earlier one.
        ended: Is told what became of each picture of the anchor. It must not raise.
    """

    def __init__(
        self,
        planner: Planner,
        publish: Publish,
        config: DriveConfig,
        *,
        clock_us: Callable[[], int],
        lockstep: bool = False,
        scenes: Iterator[int] | None = None,
        ended: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        sync = config.sync
        self._planner = planner
        self._publish = publish
        self._config = config
        self._clock_us = clock_us
        self._lock = threading.Lock()
        needed = [name for name in sync.cameras if name not in sync.optional]
        self.health = Health(
            config.name,
            needed=(*needed, ODOMETRY),
            optional=sync.optional,
            silent_s=config.silent_s,
            max_plan_age_s=config.gate.max_plan_age_s,
            about=about(planner),
        )
        self._buffers = Buffers(config, self.health.count)
        desk: type[Desk[DecisionTask, Decided | Refusal]] = Desk if lockstep else Worker
        self._desk = desk(self._decide, self._deliver, self._lost, clock_us)
        self._ended = ended
        self._scenes = itertools.count() if scenes is None else scenes
        self._scene = self._next_scene()
        self._outlet = Outlet(
            publish, config, self.health, scene=self._scene, seen=self._seen, clock_us=clock_us
        )
        self._pending_us: tuple[int, int] | None = None  # the anchor's stamp, and its arrival
        self._newest_us = -(2**63)

    def start(self) -> None:
        """Start deciding."""
        self._desk.start()

    def stop(self, give_up: Callable[[], None] = lambda: None) -> bool:
        """Decide no more; ``give_up`` cancels the reply on its way. False if it hangs."""
        return self._desk.stop(give_up)

    def on_camera(self, camera: Camera) -> None:
        """Size, and calibration where known, of a camera."""
        with self._lock:
            self._buffers.set_camera(camera)

    def on_command(self, command: RouteCommand | None) -> None:
        """The router's word; it holds until the next."""
        with self._lock:
            self._buffers.set_command(command)

    def on_image(self, camera: str, stamp_us: int, source: Encoded) -> None:
        """An encoded image. One of the anchor makes a decision due."""
        sync = self._config.sync
        if camera not in sync.cameras:
            self.health.count("images_of_unknown_cameras")
            return
        with self._lock:
            now_us = self._clock_us()
            self._watch(now_us)
            newest_us = self._buffers.newest_us(camera)
            self._store(self._buffers.add_image(camera, stamp_us, source), now_us)
            self.health.arrived(camera, now_us)
            overtaken = None
            if camera == sync.anchor and stamp_us != newest_us:
                waiting, self._pending_us = self._pending_us, (stamp_us, now_us)
                overtaken = None if waiting is None else self._task(waiting[0])
        if overtaken is not None:
            self._desk.put(overtaken)
        self._go_on(now_us)

    def on_odometry(self, sample: OdometrySample) -> None:
        """Where the ego is."""
        with self._lock:
            now_us = self._clock_us()
            self._watch(now_us)
            self._store(self._buffers.add_odometry(sample), now_us)
            self.health.arrived(ODOMETRY, now_us)
        self._go_on(now_us)

    def on_objects(self, objects: Objects) -> None:
        """What a detector sees: proposals for the planner, obstacles for the gate."""
        with self._lock:
            now_us = self._clock_us()
            self._watch(now_us)
            self._store(self._buffers.add_objects(objects), now_us)
            self.health.arrived(OBJECTS, now_us)

    def on_tick(self) -> None:
        """The watchdog, ten times a second: what waits too long, staleness, diagnostics."""
        with self._lock:
            now_us = self._clock_us()
            self._watch(now_us)
        self._go_on(now_us)
        fault = None
        try:
            self._outlet.tick(now_us)
        # A fallback that cannot be made or sent is what the diagnostics must tell, whatever it is.
        except Exception as error:  # noqa: BLE001
            fault = f"the fallback fails: {one_line(error)}"
        self.health.broken(fault)
        self._publish.diagnostics(self.health.report(now_us))

    def _watch(self, now_us: int) -> None:
        """The node's clock goes backwards where a bag begins anew. The lock is held."""
        back_us, self._newest_us = self._newest_us - now_us, now_us
        if back_us > SLACK_US:
            self._buffers.clear()
            self._store(f"time went backwards: the clock by {back_us / 1e6:.3f} s", now_us)

    def _store(self, cleared: str | None, now_us: int) -> None:
        """After something was stored: forget what a clearing makes void. The lock is held."""
        if cleared is None:
            return
        self._scene = self._next_scene()
        pending, self._pending_us = self._pending_us, None
        if pending is not None:
            self._ended(Ended(pending[0], lost="dropped_cleared", why=cleared))
            self.health.count("dropped_cleared")
        self._outlet.cleared(now_us, self._scene)
        self.health.count("cleared")
        self.health.restarted(now_us)
        self.health.troubled(f"history was cleared: {cleared}")

    def _go_on(self, now_us: int) -> None:
        """Hand the pending decision over, once all is there or it waited long enough."""
        with self._lock:
            if self._pending_us is None:
                return
            t0_us, arrived_us = self._pending_us
            waited = now_us - arrived_us >= self._config.sync.wait_ms * 1e3
            if not waited and not self._complete(t0_us):
                return
            task, self._pending_us = self._task(t0_us), None
        self._desk.put(task)

    def _complete(self, t0_us: int) -> bool:
        """Whether no nearer image and no nearer pose is to come."""
        stamps = [self._buffers.newest_us(name) for name in self._config.sync.cameras]
        there = all(us is not None and us >= t0_us - TOGETHER_US for us in stamps)
        odometry_us = self._buffers.odometry_us
        return there and odometry_us is not None and odometry_us >= t0_us

    def _task(self, t0_us: int) -> DecisionTask:
        deadline_us = t0_us + int(self._config.max_latency_ms * 1e3)
        return DecisionTask(t0_us, deadline_us, self._buffers.seen(), self._scene)

    def _next_scene(self) -> str:
        """A planner's memory ends where history was cleared."""
        return f"{self._config.name}-{next(self._scenes)}"

    def _decide(self, task: DecisionTask, left_s: float) -> Decided | Refusal:
        moment = moment_of(
            task.seen,
            t0_us=task.t0_us,
            now_us=self._clock_us(),
            config=self._config.sync,
            scene=task.scene,
        )
        if isinstance(moment, Refusal):
            return moment
        if isinstance(self._planner, VLMPlanner):
            self._planner.keep_only(task.scene)  # scenes come one after the other here
        return Decided(moment, plan_next(within(self._planner, left_s), moment.clip))

    def _deliver(self, task: DecisionTask, result: Decided | Refusal) -> None:
        with self._lock:
            self._watch(self._clock_us())
            void = task.scene != self._scene
        if void:
            self._overtaken(task)
            return
        missing = result.missing if isinstance(result, Refusal) else result.moment.missing
        for camera, why in missing.items():
            self.health.count(f"missing_{camera}_{why.value}")
        if isinstance(result, Refusal):
            lost = f"refused_{result.reason.value}"
            self._outlet.unplanned(lost, result.detail)
            self._ended(Ended(task.t0_us, lost=lost, why=result.detail))
        elif (reasoning := self._outlet.decided(result)) is not None:
            self._ended(Ended(task.t0_us, reasoning))
        else:
            self._overtaken(task)

    def _overtaken(self, task: DecisionTask) -> None:
        detail = "history was cleared while it was decided on"
        self._ended(Ended(task.t0_us, lost="dropped_cleared", why=detail))
        self.health.count("dropped_cleared")

    def _lost(self, task: DecisionTask, why: Lost, detail: str) -> None:
        lost = f"dropped_{why.value}"
        self._ended(Ended(task.t0_us, lost=lost, why=detail))
        if why in (Lost.LATE, Lost.CRASHED):
            self._outlet.unplanned(lost, f"{why.value}: {detail}")
        else:
            self.health.count(lost)

    def _seen(self) -> Seen:
        with self._lock:
            return self._buffers.seen()


def within(planner: Planner, left_s: float) -> Planner:
    """The planner, whose replies are worth nothing after ``left_s``; its memory stays the same."""
    if not isinstance(planner, VLMPlanner):
        return planner
    own_s = planner.deadline_s
    return replace(planner, deadline_s=left_s if own_s is None else min(own_s, left_s))


def about(planner: Planner) -> dict[str, str]:
    """Who decides, for the diagnostics: whoever records the decisions need not be told."""
    if not isinstance(planner, VLMPlanner):
        return {PLANNER: planner.name}
    model, digest = planner.vlm, planner.dialogue.digest
    return {PLANNER: planner.name, MODEL: model.name, REVISION: model.revision, PROMPT: digest}
