"""The one table: every name that a configuration may hold, and what it constructs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from drivevlm.baselines import MOTIONS
from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm.build.worlds import (
    DemoConfig,
    DemoTwinsConfig,
    FlatScenesConfig,
    WorldConfig,
    as_nuscenes,
    put_on_disk,
)
from drivevlm.data.frames import FramesConfig, FramesRecording
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.packed import PackedConfig, PackedRecording
from drivevlm.data.recording import Recording
from drivevlm.dialogue.config import CODECS
from drivevlm.dialogue.dialogue import PromptConfig
from drivevlm.dialogue.sections import SectionName
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.train_ego_mlp import MlpSettings
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.model.config import ModelConfig
from drivevlm.record.replay import recorded_replies
from drivevlm.record.run_folder import read_manifest, read_records
from drivevlm.vlm.config import HfConfig, NativeConfig
from drivevlm.vlm.recorded import RecordedVLM
from drivevlm.vlm.seam import VLM
from drivevlm_sim.make.recipe import WorldRecipe

Say = Callable[[str], None]
"""Tells the user what long thing is going on."""


def open_world(config: WorldConfig, say: Say) -> Recording:
    """Worlds of ours: unpack or paint them unless they are there, and open them."""
    return NuScenesRecording(put_on_disk(config, say), _said_once(say))


def open_nuscenes(config: NuScenesConfig, say: Say) -> Recording:
    """A nuScenes-format folder."""
    return NuScenesRecording(config, _said_once(say))


def _said_once(say: Say) -> Callable[[str, int, int], None]:
    """Tells that an index is being built, when it is; a second start takes none."""
    told: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        if not told:
            told.append(what)
            say("indexing the tables, once; the next start reads the index")

    return progress


def open_frames(config: FramesConfig, say: Say) -> Recording:
    """A folder of images."""
    return FramesRecording(config)


def open_packed(config: PackedConfig, say: Say) -> Recording:
    """A folder that ``drivevlm pack`` wrote."""
    return PackedRecording(config)


@dataclass(frozen=True, slots=True)
class UntrainedConfig:
    """A small random model: it shows that the whole path works, and knows nothing.

    Attributes:
        batch_size: Requests written at once.
    """

    batch_size: int = 1


@dataclass(frozen=True, slots=True)
class RecordedConfig:
    """Replies of an earlier run in place of a model.

    Attributes:
        run: Its folder.
    """

    run: str = ""


def open_untrained(config: UntrainedConfig, say: Say) -> VLM:
    """A small random model of a stock class, made on first use."""
    from drivevlm.vlm.untrained import untrained_vlm

    # So small a model is fastest on one thread, and it does not mind a busy machine then.
    return untrained_vlm(HfConfig(batch_size=config.batch_size, threads=1))


def open_hf(config: HfConfig, say: Say) -> VLM:
    """Any image-text model of transformers."""
    from drivevlm.vlm.hf import HfVLM

    if not config.model:
        raise SettingError("vlm.model is not set: give a model folder or a hub id, vlm.model=...")
    say(f"loading {config.model}")
    return HfVLM(config)


def open_native(config: NativeConfig, say: Say) -> VLM:
    """A model of our own; the one that ships is there at once."""
    from drivevlm.vlm.native.engine import NativeVLM

    if config.model:
        say(f"loading {config.model}")
    return NativeVLM(config)


def open_recorded(config: RecordedConfig, say: Say) -> VLM:
    """What an earlier run's model replied."""
    if not config.run:
        raise SettingError("vlm.run is not set: give the folder of an earlier run, vlm.run=...")
    folder = Path(config.run)
    model = read_manifest(folder)["identity"]["models"].get("vlm") or {}
    replies = recorded_replies(read_records(folder))
    if not replies:
        raise SettingError(f"vlm.run={config.run} holds no reply of a model: choose another run")
    name, revision = str(model.get("name", "recorded")), str(model.get("revision", ""))
    return RecordedVLM(replies, name=name, revision=revision)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a group: its settings, and what they construct."""

    settings: type
    construct: Callable[[Any, Say], Any]


DATA: dict[str, Entry] = {
    "demo": Entry(DemoConfig, open_world),
    "demo_twins": Entry(DemoTwinsConfig, open_world),
    "flat": Entry(FlatScenesConfig, open_world),
    "nuscenes": Entry(NuScenesConfig, open_nuscenes),
    "frames": Entry(FramesConfig, open_frames),
    "packed": Entry(PackedConfig, open_packed),
}
MODELS: dict[str, Entry] = {
    "untrained": Entry(UntrainedConfig, open_untrained),
    "hf": Entry(HfConfig, open_hf),
    "native": Entry(NativeConfig, open_native),
    "recorded": Entry(RecordedConfig, open_recorded),
}
ALL = ("all",)
PLANNERS = ("vlm", *MOTIONS, *MLPS, "expert")


class BlockSetting(str, Enum):
    """How a block is shown, and whose content it has."""

    ON = "on"
    OFF = "off"
    BLANK = "blank"
    MEAN = "mean"
    SHUFFLE = "shuffle"
    SWAP = "swap"


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """One setting per block of the prompt."""

    cameras: BlockSetting = BlockSetting.ON
    ego_status: BlockSetting = BlockSetting.ON
    scene_summary: BlockSetting = BlockSetting.ON
    proposals: BlockSetting = BlockSetting.ON
    prior: BlockSetting = BlockSetting.ON
    command: BlockSetting = BlockSetting.ON


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run goes.

    Attributes:
        shard: Part ``i/n`` of the scenes.
        scenes_in_flight: Scenes that wait for a model at once.
        seed: Of sampling, exchanges and intervals.
        deadline_s: Seconds a reply may take; null for no limit.
    """

    shard: str = "0/1"
    scenes_in_flight: int = 2
    seed: int = 0
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if self.scenes_in_flight < 1 or self.seed < 0:
            raise ValueError(
                "scenes_in_flight is at least 1 and seed not negative, got "
                f"{self.scenes_in_flight} and {self.seed}"
            )
        if self.deadline_s is not None and not 0 < self.deadline_s < math.inf:
            raise ValueError(f"deadline_s is positive, or null for none, got {self.deadline_s}")


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page of a run.

    Attributes:
        clips: Most clips on it, worst first; 0 writes no page.
    """

    clips: int = 60

    def __post_init__(self) -> None:
        if self.clips < 0:
            raise ValueError(f"clips is not negative (0 writes no page), got {self.clips}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``drivevlm eval`` can be told, but for the groups' own settings.

    Attributes:
        planner: Who plans, the first being the one that the page is about.
        protocol: Who scores; ``all`` is every protocol.
        fallback: The baseline that stands in for a failed plan.
        out: The run's folder; null makes a new one under runs/.
        block: The prompt's blocks.
        run: How the run goes.
        page: The page.
        mlp: The training of planner ``ego_mlp`` and its kin.
    """

    planner: tuple[str, ...] = (
        "vlm",
        "constant_velocity",
        "ctrv",
        "ego_mlp",
        "stop",
        "expert",
    )
    protocol: tuple[str, ...] = ("exact", "uniad", "vad")
    fallback: str = "stop"
    out: str | None = None
    block: BlockSettings = field(default_factory=BlockSettings)
    run: RunSettings = field(default_factory=RunSettings)
    page: PageSettings = field(default_factory=PageSettings)
    mlp: MlpSettings = field(default_factory=MlpSettings)

    def __post_init__(self) -> None:
        _all_known("planner", self.planner, PLANNERS)
        if self.protocol != ALL:
            _all_known("protocol", self.protocol, PROTOCOLS)
        _all_known("fallback", (self.fallback,), MOTIONS)
        if not self.planner:
            raise ValueError(f"planner takes at least one of {', '.join(PLANNERS)}")


