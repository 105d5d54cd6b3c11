"""Small JSON files that a user hands in, by sample token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from drivevlm.data.recording import DataError


def read_by_token(path: str, *, known: Container[str], what: str) -> dict[str, Any]:
    """A JSON object whose keys are sample tokens of this recording."""
    try:
        values = json.loads(Path(path).expanduser().read_text())
    except OSError as error:
        raise DataError(f"{what}: cannot read {path} ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{what}: {path} is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise DataError(f"{what}: {path} must hold an object {{sample_token: ...}}")
    strangers = [token for token in values if token not in known]
    if strangers:
        raise DataError(
            f"{what}: {path} has {len(strangers)} tokens that are not in this recording, "
            f"the first is {strangers[0]!r}: is it of another version?"
        )
    return values


def read_summaries(path: str, *, known: Container[str]) -> Mapping[str, str]:
    """Scene summaries by token; empty without a path."""
    if not path:
        return {}
    values = read_by_token(path, known=known, what="data.summaries")
    wrong = [token for token, text in values.items() if not isinstance(text, str)]
    if wrong:
        raise DataError(f"data.summaries: {path} must hold texts, {wrong[0]} has none")
    return values


def file_digest(path: str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
