"""The two data sets of the table, as words after ``drivevlm eval``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from drivevlm.build.settings import SettingError
from drivevlm.build.table import DATA
from drivevlm_sim.make.recipe import SYNTH_VERSION, TWINS_VERSION

VERSIONS = {"twins": TWINS_VERSION, "scenes": SYNTH_VERSION}


@dataclass(frozen=True, slots=True)
class DataSet:
    """Twin pairs or scenes.

    Attributes:
        name: ``twins`` or ``scenes``.
        words: How they are opened.
        tables: How the tables are opened that a small network reads; None where only packed data
            are at hand.
    """

    name: str
    words: tuple[str, ...]
    tables: tuple[str, ...] | None

    @classmethod
    def of(cls, name: str, value: str, *, world: str = "") -> DataSet:
        """From ``demo``, ``demo_twins``, a packed folder, or the root of a made world.

        Further settings of the data may follow in the same value. ``world`` is the root that
        packed data were packed of. Raises SettingError in one line.
        """
        place, *more = shlex.split(value)
        if place in DATA and not Path(place).is_dir():
            words = (f"data={place}", *more)
            return cls(name, words, words)
        folder = Path(place).expanduser()
        if (folder / VERSIONS[name]).is_dir():
            words = (*_tables(name, place), *more)
            return cls(name, words, words)
        if not (folder / "manifest.json").is_file():
            raise SettingError(
                f"{name}={place} is no packed folder, nor a made world with {VERSIONS[name]}: "
                "drivevlm pack writes the one, drivevlm sim make the other"
            )
        if world and not (Path(world).expanduser() / VERSIONS[name]).is_dir():
            raise SettingError(f"world={world} has no {VERSIONS[name]}: give the packed data's own")
        tables = (*_tables(name, world), *more) if world else None
        return cls(name, ("data=packed", f"data.path={place}", *more), tables)


def _tables(name: str, root: str) -> tuple[str, ...]:
    """Read as they are packed for training."""
    return (
        "data=nuscenes",
        f"data.root={root}",
        f"data.version={VERSIONS[name]}",
        "data.frames=2",
        "data.command=route",
    )
