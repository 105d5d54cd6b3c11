"""Ego status from the CAN bus expansion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.index import Array
from drivevlm.data.recording import DataError
from drivevlm.world.ego import EgoStatus
from drivevlm.world.sets import Provenance

STALE_US = 200_000
"""A message older than this says nothing about now."""


class CanBus:
    """The 50 Hz ``pose`` messages of some scenes: speed, acceleration and yaw rate of the ego."""

    def __init__(self, root: Path, scenes: Sequence[str]) -> None:
        """Raises DataError where a scene has no usable messages, naming it."""
        from nuscenes.can_bus.can_bus_api import NuScenesCanBus

        try:
            self._api = NuScenesCanBus(dataroot=str(root))
        except (AssertionError, OSError):
            raise DataError(
                f"data.ego=can_bus: {root}/can_bus is missing, use past_poses"
            ) from None
        lost = [name for name in scenes if not (root / "can_bus" / f"{name}_pose.json").exists()]
        blocked = set(self._api.can_blacklist)
        lost += [name for name in scenes if int(name[-4:]) in blocked]
        if lost:
            raise DataError(
                f"data.ego=can_bus: {len(lost)} of {len(scenes)} scenes have no CAN messages "
                f"({', '.join(lost[:5])}): choose data.scenes=, or data.ego=past_poses"
            )
        self._messages: dict[str, Array] = {}

    def status(self, scene: str, t0_us: int) -> EgoStatus | None:
        """The newest message at or before decision time; None where it is stale."""
        if scene not in self._messages:
            rows = self._api.get_messages(scene, "pose")
            table = [[r["utime"], r["vel"][0], r["accel"][0], r["rotation_rate"][2]] for r in rows]
            self._messages[scene] = np.array(table, dtype=np.float64)
        messages = self._messages[scene]
        row = int(np.searchsorted(messages[:, 0], t0_us, side="right")) - 1
        if row < 0 or t0_us - messages[row, 0] > STALE_US:
            return None
        speed_mps, acceleration_mps2, yaw_rate_radps = (float(v) for v in messages[row, 1:])
        return EgoStatus(speed_mps, acceleration_mps2, yaw_rate_radps, Provenance.CAN_BUS)
