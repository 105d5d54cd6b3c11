"""A run that is killed at any moment resumes, and ends with the numbers of an unbroken one."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivevlm.record.run_folder import read_records

HERE = Path(__file__).parent
KILLS = 20


def command(folder: Path, delay_s: float) -> list[str]:
    return [sys.executable, str(HERE / "killed_run.py"), str(folder), str(delay_s)]


def finished(folder: Path) -> str:
    return subprocess.run(
        command(folder, 0.0), check=True, capture_output=True, text=True, cwd=HERE
    ).stdout


def killed(folder: Path, rng: random.Random) -> None:
    """Start the run and kill it a random moment after it has begun to write."""
    before = size(folder)
    process = subprocess.Popen(command(folder, 0.02), cwd=HERE, stdout=subprocess.DEVNULL)
    try:
        while size(folder) == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.08))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def size(folder: Path) -> int:
    path = folder / "records.jsonl"
    return path.stat().st_size if path.exists() else 0


@pytest.mark.part
def test_killed_twenty_times_a_run_ends_like_an_unbroken_one(tmp_path):
    rng = random.Random(0)
    for _ in range(KILLS):
        killed(tmp_path / "broken", rng)
    begun = len(read_records(tmp_path / "broken"))
    assert KILLS <= begun < 120
    assert finished(tmp_path / "broken") == finished(tmp_path / "whole")
    broken, whole = (read_records(tmp_path / name) for name in ("broken", "whole"))
    assert {(r.key, r.decision.reply, r.decision.request_digest) for r in broken} == {
        (r.key, r.decision.reply, r.decision.request_digest) for r in whole
    }
