"""How fast ``tiny`` learns, and where the time goes.

    python benchmarks/train.py [steps] [precision]

Bundled scenes, six cameras with two images each, the full native prompt and answers, cached
features of the frozen encoder, batches of 8 clips. Data: lessons are written and features read.
Forward: projector, decoder and loss. Backward: gradients, clipping and the optimiser. The share of
the machine's speed compares the operations of forward and backward, counted by torch on the same
batch, with what a large matrix product reaches in the same process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from drivevlm.app import composed
from drivevlm.app import main as drivevlm
from drivevlm.app.settings import TRAIN
from drivevlm.build.learning import prepared, task_of
from drivevlm.build.learning_settings import Learning
from drivevlm.build.table import DATA
from drivevlm.model.scales import Scales
from drivevlm.train.config import Stage
from drivevlm.train.learner import Learner
from drivevlm.train.lessons import Course


def gemm_gflops(size: int = 2048, dtype: torch.dtype = torch.float32) -> float:
    """What a large matrix product reaches here."""
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        begun = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9


def main(steps: int, precision: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        assert drivevlm(["pack", "data=demo", "data.frames=2", f"out={home / 'packed'}"]) == 0
        values, groups = composed(
            [f"data.path={home / 'packed'}", f"cache={home}", f"train.precision={precision}"], TRAIN
        )
        learning = Learning.of(values, groups, DATA["packed"].settings)
        quiet = lambda *_: None  # noqa: E731
        ready = prepared(learning, quiet, quiet)
        mixed = "bf16" if precision == "bfloat16" else "no"
        accelerator = Accelerator(cpu=True, mixed_precision=mixed)
        begun = time.perf_counter()
        task = task_of(ready, home / "run", accelerator, quiet, quiet)
        prepare_s = time.perf_counter() - begun
        scales = Scales(task.desk.chat.tokenizer, task.config.spread_bins)
        learner = Learner(task.pupil, task.config, Stage.SFT, accelerator, task.learnable, scales)
        course = Course(task.desk.sets, (), clips=8 * (steps + 1), seed=0)
        data_s, forward_s, backward_s, clips, tokens, operations = [], [], [], 0, 0, 0.0
        for number, places in enumerate(course.batches(8)):
            begun = time.perf_counter()
            batch = task.desk.batch(places)
            read = time.perf_counter()
            counter = FlopCounterMode(display=False)
            with torch.no_grad():
                if number == 0:  # to warm up, and to count
                    with counter:
                        learner.losses(batch)
                    operations = 3 * counter.get_total_flops() / int(batch.attention_mask.numel())
                    continue
                forward = time.perf_counter()
                learner.losses(batch)
                forward = time.perf_counter() - forward
            begun_step = time.perf_counter()
            learner.step([batch], number)
            step = time.perf_counter() - begun_step
            data_s.append(read - begun)
            forward_s.append(forward)
            backward_s.append(step - forward)
            clips, tokens = clips + len(batch.targets), tokens + batch.attention_mask.numel()
        spent = sum(forward_s) + sum(backward_s)
        reached = operations * tokens / spent / 1e9
        peak = gemm_gflops()
        print(f"features of {len(ready.sets[0].tokens)} clips, once: {prepare_s:.1f} s")
        rate = clips / (spent + sum(data_s))
        print(f"{clips} clips, {tokens / clips:.0f} tokens each, padding counted, {precision}, "
              f"{torch.get_num_threads()} threads: {rate:.1f} clips/s")  # fmt: skip
        for name, seconds in (("data", data_s), ("forward", forward_s), ("backward", backward_s)):
            print(f"  {name:>8} {1e3 * statistics.median(seconds) / 8:7.1f} ms a clip")
        print(f"{reached:.0f} GFLOP/s without data, {reached / peak:.0%} of the {peak:.0f} of a "
              "float32 matrix product of 2048 x 2048")  # fmt: skip


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 12, given[1] if len(given) > 1 else "float32")
