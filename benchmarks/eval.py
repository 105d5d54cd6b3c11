"""How long an evaluation of one baseline on generated tables takes, first and second time.

    python benchmarks/eval.py [samples]

Synthetic tables of nuScenes size (6,019 keyframes of 150 scenes, 30 boxes each). Prints seconds
and peak memory of: making the index, opening it again, planning, scoring under two protocols.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from drivevlm.baselines import Baseline, stop
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.plan_run import plan_run
from drivevlm.evaluate.score_run import score_run
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.record.run_folder import RunFolder
from drivevlm_sim.tables import TablesConfig, make_tables

T = TypeVar("T")


def timed(what: str, work: Callable[[], T]) -> T:
    begun = time.perf_counter()
    result = work()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<28}{time.perf_counter() - begun:8.2f} s   peak so far {peak_mb:6.0f} MB")
    return result


def main(samples: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        scenes = max(2, samples // 40)
        config = TablesConfig(scenes=scenes, samples=samples)
        root = timed("make the tables", lambda: make_tables(home / "data", config=config))
        data = NuScenesConfig(str(root), version=config.version, cache=str(home / "cache"))
        timed("first start (index)", lambda: NuScenesRecording(data))
        recording = timed("second start", lambda: NuScenesRecording(data))
        with RunFolder(home / "run", {"format": 1, "identity": {"shard": "0/1"}}) as run:
            planners = [Baseline("constant_velocity")]
            timed("plan", lambda: plan_run(recording, planners, run))
            scores = timed(
                "score, uniad and vad",
                lambda: score_run(
                    recording,
                    run.records,
                    scenes=recording.scenes(),
                    planners=["constant_velocity"],
                    protocols=[PROTOCOLS["uniad"], PROTOCOLS["vad"]],
                    fallback=lambda clip: stop(clip, 6, 0.5),
                ),
            )
        protocols = scores.by_planner["constant_velocity"]["protocols"]
        print(json.dumps({name: protocols[name]["n"] for name in protocols}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6019)
