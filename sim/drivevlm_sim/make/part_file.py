"""Parts: what a finished job leaves on disk, there whole or not at all."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from drivevlm_sim.made_once import WorldError

ALWAYS = (1980, 1, 1, 0, 0, 0)
"""Of every member: equal contents are equal files."""


def write_part(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a part as a zip archive without compression.

    Raises:
        WorldError: It cannot be written.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, ALWAYS), content)
    growing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        growing.write_bytes(packed.getvalue())
        os.replace(growing, path)
    except OSError as error:
        raise WorldError(f"{path}: cannot write a part of the world there ({error})") from error


def read_part(path: Path, *names: str) -> dict[str, bytes]:
    """The members of a part by name; those that are named, or all.

    Raises:
        WorldError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in names or archive.namelist()}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise WorldError(
            f"{path}: not a part of a world ({error}): remove it and run the same command again"
        ) from error
