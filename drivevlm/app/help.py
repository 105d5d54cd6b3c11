"""What the command line says of itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence

import yaml

from drivevlm.app.commands import VERBS
from drivevlm.app.settings import EVAL, composed, members, nearest
from drivevlm.build.asked import ASKED, UNTAUGHT
from drivevlm.build.table import CHOICES, settings_class


def overview(words: Sequence[str]) -> int:
    """Every verb in a line; the exit code says whether that was asked for."""
    asked = not words or words[0] in ("--help", "-h", "help")
    out = sys.stdout if asked else sys.stderr
    if not asked:
        print(f"drivevlm: {words[0]!r} is no verb{nearest(words[0], list(VERBS))}", file=out)
    print("An open end-to-end driving VLM.\n", file=out)
    for name, verb in VERBS.items():
        print(f"  drivevlm {name:<14} {verb.summary}", file=out)
    print("\ndrivevlm VERB --help shows its settings and lines that work when pasted.", file=out)
    return 0 if asked else 2


def help_of(name: str, words: Sequence[str]) -> int:
    """Examples, and the settings of the groups that the words choose."""
    verb = VERBS[name]
    print(f"drivevlm {name}: {verb.summary}\n")
    for example in verb.examples:
        print(f"    {example}")
    if isinstance(verb.own, type):
        print(f"\n{_described(verb.own)}")
    elif verb.own:
        print("".join(f"\n  {line}" for line in verb.own))
    if not verb.settings:
        return 0
    chosen = [word for word in words if word.partition("=")[0] in verb.root.groups]
    values, groups = composed([*verb.defaults, *chosen], verb.root)
    print("\nGroups, chosen by GROUP=NAME; name one before --help to see its settings:\n")
    for group in verb.root.groups:
        print(f"  {group:<8} {', '.join(members(group))} (here: {groups[group]})")
    if verb.root == EVAL:
        print("\nWhat goes with each vlm where nothing else is typed:\n")
        for name in members("vlm"):
            print(f"  vlm={name:<12} {' '.join(ASKED.get(name, UNTAUGHT))}")
        print("\nChoices:\n")
        for setting, choices in CHOICES.items():
            print(f"  {setting:<16} {', '.join(choices)}")
    print("\nSettings and their defaults, changed by KEY=VALUE (lists: KEY=[a,b]):\n")
    print("  " + yaml.safe_dump(values, sort_keys=False).replace("\n", "\n  ").rstrip())
    for group in verb.root.groups:
        if group != "prompt":
            print(f"\n{group}={groups[group]}: {_described(settings_class(group, groups[group]))}")
    return 0


def _described(settings: type) -> str:
    """What a config class says of its fields."""
    head, _, fields = (inspect.getdoc(settings) or "").partition("Attributes:\n")
    return f"{head.strip()}\n\n{fields.rstrip()}"
