"""The planner of a node, put together from its parameters as from words after ``drivevlm eval``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from drivevlm.baselines import MOTIONS, Baseline
from drivevlm.build.asked import asked_with, default_members
from drivevlm.build.assets import asset_folder
from drivevlm.build.parts import switches
from drivevlm.build.settings import SettingError, plain
from drivevlm.build.table import BlockSettings, Chosen, RunSettings, Say, group_defaults
from drivevlm.build.taught import unlike_taught
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.drive.node_config import EMBEDDED, NodeConfig, ObjectsType, PlannerConfig
from drivevlm.planner import Planner, VLMPlanner
from drivevlm.vlm.config import NativeConfig

OF_A_RUN = ("seed", "deadline_s")
OURS = "drivevlm"
"""What ``config.json`` of a model of our own calls its type."""


def node_planner(config: NodeConfig, say: Say = lambda text: None) -> Planner:
    """The planner that a node's parameters name. To load its model may take minutes.

    ``say`` is told what long thing is going on, and of a prompt that the model was not taught.

    Raises SettingError in one line, and what a prompt or a model raises that cannot be read.
    """
    chosen = chosen_of(config.planner)
    (name, *others), prompt = chosen.settings.planner, chosen.prompt
    if others:
        raise SettingError(f"planner: a node has one, got {', '.join((name, *others))}")
    if name in MOTIONS:
        return Baseline(name, prompt.steps, prompt.dt_s)
    if name != "vlm":
        raise SettingError(
            f"planner={name} needs a recording, and a node has none: take vlm, {', '.join(MOTIONS)}"
        )
    dialogue = Dialogue.of(prompt, switches(chosen), asset_folder("prompts"))
    _check(dialogue, config)
    vlm = chosen.model(say)
    settings = chosen.vlm[1]
    if isinstance(settings, NativeConfig):
        for doubt in unlike_taught(settings.folder, dialogue):
            say(doubt)
    told = config.objects.type is not ObjectsType.NONE
    dialogue = dialogue.fitted(vlm, config.drive.sync.top_k if told else 0)
    run = chosen.settings.run
    return VLMPlanner("vlm", vlm, dialogue, deadline_s=run.deadline_s, seed=run.seed)


def chosen_of(config: PlannerConfig) -> Chosen:
    """The configuration that the words stand for, with no Hydra to compose it.

    Raises SettingError for a word that a node does not know, with the nearest that it does.
    """
    words = [*_words_of_model(config), *config.settings]
    # A node has no data, and one clip at a time.
    asked = [word for word in asked_with(words) if word.startswith(("prompt", "block"))]
    chosen = {group: name for group, name in default_members().items() if group != "data"}
    changes = list[tuple[str, Any]]()
    for word in (*asked, *words):
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingError(f"planner.settings: expected key=value, got {word!r}")
        if key in chosen:
            chosen[key] = value
        else:
            changes.append((key, _value(key, value)))
    run = plain(RunSettings())
    values: dict[str, Any] = {
        "planner": ["vlm"],
        "block": plain(BlockSettings()),
        "run": {name: run[name] for name in OF_A_RUN},
        **{group: _member(group, name) for group, name in chosen.items()},
    }
    for key, value in changes:
        _set(values, key, value)
    _check_blocks(values["block"])
    nothing = {"data": group_defaults()["data"]["frames"]}  # pictures come over topics
    return Chosen.of(values | nothing, {**chosen, "data": "frames"})


def _words_of_model(config: PlannerConfig) -> Iterator[str]:
    """``planner.model_path`` in words; which engine serves it is read from its folder."""
    if config.model_path in ("", EMBEDDED):
        return
    named = {word.partition("=")[0] for word in config.settings}
    if "vlm.model" in named:
        raise SettingError("planner.model_path and vlm.model in planner.settings name one model")
    if "vlm" not in named:
        yield f"vlm={'native' if _model_type(config.model_path) == OURS else 'hf'}"
    yield f"vlm.model={json.dumps(config.model_path)}"


def _model_type(folder: str) -> str:
    path = Path(folder).expanduser() / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError) as error:
        raise SettingError(f"planner.model_path={folder} holds no model: {error}") from None


def _value(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingError(f"{key}: {text!r} is no value (lists are written [a,b])") from None


def _member(group: str, name: str) -> dict[str, Any]:
    """A group's member: the defaults of its dataclass, and what its file says beyond them."""
    table, path = group_defaults()[group], asset_folder("configs") / group / f"{name}.yaml"
    known = sorted({*table, *(file.stem for file in path.parent.glob("*.yaml"))} - {group})
    if name not in known:
        raise SettingError(f"{group}={name} does not exist: there are {', '.join(known)}")
    values: dict[str, Any] = dict(table[group] if group in table else table[name])
    if path.is_file():
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        _merge(values, {key: value for key, value in told.items() if key != "defaults"})
    return values


def _merge(values: dict[str, Any], told: Mapping[str, Any]) -> None:
    for key, value in told.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *groups, name = key.split(".")
    inner: Any = values
    for group in groups:
        inner = inner.get(group) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or name not in inner or isinstance(inner[name], dict):
        near = get_close_matches(key, list(_keys(values)), n=1, cutoff=0.5)
        hint = f", did you mean {near[0]}?" if near else ""
        raise SettingError(f"planner.settings: {key} is no setting of a node{hint}")
    inner[name] = value


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _check_blocks(blocks: Mapping[str, Any]) -> None:
    for name, setting in blocks.items():
        if setting in ("mean", "shuffle", "swap"):
            raise SettingError(
                f"block.{name}={setting} takes the contents of other clips, and a node has none: "
                "take on, off or blank"
            )


def _check(dialogue: Dialogue, config: NodeConfig) -> None:
    """What a prompt asks for that a node cannot have."""
    images, cameras = dialogue.config.images, config.drive.sync.cameras
    if dialogue.example_count:
        raise SettingError(
            f"prompt {dialogue.config.name} shows examples of other scenes, and a node has none: "
            "prompt.examples=0"
        )
    strangers: Sequence[str] = [n for n in (*images.cameras, *images.fovea) if n not in cameras]
    if strangers:
        raise SettingError(
            f"prompt.images: there is no camera {strangers[0]}, sync.cameras has "
            f"{', '.join(cameras)}"
        )
