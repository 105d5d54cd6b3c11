"""Occasions to put somebody into a car's way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import Body
from drivevlm_sim.traffic.demand import BLOCKER
from drivevlm_sim.traffic.drivers import DRIVERS
from drivevlm_sim.traffic.jaywalker import JAYWALKER, Jaywalker, jaywalker, place_on
from drivevlm_sim.twins.foresight import (
    is_free,
    may_fork,
    stays,
    stopping_m,
    way_is_free,
)
from drivevlm_sim.twins.fork import Trial
from drivevlm_sim.twins.interventions import Obstacle
from drivevlm_sim.twins.occasion import EARLY_STEPS, Occasion
from drivevlm_sim.twins.story import Spot
from drivevlm_sim.twins.twin_pair import BEFORE_STEPS, Cause, CauseKind, Family


class StoppedVehicle(Occasion):
    """A vehicle stands in a car's lane, where nobody else passes before the car arrives."""

    family = Family.STOPPED_VEHICLE
    BODIES = (Body.SEDAN, Body.SUV, Body.VAN, Body.TRUCK)

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for a car and lane."""
        key = (spot.name, spot.lane.name)
        fork = spot.step - EARLY_STEPS
        if spot.speed_mps < 5.0 or key in self.seen or not may_fork(self.story, fork, spot.name):
            return
        if not stays(self.story, spot):
            return
        rng = self.random(*key)
        body, driver = rng.choice(self.BODIES), rng.randrange(DRIVERS)
        front_m = spot.lane_m + stopping_m(spot.speed_mps) + rng.uniform(2.0, 14.0)
        front_m += SIZES[body].length_m
        if front_m > spot.lane.length_m - 5.0 or not self.once(*key):
            return
        if not is_free(self.story, spot, fork, front_m):
            return
        name = f"{BLOCKER}-{spot.name}-{spot.step}"
        yield Trial(
            family=self.family,
            fork=fork,
            ego=spot.name,
            spot_m=place_on(spot.lane.centre_m, front_m)[0],
            cause=Cause(CauseKind.VEHICLE, instance=name),
            lead_steps=BEFORE_STEPS,
            intervention=Obstacle(
                name, f"{body.value}_{driver}", spot.lane.edge, spot.lane.index, front_m
            ),
        )


class JaywalkerCrosses(Occasion):
    """Somebody who waited at the kerb walks across the road before a car."""

    family = Family.JAYWALKER

    def look(self, spot: Spot) -> Iterable[Trial]:
        """One trial for a car and lane."""
        key = (spot.name, spot.lane.edge)
        fork = spot.step - EARLY_STEPS
        if spot.speed_mps < 5.0 or key in self.seen or not may_fork(self.story, fork, spot.name):
            return
        if not stays(self.story, spot):
            return
        rng = self.random(*key)
        speed = spot.speed_mps
        at_m = spot.lane_m + 1.3 * speed + speed * speed / 6 + rng.uniform(3.0, 15.0)
        if at_m > spot.lane.length_m - 6.0 or not self.once(*key):
            return
        if not is_free(self.story, spot, spot.step, at_m):
            return
        walker = self._walker(spot, at_m, rng.uniform(1.2, 2.0))
        if not way_is_free(self.story, walker, fork=fork, ego=spot.name):
            return
        yield Trial(
            family=self.family,
            fork=fork,
            ego=spot.name,
            spot_m=walker.middle_m,
            cause=Cause(CauseKind.PEDESTRIAN, instance=walker.name),
            lead_steps=BEFORE_STEPS,
            intervention=walker,
        )

    def _walker(self, spot: Spot, at_m: float, pace_mps: float) -> Jaywalker:
        """Who is near the ego's lane ``EARLY_STEPS`` after the fork."""
        lane = spot.lane
        walker = jaywalker(
            f"{JAYWALKER}-{spot.name}-{spot.step}",
            lane,
            at_m,
            edge=self.story.edge_lanes[lane.edge],
            drivable=self.story.roads.edges[lane.edge],
            pace_mps=pace_mps,
            left_hand=self.story.town.left_hand,
        )
        return replace(walker, wait_steps=max(EARLY_STEPS - walker.steps_to_lane, 0))
