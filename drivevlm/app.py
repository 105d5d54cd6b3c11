"""The command line: verbs first, then ``key=value``. The only place that knows Hydra."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from drivevlm import __version__
from drivevlm.build import verbs
from drivevlm.build.assets import asset_folder
from drivevlm.build.settings import SettingError
from drivevlm.build.table import CONFIG_GROUPS, ROOT_SETTINGS

Words = Sequence[str]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it does, lines that work when pasted, and what runs."""

    summary: str
    examples: tuple[str, ...]
    run: Callable[[list[str]], int]
    settings: bool = True


def main(arguments: Words | None = None) -> int:
    """Run one verb; returns the exit code. Errors of the user's world end in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    name, rest = _verb(words)
    if name is None:
        return _overview(words)
    if {"--help", "-h"} & set(rest):
        _help(name)
        return 0
    try:
        return VERBS[name].run(rest)
    except verbs.USER_ERRORS as error:
        print(f"drivevlm {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"drivevlm {name}: stopped; nothing decided so far is lost", file=sys.stderr)
        return 130


def composed(overrides: Words) -> tuple[dict[str, Any], dict[str, str]]:
    """The resolved settings as plain values, and which member of each group was chosen.

    Raises SettingError for a key or a choice that does not exist, with the nearest that does.
    """
    wrong = [word for word in overrides if "=" not in word]
    if wrong:
        raise SettingError(f"expected key=value, got {wrong[0]!r}")
    with initialize_config_dir(str(asset_folder("configs")), version_base="1.3"):
        _register()
        try:
            config = compose("settings", overrides=list(overrides), return_hydra_config=True)
            chosen = dict(config.hydra.runtime.choices)
        except MissingConfigException as error:
            raise SettingError(_no_such_choice(error)) from None
        except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
            raise SettingError(_no_such_key(error, overrides)) from None
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)  # a composed configuration is a mapping
    del values["hydra"]
    groups = {name: chosen[name] for name in CONFIG_GROUPS}
    return {str(key): value for key, value in values.items()}, groups


def _register() -> None:
    """Every config dataclass becomes the default of its group; YAML adds differences only."""
    store = ConfigStore.instance()
    for group, members in CONFIG_GROUPS.items():
        for name, defaults in members.items():
            store.store(group=group, name=f"{name}_defaults", node=defaults, provider="drivevlm")
    store.store(name="root_defaults", node=ROOT_SETTINGS, provider="drivevlm")


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).partition("/")
    members = list(CONFIG_GROUPS.get(group, {}))
    return f"{group}={name} does not exist{_nearest(name, members)}: there are {', '.join(members)}"


def _no_such_key(error: Exception, overrides: Words) -> str:
    text = " ".join(str(error).split())
    found = re.search(r"Could not override '([^']+)'", text)
    if not found:
        return text
    groups = [word for word in overrides if word.split("=")[0] in CONFIG_GROUPS]
    known = list(_keys(compose("settings", overrides=groups)))
    return f"{found[1]} is no setting{_nearest(found[1], known)}: see drivevlm eval --help"


def _nearest(word: str, known: Words) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{prefix}{key}.")


def _verb(words: list[str]) -> tuple[str | None, list[str]]:
    """The longest verb that the words begin with, and the rest of them."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in VERBS:
            return name, words[length:]
    return None, words


def _overview(words: list[str]) -> int:
    asked = not words or words[0] in ("--help", "-h", "help")
    out = sys.stdout if asked else sys.stderr
    if not asked:
        print(f"drivevlm: {words[0]!r} is no verb{_nearest(words[0], list(VERBS))}", file=out)
    print("An open end-to-end driving VLM.\n", file=out)
    for name, verb in VERBS.items():
        print(f"  drivevlm {name:<14} {verb.summary}", file=out)
    print("\ndrivevlm VERB --help shows its settings and lines that work when pasted.", file=out)
    return 0 if asked else 2


def _help(name: str) -> None:
    verb = VERBS[name]
    print(f"drivevlm {name}: {verb.summary}\n")
    for example in verb.examples:
        print(f"    {example}")
    if not verb.settings:
        return
    values, _ = composed([])
    print("\nGroups, chosen by GROUP=NAME:\n")
    for group, members in CONFIG_GROUPS.items():
        print(f"  {group:<8} {', '.join(members)}")
    print("\nSettings and their defaults, changed by KEY=VALUE (lists: KEY=[a,b]):\n")
    print("  " + OmegaConf.to_yaml(OmegaConf.create(values)).replace("\n", "\n  ").rstrip())