def _all_known(what: str, names: tuple[str, ...], known: Any) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        wrong = f"{unknown[0]!r} is none" if unknown else f"{names} names one twice"
        raise ValueError(f"{what}: {wrong}; there are {', '.join(known)}")


CHOICES: dict[str, tuple[str, ...]] = {
    "planner": PLANNERS,
    "protocol": (*PROTOCOLS, *ALL),
    "fallback": tuple(MOTIONS),
    "block.NAME": tuple(setting.value for setting in BlockSetting),
    "prompt.codec": tuple(CODECS),
    "prompt.sections": tuple(section.value for section in SectionName),
}
"""Settings that take one or more of a closed set of words."""


def settings_class(group: str, member: str) -> type:
    """The config class of a member of ``data``, ``vlm``, ``world`` or ``model``."""
    if group in ("world", "model"):
        return WorldRecipe if group == "world" else ModelConfig
    return (DATA if group == "data" else MODELS)[member].settings


def group_defaults() -> dict[str, dict[str, Any]]:
    """By group and member, the defaults of its dataclass as plain values."""
    return {
        "data": {name: plain(entry.settings()) for name, entry in DATA.items()},
        "vlm": {name: plain(entry.settings()) for name, entry in MODELS.items()},
        "prompt": {"prompt": plain(PromptConfig())},
        "world": {"world": plain(WorldRecipe())},
        "model": {"model": plain(ModelConfig())},
    }


@dataclass(frozen=True, slots=True)
class Chosen:
    """A whole configuration, typed.

    Attributes:
        settings: What is not in a group.
        prompt: What is asked.
        data, vlm: Which member of the group, and its settings.
    """

    settings: Settings
    prompt: PromptConfig
    data: tuple[str, Any]
    vlm: tuple[str, Any]

    @classmethod
    def of(cls, values: Mapping[str, Any], groups: Mapping[str, str]) -> Chosen:
        """From plain values. Raises SettingError with the setting's name."""
        rest = {k: v for k, v in values.items() if k not in ("data", "vlm", "prompt")}
        data, vlm = groups["data"], groups["vlm"]
        return cls(
            settings_from(Settings, rest),
            settings_from(PromptConfig, values["prompt"], "prompt"),
            (data, settings_from(DATA[data].settings, values["data"], "data")),
            (vlm, settings_from(MODELS[vlm].settings, values["vlm"], "vlm")),
        )

    def recording(self, say: Say) -> Recording:
        """Open the data."""
        name, config = self.data
        recording: Recording = DATA[name].construct(config, say)
        return recording

    def nuscenes_config(self) -> NuScenesConfig | None:
        """How the data are read as nuScenes; None where they are something else."""
        _, config = self.data
        if isinstance(config, WorldConfig):
            return as_nuscenes(config)
        return config if isinstance(config, NuScenesConfig) else None

    def without(self, planner: str) -> Chosen:
        """The same but for one planner. Raises ValueError where it is the only one."""
        rest = tuple(name for name in self.settings.planner if name != planner)
        return replace(self, settings=replace(self.settings, planner=rest))

    def model(self, say: Say) -> VLM:
        """Load the model."""
        name, config = self.vlm
        vlm: VLM = MODELS[name].construct(config, say)
        return vlm
