"""Data that need no download: the worlds inside the wheel, and scenes that are painted here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from platformdirs import user_cache_path

from drivevlm.build.settings import plain
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm_sim.bundle import bundled_root, unpacked
from drivevlm_sim.flat.make import FlatConfig, make_flat
from drivevlm_sim.made_once import digest_of
from drivevlm_sim.make.recipe import SYNTH_VERSION, TWINS_VERSION


@dataclass(frozen=True, slots=True)
class DemoConfig(NuScenesConfig):
    """Synthetic scenes inside the wheel, unpacked on first use. See data=nuscenes for the rest.

    Attributes:
        root: Folder that they are unpacked in; "" is the user's cache folder.
    """

    version: str = SYNTH_VERSION
    proposals: str = "oracle"
    top_k: int = 8
    command: str = "route"


@dataclass(frozen=True, slots=True)
class DemoTwinsConfig(NuScenesConfig):
    """Synthetic twin pairs inside the wheel, unpacked on first use. See data=nuscenes for the rest.

    Attributes:
        root: Folder that they are unpacked in; "" is the user's cache folder.
    """

    version: str = TWINS_VERSION
    command: str = "route"


@dataclass(frozen=True, slots=True)
class FlatScenesConfig:
    """Plain painted scenes, made on first use.

    Attributes:
        world: What is painted.
        frames: Images per camera.
        proposals: ``oracle`` (blurred labels) or ``none``.
        top_k: Proposals at most.
        folder: Folder that they are made in; "" is the user's cache folder.
    """

    world: FlatConfig = field(default_factory=lambda: FlatConfig(keyframes=10))
    frames: int = 1
    proposals: str = "oracle"
    top_k: int = 8
    folder: str = ""

    def __post_init__(self) -> None:
        as_nuscenes(self)


WorldConfig = DemoConfig | DemoTwinsConfig | FlatScenesConfig


def as_nuscenes(config: WorldConfig) -> NuScenesConfig:
    """How it is read, once it lies on disk.

    Raises:
        WorldError: The worlds are missing in this install.
    """
    if isinstance(config, FlatScenesConfig):
        name = f"flat-{digest_of(plain(config.world))}"
        return NuScenesConfig(
            root=str(_home(config.folder) / name),
            version=config.world.version,
            frames=config.frames,
            proposals=config.proposals,
            top_k=config.top_k,
        )
    return replace(config, root=str(bundled_root(_home(config.root))))


def put_on_disk(config: WorldConfig, say: Callable[[str], None]) -> NuScenesConfig:
    """Unpack or paint it unless it is there; returns how it is read.

    Raises:
        WorldError: The worlds are missing in this install, or the folder cannot be written.
    """
    read = as_nuscenes(config)
    root, flat = Path(read.root), isinstance(config, FlatScenesConfig)
    if not root.exists():
        say(f"{'painting' if flat else 'unpacking the bundled'} scenes into {root}")
    if isinstance(config, FlatScenesConfig):
        make_flat(root, config=config.world)
    else:
        unpacked(root.parent)
    return read


def _home(folder: str) -> Path:
    return (Path(folder).expanduser() if folder else user_cache_path("drivevlm")) / "worlds"
