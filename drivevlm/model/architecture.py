"""What the config.json of a saved model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from drivevlm.model.config import Budget, ModelError, Pooling, ProjectorConfig
from drivevlm.model.faults import one_line
from drivevlm.model.lite import EfficientNetLite0Config

AutoConfig.register(EfficientNetLite0Config.model_type, EfficientNetLite0Config, exist_ok=True)


class DriveVLMConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Encoder, projector and language model of a DriveVLM.

    Attributes:
        vision_config, text_config: Of the two parts that have classes of their own.
        strides: Of the feature maps that are read, finest first.
        projector: ``ProjectorConfig`` as plain values.
        image_mean, image_std: Of each colour, in steps of 0 to 255.
        image_token_id: What stands in a prompt for each visual token.
        codec_first_id, codec_size: The block of codec tokens in the vocabulary.
    """

    model_type = "drivevlm"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012

    vision_config: dict[str, Any] | PretrainedConfig | None = None
    text_config: dict[str, Any] | PretrainedConfig | None = None
    strides: list[int] | tuple[int, ...] = (8, 16)
    projector: dict[str, Any] | None = None
    image_mean: list[float] | tuple[float, ...] = (127.0, 127.0, 127.0)
    image_std: list[float] | tuple[float, ...] = (128.0, 128.0, 128.0)
    image_token_id: int = 0
    codec_first_id: int = 0
    codec_size: int = 0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Sub-configs from what JSON holds."""
        self.vision_config = _part(self.vision_config, EfficientNetLite0Config.model_type)
        self.text_config = _part(self.text_config, "llama")
        self.tie_word_embeddings = bool(getattr(self.text_config, "tie_word_embeddings", False))
        self.projector = self.projector or plain(ProjectorConfig())
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def projector_config(self) -> ProjectorConfig:
        """The projector's settings."""
        values: dict[str, Any] = dict(self.projector or {})
        values["pooling"] = Pooling(values["pooling"])
        values["budgets"] = budgets_from(values["budgets"])
        return ProjectorConfig(**values)

    @property
    def codec_ids(self) -> range:
        """Ids of the codec tokens."""
        return range(self.codec_first_id, self.codec_first_id + self.codec_size)


def _part(value: Any, kind: str) -> PretrainedConfig:
    if isinstance(value, PretrainedConfig):
        return value
    values = dict(value or {})
    return of_kind(values.get("model_type", kind), values)


def of_kind(kind: str, values: Mapping[str, Any]) -> PretrainedConfig:
    """A config of transformers. Raises ModelError where it has none of this ``model_type``."""
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"transformers knows no model_type {kind!r}")
    with one_line(f"{kind} of these settings"):
        made: PretrainedConfig = CONFIG_MAPPING[kind](**values)
    return made


def plain(config: ProjectorConfig) -> dict[str, Any]:
    """A projector's settings as JSON holds them."""
    return asdict(config) | {
        "pooling": config.pooling.value,
        "budgets": [asdict(budget) for budget in config.budgets],
    }


def budgets_from(values: Sequence[Mapping[str, Any]]) -> tuple[Budget, ...]:
    """Budgets from plain values."""
    return tuple(Budget(**value) for value in values)
