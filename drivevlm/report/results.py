"""Reads the object of results.json into rows of words. Missing is not zero: it prints as a dash."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

DASH = "-"
UNTRAINED = "untrained"
OF_UNTRAINED = f"{UNTRAINED}: random weights show that the path works, and nothing of driving"
LEAK = "LEAK"
SYNTHETIC = "synthetic"
STEPS = ("1s", "2s", "3s", "avg")
"""Keys of L2 and collision in results.json."""
SECONDS = ("1 s", "2 s", "3 s", "avg")
"""The same as column heads."""


def at(node: object, *path: str) -> object:
    """What stands at a path of keys; None where anything on the way is missing or null."""
    for key in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
    return node


def number(node: object, *path: str) -> float | None:
    """A finite number at a path; None where there is none."""
    value = at(node, *path)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def words(node: object, *path: str) -> str:
    """Text at a path; "" where there is none."""
    value = at(node, *path)
    return value if isinstance(value, str) else ""


def branch(node: object, *path: str) -> Mapping[str, object]:
    """An object at a path; empty where there is none."""
    value = at(node, *path)
    return value if isinstance(value, Mapping) else {}


def listed(node: object, *path: str) -> tuple[str, ...]:
    """A list of texts at a path; empty where there is none."""
    value = at(node, *path)
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(str(item) for item in value) if isinstance(value, Sequence) and is_list else ()


def shown(value: float | None, digits: int, *, scale: float = 1.0) -> str:
    """A number to so many digits, or a dash."""
    return DASH if value is None else f"{value * scale:.{digits}f}"


def counted(part: float | None, whole: float | None) -> str:
    """``118 / 120``; a dash where nothing was counted."""
    return DASH if part is None and whole is None else f"{shown(part, 0)} / {shown(whole, 0)}"


ANSWER_HEAD = (
    "planner",
    "failed",
    "kinds",
    "consistent",
    "constant",
    "tokens in / out",
    "ms mean / p50 / p95",
)
"""Heads of the columns of ``AnswerRow``."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """How one planner answered, in words: failures, consistency, tokens, time."""

    planner: str
    marks: tuple[str, ...]
    failed: str
    kinds: str
    consistency: str
    constant: str
    tokens: str
    ms: str

    @property
    def cells(self) -> tuple[str, ...]:
        """All but the planner, in order."""
        return (self.failed, self.kinds, self.consistency, self.constant, self.tokens, self.ms)


def marks_of(results: Mapping[str, object], planner: Mapping[str, object]) -> tuple[str, ...]:
    """A planner with a model reads the prompt, so a leaking input marks it."""
    untrained = (UNTRAINED,) if at(planner, "untrained") is True else ()
    leaks = (LEAK,) if listed(results, "leaks") and at(planner, "model") is not None else ()
    return (*untrained, *leaks)


def answer_rows(results: Mapping[str, object]) -> tuple[AnswerRow, ...]:
    """One row per planner."""
    rows = []
    for name, planner in branch(results, "planners").items():
        kinds = branch(planner, "failures", "by_kind")
        rows.append(
            AnswerRow(
                planner=words(planner, "label") or name,
                marks=marks_of(results, branch(planner)),
                failed=counted(
                    number(planner, "failures", "failed"), number(planner, "failures", "total")
                ),
                kinds=", ".join(f"{shown(number(kinds, k), 0)} {k}" for k in kinds if kinds[k]),
                consistency=_share(branch(planner, "consistency"), counts=True),
                constant=_share(branch(planner, "consistency", "own_constant"), counts=False),
                tokens=_pair(planner, "tokens", ("prompt_mean", "reply_mean")),
                ms=_pair(planner, "ms", ("mean", "p50", "p95")),
            )
        )
    return tuple(rows)


def _share(node: Mapping[str, object], *, counts: bool) -> str:
    rate = number(node, "rate")
    if not node or (rate is None and not counts):
        return DASH
    percent = DASH if rate is None else f"{rate * 100:.1f} %"
    if counts:
        return f"{percent} of {shown(number(node, 'judged'), 0)}"
    return f"{percent} {words(node, 'decision')}".strip()


def _pair(planner: object, group: str, keys: Sequence[str]) -> str:
    values = [number(planner, group, key) for key in keys]
    if all(value is None for value in values):
        return DASH
    text = " / ".join(shown(value, 0 if value is None or value >= 10 else 1) for value in values)
    base = number(planner, group, "n")
    return text if base is None else f"{text} of {shown(base, 0)}"


def detection_rows(
    results: Mapping[str, object],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Figures of what planners say is there, a column each; both empty where nobody has any.

    Nested figures follow in rows of their own; a class without a labelled object has none.
    """
    named = {
        words(planner, "label") or name: dict(_flat(branch(planner, "detection")))
        for name, planner in branch(results, "planners").items()
        if branch(planner, "detection")
    }
    keys = dict.fromkeys(key for figures in named.values() for key in figures)
    rows = [(key, *(figures.get(key, DASH) for figures in named.values())) for key in keys]
    return (("detection", *named), tuple(rows)) if rows else ((), ())


