"""Small JSON files that a user hands in, by sample token: summaries and commands."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivevlm.data.nuscenes.folder import read_json
from drivevlm.data.recording import DataError
from drivevlm.world.clip import RouteCommand
from drivevlm.world.sets import Command, Provenance


def read_summaries(path: Path, *, known: Container[str]) -> dict[str, str]:
    """Scene summaries by token. They may be sparse: each holds until the scene's next one."""
    texts = _by_token(path, known=known, what="data.summaries")
    for token, text in texts.items():
        if not (isinstance(text, str) and text.strip()):
            raise DataError(f"data.summaries: {path}: expected a text for {token}, got {text!r}")
    return texts


def read_commands(
    path: Path, *, known: Container[str], wanted: Sequence[str]
) -> dict[str, RouteCommand | None]:
    """Commands by token; every wanted token must be spoken of, with null where there is none."""
    values = _by_token(path, known=known, what="data.command")
    missing = [token for token in wanted if token not in values]
    if missing:
        raise DataError(
            f"data.command: {path} lacks {len(missing)} of {len(wanted)} chosen keyframes, "
            f"e.g. {missing[0]}: write null where there is no command"
        )
    return {token: _command(path, token, value) for token, value in values.items()}


def _by_token(path: Path, *, known: Container[str], what: str) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{what}: {path} must hold an object {{sample_token: ...}}")
    check_tokens(values, path=path, known=known, what=what)
    return values


def check_tokens(
    by_token: Mapping[str, object], *, path: Path, known: Container[str], what: str
) -> None:
    """Raise DataError where a file speaks of keyframes that the version does not have."""
    strangers = [token for token in by_token if token not in known]
    if strangers:
        raise DataError(
            f"{what}: {path} has {len(strangers)} of {len(by_token)} sample tokens that this "
            f"version does not know, e.g. {strangers[0]!r}: it was made for another version"
        )


def _command(path: Path, token: str, value: Any) -> RouteCommand | None:
    if value is None:
        return None
    fields = {"command": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not set(fields) <= {"command", "text", "distance_m"}:
        raise DataError(
            f"data.command: {path}: {token} takes a word, null or {{command, text, distance_m}}, "
            f"got {value!r}"
        )
    word, text, distance_m = fields.get("command"), fields.get("text"), fields.get("distance_m")
    words = [command.value for command in Command]
    if word not in words:
        raise DataError(
            f"data.command: {path}: {token} has {word!r}, expected one of {', '.join(words)}"
        )
    if not isinstance(text or "", str):
        raise DataError(f"data.command: {path}: {token} has text {text!r}, expected a string")
    number = isinstance(distance_m, (int, float)) and 0 <= distance_m < float("inf")
    if distance_m is not None and not number:
        raise DataError(
            f"data.command: {path}: {token} has distance_m {distance_m!r}, expected metres ahead"
        )
    return RouteCommand(Command(word), Provenance.FILE, text or "", distance_m)
