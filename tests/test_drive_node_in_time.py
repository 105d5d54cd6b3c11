"""Laws of the last moment before a plan is sent: out of time, it goes nowhere."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from drive_bus import LocalBus
from drive_node_cases import RIG_OF_ONE, Car

PLANS = ("trajectory", "candidate_trajectories", "path")


@dataclass
class JumpyBus(LocalBus):
    """While a trajectory's message is made, the clock jumps."""

    by_us: int = 0
    to_and_fro: bool = False

    def make(self, type_name, **fields):
        if type_name == "autoware_planning_msgs/msg/Trajectory":
            self.clock.now_us += self.by_us
        if type_name.endswith("/CandidateTrajectories") and self.to_and_fro:
            self.clock.now_us -= self.by_us
        return super().make(type_name, **fields)


@pytest.mark.parametrize("fallback", ["none", "previous"])
@pytest.mark.parametrize(
    ("by_us", "told"),
    [
        (1_100_000, "the gate held the plan back: age 1.1"),
        (-12_000_000, "history was cleared: time went backwards: the clock by 12.000 s"),
    ],
)
def test_a_plan_that_grows_too_old_on_its_way_out_or_is_of_the_future_by_then_is_held_back(
    by_us, told, fallback
):
    values = RIG_OF_ONE | {"fallback.kind": fallback}
    found = Car(bus=JumpyBus(by_us=by_us), values=values).start().drive(0.0)
    assert not any(found.sent(name) for name in PLANS)
    gate = json.loads(found.sent("reasoning")[-1].data)["gate"]
    assert [check["name"] for check in gate["checks"] if not check["passed"]] == ["age"]
    assert "published" not in found.values_told
    assert found.values_told["gate_age"] == "1"
    assert told in found.told[1]


@pytest.mark.parametrize("by_us", [1_100_000, -12_000_000])
def test_a_plan_that_was_out_of_time_once_goes_nowhere_though_the_clock_jumps_back_again(by_us):
    found = Car(bus=JumpyBus(by_us=by_us, to_and_fro=True)).start().drive(0.0)
    assert not any(found.sent(name) for name in PLANS)
    assert found.values_told["gate_age"] == "1"
    assert f"the gate held the plan back: age {0.03 + by_us / 1e6:.3g}" in found.told[1]
