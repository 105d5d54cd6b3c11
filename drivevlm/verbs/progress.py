"""Progress of long work in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from drivevlm.evaluate.plan_run import Progress as Report


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """A progress bar per thing that is counted, with rate and time left."""
    columns = (
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, completed=done, rate="")
            speed = progress.tasks[progress.task_ids.index(tasks[what])].speed
            rate = "" if speed is None else f"{speed:.1f}/s"
            progress.update(tasks[what], completed=done, rate=rate)

        yield show
