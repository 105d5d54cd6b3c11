"""The way out: a decision becomes a trajectory, is judged, and is published, or the fallback is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from drivevlm.drive.buffers import Seen
from drivevlm.drive.config import DriveConfig, Fallback
from drivevlm.drive.fallback import fallback_trajectory
from drivevlm.drive.gate import CheckName, GateVerdict, judge
from drivevlm.drive.health import Health
from drivevlm.drive.plan_message import Trajectory, trajectory_of
from drivevlm.drive.publish import Publish, Reasoning, UntimelyError
from drivevlm.drive.sync import Moment, moved, newest_objects
from drivevlm.world.boxes import Box3
from drivevlm.world.decision import Decision

OF_A_STOP = (CheckName.FINITE, CheckName.AGE)
"""What a stop must pass: it is made within the limits, and braking is the best that is left."""


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A decision, and what it was made of."""

    moment: Moment
    decision: Decision


class Outlet:
    """Publishes what passes the gate. What does not is told in the diagnostics.

    Args:
        publish: Where outputs go.
        config: Settings.
        health: Is told of all that happens.
        scene: The first one's name.
        seen: What is stored now.
        clock_us: The node's clock.
    """

    def __init__(
        self,
        publish: Publish,
        config: DriveConfig,
        health: Health,
        *,
        scene: str,
        seen: Callable[[], Seen],
        clock_us: Callable[[], int],
    ) -> None:
        self._publish = publish
        self._config = config
        self._health = health
        self._seen = seen
        self._clock_us = clock_us
        self._lock = threading.Lock()
        self._scene = scene
        self._last: Trajectory | None = None
        self._since_us: int | None = None

    def decided(self, result: Decided) -> Reasoning | None:
        """Judge a decision that is there in time, and publish it where it passes.

        None where history was cleared meanwhile, so that the plan went nowhere.
        """
        decision, clip, ego = result.decision, result.moment.clip, result.moment.ego
        now_us = self._clock_us()
        self._health.took({**decision.timings_ms, "latency": (now_us - clip.t0_us) / 1e3})
        trajectory, verdict = None, None
        if decision.plan is not None:
            wheelbase_m = self._config.vehicle.wheelbase_m
            trajectory = trajectory_of(decision.plan, ego, wheelbase_m=wheelbase_m)
            verdict = self._judge(trajectory, now_us, ego.speed_mps)
        reasoning = Reasoning(clip.t0_us, clip.token, decision, verdict)
        if trajectory is not None and verdict is not None and verdict.passed:
            if not self._kept(trajectory, clip.scene):
                return None
            try:
                self._publish.trajectory(trajectory)  # first: the vehicle waits for nothing else
                self._health.planned(trajectory.stamp_us)
                return reasoning
            except UntimelyError as error:
                verdict = self._judge(trajectory, error.now_us, ego.speed_mps)
                reasoning = replace(reasoning, verdict=verdict)
            finally:
                self._publish.reasoning(reasoning)
            self._held_back(verdict)
            return reasoning
        self._publish.reasoning(reasoning)  # first: the fallback is drawn over what it replaces
        if verdict is not None:
            self._held_back(verdict)
        elif decision.failure is not None:
            kind = decision.failure.kind.value
            self.unplanned(f"failed_{kind}", f"{kind}: {decision.failure.detail}")
        return reasoning

    def unplanned(self, counted: str, why: str) -> None:
        """No plan this time: count it, say why, and fall back where that was declared."""
        self._health.count(counted)
        self._health.troubled(" ".join(why.split()))
        self._fall_back(self._clock_us())

    def tick(self, now_us: int) -> None:
        """Fall back where plans were there and the newest has grown old."""
        with self._lock:
            since_us = self._since_us
        if since_us is not None and now_us - since_us > self._config.fallback.after_s * 1e6:
            self._fall_back(now_us)

    def cleared(self, now_us: int, scene: str) -> None:
        """History is void, and with it the last plan: its stamp and frame mean nothing now.

        So is a plan of a decision that bears another name than ``scene``, which begins.
        """
        with self._lock:
            self._scene, self._last = scene, None
            self._since_us = None if self._since_us is None else now_us

    def _held_back(self, verdict: GateVerdict) -> None:
        for check in verdict.failed:
            self._health.count(f"gate_{check.name.value}")
        self.unplanned("dropped_gate", f"the gate held the plan back: {verdict}")

    def _kept(self, trajectory: Trajectory, scene: str) -> bool:
        """As the last plan, unless its scene is over: other threads may have cleared it."""
        with self._lock:
            if scene != self._scene:
                return False
            self._last, self._since_us = trajectory, trajectory.stamp_us
            return True

    def _fall_back(self, now_us: int) -> None:
        kind = self._config.fallback.kind
        with self._lock:
            last = self._last
        trajectory = fallback_trajectory(
            self._config.fallback,
            last=last,
            now=self._seen().track.newest,
            vehicle=self._config.vehicle,
        )
        if trajectory is None:
            return
        failed = self._judge(trajectory, now_us, float(trajectory.speed_mps[0])).failed
        if kind is Fallback.STOP:
            failed = tuple(check for check in failed if check.name in OF_A_STOP)
        if failed:
            self._health.count("fallback_held_back")
            return
        try:
            self._publish.trajectory(trajectory)
        except UntimelyError:
            self._health.count("fallback_held_back")
            return
        self._health.fell_back(kind.value)

    def _judge(self, trajectory: Trajectory, now_us: int, then_mps: float) -> GateVerdict:
        seen = self._seen()
        return judge(
            trajectory,
            now_us=now_us,
            then_mps=then_mps,
            now=seen.track.newest,
            objects=self._objects(seen, trajectory.stamp_us),
            limits=self._config.gate,
            vehicle=self._config.vehicle,
        )

    def _objects(self, seen: Seen, stamp_us: int) -> tuple[Box3, ...] | None:
        """The newest objects, put where they were at a trajectory's decision time.

        None where their place is not known, because the ego's is not, or because nobody told of
        them lately and the gate needs them.
        """
        if seen.track.newest is None:
            return None
        newest_us, age_ms = seen.track.newest.stamp_us, self._config.sync.objects_age_ms
        newest = newest_objects(seen.objects, at_us=newest_us, age_ms=age_ms)
        if newest is None:
            return None if self._config.gate.needs_objects else ()
        then = moved(newest, seen.track, stamp_us)
        return None if then is None else then.obstacles
