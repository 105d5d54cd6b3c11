"""The command line: verbs first, then ``key=value``. The only place that knows Hydra."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from drivevlm import __version__, verbs
from drivevlm.build.assets import asset_folder
from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm.build.table import CHOICES, Settings, group_defaults, settings_class
from drivevlm.record.run_folder import RecordError, read_manifest

Words = Sequence[str]
GROUPS = ("data", "vlm", "prompt")


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
    try:
        if {"--help", "-h"} & set(rest):
            return _help(name, rest)
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


def composed(overrides: Words) -> tuple[dict[str, Any], dict[str, str]]:
    """The resolved settings as plain values, and which member of each group was chosen.

    Raises SettingError for a key or a choice that does not exist, with the nearest that does.
    """
    wrong = [word for word in overrides if "=" not in word]
    if wrong:
        raise SettingError(f"expected key=value, got {wrong[0]!r}")
    foreign = [word for word in overrides if word.startswith(("hydra.", "hydra/", "+", "~"))]
    if foreign:
        raise SettingError(f"{foreign[0]} is no setting of drivevlm: see drivevlm eval --help")
    with initialize_config_dir(str(asset_folder("configs")), version_base="1.3"):
        _register()
        try:
            config = compose("settings", overrides=list(overrides), return_hydra_config=True)
            chosen = dict(config.hydra.runtime.choices)
        except MissingConfigException as error:
            raise SettingError(_no_such_choice(error)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise SettingError(_no_such_key(error, overrides)) from None
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values = OmegaConf.to_container(own, resolve=True)
    assert isinstance(values, dict)  # a composed configuration is a mapping
    return {str(key): value for key, value in values.items()}, {g: chosen[g] for g in GROUPS}


def recorded(run: Path, overrides: Words) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings that a run was made with, with some of them changed.

    Raises SettingError for a key that the run does not have, RecordError where it is no run.
    """
    groups = read_manifest(run).get("groups")
    path = run / "config.yaml"
    if groups is None or not path.exists():
        raise RecordError(f"{run} was not made by drivevlm eval, or lacks its config.yaml")
    saved = OmegaConf.load(path)
    OmegaConf.set_struct(saved, True)
    for word in overrides:
        key, _, value = word.partition("=")
        if key == "out":
            raise SettingError(f"a report is written into its run's folder, {run}")
        if key in GROUPS:
            raise SettingError(f"{key} was chosen when {run} was made; a report cannot change it")
        _change(saved, key, value, f"setting of {run}")
    values = OmegaConf.to_container(saved, resolve=True)
    assert isinstance(values, dict)  # it was written as a mapping
    return {str(key): value for key, value in values.items()}, groups


def _change(config: Any, key: str, value: str, what: str) -> None:
    """Set a key that is there already. Raises SettingError, which calls it ``what``."""
    try:
        OmegaConf.update(config, key, yaml.safe_load(value), merge=False)
    except yaml.YAMLError:
        raise SettingError(f"{key}: {value!r} is no value (lists are written [a,b])") from None
    except (OmegaConfBaseException, AttributeError):
        known = list(_keys(DictConfig(config)))
        raise SettingError(f"{key} is no {what}{_nearest(key, known)}") from None


def _register() -> None:
    """Every config dataclass becomes the default of its group; YAML adds differences only."""
    store = ConfigStore.instance()
    for group, members in group_defaults().items():
        for name, defaults in members.items():
            name = name if group != "prompt" else "prompt_defaults"
            store.store(group=group, name=name, node=defaults, provider="drivevlm")
    store.store(name="root_defaults", node=plain(Settings()), provider="drivevlm")


def _members(group: str) -> list[str]:
    """Names in a group: from the table, and from its YAML files."""
    files = asset_folder("configs").glob(f"{group}/*.yaml")
    table = [] if group == "prompt" else list(group_defaults()[group])
    return sorted({*table, *(file.stem for file in files)})


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).partition("/")
    members = _members(group)
    return f"{group}={name} does not exist{_nearest(name, members)}: there are {', '.join(members)}"


