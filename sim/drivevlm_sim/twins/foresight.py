"""What run A tells of the time to come, for whoever thinks of changing it."""

from __future__ import annotations

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.scene_log import STEP_S
from drivevlm_sim.traffic.demand import FILL_S
from drivevlm_sim.traffic.drivers import body_of
from drivevlm_sim.twins.interventions import Jaywalker
from drivevlm_sim.twins.story import Spot, Story
from drivevlm_sim.twins.twin_pair import BEFORE_STEPS

STAYS_STEPS = 70
"""How long an ego must still be there after the look at it."""
FULL_STEP = round(FILL_S / STEP_S)
"""The first step in which a town is full, and may be shown."""
_LANE_CLEAR_M = 14.0  # beyond a place, in which nobody may stand before the ego comes
_WALK_CLEAR_M = (1.9, 4.0, 1.0)  # beside a vehicle's middle line, before it and behind it
_WALK_STEPS = 60  # how long a walker's way is looked at after the walker has come to the lane
_ROAD_M = 12.0  # a parked vehicle further away than this is on no walker's way


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


def place_on(centre_m: Floats, at_m: float) -> tuple[Floats, Floats]:
    """The point so far along a line, and the unit vector along it there."""
    steps = np.diff(centre_m, axis=0)
    lengths = np.hypot(*steps.T)
    ends = np.cumsum(lengths)
    part = min(int(np.searchsorted(ends, at_m)), len(lengths) - 1)
    along = steps[part] / lengths[part]
    return centre_m[part + 1] + (at_m - ends[part]) * along, along


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
        _parked_on(walker, parked.xy_m, SIZES[parked.body].length_m)
        for parked in story.recording.parked
    ):
        return False
    for elapsed in range(0, walker.wait_steps + _WALK_STEPS, 2):
        step = fork + 1 + elapsed
        if step >= story.steps or _walks_into(story, walker, step, elapsed, ego):
            return False
    return True


def _parked_on(walker: Jaywalker, xy_m: tuple[float, float], length_m: float) -> bool:
    off_m = np.asarray(xy_m) - walker.middle_m
    along_m = abs(off_m[0] * walker.across[1] - off_m[1] * walker.across[0])
    return bool(np.hypot(*off_m) < _ROAD_M and along_m < length_m / 2 + 0.6)


def _walks_into(story: Story, walker: Jaywalker, step: int, elapsed: int, ego: str) -> bool:
    """Whether the walker is about a vehicle's body in a step of run A."""
    vehicles, place_m = story.snapshots[step].vehicles, walker.place_m(elapsed)
    beside_m, before_m, behind_m = _WALK_CLEAR_M
    for row in np.flatnonzero(np.hypot(*(vehicles.front_xy_m - place_m).T) < 14.0):
        yaw_rad, off_m = vehicles.yaw_rad[row], place_m - vehicles.front_xy_m[row]
        ahead_m = off_m[0] * np.cos(yaw_rad) + off_m[1] * np.sin(yaw_rad)
        left_m = off_m[1] * np.cos(yaw_rad) - off_m[0] * np.sin(yaw_rad)
        body_m = SIZES[body_of(vehicles.types[row])].length_m
        about = abs(left_m) < beside_m and -body_m - behind_m < ahead_m < before_m
        if about and vehicles.names[row] != ego:
            return True
    return False
