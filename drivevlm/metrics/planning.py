"""The seam of the planning protocols: prepare a truth once, judge any plan, sum up the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from drivevlm.metrics.footprints import (
    CannotJudgeError,
    Footprints,
    Precision,
    lidar_mount,
    recorded_path,
)
from drivevlm.metrics.obstacles import GridRule, Obstacles
from drivevlm.metrics.raster import Bools
from drivevlm.metrics.score import Averaging, ProtocolScore, SampleScore, summary
from drivevlm.world.plan import Plan, path_of_point
from drivevlm.world.pose import Floats, Pose3
from drivevlm.world.truth import FUTURE_STEPS, STEP_S, Truth

# T: FUTURE_STEPS, of STEP_S each.

PATH_DIGITS = 6
"""Paths are rounded to micrometres when their axes are changed, so that rounding noise never moves
a stop to another cell."""


class Counted(str, Enum):
    """Which clips a protocol counts."""

    EVERY_KEYFRAME = "every keyframe; what was not recorded adds 0 and stays in the count"
    FULL_FUTURE = "keyframes with a recorded future of 3 s"


@dataclass(frozen=True, slots=True)
class PlanningRule:
    """One protocol as data.

    Attributes:
        name: As tables and the command line call it.
        source: Whose code it follows, and at which commit.
        counted: Which clips.
        point_lidar_m: The body point whose path is scored, in the lidar's frame.
        precision: Of the numbers in which the recorded path is moved between poses.
        agents: Who can be hit, and where they are at each step.
        outlines: How they and the ego are drawn.
        averaging: From steps to the values at 1, 2 and 3 s.
        quirks: What a reader of the numbers should know, a line each.
    """

    name: str
    source: str
    counted: Counted
    point_lidar_m: tuple[float, float, float]
    precision: Precision
    agents: Callable[[Truth], Footprints]
    outlines: GridRule
    averaging: Averaging
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What plans of one clip are compared with, in the lidar's axes: x right, y ahead.

    Attributes:
        recorded_xy_m: (T, 2); NaN where not recorded.
        obstacles: Who can be hit.
        gt_hit: (T,) where the recorded ego itself touches something.
        ego_from_lidar: Whose axes these are; None where plans come in these axes anyway.
    """

    recorded_xy_m: Floats
    obstacles: Obstacles
    gt_hit: Bools
    ego_from_lidar: Pose3 | None

    @classmethod
    def of(
        cls, recorded_xy_m: Floats, obstacles: Obstacles, ego_from_lidar: Pose3 | None = None
    ) -> Case:
        """With the recorded ego's own hits."""
        recorded = np.isfinite(recorded_xy_m).all(axis=1)
        gt_hit = obstacles.hits(np.where(recorded[:, None], recorded_xy_m, 0.0)) & recorded
        return cls(recorded_xy_m, obstacles, gt_hit, ego_from_lidar)

    @property
    def recorded(self) -> Bools:
        """(T,) which steps were recorded."""
        return np.asarray(np.isfinite(self.recorded_xy_m).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One clip, ready to judge any number of planners.

    Attributes:
        token, scene: The clip's.
        case: What plans are compared with; None where the protocol does not count the clip.
        reason: Why not; "" where it does.
    """

    token: str
    scene: str
    case: Case | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlanningProtocol:
    """Judges plans by one rule."""

    rule: PlanningRule

    @property
    def name(self) -> str:
        """As tables and the command line call it."""
        return self.rule.name

    def prepare(self, truth: Truth) -> Prepared:
        """Everything about a clip that does not depend on the plan."""
        if self.rule.counted is Counted.FULL_FUTURE and not truth.future_valid.all():
            return Prepared(truth.token, truth.scene, None, "the recorded future ends before 3 s")
        try:
            obstacles = self.rule.outlines.obstacles(self.rule.agents(truth))
            recorded_xy_m = recorded_path(
                truth, point_lidar_m=self.rule.point_lidar_m, precision=self.rule.precision
            )
            recorded_xy_m = np.round(recorded_xy_m, PATH_DIGITS)
            mount = lidar_mount(truth.now)
        except CannotJudgeError as missing:
            return Prepared(truth.token, truth.scene, None, str(missing))
        return Prepared(truth.token, truth.scene, Case.of(recorded_xy_m, obstacles, mount))

    def judge(
        self, prepared: Prepared, plan: Plan | None, *, fallback: Plan | None = None
    ) -> SampleScore | None:
        """Score one plan; None where the protocol does not count the clip.

        Args:
            prepared: The clip.
            plan: None where the planner failed: the fallback is judged in its place, and the
                score says that it was not answered.
            fallback: The declared fallback; to stop on the spot when left out.
        """
        if prepared.case is None:
            return None
        judged = plan or fallback or STOP
        xy_m = self._path(prepared.case, plan_at_steps(judged))
        return self.judge_path(prepared, xy_m, answered=plan is not None)

    def judge_path(
        self, prepared: Prepared, xy_m: Floats, *, answered: bool = True
    ) -> SampleScore | None:
        """Score a path (T, 2) of the protocol's own point, already in the lidar's axes.

        These are the axes of most peers' files: x right, y ahead. Nothing is moved.
        """
        if xy_m.shape != (FUTURE_STEPS, 2) or not np.isfinite(xy_m).all():
            raise ValueError(
                f"clip {prepared.token}: a path must be finite and ({FUTURE_STEPS}, 2), got "
                f"{xy_m.shape}"
            )
        case = prepared.case
        if case is None:
            return None
        off_m = xy_m - case.recorded_xy_m
        return SampleScore(
            token=prepared.token,
            scene=prepared.scene,
            answered=answered,
            distance_m=np.hypot(off_m[:, 0], off_m[:, 1]),
            hit=case.obstacles.hits(xy_m) & case.recorded,
            gt_hit=case.gt_hit,
        )

    def summarise(
        self, scores: Mapping[str, SampleScore | None], *, seed: int = 0
    ) -> ProtocolScore:
        """Means over the clips that could be judged, with scene-level intervals.

        Args:
            scores: By clip token; None where ``judge`` gave None.
            seed: Of the bootstrap.
        """
        return summary(
            scores,
            protocol=self.name,
            averaging=self.rule.averaging,
            counted=self.rule.counted.value,
            seed=seed,
        )

    def _path(self, case: Case, plan: Plan) -> Floats:
        """(T, 2) the plan as the path of the protocol's point, in the lidar's axes."""
        if case.ego_from_lidar is None:
            raise ValueError(f"{self.name}: this case has no lidar to express a plan in")
        point_ego_m = case.ego_from_lidar.apply(np.array(self.rule.point_lidar_m))
        xy_ego_m = path_of_point(plan, point_ego_m=point_ego_m[:2])
        xyz_ego_m = np.c_[xy_ego_m, np.full(len(xy_ego_m), point_ego_m[2])]
        xyz_lidar_m = case.ego_from_lidar.inverse().apply(xyz_ego_m)
        return np.round(xyz_lidar_m[:, :2], PATH_DIGITS)


STOP = Plan(np.zeros((FUTURE_STEPS, 2)), dt_s=STEP_S, yaw_ego_rad=np.zeros(FUTURE_STEPS))
"""To stand still from now on."""


def plan_at_steps(plan: Plan) -> Plan:
    """The rows of a plan at 0.5 s, 1 s, ... 3 s, with headings. A longer plan is cut.

    A plan of a finer rate is thinned, never interpolated: its step must divide 0.5 s. Headings
    are those of the whole plan, so its own tangents.
    """
    needed_s = FUTURE_STEPS * STEP_S
    if plan.horizon_s < needed_s - 1e-6:
        raise ValueError(f"plan ends at {plan.horizon_s:g} s, scoring needs {needed_s:g} s")
    stride = round(STEP_S / plan.dt_s)
    if stride < 1 or abs(stride * plan.dt_s - STEP_S) > 1e-6:
        raise ValueError(
            f"plan has a waypoint every {plan.dt_s:g} s, scoring needs one every {STEP_S:g} s "
            "or a step that divides it"
        )
    rows = slice(stride - 1, FUTURE_STEPS * stride, stride)
    return Plan(plan.xy_ego_m[rows], dt_s=STEP_S, yaw_ego_rad=plan.headings_ego_rad()[rows])
