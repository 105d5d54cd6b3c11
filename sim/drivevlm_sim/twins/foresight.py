"""What run A tells of the time to come, for whoever thinks of changing it."""

from __future__ import annotations

from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.demand import FILL_S
from drivevlm_sim.traffic.jaywalker import Jaywalker
from drivevlm_sim.twins.story import Spot, Story
from drivevlm_sim.twins.twin_pair import BEFORE_STEPS

STAYS_STEPS = 70
"""How long an ego must still be there after the look at it."""
FULL_STEP = round(FILL_S / STEP_S)
"""The first step in which a town is full, and may be shown."""
_LANE_CLEAR_M = 14.0  # beyond a place, in which nobody may stand before the ego comes
_WALK_STEPS = 60  # how long a walker's way is looked at after the walker has come to the lane


def may_fork(story: Story, fork: int, name: str) -> bool:
    """Whether a vehicle is there at the fork, and the town is full by then."""
    return fork >= round(FILL_S / STEP_S) and story.row(fork, name) is not None


def stays(story: Story, spot: Spot) -> bool:
    """Whether a car was there long enough and stays for as long as a pair's log goes on."""
    earlier, later = spot.step - BEFORE_STEPS, spot.step + STAYS_STEPS
    return later < story.steps and None not in (
        story.row(earlier, spot.name),
        story.row(later, spot.name),
    )


def slows(story: Story, spot: Spot) -> bool:
    """Whether a car stands, or loses 1 m/s within 3 s."""
    slowest = story.slowest_mps(spot.name, spot.step, spot.step + 30)
    return spot.speed_mps < 1.0 or slowest < spot.speed_mps - 1.0


def stopping_m(speed_mps: float) -> float:
    """About how far before something that stands drivers begin to brake."""
    return speed_mps * speed_mps / 5.4 + 1.3 * speed_mps


def is_free(story: Story, spot: Spot, fork: int, front_m: float) -> bool:
    """Whether from the fork on nobody but the ego comes to a place, until the ego passes it."""
    for step in range(fork, story.steps):
        for at_m, row in story.on_lane(step, spot.lane.name):
            name = story.snapshots[step].vehicles.names[row]
            if name == spot.name:
                if at_m > front_m:
                    return True
            elif _in_the_way(story, spot, step, at_m, front_m):
                return False
        if step > spot.step and story.row(step, spot.name) is None:
            return False
        if step > spot.step + 150:
            return False
    return False


def _in_the_way(story: Story, spot: Spot, step: int, at_m: float, front_m: float) -> bool:
    """Whether another vehicle, so far along the lane, is about the place or before the ego."""
    row = story.row(step, spot.name)
    here = row is not None and (
        story.snapshots[step].vehicles.lanes[row] == spot.lane.name
        and story.snapshots[step].vehicles.lane_m[row] > at_m
    )
    return not here and at_m < front_m + 14.0


def way_is_free(story: Story, walker: Jaywalker, *, fork: int, ego: str) -> bool:
    """Whether in run A nobody but the ego is near a walker until the road is crossed."""
    if any(
        walker.parked_on(parked.xy_m, SIZES[parked.body].length_m)
        for parked in story.recording.parked
    ):
        return False
    for elapsed in range(0, walker.wait_steps + _WALK_STEPS, 2):
        step = fork + 1 + elapsed
        if step >= story.steps:
            return False
        if walker.touches(story.snapshots[step].vehicles, elapsed) - {ego}:
            return False
    return True
