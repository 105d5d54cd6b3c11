"""When a change is worth trying: found in run A by foresight, before anything is forked.

For each family there is one class. It looks at every car in every other step, with all of run A
at hand, so that the fork can be made early enough: a road user that is put in or taken away must
be there, or away, for 4 s before the ego reacts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np

from drivevlm_sim.bodies import CARS
from drivevlm_sim.traffic.drivers import body_of
from drivevlm_sim.traffic.roads import Link, edge_of
from drivevlm_sim.traffic.signals import same_movement
from drivevlm_sim.twins.foresight import FULL_STEP, may_fork, stays
from drivevlm_sim.twins.fork import Trial
from drivevlm_sim.twins.interventions import AMBER_STEPS, ForcedRed, HardBraking, Removal
from drivevlm_sim.twins.obstacles import JaywalkerCrosses, StoppedVehicle
from drivevlm_sim.twins.occasion import EARLY_STEPS, LOOK_STEPS, Occasion
from drivevlm_sim.twins.story import ACTION_STEPS, Spot, Story
from drivevlm_sim.twins.twin_pair import BEFORE_STEPS, Cause, CauseKind, Family

GONE_STEPS = 55
"""How long before a car comes to where it waits for somebody that one is taken away."""
WAITS_M = 8.0
"""So near to its line a car sees who goes first; further off it slows for anybody who may come."""
FOLLOWS_STEPS = 25
"""Who waits for somebody goes so soon after."""


class SignalApproach(Occasion):
    """A green light turns amber, then red, before the first car of its lane.

    The distance at which it turns is drawn for every approach.
    """

    family = Family.SIGNAL_APPROACH
    FROM_M, TO_M = 18.0, 75.0

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for a car and light."""
        link = spot.link
        if link is None or not link.signal or spot.ahead or spot.speed_mps < 4.0:
            return
        if not stays(self.story, spot):
            return
        key = (spot.name, spot.lane.edge)
        if spot.rest_m > self.random(*key).uniform(self.FROM_M, self.TO_M):
            return
        if not self.once(*key) or spot.rest_m < self.FROM_M / 2:
            return
        gone = self.story.leaves_lane(spot, 120)
        if gone is None or any(self.obeyed(s, link) not in "Gg" for s in range(spot.step, gone)):
            return
        yield _light_trial(
            self.story, self.family, spot, link, fork=spot.step, amber_steps=AMBER_STEPS
        )


