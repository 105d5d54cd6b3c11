"""Several runs' scores, protocol by protocol, and what is wrong with comparing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.report.published import NUSCENES_NAME, NUSCENES_VAL, Published, published_under
from drivevlm.report.results import (
    LEAK,
    branch,
    headline,
    listed,
    marks_of,
    number,
    remarks,
    shown,
    words,
)
from drivevlm.report.scores import ScoreRow, score_rows


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder.

    Attributes:
        name: As the table calls it.
        results: The object of results.json.
        commit: By which it was made; "" where that is not recorded.
    """

    name: str
    results: Mapping[str, object]
    commit: str = ""

    @property
    def prompt(self) -> str:
        """The prompt's name and digest, or the plan file's; "" where there is neither."""
        prompt, file = branch(self.results, "prompt"), branch(self.results, "plan_file")
        digest = words(prompt, "digest") or words(file, "sha256")
        return f"{words(prompt, 'name') or words(file, 'name')} {digest[:8]}".strip()

    @property
    def data(self) -> str:
        """The recording's name and digest."""
        data = branch(self.results, "data")
        return f"{words(data, 'name')} {words(data, 'digest')[:8]}".strip()

    @property
    def told(self) -> str:
        """What was planned, on how much, asked how, by which commit."""
        file = "" if branch(self.results, "prompt") else self.prompt
        parts = [headline(self.results), f"plan file {file}" if file else ""]
        return " · ".join([*filter(None, parts), f"commit {self.commit or 'unknown'}"])


@dataclass(frozen=True, slots=True)
class Block:
    """What several runs earned under one protocol.

    Attributes:
        protocol: Its name.
        entries: Whose row, and the row; by run, then by planner.
        published: Rows of the same protocol that others published.
        warnings: What is wrong with comparing them, a line each.
    """

    protocol: str
    entries: tuple[tuple[Run, ScoreRow], ...]
    published: tuple[Published, ...]
    warnings: tuple[str, ...]

    @property
    def mixed(self) -> bool:
        """Whether the rows are of different data, so that each must say of which."""
        return len({words(run.results, "data", "digest") for run, _ in self.entries}) > 1


def blocks_of(runs: Sequence[Run], *, published: str = "") -> tuple[Block, ...]:
    """A block for every protocol of any run; published figures join that of the same name only."""
    rows: dict[str, list[tuple[Run, ScoreRow]]] = {}
    for run in runs:
        for row in score_rows(run.results):
            rows.setdefault(row.protocol, []).append((run, row))
    blocks = []
    for protocol, entries in rows.items():
        theirs = published_under(protocol) if protocol == published else ()
        warnings = _incomparable(protocol, runs) if theirs else ()
        block = Block(protocol, tuple(entries), theirs, tuple(warnings))
        if block.mixed:
            mixed = "rows are of different data: compare only those of the same"
            block = Block(protocol, block.entries, theirs, (mixed, *block.warnings))
        blocks.append(block)
    return tuple(blocks)


def _incomparable(protocol: str, runs: Sequence[Run]) -> Iterator[str]:
    """A warning for every run that was not scored on what the published figures were."""
    wanted = NUSCENES_VAL[PROTOCOLS[protocol].rule.counted]
    for run in runs:
        data = words(run.results, "data", "name")
        planners = branch(run.results, "planners")
        counts = {
            count
            for planner in planners.values()
            if (count := number(planner, "protocols", protocol, "n")) is not None
        }
        if counts and (counts != {wanted} or not data.startswith(NUSCENES_NAME)):
            n = " or ".join(shown(count, 0) for count in sorted(counts))
            yield (
                f"{run.name}: {n} clips of {data or 'unnamed data'} are scored, the published rows "
                f"are of {wanted} clips of nuScenes val: they do not compare"
            )


def run_remarks(runs: Sequence[Run]) -> tuple[str, ...]:
    """What must be known beside the numbers, each line once, with its runs if not of all."""
    said: dict[str, list[str]] = {}
    for run in runs:
        noted = listed(run.results, "plan_file", "notes")
        for line in dict.fromkeys([*remarks(run.results), *noted]):
            said.setdefault(line, []).append(run.name)
    return tuple(
        line if len(names) == len(runs) else _attributed(line, names)
        for line, names in said.items()
    )


def _attributed(line: str, names: Sequence[str]) -> str:
    """The line and whose it is; a leak is still told by its first word."""
    whose = ", ".join(names)
    return f"{line} ({whose})" if line.startswith(LEAK) else f"{whose}: {line}"


def sources(block: Block) -> tuple[str, ...]:
    """Where each published row stands."""
    return tuple(
        f"{row.method}: {row.source}{f'; {row.note}' if row.note else ''}"
        for row in block.published
    )


def as_json(runs: Sequence[Run], blocks: Sequence[Block]) -> dict[str, object]:
    """The table for programs: unrounded, as the runs' results.json have it."""
    return {
        "format": 1,
        "runs": {
            run.name: {
                "commit": run.commit,
                "prompt": run.prompt,
                "data": branch(run.results, "data"),
                "synthetic": run.results.get("synthetic"),
                "leaks": run.results.get("leaks"),
            }
            for run in runs
        },
        "protocols": {
            block.protocol: {
                "rows": list(_rows(block.protocol, runs)),
                "published": [asdict(row) for row in block.published],
                "warnings": list(block.warnings),
            }
            for block in blocks
        },
    }


def _rows(protocol: str, runs: Sequence[Run]) -> Iterator[dict[str, object]]:
    for run in runs:
        for name, planner in branch(run.results, "planners").items():
            score = branch(planner, "protocols", protocol)
            if score:
                yield {
                    "run": run.name,
                    "planner": name,
                    "label": words(planner, "label") or name,
                    "marks": list(marks_of(run.results, branch(planner))),
                    "scores": score,
                }
