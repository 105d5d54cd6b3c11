"""What no rule bounds: how often something begins, and whether decisions fit what was driven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from drivevlm.baselines.motions import Motion, NoPastError, constant_velocity, ctra
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.metrics.splits import splits_of
from drivevlm.world.clip import Clip
from drivevlm.world.kinematics import admits, kinematic_class
from drivevlm.world.pose import Floats
from drivevlm.world.truth import FUTURE_STEPS, STEP_S
from drivevlm_sim.check.disk import Disk
from drivevlm_sim.check.findings import finite

KINDS = ("constant_velocity_fails", "onset", "standing", "turning")


def clip_facts(disk: Disk) -> Mapping[str, Mapping[str, float | None]]:
    """Shares of the keyframes whose next 3 s are recorded."""
    config = NuScenesConfig(root=str(disk.root), version=disk.tables.name)
    recording = NuScenesRecording(config)
    counts: Counter[str] = Counter()
    for scene in recording.scenes():
        for token in scene.tokens:
            truth = recording.truth(token)
            plan = truth.future_plan()
            if plan is None:
                continue
            clip = recording.clip(token)
            counts["whole"] += 1
            counts.update(splits_of(truth, _end(constant_velocity, clip), _end(ctra, clip)))
            if truth.labels is not None:
                counts["labelled"] += 1
                counts["admitted"] += admits(truth.labels.meta, kinematic_class(plan))

    def share(name: str, of: str) -> float | None:
        return finite(counts[name] / counts[of] if counts[of] else np.nan)

    return {
        "kinds of keyframes": {name: share(name, "whole") for name in KINDS},
        "decisions that the driven 3 s admit": {"share": share("admitted", "labelled")},
    }


def _end(motion: Motion, clip: Clip) -> Floats | None:
    try:
        return motion(clip, FUTURE_STEPS, STEP_S).xy_ego_m
    except NoPastError:
        return None
