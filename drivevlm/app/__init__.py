"""The command line: verbs first, then ``key=value``. The only room that knows Hydra."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from drivevlm import __version__, verbs
from drivevlm.app.commands import VERBS
from drivevlm.app.help import help_of, overview
from drivevlm.app.settings import composed

__all__ = ["VERBS", "composed", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. Errors of the user's world end in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    name, rest = _verb(words)
    if name is None:
        return overview(words)
    try:
        if {"--help", "-h"} & set(rest):
            return help_of(name, rest)
        return VERBS[name].run(rest)
    except BrokenPipeError:
        # Whoever read along (a pager, head) has seen enough.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except verbs.USER_ERRORS as error:
        print(f"drivevlm {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"drivevlm {name}: stopped; nothing decided so far is lost", file=sys.stderr)
        return 130


def _verb(words: list[str]) -> tuple[str | None, list[str]]:
    """The longest verb that the words begin with, and the rest of them."""
    if words[:1] == ["prompt"] and words[1:2] != ["show"]:
        return "prompt show", ["--help"]
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in VERBS:
            return name, words[length:]
    return None, words
