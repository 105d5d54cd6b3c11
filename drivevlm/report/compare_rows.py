"""Reads the object of compare.json into rows of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivevlm.metrics.explain import figure_head, is_distance
from drivevlm.report.results import (
    DASH,
    LEAK,
    SECONDS,
    SYNTHETIC,
    UNTRAINED,
    at,
    branch,
    listed,
    number,
    shown,
    words,
)

SIDES = ("a", "b")
STRICT, LENIENT = "strict", "lenient"
BETTER, WORSE = "* better", "* worse"
"""Signs of a difference whose interval excludes 0. Every figure is the better the smaller it is."""
ALL = "all"
"""The kind that is every clip."""
MOST_FLIPS = 8
_MAIN = ("l2_m", "collision")
_BASE = (("n", "clip"), ("scenes", "scene"))
_LONGEST_SETTING = 60


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One figure at one time over one set of clips, in words.

    Attributes:
        protocol: Its name.
        kind: Which clips: ``all``, or the name of a split.
        lenient: Whether clips that one of the runs failed are left out.
        n: Clips, and of how many scenes.
        figure, column: What, with its unit, and when.
        a, b, difference, ci95: In the figure's unit; ``ci95`` is "" where there is none.
        sign: ``BETTER`` or ``WORSE`` where the interval excludes 0, else "".
        last: Whether this is the figure's last column, which sums up the others.
        main: Whether the figure is L2 or collision, which almost every protocol has.
    """

    protocol: str
    kind: str
    lenient: bool
    n: str
    figure: str
    column: str
    a: str
    b: str
    difference: str
    ci95: str
    sign: str
    last: bool
    main: bool


