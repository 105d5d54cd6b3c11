"""Something that is done to a running simulation, step by step.

It is handed the simulation before each step; ``elapsed`` counts these steps from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivevlm_sim.traffic.sumo import Snapshot


class Intervention:
    """One change; by itself it changes nothing."""

    def act(self, api: Any, elapsed: int, signals: Mapping[str, str]) -> None:
        """Do what is due before a step; ``signals`` is what SUMO by itself obeys in it."""

    def seen(self, snapshot: Snapshot, elapsed: int) -> Snapshot:
        """The step just made as a camera would see it."""
        return snapshot


def put_standing(api: Any, name: str, kind: str, edge: str, index: int, front_m: float) -> None:
    """Put a vehicle into a lane where it stands for good, however tight the place is."""
    api.route.add(f"{name}-route", [edge])
    api.vehicle.add(
        name,
        f"{name}-route",
        kind,
        depart="now",
        departLane=str(index),
        departPos=str(front_m),
        departSpeed="0",
        arrivalPos="max",
    )
    api.vehicle.moveTo(name, f"{edge}_{index}", front_m)
    api.vehicle.setSpeedMode(name, 0)
    api.vehicle.setSpeed(name, 0)
    api.vehicle.setLaneChangeMode(name, 0)  # even at a stand it would change to a better lane
