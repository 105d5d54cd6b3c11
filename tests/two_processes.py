"""Five steps of a training, in one process or in several; run by ``test_train``."""

import sys
from dataclasses import replace
from pathlib import Path

from train_cases import CONFIG, task

from drivevlm.train.loop import train
from drivevlm.train.watch import Watch, silent

if __name__ == "__main__":
    folder, accumulate = Path(sys.argv[1]), int(sys.argv[2])
    config = replace(CONFIG, steps=5, accumulate=accumulate, save_every=100)
    ready = task(folder, config)
    first = ready.accelerator.is_main_process
    train(ready, Watch(folder if first else None, silent, every=1))
