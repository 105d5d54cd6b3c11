"""What ``drivevlm sim make`` can be told beside the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm_sim.make.recipe import WorldRecipe


@dataclass(frozen=True, slots=True)
class MakeRunSettings:
    """How the making goes; it decides nothing of the files.

    Attributes:
        shard: The share ``i/n`` of the films to make here.
        processes: At once; 0 is one a core.
    """

    shard: str = "0/1"
    processes: int = 0

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise ValueError(f"processes is not negative (0: one a core), got {self.processes}")


@dataclass(frozen=True, slots=True)
class MakeSettings:
    """Everything that ``drivevlm sim make`` can be told.

    Attributes:
        out: The data root to make.
        run: How the making goes.
        world: The recipe.
    """

    out: str = ""
    run: MakeRunSettings = field(default_factory=MakeRunSettings)
    world: WorldRecipe = field(default_factory=WorldRecipe)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> MakeSettings:
        """From plain values. Raises SettingError with the setting's name."""
        made = settings_from(cls, values)
        if not made.out:
            raise SettingError("out is not set: say where the data root shall lie, out=FOLDER")
        return made

    @property
    def root(self) -> Path:
        """The data root."""
        return Path(self.out).expanduser()


def make_defaults() -> dict[str, Any]:
    """The defaults but for the recipe, which is a group, as plain values."""
    return {name: value for name, value in plain(MakeSettings()).items() if name != "world"}
