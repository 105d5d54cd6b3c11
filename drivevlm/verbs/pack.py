"""Packs a recording for training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from drivevlm import __version__
from drivevlm.build.settings import SettingError, plain
from drivevlm.build.table import Chosen
from drivevlm.data.dense import DENSE_FOLDER, read_dense
from drivevlm.data.packed.schema import parquet
from drivevlm.evaluate.pack import PackOrder, pack, without_dense
from drivevlm.evaluate.pack_shard import Dense
from drivevlm.record.manifest import git_state
from drivevlm.verbs.progress import bars

SHARD_MB = 256


def pack_data(
    values: Mapping[str, Any],
    groups: Mapping[str, str],
    console: Console,
    *,
    shard_mb: int = SHARD_MB,
) -> Path:
    """Write the chosen data as parquet shards; returns their folder."""
    chosen = Chosen.of(values, groups)
    if not chosen.settings.out:
        raise SettingError("expected a folder to pack into: drivevlm pack data=... out=FOLDER")
    out = Path(chosen.settings.out).expanduser()
    pa, _ = parquet()
    recording = chosen.recording(console.print)
    name, config = chosen.data
    order = PackOrder(
        recording,
        shard_mb * 1_000_000,
        dense=_dense(chosen),
        settings={"data": name, **_unplaced(plain(config))},
        made_by={
            "drivevlm": __version__,
            "git": git_state(Path(__file__).parent),
            "pyarrow": pa.__version__,
        },
    )
    try:
        with bars(console) as report:
            manifest = pack(order, out, report)
    except KeyboardInterrupt:
        console.print(f"{out} is not finished: the same command goes on", soft_wrap=True)
        raise
    _tell(manifest, out, console)
    return out


def _dense(chosen: Chosen) -> Dense:
    """Truth per pixel, from beside the tables; none where there is no such folder."""
    config = chosen.nuscenes_config()
    if config is None:
        return without_dense
    folder = Path(config.root).expanduser() / config.version / DENSE_FOLDER
    return partial(read_dense, folder) if folder.is_dir() else without_dense


def _unplaced(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without where things lie on this machine."""
    return {key: value for key, value in config.items() if key not in ("root", "cache", "folder")}


def _tell(manifest: Mapping[str, Any], out: Path, console: Console) -> None:
    counts, files = manifest["counts"], [s["files"].values() for s in manifest["shards"]]
    size = sum(file["bytes"] for group in files for file in group)
    console.print(
        f"{counts['clips']} clips of {counts['scenes']} scenes, {counts['images']} images, "
        f"{size / 1e6:.1f} MB in {len(manifest['shards'])} shards",
        soft_wrap=True,
    )
    if counts["missing_images"]:
        console.print(
            f"{counts['missing_images']} of {counts['images']} images could not be read: whoever "
            "looks at them is told so",
            soft_wrap=True,
        )
    console.print(f"read it with data=packed data.path={out}", soft_wrap=True, markup=False)
