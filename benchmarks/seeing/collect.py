"""From run folders to the object of the table's JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import drivevlm
from drivevlm.build.taught import taught_forms
from drivevlm.record.manifest import git_state
from drivevlm.record.run_folder import RecordError, read_manifest
from drivevlm.report.results import at, branch
from drivevlm.verbs.finish import commit_words
from seeing.figures import figures
from seeing.rows import BASELINES, BLIND, VLM, Asked, every_row
from seeing.runs import Runs, results_of
from seeing.sets import DataSet
from seeing.taught import doubts

Json = dict[str, Any]


def collected(
    runs: Runs,
    sets: Sequence[DataSet],
    wanted: Collection[Asked],
    *,
    folder: Path,
    command: Sequence[str],
    now: datetime,
) -> Json:
    """Every row that has a run or is wanted; what is missing is None.

    Args:
        runs: Of the model.
        sets: Twins and scenes.
        wanted: Rows that are told even where they have no run.
        folder: Of the model.
        command: That makes the table.
        now: When.

    Raises RecordError where runs of one data set were made with different data.
    """
    there = {
        asked: {data.name: _results(runs, asked, data) for data in sets} for asked in every_row()
    }
    shown = [asked for asked, found in there.items() if asked in wanted or any(found.values())]
    forms = taught_forms(folder)
    found = [(name, result) for a in shown for name, result in there[a].items() if result]
    for data in sets:
        _check_same(data, {asked: there[asked][data.name] for asked in shown})
    return {
        "format": 1,
        "synthetic": bool(found) and all(result["synthetic"] is True for _, result in found),
        "date": now.isoformat(timespec="seconds"),
        "command": list(command),
        "drivevlm": {"version": drivevlm.__version__, **git_state(Path(__file__).parent)},
        "model": {
            "name": folder.name,
            "digest": runs.digest,
            "forms": None if forms is None else list(forms),
        },
        "data": {data.name: _about(data, found) for data in sets},
        "rows": [
            row
            for asked in shown
            for row in _rows(runs, sets, asked, there[asked], folder)
        ],
        "differences": [
            told for data in sets if data.name == "scenes" for told in _differences(runs, data)
        ],
        "same_replies": [
            told
            for asked in shown
            for data in sets
            if asked.row.same and (told := _same(runs, data, asked)) is not None
        ],
    }  # fmt: skip


def _results(runs: Runs, asked: Asked, data: DataSet) -> Json | None:
    """Of a finished run of this model and these data."""
    return results_of(runs.folder(asked, data)) if runs.finished(asked, data) else None


def _check_same(data: DataSet, results: Mapping[Asked, Json | None]) -> None:
    """Of packed data, baselines read the tables, which have another digest."""
    told = [(asked, result) for asked, result in results.items() if result]
    told = [(a, r) for a, r in told if data.tables is None or a.row is not BASELINES]
    digests = {at(result, "data", "digest"): asked.name for asked, result in told}
    if len(digests) > 1:
        names = " and ".join(digests.values())
        raise RecordError(
            f"{data.name}: the runs of {names} were made with different data: give another runs="
        )


def _about(data: DataSet, found: Sequence[tuple[str, Json]]) -> Json | None:
    """What the runs of a data set say of it."""
    about = next((result["data"] for name, result in found if name == data.name), None)
    keys = ("name", "clips", "scenes", "digest")
    return None if about is None else {key: at(about, key) for key in keys}


def _rows(
    runs: Runs, sets: Sequence[DataSet], asked: Asked, there: Json, folder: Path
) -> Iterator[Json]:
    """A row for each planner of a run."""
    planners = [VLM]
    lines = [asked.row.note] if asked.row.note else []
    if asked.row is BASELINES:
        names = (name for result in there.values() for name in branch(result, "planners"))
        planners = list(dict.fromkeys(names)) or [asked.name]
    else:
        lines += doubts(runs.words(asked, sets[0]), asked.form, folder)
    for planner in planners:
        yield {
            "row": asked.name,
            "planner": planner,
            "form": asked.form or None,
            "notes": lines,
            "on": {data.name: _cell(runs, asked, data, there[data.name], planner) for data in sets},
        }


def _cell(
    runs: Runs, asked: Asked, data: DataSet, results: Json | None, planner: str
) -> Json | None:
    told = None if results is None else figures(results, planner)
    if told is None:
        return None
    start = read_manifest(runs.folder(asked, data))["starts"][-1]
    words = " ".join(["drivevlm", "eval", *runs.words(asked, data)])
    return {**told, "command": words, "commit": commit_words(start["git"]), "run": start["started"]}


def _differences(runs: Runs, data: DataSet) -> Iterator[Json]:
    """Exchanged pictures minus the right ones, on onsets; the model minus who never looks."""
    for asked in every_row():
        if asked.row.name == "exchanged" and asked.base is not None:
            yield from _difference(runs, data, (asked.base, VLM), (asked, VLM), "onset")
    blind = Asked(BASELINES, ""), BLIND
    for asked in every_row():
        if asked.form and not asked.row.based:
            for clips in ("all", "onset"):
                yield from _difference(runs, data, blind, (asked, VLM), clips)


def _difference(
    runs: Runs, data: DataSet, less: tuple[Asked, str], of: tuple[Asked, str], clips: str
) -> Iterator[Json]:
    """Means of L2 in m, clip by clip ``of`` minus ``less``, intervals over scenes."""
    for asked, planner in (less, of):
        if at(results_of(runs.folder(asked, data)), "planners", planner) is None:
            return
    told = runs.compared(data, less, of)
    exact = at(told, "protocols", "exact")
    means = at(exact, "strict") if clips == "all" else at(exact, "splits", clips, "strict")
    yield {
        "of": of[0].name if of[1] == VLM else of[1],
        "minus": less[0].name if less[1] == VLM else less[1],
        "data": data.name,
        "clips": clips,
        **{key: at(means, key) for key in ("n", "scenes", "better", "worse", "no_interval")},
        "l2_m": at(means, "figures", "l2_m"),
    }


def _same(runs: Runs, data: DataSet, asked: Asked) -> Json | None:
    """On how many clips a row wrote what its base wrote, to the letter, and planned the same."""
    assert asked.base is not None  # such a row has one
    told = runs.compared(data, (asked.base, VLM), (asked, VLM))
    if told is None:
        return None
    n = told["clips"]["both"]
    facts = {"n": n, "replies": told["same_reply"], "plans": n - told["changed"]}
    return {"of": asked.name, "and": asked.base.name, "data": data.name, **facts}
