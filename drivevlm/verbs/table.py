"""One table over several run folders, with published figures beside them where they compare."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from drivevlm.build.settings import SettingError
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.record.run_folder import RecordError, read_manifest, write_atomically
from drivevlm.report.published import PUBLISHED
from drivevlm.report.results import branch, number, words
from drivevlm.report.run_blocks import Run, as_json, blocks_of
from drivevlm.report.run_table import RunTable, as_markdown
from drivevlm.verbs.finish import commit_words

FORMAT = 1


def table(
    folders: Sequence[Path], console: Console, *, published: str = "", out: Path | None = None
) -> Path:
    """Print one table of all runs, and write table.json and table.md; returns the latter.

    Args:
        folders: Of runs, or of scored plan files: they have a results.json.
        console: Where it is printed.
        published: A protocol whose published figures stand beside the runs'; "" for none.
        out: Folder of the files; beside the first run if left out.
    """
    runs = [
        Run(name, results, _commit(folder) or _short(words(results, "commit")))
        for folder, name in zip(folders, _names(folders), strict=True)
        for results in [read_results(folder)]
    ]
    blocks = blocks_of(runs, published=published)
    if published:
        _check(published, [block.protocol for block in blocks])
    out = folders[0].resolve().parent if out is None else out
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "table.json", json.dumps(as_json(runs, blocks), indent=1) + "\n")
        write_atomically(out / "table.md", as_markdown(runs, blocks))
    except OSError as error:
        raise RecordError(f"out={out} cannot be written ({error.strerror})") from None
    # Files first: whoever pipes the table into a pager may leave before its end.
    console.print(RunTable(runs, blocks))
    for run in runs:
        made, wanted = (number(run.results, "decisions", key) for key in ("made", "wanted"))
        if made is not None and wanted is not None and made < wanted:
            told = f"{run.name} is not finished: {made:.0f} of {wanted:.0f} decisions"
            console.print(told, markup=False)
    return out / "table.md"


def read_results(folder: Path) -> Mapping[str, object]:
    """The object of a folder's results.json.

    Raises RecordError where there is none, it is damaged, or no plan is scored in it.
    """
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "run.json").exists():
            hint = f"finish it, or make them: drivevlm report {folder}"
            raise RecordError(f"{folder} has no results.json yet: {hint}") from None
        raise RecordError(f"{folder} is no run folder: it has no results.json") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read ({error}): drivevlm report makes it") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise RecordError(f"{path} is of no format that this version reads (expected {FORMAT})")
    planners = branch(results, "planners").values()
    if not any(branch(planner, "protocols") for planner in planners):
        raise RecordError(f"{folder}: no plan is scored there, under any protocol")
    return results


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or all of it where that is the same for two."""
    twice = [folder for folder, n in Counter(f.resolve() for f in folders).items() if n > 1]
    if twice:
        raise SettingError(f"{twice[0]} is named twice")
    last = Counter(folder.resolve().name for folder in folders)
    return [
        folder.resolve().name if last[folder.resolve().name] == 1 else str(folder)
        for folder in folders
    ]


def _commit(folder: Path) -> str:
    """The commits by which a run was made; "" for a folder without run.json."""
    if not (folder / "run.json").exists():
        return ""
    starts = read_manifest(folder).get("starts", [])
    told = dict.fromkeys(_short(commit_words(start["git"])) for start in starts)
    return " -> ".join(told)


def _short(words: str) -> str:
    commit, _, rest = words.partition(" ")
    return f"{commit[:8]} {rest}".strip() if len(commit) == 40 else words


def _check(published: str, protocols: Sequence[str]) -> None:
    """Refuse a tag that adds nothing, and say why."""
    tags = list(dict.fromkeys(row.protocol for row in PUBLISHED))
    usable = [tag for tag in tags if tag in PROTOCOLS]
    if published not in tags and published not in PROTOCOLS:
        close = difflib.get_close_matches(published, [*tags, *PROTOCOLS], n=1, cutoff=0.4)
        hint = f", did you mean {close[0]}?" if close else ""
        raise SettingError(
            f"published={published} is no protocol{hint}: there are figures of {', '.join(usable)}"
        )
    if published not in usable:
        why = "is no protocol here" if published in tags else "has no figures published first-hand"
        raise SettingError(
            f"published={published} {why}, so nothing compares: there are figures of "
            f"{', '.join(usable)}"
        )
    if published not in protocols:
        raise SettingError(
            f"published={published}: no run was scored under it (they have "
            f"{', '.join(protocols)}); drivevlm report RUN protocol=[{published}] adds it"
        )
