"""Run A is played again, and forked wherever something is to be changed: the child is run B.

libsumo keeps its one simulation in the process, so a forked child holds the very state of run A
and goes on from it; what it sees comes back over a pipe. Replaying all from the start with the
same change gives the same to the last bit, and takes as long as all of run A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.traffic.child import ChildDiedError, in_child
from drivevlm_sim.traffic.intervention import Intervention
from drivevlm_sim.traffic.signals import SHOWN_EARLY_STEPS
from drivevlm_sim.traffic.sumo import Simulation, Snapshot, Vehicles
from drivevlm_sim.twins.rules import OTHERS_DIFFER_M, OTHERS_WITHIN_M, SAME
from drivevlm_sim.twins.story import Story, is_ego
from drivevlm_sim.twins.twin_pair import AFTER_STEPS, Cause, Family

HORIZON_STEPS = 110
"""How long after the fork an ego must have parted."""
NEAR_M = 70.0
"""How near to the cause an ego is sought."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Something to try.

    Attributes:
        family: What for.
        fork: The last common step.
        ego: Whose tracks shall part; "" for whoever near ``spot_m`` parts first.
        spot_m: (2,) place of the cause, town axes.
        cause: What differs; its distance is not known yet.
        lead_steps: How long after the fork the ego must still be the same.
        intervention: What to do.
    """

    family: Family
    fork: int
    ego: str
    spot_m: Floats
    cause: Cause
    lead_steps: int
    intervention: Intervention


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a trial gave.

    Attributes:
        reason: Why it gave nothing; "" where it gave a run B.
        ego: Whose tracks parted.
        t0: The last step in which they were the same.
        snapshots: Run B's steps after the fork, until ``AFTER_STEPS`` after t0 and as many more as
            it takes to know what signals show.
    """

    reason: str
    ego: str = ""
    t0: int = -1
    snapshots: tuple[Snapshot, ...] = ()


def forked(
    story: Story, trials: Iterable[Trial], *, wanted: Callable[[Trial], bool] = lambda trial: True
) -> Iterator[tuple[Trial, Outcome]]:
    """Carry out trials in the order of their forks, each in a child of its own.

    Those that are not wanted when their turn comes are left out.
    """
    with story.again() as simulation:
        made = 0
        for trial in sorted(trials, key=lambda trial: trial.fork):
            if not wanted(trial):
                continue
            for _ in range(trial.fork + 1 - made):
                simulation.advance()
            made = max(made, trial.fork + 1)
            yield trial, _in_child(simulation, story, trial)


def replayed(story: Story, trial: Trial) -> Outcome:
    """Carry out one trial in this process, from the very start of the run."""
    with story.again() as simulation:
        for _ in range(trial.fork + 1):
            simulation.advance()
        return carry_out(simulation, story, trial)


def carry_out(simulation: Simulation, story: Story, trial: Trial) -> Outcome:
    """Go on from the fork with the change until it is known what it did."""
    made: list[Snapshot] = []
    ego, t0 = "", -1
    watch = _Watch(story, trial)
    last = min(trial.fork + HORIZON_STEPS, story.steps - 1)
    for step in range(trial.fork + 1, story.steps):
        elapsed = step - trial.fork - 1
        trial.intervention.act(simulation.api, elapsed, story.snapshots[step].signals)
        made.append(trial.intervention.seen(simulation.step(), elapsed))
        if not ego:
            ego = watch.parted(step, made[-1].vehicles)
            t0 = step - 1
            if ego and t0 - trial.fork < trial.lead_steps:
                return Outcome("reacts too soon")
            if ego and _others_apart_m(story, trial, ego, t0, made) >= OTHERS_DIFFER_M:
                return Outcome("others_alike")
            if not ego and step >= last:
                return Outcome("nobody reacts")
        if ego and step == t0 + AFTER_STEPS + SHOWN_EARLY_STEPS:
            return Outcome("", ego, t0, tuple(made))
    return Outcome("the run ends too soon")


def _others_apart_m(
    story: Story, trial: Trial, ego: str, t0: int, made: Sequence[Snapshot]
) -> float:
    """How far a vehicle near the ego is from its twin at t0, by front bumpers: told early."""
    if t0 <= trial.fork:
        return 0.0
    a, b = story.snapshots[t0].vehicles, made[t0 - trial.fork - 1].vehicles
    rows = {name: row for row, name in enumerate(b.names)}
    if ego not in rows:  # it comes just now, which is judged later
        return 0.0
    centre_m = b.front_xy_m[rows[ego]]
    worst_m = 0.0
    for row in np.flatnonzero(np.hypot(*(a.front_xy_m - centre_m).T) < OTHERS_WITHIN_M - 8.0):
        name = a.names[row]
        if name != trial.cause.instance and name in rows:
            moved = a.front_xy_m[row] - b.front_xy_m[rows[name]]
            worst_m = max(worst_m, float(np.hypot(*moved)))
    return worst_m


def _in_child(simulation: Simulation, story: Story, trial: Trial) -> Outcome:
    def run_b() -> Outcome:
        try:
            return carry_out(simulation, story, trial)
        except simulation.api.TraCIException as error:
            return Outcome(f"SUMO refuses: {error}")

    try:
        return in_child(run_b)
    except ChildDiedError:
        return Outcome("the simulation crashed")


class _Watch:
    """Looks in each step of run B for an ego that has parted from its track in run A."""

    def __init__(self, story: Story, trial: Trial) -> None:
        self._story, self._trial = story, trial
        self._too_soon: set[str] = set()

    def parted(self, step: int, now: Vehicles) -> str:
        """Who is not where it was in run A, for the first time in this step; "" for nobody."""
        trial = self._trial
        if trial.ego:
            return trial.ego if self._differs(step, trial.ego, now) else ""
        near = np.hypot(*(now.front_xy_m - trial.spot_m).T) < NEAR_M
        for row in np.flatnonzero(near):
            name = str(now.names[row])
            if name in self._too_soon or not is_ego(name, now.types[row]):
                continue
            if self._differs(step, name, now):
                if step - 1 - trial.fork >= trial.lead_steps:
                    return name
                self._too_soon.add(name)
        return ""

    def _differs(self, step: int, name: str, now: Vehicles) -> bool:
        row_a = self._story.row(step, name)
        row_b = now.names.index(name) if name in now.names else None
        if row_a is None or row_b is None:  # it left the town
            return False
        before = self._story.snapshots[step].vehicles
        return bool(np.abs(_state(before, row_a) - _state(now, row_b)).max() > SAME / 2)


def _state(vehicles: Vehicles, row: int) -> Floats:
    """Place, speed and acceleration: (4,)."""
    return np.array(
        [*vehicles.front_xy_m[row], vehicles.speed_mps[row], vehicles.acceleration_mps2[row]]
    )
