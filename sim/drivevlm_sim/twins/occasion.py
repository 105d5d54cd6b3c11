"""What looking for an occasion is, whatever it is for."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from drivevlm_sim.traffic.roads import Link
from drivevlm_sim.twins.foresight import slows
from drivevlm_sim.twins.fork import Trial
from drivevlm_sim.twins.story import Spot, Story
from drivevlm_sim.twins.twin_pair import BEFORE_STEPS, Family

EARLY_STEPS = BEFORE_STEPS + 6
"""From the fork to when an ego is expected to react to a road user that was put in."""
LOOK_STEPS = 4
"""Steps between looks."""


class Occasion:
    """Looks for one family."""

    family: Family

    def __init__(self, story: Story) -> None:
        self.story = story
        self.seen: set[tuple[object, ...]] = set()

    def look(self, spot: Spot) -> Iterable[Trial]:
        """Trials that a car's state in a step suggests."""
        raise NotImplementedError

    def once(self, *what: object) -> bool:
        """Whether this is new; from now on it is not."""
        if what in self.seen:
            return False
        self.seen.add(what)
        return True

    def random(self, *what: object) -> Random:
        """Numbers that only depend on the run and on what they are for."""
        return Random(f"{self.story.seed} {self.family.value} {what}")

    def obeyed(self, step: int, link: Link) -> str:
        """The letter of a link's light that drivers obey in a step."""
        return self.story.snapshots[step].signals[link.signal][link.signal_link]

    def waits_for_somebody(self, spot: Spot, link: Link) -> bool:
        """Whether a car that no red light stops slows before a junction."""
        if spot.rest_m > 35.0 or not slows(self.story, spot):
            return False
        return not link.signal or self.obeyed(spot.step, link) in "gG"
