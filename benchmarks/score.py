"""How long it takes to score one plan file under every protocol, cold, warm and clip by clip.

    python benchmarks/score.py [samples] [clips]

Synthetic tables of nuScenes size (6,019 keyframes of 150 scenes, 30 boxes each, with a map). Cold:
truths are read and prepared. Warm: what was prepared is read from its file. Clip by clip: the same
functions on one prepared clip at a time, for the first so many clips, scaled to all.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from drivevlm.baselines import MOTIONS
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.entrants import Filed
from drivevlm.evaluate.prepared import prepared
from drivevlm.metrics.cases import Cases
from drivevlm.metrics.grids import GridSurface
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.record.plan_file import PlanFile, read_plan_file, write_plan_file
from drivevlm_sim.tables import TablesConfig, make_tables

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def plan_file(recording: NuScenesRecording, tokens: list[str], path: Path) -> PlanFile:
    """Every clip's speed kept for three seconds."""
    motion, plans = MOTIONS["constant_velocity"], {}
    for token in tokens:
        clip = recording.clip(token)
        plans[token] = None if clip.status is None else motion(clip, 6, 0.5)
    write_plan_file(path, plans)
    return read_plan_file(path)


def score(protocol: PlanningProtocol, cases: Cases, filed: Filed, total: int) -> None:
    protocol.summarise(filed.scores(protocol, cases), n_total=total)


def clip_by_clip(protocol: PlanningProtocol, cases: Cases, filed: Filed, clips: int) -> float:
    """Seconds for all clips, from the first so many."""
    count = min(clips, len(cases))
    single = [cases.only(np.arange(len(cases)) == k) for k in range(count)]
    took, _ = timed(lambda: [filed.scores(protocol, one) for one in single])
    return took * len(cases) / max(1, count)


def has_grid(protocol: PlanningProtocol) -> bool:
    return any(isinstance(touch.surface, GridSurface) for touch in protocol.rule.touches)


def main(samples: int, clips: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        config = TablesConfig(scenes=max(2, samples // 40), samples=samples)
        root = make_tables(home / "data", config=config)
        data = NuScenesConfig(str(root), version=config.version, cache=str(home / "index"))
        recording = NuScenesRecording(data)
        tokens = [token for scene in recording.scenes() for token in scene.tokens]
        file = plan_file(recording, tokens, home / "plans.json")
        read_s, file = timed(lambda: read_plan_file(home / "plans.json"))
        filed = Filed.of(file, tokens)
        print(f"{len(tokens)} generated clips; the plan file is read in {read_s:.2f} s")
        print(f"{'protocol':<12}{'n':>6}{'cold s':>9}{'warm s':>9}{'clip by clip s':>16}{'MB':>8}")
        sums = {"cells": np.zeros(3), "no cells": np.zeros(3)}
        cache = home / "prepared"
        for name, protocol in PROTOCOLS.items():

            def run(protocol: PlanningProtocol = protocol) -> Cases:
                cases = prepared(recording, tokens, [protocol], cache=cache).cases[protocol.name]
                score(protocol, cases, filed, len(tokens))
                return cases

            cold_s, _ = timed(run)
            warm_s, cases = timed(run)
            one_s = clip_by_clip(protocol, cases, filed, clips)
            size = sum(path.stat().st_size for path in cache.glob(f"{name}-*")) / 1e6
            sums["cells" if has_grid(protocol) else "no cells"] += [cold_s, warm_s, one_s]
            print(
                f"{name:<12}{len(cases):>6}{cold_s:>9.2f}{warm_s:>9.2f}{one_s:>16.1f}{size:>8.1f}"
            )
        sums["all"] = sums["cells"] + sums["no cells"]
        for words, (cold_s, warm_s, one_s) in sums.items():
            ratio = one_s / warm_s if warm_s else float("nan")
            print(
                f"{words:<12}{'':>6}{cold_s:>9.2f}{warm_s:>9.2f}{one_s:>16.1f}"
                f"   {ratio:.1f} times the warm run"
            )
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak_mb:.0f} MB")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [6019, 400][len(numbers) :]))
