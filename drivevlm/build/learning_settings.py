"""What ``drivevlm train`` can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm.build.table import BlockSetting, BlockSettings
from drivevlm.dialogue.config import PromptConfig
from drivevlm.model.config import ModelConfig
from drivevlm.train.config import Stage, TrainConfig


@dataclass(frozen=True, slots=True)
class ValSettings:
    """What a training is validated on; nothing of it is learned from.

    Attributes:
        path: A folder that ``drivevlm pack`` wrote; empty validates on nothing.
        also: More of them, twins say.
        batch_size: Clips planned at once.
    """

    path: str = ""
    also: tuple[str, ...] = ()
    batch_size: int = 8

    @property
    def paths(self) -> tuple[str, ...]:
        """All folders."""
        return (self.path, *self.also) if self.path else self.also


def _no_memory() -> BlockSettings:
    """A clip that is learned from has no earlier decision of the model to remember."""
    return BlockSettings(scene_summary=BlockSetting.OFF, prior=BlockSetting.OFF)


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """Everything that ``drivevlm train`` can be told, but for data, model and prompt.

    Attributes:
        out: The run's folder; null makes a new one under runs/.
        stage: ``perceive``, ``align``, ``sft``, or several in their order.
        start: A model's folder to start from; empty makes a new one as ``model`` says.
        also: More folders that ``drivevlm pack`` wrote, to learn from beside ``data``.
        cache: Folder of what frozen encoders gave; empty is in the user's cache folder.
        block: The prompt's blocks: on, off or blank; cameras are on or off.
        val: What it is validated on.
        train: How it goes.
    """

    out: str | None = None
    stage: tuple[Stage, ...] = (Stage.SFT,)
    start: str = ""
    also: tuple[str, ...] = ()
    cache: str = ""
    block: BlockSettings = field(default_factory=_no_memory)
    val: ValSettings = field(default_factory=ValSettings)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if not self.stage:
            raise ValueError(f"stage takes at least one of {', '.join(s.value for s in Stage)}")


@dataclass(frozen=True, slots=True)
class Learning:
    """A whole training, typed.

    Attributes:
        settings: What is not in a group.
        data: Which member of the group, and its settings.
        prompt: What is asked.
        model: What is made, where it does not start from a folder.
    """

    settings: LearnSettings
    data: tuple[str, Any]
    prompt: PromptConfig
    model: ModelConfig

    @classmethod
    def of(cls, values: Mapping[str, Any], groups: Mapping[str, str], data_class: type) -> Learning:
        """From plain values. Raises SettingError with the setting's name."""
        rest = {k: v for k, v in values.items() if k not in ("data", "model", "prompt")}
        learning = cls(
            settings_from(LearnSettings, rest),
            (groups["data"], settings_from(data_class, values["data"], "data")),
            settings_from(PromptConfig, values["prompt"], "prompt"),
            settings_from(ModelConfig, values["model"], "model"),
        )
        shown = {s.value for s in (BlockSetting.ON, BlockSetting.OFF, BlockSetting.BLANK)}
        for name, word in plain(learning.settings.block).items():
            if word not in shown:
                raise SettingError(f"block.{name}={word}: a training takes on, off or blank")
        if learning.settings.block.cameras is BlockSetting.BLANK:
            raise SettingError("block.cameras=blank: a training sees pictures (on) or none (off)")
        return learning


def learn_defaults() -> dict[str, Any]:
    """The defaults but for the groups, as plain values."""
    return dict(plain(LearnSettings()))
