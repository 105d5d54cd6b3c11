"""What a vehicle has at some time: the last plan heard by then, moved into its frame, what is left.

A plan of 3 s that is half a second old says nothing of the last half second ahead. Nothing is
invented in silence: ``reach`` says how many steps the plan itself covers. Beyond, it goes on at the
speed and curvature of its end, and every figure says whether it rests on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivevlm.metrics.raster import Bools
from drivevlm.world.kinematics import arc
from drivevlm.world.plan import STILL_MPS, Plan
from drivevlm.world.pose import Floats, Pose2, wrap_rad
from drivevlm.world.published import Published
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, Truth

# N: keyframes. T: FUTURE_STEPS, of STEP_S each. P: plans of a scene.

NEAR_S = 0.05
"""A plan that ends so shortly before a step covers it: keyframes are not exactly half a second
apart, and no protocol looks closer than to the keyframe."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """When and where a vehicle is asked what it has."""

    token: str
    scene: str
    stamp_us: int
    global_from_ego: Pose2

    @classmethod
    def of(cls, truth: Truth) -> Keyframe:
        """The decision time of a truth."""
        now = truth.now
        return cls(truth.token, truth.scene, now.stamp_us, now.global_from_ego.planar())


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a vehicle has at N keyframes.

    Attributes:
        plans: N, in the ego frame of each keyframe, at 0.5 s, 1 s, ... 3 s; None where it has none.
        reach: (N,) steps that the plan itself covers; from there on it is continued.
        age_s: (N,) since its stamp; NaN where there is none.
        fallback: (N,) whether it is a fallback of the node.
    """

    plans: tuple[Plan | None, ...]
    reach: NDArray[np.int64]
    age_s: Floats
    fallback: Bools

    @classmethod
    def at(
        cls,
        keyframes: Sequence[Keyframe],
        published: Iterable[Published],
        *,
        latency_s: float | None = None,
    ) -> Held:
        """The last plan heard by each keyframe of its scene: a controller follows the last message.

        A node sends its plans in the order of their stamps, so the last is the newest; a fallback
        may come between. ``latency_s`` puts an artificial latency, from the stamp on, in place of
        the one heard. A plan stays until another one is there, however old it grows.
        """
        scenes = _by_scene(published, latency_s)
        found = [
            scenes[keyframe.scene].last(keyframe.stamp_us) if keyframe.scene in scenes else None
            for keyframe in keyframes
        ]
        return cls.of(keyframes, found)

    @classmethod
    def of(cls, keyframes: Sequence[Keyframe], plans: Sequence[Published | None]) -> Held:
        """One plan for each keyframe, or none."""
        pairs = list(zip(plans, keyframes, strict=True))
        left = [None if plan is None else rest_of(plan, keyframe) for plan, keyframe in pairs]
        return cls(
            tuple(None if rest is None else rest[0] for rest in left),
            np.array([0 if rest is None else rest[1] for rest in left], dtype=np.int64),
            np.array([_age_s(plan, keyframe) for plan, keyframe in pairs], dtype=np.float64),
            np.array([plan is not None and plan.fallback for plan in plans], dtype=np.bool_),
        )

    @property
    def there(self) -> Bools:
        """(N,) whether there is a plan."""
        return np.array([plan is not None for plan in self.plans], dtype=np.bool_)


def rest_of(published: Published, keyframe: Keyframe) -> tuple[Plan, int]:
    """What is left of a plan, in the keyframe's ego frame, and how many steps it covers itself.

    Read linearly in time at 0.5 s, 1 s, ... 3 s from the keyframe on. Where the plan has ended it
    goes on along the arc of its last two points, at their speed. Raises ValueError where it has
    one point only, or begins after the first step.
    """
    time_s = published.time_s
    if len(time_s) < 2 or time_s[0] > STEP_S + NEAR_S:
        raise ValueError(
            f"the plan of {published.stamp_us} us in {published.scene} has {len(time_s)} points "
            f"from {time_s[0]:g} s on: it takes two or more, from {STEP_S:g} s on or earlier"
        )
    age_s = _age_s(published, keyframe)
    wanted_s = age_s + np.arange(1, FUTURE_STEPS + 1) * STEP_S
    xy, yaw = published.xy_global_m, np.unwrap(published.yaw_global_rad)
    there_xy = np.stack([np.interp(wanted_s, time_s, xy[:, k]) for k in (0, 1)], axis=1)
    there_yaw = np.interp(wanted_s, time_s, yaw)
    speed_mps, curvature_radpm = _end(published)
    for step in np.flatnonzero(wanted_s > time_s[-1]):
        run_m = speed_mps * (wanted_s[step] - time_s[-1])
        there_xy[step], there_yaw[step] = arc(xy[-1], float(yaw[-1]), run_m, curvature_radpm)
    ego_from_global = keyframe.global_from_ego.inverse()
    plan = Plan(
        ego_from_global.apply(there_xy),
        dt_s=STEP_S,
        yaw_ego_rad=wrap_rad(there_yaw + ego_from_global.yaw_rad),
    )
    return plan, int((wanted_s <= time_s[-1] + NEAR_S).sum())


def _end(published: Published) -> tuple[float, float]:
    """Speed, negative when reversing, and curvature of the last step; 0, 0 where it stands."""
    step_m = published.xy_global_m[-1] - published.xy_global_m[-2]
    dt_s = float(published.time_s[-1] - published.time_s[-2])
    turn_rad = float(wrap_rad(published.yaw_global_rad[-1] - published.yaw_global_rad[-2]))
    middle_rad = published.yaw_global_rad[-2] + turn_rad / 2
    ahead = float(step_m @ np.array([np.cos(middle_rad), np.sin(middle_rad)]))
    run_m = float(np.copysign(np.hypot(*step_m) / np.sinc(turn_rad / (2 * np.pi)), ahead))
    if abs(run_m) < STILL_MPS * dt_s:
        return 0.0, 0.0
    return run_m / dt_s, turn_rad / run_m


def _age_s(published: Published | None, keyframe: Keyframe) -> float:
    return np.nan if published is None else (keyframe.stamp_us - published.stamp_us) / 1e6


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """P plans of one scene in the order in which a vehicle gets them, and when it does."""

    plans: tuple[Published, ...]
    had_us: NDArray[np.int64]

    def last(self, at_us: int) -> Published | None:
        """That is there by then."""
        there = int(np.searchsorted(self.had_us, at_us, side="right"))
        return self.plans[there - 1] if there else None


def _by_scene(published: Iterable[Published], latency_s: float | None) -> Mapping[str, _Scene]:
    scenes: dict[str, list[tuple[int, int, Published]]] = {}
    for plan in published:
        had_us = plan.heard_us if latency_s is None else plan.stamp_us + round(latency_s * 1e6)
        scenes.setdefault(plan.scene, []).append((had_us, plan.stamp_us, plan))
    sorted_by_time = {
        scene: sorted(mine, key=lambda row: row[:2]) for scene, mine in scenes.items()
    }
    return {
        scene: _Scene(
            tuple(plan for *_, plan in mine),
            np.array([had_us for had_us, *_ in mine], dtype=np.int64),
        )
        for scene, mine in sorted_by_time.items()
    }
