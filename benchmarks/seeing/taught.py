"""What a model was taught to be asked, and in what a row asks it otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drivevlm.app import composed
from drivevlm.build.assets import asset_folder
from drivevlm.build.parts import switches
from drivevlm.build.table import Chosen
from drivevlm.build.taught import taught_forms, unlike_taught
from drivevlm.dialogue.dialogue import Dialogue


def doubts(words: Sequence[str], form: str, folder: Path) -> list[str]:
    """In what a run asks a model otherwise than it was taught, a line each.

    Args:
        words: Of the run.
        form: Of the answer.
        folder: The model's.
    """
    known = taught_forms(folder)
    lines = [] if known is None or form in known else [f"was not taught the form {form}"]
    chosen = Chosen.of(*composed(words))
    dialogue = Dialogue.of(chosen.prompt, switches(chosen), asset_folder("prompts"))
    return [*lines, *(line.removeprefix(f"{folder} ") for line in unlike_taught(folder, dialogue))]
