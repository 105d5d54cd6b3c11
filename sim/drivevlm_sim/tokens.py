"""Tokens that depend on names alone: the same world gets the same ones, wherever it is made."""

from __future__ import annotations

import hashlib


def token(*names: object) -> str:
    """32 hexadecimal digits."""
    words = "\0".join(str(name) for name in names)
    return hashlib.sha256(words.encode()).hexdigest()[:32]