def _flat(figures: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and figures in words. Notes are told elsewhere; where nothing failed, the lenient
    reading is the strict one."""
    for key in figures:
        name, inner = f"{before}{key.replace('_', ' ')}", branch(figures, key)
        if key == "lenient" and number(figures, "failed") == 0:
            continue
        if key == "by_class":
            for category in inner:
                if number(inner, category, "ap") is not None:
                    base = shown(number(inner, category, "n"), 0)
                    ap = shown(number(inner, category, "ap"), 3)
                    yield f"{before}AP {category.replace('_', ' ')}", f"{ap} of {base}"
        elif inner:
            yield from _flat(inner, f"{name}: ")
        elif key != "note":
            yield name, _figure(figures, key)


def _figure(figures: Mapping[str, object], key: str) -> str:
    value = number(figures, key)
    if value is None:
        return words(figures, key) or DASH
    return f"{value:.0f}" if isinstance(figures[key], int) else f"{value:.3f}"


def headline(results: Mapping[str, object]) -> str:
    """What was planned, on how much, asked how."""
    parts = [words(results, "data", "name") or "unnamed data"]
    if at(results, "synthetic") is True:
        parts.append(SYNTHETIC)
    clips, scenes = number(results, "data", "clips"), number(results, "data", "scenes")
    parts.append(f"{shown(clips, 0)} clips of {shown(scenes, 0)} scenes")
    prompt = words(results, "prompt", "name")
    if prompt:
        parts.append(f"prompt {prompt} {words(results, 'prompt', 'digest')[:8]}".rstrip())
    # A run with covered eyes must not read like one with open eyes.
    parts += [f"{block} {state}" for block, state in _switched(results)]
    return " · ".join(parts)


def _switched(results: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The blocks that are not shown as they are."""
    for block in branch(results, "blocks"):
        state = words(results, "blocks", block)
        if state not in ("", "on"):
            yield block, state


def remarks(results: Mapping[str, object]) -> tuple[str, ...]:
    """What a reader must know beside the numbers: leaks, strict and lenient, notes by protocol."""
    lines = [f"{LEAK} {leak}: a real vehicle cannot know this" for leak in listed(results, "leaks")]
    if at(results, "synthetic") is True:
        lines.append(f"{SYNTHETIC}: generated scenes; no figure here says anything of real roads")
    if any(at(planner, UNTRAINED) is True for planner in branch(results, "planners").values()):
        lines.append(OF_UNTRAINED)
    for name, planner in branch(results, "planners").items():
        taught = branch(planner, "learned_from")
        if taught:
            clips, scenes = (shown(number(taught, f"train_{k}"), 0) for k in ("clips", "scenes"))
            data = words(taught, "train_data", "name")
            others = f"{scenes} other scene{'s' * (scenes != '1')}"
            lines.append(f"{name} learned from {clips} clips of {others} of {data}")
    if any(_scored(results)):
        fallback = words(results, "fallback") or "stop"
        lines.append(
            f"Strict: a failed answer counts as the fallback plan ({fallback}). "
            "Lenient: it is left out. Protocols do not compare."
        )
    else:
        lines.append("No plan is scored: there is no recorded future, or no protocol was asked for")
    return (*lines, *_notes(branch(results, "planners")))


def _scored(results: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Every planner's scores under every protocol."""
    for planner in branch(results, "planners").values():
        yield from (branch(score) for score in branch(planner, "protocols").values())


def _notes(planners: Mapping[str, object]) -> Iterator[str]:
    """Each note once, with its protocols, and with its planners where it is not true of all."""
    said: dict[tuple[str, str], list[str]] = {}
    of_protocol: dict[str, list[str]] = {}
    for name, planner in planners.items():
        label = words(planner, "label") or name
        for protocol, score in branch(planner, "protocols").items():
            if not branch(score):
                continue
            of_protocol.setdefault(protocol, []).append(label)
            for note in listed(score, "notes"):
                said.setdefault((protocol, note), []).append(label)
        for note in listed(planner, "twins", "notes"):
            of_protocol.setdefault("twins", [])
            if label not in of_protocol["twins"]:
                of_protocol["twins"].append(label)
            said.setdefault(("twins", note), []).append(label)
        found = branch(planner, "detection")
        for key, node in (("detection", found), ("detection, nuscenes", branch(found, "nuscenes"))):
            note = words(node, "note")
            if note:
                of_protocol.setdefault(key, []).append(label)
                said.setdefault((key, note), []).append(label)
    told: dict[tuple[str, str], list[str]] = {}
    for (protocol, note), labels in said.items():
        whose = "" if labels == of_protocol[protocol] else f" ({', '.join(labels)})"
        told.setdefault((note, whose), []).append(protocol)
    for (note, whose), protocols in told.items():
        yield f"{', '.join(protocols)}{whose}: {note}"
