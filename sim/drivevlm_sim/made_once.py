"""Generated folders that are there whole or not at all, and are made once per recipe."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

RECIPE_FILE = "recipe.json"


class WorldError(Exception):
    """A world cannot be made as asked for; the message is one clear line."""


def made_once(out: Path, recipe: Mapping[str, object], make: Callable[[Path], None]) -> Path:
    """``out``, made by ``make`` unless it already holds what ``recipe`` describes.

    It is made in a hidden folder beside ``out`` and renamed at the end; a second process waits
    for the first. What an interrupted run left is removed by the next.

    Raises:
        WorldError: ``out`` holds something else, or cannot be written.
    """
    text = recipe_text(recipe)
    if _holds(out, text):
        return out
    growing = out.parent / f".{out.name}.unfinished"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.parent / f".{out.name}.lock"):
            if _holds(out, text):
                return out
            shutil.rmtree(growing, ignore_errors=True)
            try:
                growing.mkdir()
                make(growing)
                (growing / RECIPE_FILE).write_text(text, encoding="utf-8")
                os.replace(growing, out)
            finally:
                shutil.rmtree(growing, ignore_errors=True)
    except OSError as error:
        raise WorldError(f"{out}: cannot write a world there ({error})") from error
    return out


def is_made(out: Path, recipe: Mapping[str, object]) -> bool:
    """Whether ``out`` holds what ``recipe`` describes already.

    Raises:
        WorldError: ``out`` holds something else.
    """
    return _holds(out, recipe_text(recipe))


def recipe_text(recipe: Mapping[str, object]) -> str:
    """A recipe as it is written beside what was made of it."""
    return json.dumps(recipe, indent=1, sort_keys=True) + "\n"


def digest_of(recipe: Mapping[str, object]) -> str:
    """Short name of a recipe, e.g. for a folder in a cache."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _holds(out: Path, text: str) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = out / RECIPE_FILE
    if found.is_file() and found.read_text(encoding="utf-8") == text:
        return True
    raise WorldError(
        f"{out} holds something else than the world asked for (see {RECIPE_FILE} in it): "
        "choose another folder or remove it"
    )
