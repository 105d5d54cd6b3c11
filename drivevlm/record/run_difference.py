"""What two runs were made with differently: settings, and the words of their prompts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivevlm.record.decision_json import Json

SHORT = 12
"""So much of a digest is enough to tell two apart."""


def settings_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every place where two nested values differ: ``setting``, and its value in ``a`` and ``b``."""
    flat = dict(_flat(a)), dict(_flat(b))
    names = [*flat[0], *(name for name in flat[1] if name not in flat[0])]
    told = [
        {"setting": name, "a": _words(flat[0].get(name)), "b": _words(flat[1].get(name))}
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]
    return [
        {**row, **_shortened(row)} if row["setting"].endswith("digest") else row for row in told
    ]


def made_with(manifest: Json, values: Mapping[str, Any], groups: Mapping[str, str]) -> Json:
    """All that can make one run's decisions differ from another's, by setting."""
    identity, start = manifest["identity"], manifest["starts"][-1]
    of_data = {key: value for key, value in values["data"].items() if key not in ("root", "cache")}
    return {
        "data": {"": groups["data"], **of_data, "digest": identity["data"]["digest"]},
        "prompt": identity["prompt"],
        "block": identity["blocks"],
        "model": identity["models"],
        "vlm": {"": groups["vlm"], **values["vlm"]},
        "run": {"seed": identity["seed"], "deadline_s": identity["deadline_s"]},
        "code": {"commit": _commit(start["git"]), **start["environment"]["packages"]},
        "machine": {"gpu": start["environment"]["gpu"]},
    }


def words_difference(a: Path, b: Path) -> list[str]:
    """Lines of a unified difference of two runs' prompt folders; a prompt beside its like."""
    texts = _texts(a), _texts(b)
    lines: list[str] = []
    for name in dict.fromkeys([*texts[0], *texts[1]]):
        lines += text_difference(texts[0].get(name, ""), texts[1].get(name, ""), name)
    return lines


def text_difference(a: str, b: str, name: str = "") -> list[str]:
    """Lines of a unified difference of two texts; none where they are equal."""
    heads = (f"a {name}".strip(), f"b {name}".strip())
    pair = (a.splitlines(), b.splitlines())
    return list(difflib.unified_diff(*pair, *heads, n=2, lineterm=""))


def _flat(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name and key else name or str(key))
    else:
        yield name, node


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shortened(row: Mapping[str, str]) -> dict[str, str]:
    return {side: row[side][:SHORT] for side in ("a", "b")}


def _commit(git: Mapping[str, Any]) -> str:
    commit = (git["commit"] or "not in a checkout")[:SHORT]
    return f"{commit}{' + uncommitted changes' if git['dirty'] else ''}"


def _texts(folder: Path) -> dict[str, str]:
    """The prompt itself under one name for every run, then its parts under their own."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    own = [path for path in paths if path.parent == folder]
    name = {path: str(path.relative_to(folder)) for path in paths}
    if len(own) == 1:
        name[own[0]] = "prompt"
    return {name[path]: path.read_text(encoding="utf-8") for path in [*own, *set(paths) - {*own}]}
