"""One self-contained page of a run: the table, then the clips, worst first."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2

from drivevlm.report.clip_drawing import ClipDrawing, drawn
from drivevlm.report.eyes import eye_tables
from drivevlm.report.results import (
    DASH,
    LEAK,
    SECONDS,
    answer_rows,
    at,
    branch,
    detection_rows,
    headline,
    listed,
    number,
    remarks,
)
from drivevlm.report.scores import further_rows, score_rows, split_rows, told_rules
from drivevlm.report.stale_section import StaleSection
from drivevlm.report.view import ClipView

LIMIT = 60
"""A clip takes about 0.3 MB: so many still open at once in a browser."""
FEW_ROWS = 24
"""A further table of more rows is folded, so that the clips do not move out of sight."""


@dataclass(frozen=True, slots=True)
class _Key:
    """Names a clip in the strip of bars before the clips themselves are drawn."""

    rank: int
    token: str
    scene: str
    value: float | None
    share: float
    failed: bool


@dataclass(frozen=True, slots=True)
class _Clip:
    """What the template shows of one clip."""

    key: _Key
    seconds: str
    drawing: ClipDrawing


def write_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    results: Mapping[str, object],
    views: Iterable[ClipView],
    limit: int = LIMIT,
    sorted_by: str = "",
    stale: StaleSection | None = None,
) -> Path:
    """Write the page, whole or not at all, and return its path.

    It loads nothing and runs no script: it opens from a file without a network, and nothing that
    a model said can act.

    Args:
        path: Of the page; its folder is made.
        title, facts: What was run; shown in the order given.
        results: The object of results.json.
        views: In any order; the ``limit`` worst are kept, and drawn one at a time.
        limit: Most clips on the page; how many are left out is said.
        sorted_by: Name and unit of the views' sort value.
        stale: What latency costs, where that was judged.
    """
    worst, seen = _worst(views, limit)
    values = [view.sort_value for view in worst if view.sort_value is not None]
    keys = [_key(k + 1, view, max(values, default=0.0)) for k, view in enumerate(worst)]
    known = number(results, "data", "clips")
    scores, splits = score_rows(results), split_rows(results)
    chunks = template("page.html.jinja").generate(
        title=title,
        facts=facts,
        headline=headline(results),
        provenance=_provenance(results),
        eye_tables=eye_tables(results),
        score_rows=scores,
        further=further_rows(scores),
        split_rows=splits,
        split_further=further_rows(splits),
        few=FEW_ROWS,
        rules=told_rules([row.protocol for row in scores]),
        answer_rows=answer_rows(results),
        detection=detection_rows(results),
        remarks=remarks(results),
        seconds=SECONDS,
        leak=LEAK,
        stale=stale,
        keys=keys,
        judged=bool(values),
        total=max(seen, 0 if known is None else int(known)),
        sorted_by=sorted_by,
        clips=_drawn(worst, keys),
    )
    return write_whole(path, chunks)


def _worst(views: Iterable[ClipView], limit: int) -> tuple[list[ClipView], int]:
    """The views with the largest sort values, worst first, and how many there were in all."""
    heap: list[tuple[tuple[bool, float], int, ClipView]] = []
    seen = 0
    for view in views:
        seen += 1
        value = view.sort_value
        entry = ((value is not None, value or 0.0), -seen, view)
        if len(heap) < limit:
            heapq.heappush(heap, entry)
        elif heap:
            heapq.heappushpop(heap, entry)
    return [view for _, _, view in sorted(heap, key=lambda e: e[:2], reverse=True)], seen


def _key(rank: int, view: ClipView, largest: float) -> _Key:
    value = view.sort_value
    share = value / largest if value is not None and largest > 0 else 0.0
    main = next(iter(view.decisions.values()), None)
    return _Key(
        rank=rank,
        token=view.clip.token,
        scene=view.clip.scene,
        value=value,
        share=min(max(share, 0.0), 1.0),
        failed=main is not None and main.failure is not None,
    )


def _drawn(views: list[ClipView], keys: list[_Key]) -> Iterator[_Clip]:
    """Draws one clip at a time and lets go of it, so that memory stays flat."""
    for key in keys:
        view = views.pop(0)
        yield _Clip(key, f"{view.clip.t0_us / 1e6:.3f}", drawn(view))


def _provenance(results: Mapping[str, object]) -> tuple[tuple[str, str, bool], ...]:
    """Block, where it comes from, and whether that leaks."""
    leaks = [leak.split(":")[0].strip() for leak in listed(results, "leaks")]
    sources = branch(results, "data", "provenance")
    return tuple((block, str(at(sources, block) or DASH), block in leaks) for block in sources)


def template(name: str) -> jinja2.Template:
    """One of this folder's templates; all that it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["groupby_seen"] = _grouped
    return environment.get_template(name)


def _grouped(rows: Iterable[object], name: str) -> list[tuple[str, list[object]]]:
    """Like Jinja's groupby, in the order in which the groups are seen."""
    groups: dict[str, list[object]] = {}
    for row in rows:
        groups.setdefault(getattr(row, name), []).append(row)
    return list(groups.items())


def write_whole(path: Path, chunks: Iterator[str]) -> Path:
    """Write a page, whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        # A reply may hold half a surrogate pair: it becomes a character reference.
        with open(handle, "w", encoding="utf-8", errors="xmlcharrefreplace") as page:
            page.writelines(chunks)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
