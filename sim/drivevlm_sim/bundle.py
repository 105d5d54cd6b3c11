"""The worlds inside the wheel: packed once from a data root, unpacked where they are read.

``python -m drivevlm_sim.bundle ROOT`` packs a root that ``drivevlm sim make world=demo`` made.
Reading needs neither traffic nor graphics.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

from drivevlm_sim.made_once import RECIPE_FILE, WorldError, made_once

BUNDLE = Path(__file__).with_name("demo.tar.xz")
STAMP_S = 1_767_225_600
"""Of every file: equal worlds are packed to equal bytes."""


def unpacked(home: Path, bundle: Path = BUNDLE) -> Path:
    """The data root in a bundle, unpacked below ``home`` unless it is there.

    Raises:
        WorldError: There is no bundle, or ``home`` cannot be written.
    """
    root = bundled_root(home, bundle)

    def unpack(growing: Path) -> None:
        with tarfile.open(bundle, "r:xz") as tar:
            tar.extractall(growing, filter="data")

    return made_once(root, _recipe(bundle), unpack)


def bundled_root(home: Path, bundle: Path = BUNDLE) -> Path:
    """Where ``unpacked`` puts it: another bundle, another folder.

    Raises:
        WorldError: There is no bundle.
    """
    try:
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    except OSError as error:
        raise WorldError(
            f"the bundled worlds are missing, {bundle} ({error.strerror}): install drivevlm again, "
            "or make them in a checkout with `make demo-world`"
        ) from error
    return home / f"{bundle.name.partition('.')[0]}-{digest[:12]}"


def pack(root: Path, bundle: Path = BUNDLE) -> None:
    """Write a data root as a bundle; equal roots give equal bundles.

    Raises:
        WorldError: ``root`` is no world.
    """
    if not (root / RECIPE_FILE).is_file():
        raise WorldError(f"{root} is no world, it has no {RECIPE_FILE}")
    growing = bundle.with_name(f".{bundle.name}.unfinished")
    # One stream: tables are full of names that others have too, twins of pictures that are equal.
    with tarfile.open(growing, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as tar:
        for path in _ordered(root):
            member = tarfile.TarInfo(path.relative_to(root).as_posix())
            member.size, member.mtime = path.stat().st_size, STAMP_S
            with path.open("rb") as content:
                tar.addfile(member, content)
    growing.replace(bundle)


def _ordered(root: Path) -> list[Path]:
    """All files, the recipe first."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: path != root / RECIPE_FILE)


def _recipe(bundle: Path) -> dict[str, Any]:
    """What the world in a bundle was made from."""
    with tarfile.open(bundle, "r|xz") as tar:
        first = tar.next()
        file = None if first is None else tar.extractfile(first)
        if first is None or first.name != RECIPE_FILE or file is None:
            raise WorldError(f"{bundle} does not begin with {RECIPE_FILE}: it is no bundle")
        recipe: dict[str, Any] = json.load(file)
    return recipe


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