def _no_such_key(error: Exception, overrides: Words) -> str:
    text = " ".join(str(error).split())
    found = re.search(r"Could not override '([^']+)'", text)
    if not found:
        return text
    groups = [word for word in overrides if word.split("=")[0] in GROUPS]
    known = list(_keys(compose("settings", overrides=groups)))
    return f"{found[1]} is no setting{_nearest(found[1], known)}: see drivevlm eval --help"


def _nearest(word: str, known: Words) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        key = f"{prefix}{name!s}"
        yield key
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{key}.")


def _verb(words: list[str]) -> tuple[str | None, list[str]]:
    """The longest verb that the words begin with, and the rest of them."""
    if words[:1] == ["prompt"] and words[1:2] != ["show"]:
        return "prompt show", ["--help"]
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


def _help(name: str, words: Words) -> int:
    """Examples, and the settings of the groups that the words choose."""
    verb = VERBS[name]
    print(f"drivevlm {name}: {verb.summary}\n")
    for example in verb.examples:
        print(f"    {example}")
    if not verb.settings:
        return 0
    chosen = [word for word in words if word.partition("=")[0] in GROUPS]
    values, groups = composed(chosen)
    print("\nGroups, chosen by GROUP=NAME; name one before --help to see its settings:\n")
    for group in GROUPS:
        print(f"  {group:<8} {', '.join(_members(group))} (here: {groups[group]})")
    print("\nChoices:\n")
    for setting, choices in CHOICES.items():
        print(f"  {setting:<16} {', '.join(choices)}")
    print("\nSettings and their defaults, changed by KEY=VALUE (lists: KEY=[a,b]):\n")
    print("  " + OmegaConf.to_yaml(OmegaConf.create(values)).replace("\n", "\n  ").rstrip())
    for group in ("data", "vlm"):
        print(f"\n{group}={groups[group]}: {_described(settings_class(group, groups[group]))}")
    return 0


def _described(settings: type) -> str:
    """What a config class says of its fields."""
    head, _, fields = (inspect.getdoc(settings) or "").partition("Attributes:\n")
    return f"{head.strip()}\n\n{fields.rstrip()}"


def _eval(words: list[str]) -> int:
    values, groups = composed(words)
    print(verbs.evaluate(values, groups, Console()))
    return 0