class SignalHeld(Occasion):
    """A red light at which a car waits, or arrives, does not turn green."""

    family = Family.SIGNAL_HELD
    WITHIN_M = 45.0
    GREEN_STEPS = 35

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for a car and light."""
        link = spot.link
        if link is None or not link.signal or spot.ahead or spot.rest_m > self.WITHIN_M:
            return
        if not stays(self.story, spot):
            return
        for step in range(spot.step, spot.step + LOOK_STEPS):
            if step + self.GREEN_STEPS >= self.story.steps:
                return
            green = (self.obeyed(step + 1 + k, link) in "Gg" for k in range(self.GREEN_STEPS))
            if self.obeyed(step, link) in "rR" and all(green):
                yield _light_trial(self.story, self.family, spot, link, fork=step, amber_steps=0)


class LeaderBrakes(Occasion):
    """The vehicle ahead brakes to a stand, right after the ego's driver has decided."""

    family = Family.LEADER_BRAKES

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for whoever the car waits for."""
        if not 3.0 < spot.gap_m < 35.0 or spot.speed_mps < 4.0 or spot.name not in self.story.acts:
            return
        if not stays(self.story, spot):
            return
        vehicles = self.story.snapshots[spot.step].vehicles
        row = vehicles.names.index(spot.ahead)
        steady = vehicles.speed_mps[row] > 4.0 and vehicles.acceleration_mps2[row] > -0.5
        if not steady or body_of(vehicles.types[row]) not in CARS:
            return
        wait = (self.story.acts[spot.name] - spot.step) % ACTION_STEPS
        if wait >= LOOK_STEPS or not self.once(spot.name, spot.ahead, spot.step // 60):
            return
        fork = spot.step + wait
        speed = self.story.speed_mps(fork, spot.ahead)
        if speed is None or self.story.row(fork, spot.name) is None:
            return
        braking = self.random(spot.name, spot.ahead, spot.step).uniform(3.5, 6.0)
        yield Trial(
            family=self.family,
            fork=fork,
            ego=spot.name,
            spot_m=vehicles.front_xy_m[row],
            cause=Cause(CauseKind.VEHICLE, instance=spot.ahead),
            lead_steps=0,
            intervention=HardBraking(spot.ahead, speed, braking),
        )


class OpponentGone(Occasion):
    """A vehicle that goes first at a junction, and for which a car slows, is not there."""

    family = Family.OPPONENT

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for whoever the car waits for."""
        link = spot.link
        if link is None or not self.waits_for_somebody(spot, link):
            return
        mine = self.story.crosses(spot.name, link, spot.step, 160)
        if mine is None:
            return
        vehicles = self.story.snapshots[spot.step].vehicles
        fork = self.story.comes_to(spot, WAITS_M) - GONE_STEPS
        away_m = np.hypot(*(vehicles.front_xy_m - spot.lane.centre_m[-1]).T)
        for row in np.flatnonzero((away_m <= 60.0) & (vehicles.speed_mps >= 2.0)):
            name = vehicles.names[row]
            if name == spot.name:
                continue
            other = self.story.next_link(spot.step, row)
            if other is None or other.junction != link.junction:
                continue
            if other.number not in link.yields_to or not may_fork(self.story, fork, name):
                continue
            theirs = self.story.crosses(name, other, spot.step, 100)
            if theirs is None:
                continue
            if not theirs[0] < mine[0] < theirs[1] + FOLLOWS_STEPS:
                continue
            if self.once(name, link.junction, fork // 30):
                yield Trial(
                    family=self.family,
                    fork=fork,
                    ego="",
                    spot_m=spot.lane.centre_m[-1],
                    cause=Cause(CauseKind.VEHICLE, instance=name),
                    lead_steps=BEFORE_STEPS,
                    intervention=Removal(name, walks=False),
                )


class PedestrianGone(Occasion):
    """A pedestrian on a crossing, for whom a car slows, is not there."""

    family = Family.PEDESTRIAN

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for whoever the car waits for."""
        link = spot.link
        if link is None or not self.waits_for_somebody(spot, link):
            return
        mine = self.story.crosses(spot.name, link, spot.step, 160)
        if mine is None:
            return
        node = self.story.roads.nodes[link.junction]
        edges = {edge_of(node.crossings[n]) for n in link.yields_to if n in node.crossings}
        persons = self.story.snapshots[spot.step].persons
        fork = self.story.comes_to(spot, WAITS_M) - GONE_STEPS
        for name, edge, xy_m in zip(persons.names, persons.edges, persons.xy_m, strict=True):
            if edge not in edges or fork < FULL_STEP:
                continue
            leaves = self._leaves(name, edge, spot.step)
            if leaves is None or not mine[0] - FOLLOWS_STEPS < leaves < mine[1] + FOLLOWS_STEPS:
                continue
            if self.once(name, edge, fork // 30):
                yield Trial(
                    family=self.family,
                    fork=fork,
                    ego="",
                    spot_m=xy_m,
                    cause=Cause(CauseKind.PEDESTRIAN, instance=name),
                    lead_steps=BEFORE_STEPS,
                    intervention=Removal(name, walks=True),
                )

    def _leaves(self, name: str, edge: str, step: int) -> int | None:
        """The step in which a pedestrian is no longer on a crossing."""
        for at in range(step, min(step + 160, self.story.steps)):
            persons = self.story.snapshots[at].persons
            place = bisect_left(persons.names, name)
            if persons.names[place : place + 1] != (name,) or persons.edges[place] != edge:
                return at
        return None


OCCASIONS: tuple[type[Occasion], ...] = (
    SignalApproach,
    SignalHeld,
    StoppedVehicle,
    JaywalkerCrosses,
    LeaderBrakes,
    OpponentGone,
    PedestrianGone,
)


def occasions(story: Story, families: Iterable[Family] = tuple(Family)) -> Iterator[Trial]:
    """All that is worth trying in a run, by the time at which it was found."""
    wanted = set(families)
    lookers = [kind(story) for kind in OCCASIONS if kind.family in wanted]
    first = FULL_STEP + EARLY_STEPS
    for step in range(first, story.steps - 2 * BEFORE_STEPS, LOOK_STEPS):
        for spot in story.spots(step):
            for looker in lookers:
                yield from looker.look(spot)


def _light_trial(
    story: Story, family: Family, spot: Spot, link: Link, *, fork: int, amber_steps: int
) -> Trial:
    """Turn the lights of a car's own movement red."""
    links = same_movement(story.roads, link)
    return Trial(
        family=family,
        fork=fork,
        ego=spot.name,
        spot_m=spot.lane.centre_m[-1],
        cause=Cause(CauseKind.SIGNAL, signal=link.signal, link=link.signal_link, links=links),
        lead_steps=0,
        intervention=ForcedRed(link.signal, links, amber_steps),
    )
