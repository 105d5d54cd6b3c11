"""Ego status from the CAN bus expansion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drivevlm.data.nuscenes.folder import listed
from drivevlm.data.recording import DataError
from drivevlm.world.ego import EgoStatus
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Provenance

STALE_US = 200_000
"""A message older than this says nothing about now (they come every 20 ms)."""


class CanBus:
    """The 50 Hz ``pose`` messages of some scenes: speed, acceleration and yaw rate of the ego."""

    def __init__(self, root: Path, scenes: Sequence[str]) -> None:
        """Raises DataError where a scene has no messages: half a run with a block is no run."""
        self._root = root
        if not (root / "can_bus").is_dir():
            raise DataError(
                f"data.ego=can_bus: {root / 'can_bus'} is missing; unpack the CAN bus expansion "
                "there, or say data.ego=past_poses"
            )
        lost = [name for name in scenes if not (root / "can_bus" / f"{name}_pose.json").is_file()]
        if lost:
            raise DataError(
                f"data.ego=can_bus: {len(lost)} of {len(scenes)} scenes have no CAN bus messages "
                f"({listed(lost)}): choose others with data.scenes=..., or data.ego=past_poses"
            )
        self.files = [root / "can_bus" / f"{name}_pose.json" for name in scenes]
        self._messages: dict[str, Floats] = {}

    def status(self, scene: str, t0_us: int) -> EgoStatus | None:
        """The newest message at or before decision time; None where there is none so fresh."""
        if scene not in self._messages:
            self._messages[scene] = self._read(scene)
        messages = self._messages[scene]
        row = int(np.searchsorted(messages[:, 0], t0_us, side="right")) - 1
        if row < 0 or t0_us - messages[row, 0] > STALE_US:
            return None
        speed_mps, acceleration_mps2, yaw_rate_radps = (float(v) for v in messages[row, 1:])
        return EgoStatus(speed_mps, acceleration_mps2, yaw_rate_radps, Provenance.CAN_BUS)

    def _read(self, scene: str) -> Floats:
        # The devkit takes seconds to import: only a run that reads the CAN bus pays for it.
        from nuscenes.can_bus.can_bus_api import NuScenesCanBus

        path = self._root / "can_bus" / f"{scene}_pose.json"
        api = NuScenesCanBus(dataroot=str(self._root))
        if scene[-4:].isdecimal() and int(scene[-4:]) in api.can_blacklist:
            raise DataError(f"{path}: the devkit lists this scene as one without CAN bus data")
        try:
            rows = api.get_messages(scene, "pose")
            table = np.array(
                [[r["utime"], r["vel"][0], r["accel"][0], r["rotation_rate"][2]] for r in rows],
                dtype=np.float64,
            ).reshape(-1, 4)
        except (AssertionError, ValueError, LookupError, TypeError, OverflowError) as error:
            raise DataError(
                f"{path}: not the CAN bus pose messages of a scene ({error})"
            ) from error
        if not np.isfinite(table).all():
            raise DataError(f"{path}: a message is not finite")
        return table[np.argsort(table[:, 0], kind="stable")]