def _score(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise SettingError("expected a plan file: drivevlm score plans.json data=...")
    path, overrides = Path(words[0]), words[1:]
    given = {word.partition("=")[0] for word in overrides}
    overrides = [*(word for key, word in SCORE_DEFAULTS.items() if key not in given), *overrides]
    values, groups = composed(overrides)
    print(verbs.score(path, values, groups, Console()))
    return 0


def _protocols(words: list[str]) -> int:
    verbs.protocols(words, Console())
    return 0


def _prompt_show(words: list[str]) -> int:
    clip, words = _taken("clip", words)
    images, words = _taken("images", words)
    run, words = _taken("run", words)
    if clip is not None and not clip.isdecimal():
        raise SettingError(f"clip takes a number, counted from 0, got {clip!r}")
    values, groups = composed(words)
    verbs.show_prompt(
        values,
        groups,
        Console(),
        clip=int(clip or 0),
        images=None if images is None else Path(images),
        run=None if run is None else Path(run),
    )
    return 0


def _report(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise SettingError("expected a run folder: drivevlm report runs/...")
    run, overrides = Path(words[0]), words[1:]
    values, groups = recorded(run, overrides)
    print(verbs.report(run, values, groups, Console()))
    return 0


def _compare(words: list[str]) -> int:
    if len(words) < 2 or any("=" in word for word in words[:2]):
        raise SettingError("expected two run folders: drivevlm compare runs/a runs/b")
    config = OmegaConf.create(plain(verbs.CompareSettings()))
    OmegaConf.set_struct(config, True)
    for word in words[2:]:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingError(f"expected key=value after the two folders, got {word!r}")
        listed = key in ("planner", "protocol") and "," in value and "[" not in value
        _change(config, key, f"[{value}]" if listed else value, "setting of compare")
    told = OmegaConf.to_container(config)
    assert isinstance(told, dict)  # it was made from a mapping
    values = {str(key): value for key, value in told.items()}
    settings = settings_from(verbs.CompareSettings, values)
    a, b = ((Path(word), recorded(Path(word), [])) for word in words[:2])
    print(verbs.compare(a, b, settings, Console()))
    return 0


def _table(words: list[str]) -> int:
    published, words = _taken("published", words)
    out, words = _taken("out", words)
    if not words or any("=" in word for word in words):
        raise SettingError(
            "expected run folders, published=PROTOCOL and out=FOLDER: drivevlm table runs/a runs/b"
            f", got {' '.join(words) or 'nothing'}"
        )
    folder = None if out is None else Path(out)
    runs = [Path(word) for word in words]
    print(verbs.table(runs, Console(), published=published or "", out=folder))
    return 0


def _merge(words: list[str]) -> int:
    out, parts = _taken("out", words)
    if out is None or not parts:
        raise SettingError(
            "expected out=FOLDER and the parts: drivevlm merge out=runs/all runs/a ..."
        )
    print(verbs.merge([Path(part) for part in parts], Path(out)))
    return 0


def _taken(key: str, words: list[str]) -> tuple[str | None, list[str]]:
    """The value of ``key=`` among the words, and the other words."""
    found = [word.partition("=")[2] for word in words if word.startswith(f"{key}=")]
    rest = [word for word in words if not word.startswith(f"{key}=")]
    return (found[-1] if found else None), rest


SCORE_DEFAULTS = {
    "protocol": "protocol=all",
    "planner": "planner=[expert,stop,constant_velocity,ctrv,ego_mlp]",
}
"""What ``score`` does unless told otherwise: every protocol, and the rows that belong beside."""

VERBS = {
    "eval": Verb(
        "plan a recording in open loop, score it, write a table and a page",
        (
            "drivevlm eval",
            "drivevlm eval planner=[constant_velocity,stop,expert] page.clips=5",
            "drivevlm eval prompt=plan_only block.cameras=blank data.world.keyframes=3",
            "drivevlm eval data=nuscenes data.root=/data/nuscenes data.version=v1.0-mini"
            " vlm=hf vlm.model=/models/some-vlm",
        ),
        _eval,
    ),
    "score": Verb(
        "score a plan file under every protocol, beside the baselines",
        (
            "drivevlm score plans.json data=nuscenes data.root=/data/nuscenes"
            " data.version=v1.0-trainval data.split=val out=scores/mine",
            "drivevlm score plans.json protocol=[exact,uniad,vad] planner=[expert,stop]",
        ),
        _score,
    ),
    "protocols": Verb(
        "what each protocol counts and how; one of them with its quirks",
        ("drivevlm protocols", "drivevlm protocols vad"),
        _protocols,
        settings=False,
    ),
    "prompt show": Verb(
        "print the exact messages of one clip (clip=N), with a run's memory (run=DIR)",
        (
            "drivevlm prompt show clip=3",
            "drivevlm prompt show clip=3 prompt=few_shot block.prior=off images=runs/pictures",
            "drivevlm prompt show clip=3 run=runs/baselines",
        ),
        _prompt_show,
    ),
    "report": Verb(
        "make table and page again from a run folder, without its model",
        ("drivevlm report runs/baselines", "drivevlm report runs/baselines page.clips=10"),
        _report,
        settings=False,
    ),
    "compare": Verb(
        "what became of one run in another: paired statistics, and the clips that changed",
        (
            "drivevlm compare runs/a runs/b",
            "drivevlm compare runs/a runs/b planner=vlm protocol=vad page.clips=50",
            "drivevlm compare runs/a runs/a planner=vlm,constant_velocity out=runs/beside",
        ),
        _compare,
        settings=False,
    ),
    "table": Verb(
        "one table over several runs, with published figures where they compare",
        (
            "drivevlm table runs/baselines",
            "drivevlm table runs/a runs/b scores/mine published=vad out=tables",
        ),
        _table,
        settings=False,
    ),
    "merge": Verb(
        "join the parts of a run that was made with run.shard=i/n",
        ("drivevlm merge out=runs/whole runs/part0 runs/part1",),
        _merge,
        settings=False,
    ),
}
