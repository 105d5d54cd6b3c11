"""Settings from words: composed from the groups, or as a run recorded them. All Hydra is here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from drivevlm.build.asked import asked_with
from drivevlm.build.assets import asset_folder
from drivevlm.build.learning_settings import learn_defaults
from drivevlm.build.make_settings import make_defaults
from drivevlm.build.models import describe_defaults
from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm.build.table import Settings, group_defaults
from drivevlm.record.run_folder import RecordError, read_manifest

Words = Sequence[str]
T = TypeVar("T")
GROUPS = ("data", "vlm", "prompt")


@dataclass(frozen=True, slots=True)
class Root:
    """A file of ``configs/`` from which settings are composed.

    Attributes:
        name: Of the file.
        groups: That it chooses from.
        verb: Whose help shows its settings.
    """

    name: str = "settings"
    groups: tuple[str, ...] = GROUPS
    verb: str = "eval"


EVAL = Root()
SIM_MAKE = Root("sim_make", ("world",), "sim make")
TRAIN = Root("train", ("data", "model", "prompt"), "train")
MODEL_DESCRIBE = Root("model_describe", ("model",), "model describe")


def composed(overrides: Words, root: Root = EVAL) -> tuple[dict[str, Any], dict[str, str]]:
    """The resolved settings as plain values, and which member of each group was chosen.

    Raises SettingError for a key or a choice that does not exist, with the nearest that does.
    """
    wrong = [word for word in overrides if "=" not in word]
    if wrong:
        raise SettingError(f"expected key=value, got {wrong[0]!r}")
    foreign = [word for word in overrides if word.startswith(("hydra.", "hydra/", "+", "~"))]
    if foreign:
        raise SettingError(
            f"{foreign[0]} is no setting of drivevlm: see drivevlm {root.verb} --help"
        )
    if "vlm" in root.groups:
        overrides = [*asked_with(overrides), *overrides]
    with initialize_config_dir(str(asset_folder("configs")), version_base="1.3"):
        _register()
        try:
            config = compose(root.name, overrides=list(overrides), return_hydra_config=True)
            chosen = dict(config.hydra.runtime.choices)
        except MissingConfigException as error:
            raise SettingError(_no_such_choice(error)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise SettingError(_no_such_key(error, overrides, root)) from None
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values = OmegaConf.to_container(own, resolve=True)
    assert isinstance(values, dict)  # a composed configuration is a mapping
    return {str(key): value for key, value in values.items()}, {g: chosen[g] for g in root.groups}


def with_defaults(defaults: Words, words: list[str]) -> list[str]:
    """The words, and before them those defaults whose key is not among them."""
    given = {word.partition("=")[0] for word in words}
    return [*(word for word in defaults if word.partition("=")[0] not in given), *words]


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


def changed(defaults: T, words: Words, what: str) -> T:
    """A settings dataclass with some of its values changed by ``key=value`` words.

    Raises SettingError for a word that is none, and for a key that is no ``what``.
    """
    config = OmegaConf.create(plain(defaults))
    OmegaConf.set_struct(config, True)
    lists = {key for key, value in config.items() if OmegaConf.is_list(value)}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingError(f"expected key=value, got {word!r}")
        bare_list = key in lists and "," in value and "[" not in value
        _change(config, key, f"[{value}]" if bare_list else value, what)
    told = OmegaConf.to_container(config)
    assert isinstance(told, dict)  # it was made from a mapping
    return settings_from(type(defaults), {str(key): value for key, value in told.items()})


def _change(config: Any, key: str, value: str, what: str) -> None:
    """Set a key that is there already. Raises SettingError, which calls it ``what``."""
    try:
        OmegaConf.update(config, key, yaml.safe_load(value), merge=False)
    except yaml.YAMLError:
        raise SettingError(f"{key}: {value!r} is no value (lists are written [a,b])") from None
    except (OmegaConfBaseException, AttributeError):
        known = list(_keys(DictConfig(config)))
        raise SettingError(f"{key} is no {what}{nearest(key, known)}") from None


def _register() -> None:
    """Every config dataclass becomes the default of its group; YAML adds differences only."""
    store = ConfigStore.instance()
    for group, members in group_defaults().items():
        for name, defaults in members.items():
            # Where a group has files only, they begin with the defaults of its dataclass.
            name = f"{group}_defaults" if name == group else name
            store.store(group=group, name=name, node=defaults, provider="drivevlm")
    store.store(name="root_defaults", node=plain(Settings()), provider="drivevlm")
    store.store(name="make_defaults", node=make_defaults(), provider="drivevlm")
    store.store(name="learn_defaults", node=learn_defaults(), provider="drivevlm")
    store.store(name="describe_defaults", node=describe_defaults(), provider="drivevlm")


def members(group: str) -> list[str]:
    """Names in a group: from the table, and from its YAML files."""
    files = asset_folder("configs").glob(f"{group}/*.yaml")
    table = [name for name in group_defaults()[group] if name != group]
    return sorted({*table, *(file.stem for file in files)})


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).partition("/")
    known = members(group)
    return f"{group}={name} does not exist{nearest(name, known)}: there are {', '.join(known)}"


def _no_such_key(error: Exception, overrides: Words, root: Root) -> str:
    text = " ".join(str(error).split())
    found = re.search(r"Could not override '([^']+)'", text)
    if not found:
        listed = re.search(r"Ambiguous value for argument '([^=]+)=([^']+)'", text)
        return f"{listed[1]}: lists are written {listed[1]}=[{listed[2]}]" if listed else text
    groups = [word for word in overrides if word.split("=")[0] in root.groups]
    known = list(_keys(compose(root.name, overrides=groups)))
    return f"{found[1]} is no setting{nearest(found[1], known)}: see drivevlm {root.verb} --help"


def nearest(word: str, known: Words) -> str:
    """A hint at the name that was perhaps meant; "" where none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        key = f"{prefix}{name!s}"
        yield key
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{key}.")
