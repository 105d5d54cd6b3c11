"""Laws of the way out of the runtime: what goes first, what goes on, and what objects it needs."""

import pytest
from drive_cases import RIG, SPEED_MPS, START_US, Ears, Puppet, Vehicle, sample, straight

from drivevlm.drive import outlet
from drivevlm.drive.buffers import Objects
from drivevlm.drive.config import DriveConfig, Fallback, FallbackConfig, GateConfig, SyncConfig
from drivevlm.drive.health import Level
from drivevlm.drive.parameters import ParameterError, node_config
from drivevlm.drive.plan_message import Trajectory
from drivevlm.drive.publish import Reasoning
from drivevlm.world.boxes import Box3
from drivevlm.world.decision import Decision
from drivevlm.world.sets import FailureKind

GOOD = Decision(plan=straight(SPEED_MPS))
FAILED = Decision.failed(FailureKind.UNREADABLE, "no PLAN")


class Order(Ears):
    """Remembers what came after what, and fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.cut = False

    def trajectory(self, trajectory: Trajectory) -> None:
        self.order.append("trajectory")
        if self.cut:
            raise RuntimeError("the wire\nis cut")
        super().trajectory(trajectory)

    def reasoning(self, reasoning: Reasoning) -> None:
        self.order.append("reasoning")
        super().reasoning(reasoning)


def vehicle(*answers: Decision, ears: Ears | None = None, **config: object) -> Vehicle:
    settings = DriveConfig(**({"sync": SyncConfig(RIG)} | config))  # type: ignore[arg-type]
    return Vehicle(Puppet(list(answers)), settings, ears=ears or Ears())


def test_a_trajectory_is_on_its_way_before_the_words_about_it():
    ears = Order()
    vehicle(GOOD, ears=ears).drive(0.1)
    assert ears.order == ["trajectory", "reasoning"] * 2


def test_the_words_go_out_also_where_the_trajectory_cannot():
    ears = Order()
    ears.cut = True
    found = vehicle(GOOD, ears=ears).drive(0.0)
    assert ears.order == ["trajectory", "reasoning"]
    assert "RuntimeError: the wire is cut" in found.report.message


def test_a_fallback_is_drawn_over_the_decision_that_it_stands_in_for():
    ears = Order()
    vehicle(FAILED, ears=ears, fallback=FallbackConfig(Fallback.STOP)).drive(0.0)
    assert ears.order == ["reasoning", "trajectory"]


def test_a_fallback_that_cannot_be_sent_silences_no_diagnostics_and_is_told_while_it_lasts():
    ears = Order()
    found = vehicle(GOOD, ears=ears, fallback=FallbackConfig(Fallback.STOP)).drive(1.0)
    found.silent, ears.cut = {"CAM_FRONT"}, True
    found.drive(1.8, from_s=1.05)
    assert len(ears.reports) == 11 + 8
    assert found.report.level is Level.ERROR
    assert "the fallback fails: RuntimeError: the wire is cut" in found.report.message
    ears.cut = False
    found.drive(1.9, from_s=1.85)
    assert "the fallback fails" not in found.report.message


def test_a_clock_that_goes_back_while_a_plan_is_made_voids_it_though_nothing_else_came_since():
    found = vehicle(GOOD).drive(0.5)
    found.planner.before = lambda: setattr(found.clock, "now_us", START_US)
    found.drive(0.6, from_s=0.6)
    assert found.counts["dropped_cleared"] == found.counts["cleared"] == 1
    assert len(found.ears.trajectories) == 6


def test_a_clearing_while_a_plan_is_judged_voids_it_and_it_is_no_last_plan(monkeypatch):
    """Another thread's odometry: the ego is put 0.3 m aside in time that begins anew."""
    found = vehicle(GOOD, FAILED, fallback=FallbackConfig(Fallback.PREVIOUS))
    judged = outlet.judge

    def judge(trajectory, **more):
        verdict = judged(trajectory, **more)
        monkeypatch.setattr(outlet, "judge", judged)
        found.runtime.on_odometry(sample(START_US - 10_000, 0.3))
        return verdict

    monkeypatch.setattr(outlet, "judge", judge)
    found.drive(0.1)
    assert found.counts == {"cleared": 1, "dropped_cleared": 1, "failed_unreadable": 1}
    assert found.ears.trajectories == []


@pytest.mark.parametrize("needed", [False, True])
def test_a_silent_detector_is_a_warning_or_holds_plans_back_where_objects_are_needed(needed):
    found = vehicle(GOOD, gate=GateConfig(needs_objects=needed))
    found.drive(0.0)
    assert found.counts.get("published", 0) == (not needed)  # nobody told of objects so far
    for k in range(1, 6):
        aside = Box3.typical("car", x_ego_m=20.0, y_ego_m=9.0)
        found.runtime.on_objects(Objects(START_US + k * 100_000, (aside,)))
        found.drive(k / 10, from_s=k / 10 - 0.05)
    assert found.counts["published"] == 6 - needed
    found.drive(1.0, from_s=0.55)
    assert found.counts["published"] == 11 - needed  # as old as they may be
    found.drive(1.2, from_s=1.05)
    assert "objects is silent" in found.report.message
    assert found.counts["published"] == (11 if needed else 13) - needed
    assert ("clearance unknown, limit 0" in found.report.message) is needed


def test_a_road_without_objects_is_free_where_somebody_says_so():
    found = vehicle(GOOD, gate=GateConfig(needs_objects=True))
    found.runtime.on_objects(Objects(START_US, ()))
    found.drive(0.0)
    assert found.counts == {"published": 1}


def test_objects_cannot_be_needed_where_no_topic_tells_of_them():
    with pytest.raises(ParameterError, match=r"^gate.needs_objects needs objects.type[^\n]*$"):
        node_config({"gate.needs_objects": True})
    assert node_config({"gate.needs_objects": True, "objects.type": "detection3d"})