def difference_rows(compared: Mapping[str, object]) -> tuple[DifferenceRow, ...]:
    """By protocol, then by kind of clip; lenient ones only where they are of other clips."""
    rows: list[DifferenceRow] = []
    for protocol in branch(compared, "protocols"):
        scored = branch(compared, "protocols", protocol)
        kinds = {
            ALL: scored,
            **{k: branch(scored, "splits", k) for k in branch(scored, "splits")},
        }
        for kind, pair in kinds.items():
            for base in (STRICT, LENIENT):
                means = branch(pair, base)
                if base == STRICT or number(means, "n") != number(pair, STRICT, "n"):
                    rows += _rows(protocol, kind, means, lenient=base == LENIENT)
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure at every time: the page's row.

    Attributes:
        first: Any of its cells, for what they share.
        cells: By ``SECONDS``; None where the figure has no such column.
    """

    first: DifferenceRow
    cells: tuple[DifferenceRow | None, ...]

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        return self.first.protocol


def figure_rows(rows: Sequence[DifferenceRow]) -> tuple[FigureRow, ...]:
    """The same rows, those of one figure side by side."""
    groups: dict[tuple[str, str, bool, str], dict[str, DifferenceRow]] = {}
    for row in rows:
        key = (row.protocol, row.kind, row.lenient, row.figure)
        groups.setdefault(key, {})[row.column] = row
    return tuple(
        FigureRow(next(iter(group.values())), tuple(group.get(second) for second in SECONDS))
        for group in groups.values()
    )


def _rows(
    protocol: str, kind: str, means: Mapping[str, object], *, lenient: bool
) -> Iterator[DifferenceRow]:
    n = ", ".join(_count(number(means, key), what) for key, what in _BASE)
    for name in branch(means, "figures"):
        columns = branch(means, "figures", name)
        for column in columns:
            cell = branch(columns, column)
            metres = is_distance(name)
            yield DifferenceRow(
                protocol=protocol,
                kind=kind.replace("_", " "),
                lenient=lenient,
                n=n,
                figure=figure_head(name),
                column=column.replace("s", " s"),
                a=shown(number(cell, "a"), 2, scale=1 if metres else 100),
                b=shown(number(cell, "b"), 2, scale=1 if metres else 100),
                difference=signed(number(cell, "difference"), metres=metres),
                ci95=_interval(cell, metres=metres),
                sign=_sign(cell),
                last=column == list(columns)[-1],
                main=name in _MAIN,
            )


def signed(value: float | None, *, metres: bool) -> str:
    """A difference with its sign; exactly none is ``0``, which rounding never prints."""
    if value is None:
        return DASH
    return "0" if value == 0 else f"{value:+.3f}" if metres else f"{100 * value:+.2f}"


def _interval(cell: Mapping[str, object], *, metres: bool) -> str:
    pair = at(cell, "ci95")
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        return ""
    low, high = (number({"": end}, "") for end in pair)
    return f"[{signed(low, metres=metres)}, {signed(high, metres=metres)}]"


def _sign(cell: Mapping[str, object]) -> str:
    if at(cell, "excludes_zero") is not True:
        return ""
    return BETTER if (number(cell, "difference") or 0.0) < 0 else WORSE


def _count(value: float | None, what: str) -> str:
    return f"{shown(value, 0)} {what}{'' if value == 1 else 's'}"


def who_lines(compared: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """For a and b: whose decisions of which run, with which prompt."""
    told = []
    for side in SIDES:
        run = branch(compared, side)
        parts = [words(run, "run"), words(run, "label")]
        if words(run, "planner") == "vlm":
            digest = words(run, "prompt", "digest")[:8]
            parts.append(f"prompt {words(run, 'prompt', 'name')} {digest}")
            blocks = branch(run, "blocks")
            parts += [f"{block} {blocks[block]}" for block in blocks if blocks[block] != "on"]
        told.append((side, " · ".join(parts)))
    return tuple(told)


def count_lines(compared: Mapping[str, object]) -> tuple[str, ...]:
    """How many clips there are, and in how many something changed."""
    both = shown(number(compared, "clips", "both"), 0)
    only = [f"{shown(number(compared, 'clips', f'only_{s}'), 0)} only in {s}" for s in SIDES]
    lines = [
        f"clips: {both} in both, {', '.join(only)}",
        f"{shown(number(compared, 'changed'), 0)} of {both} clips changed: "
        "their plan, or how they failed",
    ]
    decided = number(compared, "decisions", "both_decided")
    if decided:
        lines.append(
            f"{shown(number(compared, 'decisions', 'flipped'), 0)} of {shown(decided, 0)} "
            "decisions flipped"
        )
    failed = branch(compared, "failures")
    if any(failed.values()):
        told = [f"{shown(number(failed, f'only_{side}'), 0)} only in {side}" for side in SIDES]
        lines.append(f"failed: {shown(number(failed, 'both'), 0)} in both, {', '.join(told)}")
    return tuple(lines)


def flips(compared: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    """Decisions that flipped: clips, a's decision, b's; the commonest first."""
    rows = at(compared, "decisions", "flips")
    found = rows if isinstance(rows, Sequence) else ()
    return tuple((shown(number(r, "clips"), 0), words(r, "a"), words(r, "b")) for r in found)


def different_rows(compared: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    """Settings that differ by design: name, a's, b's."""
    rows = at(compared, "different")
    found = rows if isinstance(rows, Sequence) else ()
    return tuple((words(r, "setting"), _short(words(r, "a")), _short(words(r, "b"))) for r in found)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SETTING else text[: _LONGEST_SETTING - 3] + "..."


def better_lines(compared: Mapping[str, object]) -> tuple[str, ...]:
    """By protocol, in how many clips b does better; of the first figure."""
    lines = []
    for protocol in branch(compared, "protocols"):
        means = branch(compared, "protocols", protocol, STRICT)
        better, worse, same = (shown(number(means, k), 0) for k in ("better", "worse", "same"))
        lines.append(
            f"{protocol}: by L2 avg, b is better in {better} clips, worse in {worse}, "
            f"the same in {same}"
        )
    return tuple(lines)


def as_results(compared: Mapping[str, object]) -> Mapping[str, object]:
    """The answers of both runs in the form of results.json, for its tables."""
    answers = branch(compared, "answers")
    return {"planners": {side: {"label": side, **branch(answers, side)} for side in answers}}


def remarks(compared: Mapping[str, object]) -> tuple[str, ...]:
    """What a reader must know beside the numbers."""
    lines = [
        f"{LEAK} {side}, {leak}: a real vehicle cannot know this"
        for side in SIDES
        for leak in listed(compared, side, "leaks")
    ]
    if at(compared, "synthetic") is True:
        lines.append(f"{SYNTHETIC}: generated scenes; no figure here says anything of real roads")
    for side in SIDES:
        if at(compared, side, "untrained") is True:
            lines.append(f"{side} is {UNTRAINED}: random weights say nothing of driving")
    if not branch(compared, "protocols"):
        lines.append("No plan is scored: there is no recorded future, or no protocol was asked for")
        return tuple(lines)
    lines.append("b - a below 0: b is better. A difference is the mean over clips of both runs.")
    lines.append(
        "Strict: a failed answer counts as the fallback plan "
        f"({words(compared, 'fallback') or 'stop'}). Lenient: clips that both runs answered."
    )
    told, sure = (number(compared, "intervals", key) for key in ("told", "exclude_zero"))
    if told:
        lines.append(
            "*: the 95 % interval (paired, whole scenes resampled) excludes 0, as "
            f"{shown(sure, 0)} of {shown(told, 0)} do; where runs do not differ, about 1 in 20 does"
        )
    return (*lines, *_notes(compared))


def _notes(compared: Mapping[str, object]) -> Iterator[str]:
    """Each note once, with the protocols that say it."""
    said: dict[str, list[str]] = {}
    for protocol in branch(compared, "protocols"):
        for note in listed(compared, "protocols", protocol, "notes"):
            said.setdefault(note, []).append(protocol)
    for note, protocols in said.items():
        yield f"{', '.join(protocols)}: {note}"
