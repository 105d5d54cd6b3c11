"""Runs ``drivevlm`` in a process of its own, unless what it would write is there already."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivevlm.record.run_folder import RecordError, read_manifest
from seeing.rows import BASELINES, Asked, baseline_words
from seeing.sets import DataSet

Json = dict[str, Any]
ALWAYS = ("protocol=[exact]", "page.clips=0")


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one model.

    Attributes:
        home: Folder of the run folders.
        model: Folder of the model; "" is the one that ships.
        digest: Of the model's files.
        train: Root that small networks learn from, and settings of them; "" for none.
        troubles: What went wrong with comparisons, a line each.
    """

    home: Path
    model: str
    digest: str
    train: str = ""
    troubles: list[str] = field(default_factory=list)

    def folder(self, asked: Asked, data: DataSet) -> Path:
        """Of a row on a data set."""
        return self.home / f"{asked.name}-{data.name}"

    def words(self, asked: Asked, data: DataSet) -> list[str]:
        """What is typed after ``drivevlm eval``, but for ``out=``."""
        if asked.row is not BASELINES:
            return [*data.words, *asked.words(self.model), *ALWAYS]
        return [*(data.tables or data.words), *baseline_words(self.train), *ALWAYS]

    def finished(self, asked: Asked, data: DataSet) -> bool:
        """Whether the run is there, all of it.

        Raises RecordError where its folder holds a run of other settings or of another model.
        """
        folder = self.folder(asked, data)
        if not (folder / "run.json").is_file():
            return False
        facts, words = read_manifest(folder), self.words(asked, data)
        typed = [w for w in facts["starts"][0]["command"][2:] if not w.startswith("out=")]
        if sorted(typed) != sorted(words):
            off = " ".join(sorted(set(typed) ^ set(words)))
            raise RecordError(
                f"{folder} holds another run ({off}): give the same settings, or another runs="
            )
        vlm = facts["identity"]["models"]["vlm"]
        if vlm and vlm["revision"].split()[0] != self.digest:
            raise RecordError(
                f"{folder} holds a run of {vlm['revision']}, the model is {self.digest} now: "
                "give another runs="
            )
        made = (results_of(folder) or {}).get("decisions", {})
        return bool(made) and made["made"] == made["wanted"]

    def run(self, asked: Asked, data: DataSet) -> str:
        """Run a row, or go on with it; returns what went wrong, "" for nothing."""
        folder = self.folder(asked, data)
        return called(["eval", *self.words(asked, data), f"out={folder}"], _log_of(folder))

    def compared(
        self, data: DataSet, one: tuple[Asked, str], other: tuple[Asked, str]
    ) -> Json | None:
        """``compare.json`` of two rows' planners, clip by clip; None where that is not to be had.

        Where a run is missing that is no trouble.
        """
        folders = [self.folder(asked, data) for asked, _ in (one, other)]
        if any(results_of(folder) is None for folder in folders):
            return None
        names = "-".join([one[0].name, other[0].name, data.name])
        out = self.home / f"compare-{names}"
        file = out / "compare.json"
        newest = max((folder / "results.json").stat().st_mtime for folder in folders)
        if not file.is_file() or file.stat().st_mtime < newest:
            words = [*map(str, folders), f"planner={one[1]},{other[1]}", f"out={out}"]
            if trouble := called(["compare", *words, "page.clips=0"], _log_of(out)):
                self.troubles.append(trouble)
                return None
        told: Json = json.loads(file.read_text(encoding="utf-8"))
        return told


def results_of(folder: Path) -> Json | None:
    """``results.json`` of a run; None where it is not there."""
    file = folder / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def called(words: Sequence[str], log: Path) -> str:
    """Run one ``drivevlm`` command to its end, its words in a log; returns what went wrong.

    Whoever stops this stops the command too, which leaves what it has decided.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        command = [sys.executable, "-m", "drivevlm", *words]
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it says nothing")
    return f"exit code {code}: {last.strip()} ({log})"


def _log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")
