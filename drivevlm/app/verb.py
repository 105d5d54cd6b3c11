"""What a verb of the command line is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivevlm.app.settings import EVAL, Root


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it does, lines that work when pasted, and what runs."""

    summary: str
    examples: tuple[str, ...]
    run: Callable[[list[str]], int]
    settings: bool = True
    defaults: tuple[str, ...] = ()
    """Settings that it has unless told otherwise."""
    own: type | tuple[str, ...] = ()
    """What else it can be told: a config class, or lines."""
    root: Root = EVAL
    """What its settings are composed from."""
