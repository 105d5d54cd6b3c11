"""Jobs whose parts are not there yet, done and kept: a stage that was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from drivevlm_sim.make.part_file import write_part
from drivevlm_sim.make.workers import done_jobs

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""


class Job(Protocol):
    """Something to do that leaves one part."""

    @property
    def name(self) -> str:
        """Of its part."""


J = TypeVar("J", bound=Job)
Work = Callable[[Path, J], dict[str, bytes]]
"""Does a job, with the folder of the parts; returns the part's members."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stage took.

    Attributes:
        made: Parts that were made, and not found.
        busy_s: Seconds of all processes together.
    """

    made: int
    busy_s: float


def part_path(folder: Path, name: str) -> Path:
    """Where the part of a job lies."""
    return folder / f"{name}.part"


def do_stage(
    what: str,
    work: Work[J],
    jobs: Sequence[J],
    folder: Path,
    *,
    processes: int,
    progress: Progress | None = None,
) -> Spent:
    """Make the parts that are missing.

    Raises:
        WorldError: A job cannot be done, or its part not written.
    """
    missing = [job for job in jobs if not part_path(folder, job.name).exists()]
    done, busy_s = len(jobs) - len(missing), 0.0
    if progress is not None:
        progress(what, done, len(jobs))
    for _, seconds in done_jobs(partial(_kept, work, folder), missing, processes=processes):
        done, busy_s = done + 1, busy_s + seconds
        if progress is not None:
            progress(what, done, len(jobs))
    return Spent(len(missing), busy_s)


def _kept(work: Work[J], folder: Path, job: J) -> float:
    """Do a job and write its part; returns the seconds that it took."""
    begun = time.perf_counter()
    write_part(part_path(folder, job.name), work(folder, job))
    return time.perf_counter() - begun
