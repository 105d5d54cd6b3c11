"""Where the words (prompts/) and the YAML (configs/) lie: in the checkout, or in the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def asset_folder(name: str) -> Path:
    """The folder ``prompts`` or ``configs``; FileNotFoundError where neither place has it."""
    for folder in (_PACKAGE / "_shipped" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{name}/ is neither in the wheel nor beside {_PACKAGE}: reinstall")
