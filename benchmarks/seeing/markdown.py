"""The table as Markdown, of the object that ``seeing.collect`` makes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivevlm.report.markdown import markdown_cell, markdown_table
from drivevlm.report.results import DASH, SECONDS, STEPS, at, branch, number, shown

Json = Mapping[str, Any]
TITLES = {"twins": "Twin pairs", "scenes": "Scenes"}


def as_markdown(told: Json) -> str:
    """All of it; the first line says that it is synthetic."""
    blocks = [_headline(told)]
    if "twins" in told["data"]:
        blocks.append(_pairs(told))
    for name in told["data"]:
        blocks += [_distances(told, name), _answers(told, name)]
    blocks += [_differences(told), _same(told), "\n".join(f"- {line}" for line in _notes(told))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _headline(told: Json) -> str:
    kind = "All synthetic: made worlds, not one picture of a real road" if told["synthetic"] else (
        "Not all of it is known to be synthetic"
    )  # fmt: skip
    data = "; ".join(
        f"{name}: {DASH if about is None else about['name']}, {_count(about, 'clips')} clips of "
        f"{_count(about, 'scenes')} {'pairs' if name == 'twins' else 'scenes'}"
        for name, about in told["data"].items()
    )
    git, model = told["drivevlm"], told["model"]
    commit = (git["commit"] or DASH)[:8] + (" with changes" if git["dirty"] else "")
    facts = f"{told['date'][:10]}, drivevlm {git['version']}, commit {commit}"
    command = shlex.join(told["command"])
    return (
        f"**{kind}.** Model {model['name']}, {model['digest']}. {markdown_cell(data)}. {facts}, "
        f"`{command}`. Greedy, protocol `exact`, strict, 95 % intervals over scenes and over pairs."
    )


def _pairs(told: Json) -> str:
    """Pair accuracy; the families beside it with their own n."""
    cells = [(row, branch(row, "on", "twins", "twins")) for row in told["rows"]]
    families = sorted({name for _, cell in cells for name in branch(cell, "by_family")})
    body = [
        [
            _name(row),
            _count(cell, "n"),
            _with(number(cell, "pair"), at(cell, "ci95"), 3),
            shown(number(cell, "single"), 3),
            *(_based(branch(cell, "by_family", name), "pair", "n", 2) for name in families),
        ]
        for row, cell in cells
    ]
    words = [name.replace("_", " ") for name in families]
    head = ["planner", "n", "both sides right", "one side", *words]
    return f"Twin pairs, both sides right (by family: of n)\n\n{markdown_table(head, body)}"


def _distances(told: Json, name: str) -> str:
    head = ["planner", "n", *(f"L2 {s} (m)" for s in SECONDS), "collision to 3 s (%)"]
    head += ["n onset", *(f"onset {s} (m)" for s in SECONDS)]
    body = []
    for row in told["rows"]:
        cells = [_name(row)]
        for clips in ("all", "onset"):
            node = branch(row, "on", name, clips)
            cells.append(_count(node, "n"))
            cells += [
                _with(number(node, "l2_m", step), at(node, "ci95", step), 2) for step in STEPS
            ]
            if clips == "all":
                cells.append(_with(number(node, "collision"), at(node, "collision_ci95"), 1, 100))
        body.append(cells)
    return f"{TITLES[name]}, L2 up to k s\n\n{markdown_table(head, body)}"


def _answers(told: Json, name: str) -> str:
    """What the model says, beside what the best constant answer would earn."""
    head = ["planner", "read", "along (constant)", "across (constant)", "signal, lit (n)"]
    head += ["lead gap off (m, named)", "DETECT precision", "DETECT recall"]
    head += ["plan as decided (constant)", "tokens out", "ms a frame"]
    body = []
    for row in (row for row in told["rows"] if row["form"]):
        cell = branch(row, "on", name)
        lead, found = branch(cell, "lead_gap"), branch(cell, "detection")
        gap = shown(number(lead, "mean_error_m"), 2)
        named = "" if gap == DASH else f" ({_count(lead, 'named')} of {_count(lead, 'n')})"
        body.append(
            [
                _name(row),
                _based(branch(cell, "parsed"), "rate", "n", 3),
                _based(branch(cell, "decision", "longitudinal"), "accuracy", "constant", 2),
                _based(branch(cell, "decision", "lateral"), "accuracy", "constant", 2),
                _based(branch(cell, "signal"), "accuracy", "n", 2),
                gap + named,
                shown(number(found, "precision"), 3),
                shown(number(found, "recall"), 3),
                _based(branch(cell, "consistency"), "rate", "constant", 2),
                shown(number(cell, "reply_tokens"), 0),
                shown(number(cell, "ms"), 0),
            ]
        )
    return f"{TITLES[name]}, answers\n\n{markdown_table(head, body)}" if body else ""


def _differences(told: Json) -> str:
    head = ["planner", "data", "n", "scenes", *(f"{s} (m)" for s in SECONDS)]
    body = [
        [
            f"{line['of']} minus {line['minus']}",
            f"{line['data']}, {line['clips']}",
            _count(line, "n"),
            _count(line, "scenes"),
            *(
                _with(number(cell, "difference"), at(cell, "ci95"), 2)
                for cell in (branch(line, "l2_m", step) for step in STEPS)
            ),
        ]
        for line in told["differences"]
    ]
    return f"L2, clip by clip\n\n{markdown_table(head, body)}" if body else ""


def _same(told: Json) -> str:
    head = ["planner", "data", "n", "same reply", "same plan"]
    body = [
        [f"{s['of']} as {s['and']}", s["data"], *(str(s[k]) for k in ("n", "replies", "plans"))]
        for s in told["same_replies"]
    ]
    return f"The same answers\n\n{markdown_table(head, body)}" if body else ""


def _notes(told: Json) -> Iterator[str]:
    if told["model"]["forms"] is None:
        yield "nothing beside the model tells which forms of the answer it was taught"
    for row in told["rows"]:
        if row["notes"]:
            yield f"{_name(row)}: {markdown_cell('; '.join(row['notes']))}"
    if any(not row["form"] for row in told["rows"]):
        yield "expert and oracle_mlp are told the truth: they are bounds and do not compete"
    yield "DETECT recall is of all labelled objects, however far; an answer names at most 4"
    yield "a dash: not run, or it cannot be judged; no interval over fewer than 20 scenes or pairs"


def _name(row: Json) -> str:
    return str(row["planner"] if not row["form"] else row["row"])


def _count(node: object, key: str) -> str:
    return shown(number(node, key), 0)


def _with(value: float | None, ends: Sequence[float] | object, digits: int, scale: int = 1) -> str:
    """A number and its interval, where there is one."""
    text = shown(value, digits, scale=scale)
    if value is None or not isinstance(ends, Sequence):
        return text
    low, high = (shown(float(end), digits, scale=scale) for end in ends)
    return f"{text} [{low}, {high}]"


def _based(node: object, key: str, base: str, digits: int) -> str:
    """A number with what stands beside it: a count, or another share."""
    value, beside = number(node, key), number(node, base)
    text = shown(value, digits)
    if value is None or beside is None:
        return text
    return f"{text} ({shown(beside, 0 if base == 'n' else digits)})"
