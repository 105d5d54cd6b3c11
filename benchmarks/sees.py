"""What a model of ours sees, and what each way of asking it costs: one table for the model card.

    python benchmarks/sees.py twins=PACKED_TWINS scenes=PACKED_SCENES [model=FOLDER] [train=ROOT]
        [world=ROOT] [base=full] [rows=all] [runs=runs/sees] [out=results/tiny]

Runs ``drivevlm eval`` once for each row and data set, each into a folder of its own below ``runs``
with a log beside it. A run that is finished is not run again and one that was broken off goes on,
so this may be stopped at any time. ``twins`` and ``scenes`` are packed folders, roots of made
worlds, or ``demo_twins`` and ``demo``; further settings of the data may follow in the same word,
in quotes: ``scenes='demo data.scenes=[scene-2004]'``. With ``train``, a made world that is not
scored, the baselines' small networks learn from it, set by what follows in the same word
(``train='ROOT mlp.hidden=256'``, see blind.py); they read tables, so packed data need ``world``,
the made world that they were packed of. ``base`` is the form of the answer (full, brief,
plan_only, plan_first) in which inputs are taken away. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from seeing.collect import collected
from seeing.markdown import as_markdown
from seeing.rows import BASELINES, ROWS, Asked
from seeing.runs import Runs
from seeing.sets import DataSet

from drivevlm.app.settings import changed
from drivevlm.build.settings import SettingError
from drivevlm.record.run_folder import write_atomically
from drivevlm.train.config import FORMS
from drivevlm.verbs import USER_ERRORS
from drivevlm.vlm.checkpoint import digest
from drivevlm.vlm.config import NativeConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be typed; see above."""

    twins: str = ""
    scenes: str = ""
    model: str = ""
    train: str = ""
    world: str = ""
    base: str = "full"
    rows: tuple[str, ...] = ("all",)
    runs: str = "runs/sees"
    out: str = "results/tiny"

    def __post_init__(self) -> None:
        known = [row.name for row in ROWS]
        unknown = [name for name in self.rows if name not in ("all", *known)]
        if unknown:
            raise ValueError(f"rows: {unknown[0]!r} is none; there are all, {', '.join(known)}")
        if self.base not in FORMS:
            raise ValueError(f"base: {self.base!r} is none of {', '.join(FORMS)}")

    @property
    def wanted(self) -> list[Asked]:
        """The rows to run, each in its form, those first that others are held against."""
        named = {row.name for row in ROWS if "all" in self.rows or row.name in self.rows}
        forms = {row.name: self.base if row.based else row.name for row in ROWS}
        return [
            Asked(row, "" if row is BASELINES else forms[row.name])
            for row in ROWS
            if row.name in named
        ]

    def sets(self) -> list[DataSet]:
        """The data. Raises SettingError where they are not there, or small networks lack tables."""
        if not self.twins and not self.scenes:
            raise SettingError("no data are named: give twins=FOLDER scenes=FOLDER")
        named = [("twins", self.twins), ("scenes", self.scenes)]
        sets = [DataSet.of(name, value, world=self.world) for name, value in named if value]
        if self.train and any(data.tables is None for data in sets):
            raise SettingError(
                "train= teaches networks that read tables, which packed data are not: give the "
                "made world that these were packed of, world=ROOT"
            )
        return sets


def run_all(
    runs: Runs, sets: Sequence[DataSet], wanted: Sequence[Asked], console: Console
) -> list[str]:
    """Run what is not finished; returns what went wrong, a line a run."""
    pairs = [(asked, data) for asked in wanted for data in sets]
    there = {pair: runs.finished(*pair) for pair in pairs}  # a wrong folder is told at the start
    wrong = []
    columns = (TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("rows", total=len(pairs), completed=sum(there.values()))
        for asked, data in (pair for pair in pairs if not there[pair]):
            progress.update(task, description=f"{asked.name} on {data.name}")
            trouble = runs.run(asked, data)
            said = trouble or "done"
            console.print(f"{asked.name} on {data.name}: {said}", markup=False, soft_wrap=True)
            wrong += [trouble] if trouble else []
            progress.advance(task)
    return wrong


def main(words: list[str]) -> int:
    console = Console()
    settings = changed(Settings(), words, "setting of sees.py")
    sets, folder = settings.sets(), NativeConfig(model=settings.model).folder
    if not (folder / "config.json").is_file():
        raise SettingError(f"model={folder} is no model's folder: give one of drivevlm train")
    runs = Runs(Path(settings.runs), settings.model, digest(folder), settings.train)
    wrong = run_all(runs, sets, settings.wanted, console)
    console.print("collecting, comparing clip by clip")
    command = ["python", "benchmarks/sees.py", *words]
    told = collected(
        runs, sets, settings.wanted, folder=folder, command=command, now=datetime.now()
    )
    wrong += runs.troubles
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = as_markdown(told)
    write_atomically(out.with_name(f"{out.name}.json"), json.dumps(told, indent=1) + "\n")
    write_atomically(out.with_name(f"{out.name}.md"), text)
    print(text)
    for line in wrong:
        print(line, file=sys.stderr)
    print(out.with_name(f"{out.name}.md"))
    return 1 if wrong else 0


def stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except USER_ERRORS as error:
        sys.exit(f"sees.py: {error}")
    except KeyboardInterrupt:
        sys.exit("sees.py: stopped; the same command goes on")
