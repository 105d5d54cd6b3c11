"""What a model was taught to be asked, kept beside its weights, and where a prompt differs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from drivevlm.build.settings import plain
from drivevlm.dialogue.blocks import Block, Switch
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.train.config import FormShares

TAUGHT = "taught.json"


def write_taught(folder: Path, dialogue: Dialogue, forms: FormShares) -> None:
    """Keep how a model was asked while it learned, and how often for each form of the answer."""
    about = {
        "prompt": dialogue.config.name,
        "words": dialogue.words_digest,
        "images": plain(dialogue.config.images),
        "blocks": {name: switch.value for name, switch in asdict(dialogue.blocks).items()},
        "forms": asdict(forms),
    }
    (folder / TAUGHT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def copy_taught(source: Path, folder: Path) -> None:
    """Keep with a copy of a model how it was asked, where that is known."""
    if (source / TAUGHT).is_file():
        (folder / TAUGHT).write_bytes((source / TAUGHT).read_bytes())


def taught_forms(folder: Path) -> tuple[str, ...] | None:
    """Names of the answer's forms that a model was taught; None where its folder does not tell."""
    file = folder / TAUGHT
    shares = json.loads(file.read_text(encoding="utf-8")).get("forms") if file.is_file() else None
    return None if shares is None else tuple(name for name, share in shares.items() if share)


def unlike_taught(folder: Path, dialogue: Dialogue) -> list[str]:
    """In what a prompt differs from how the model of a folder was asked while it learned, a line
    each; none where the folder does not tell."""
    file = folder / TAUGHT
    if not file.is_file():
        return []
    about = json.loads(file.read_text(encoding="utf-8"))
    lines = []
    if about["words"] != dialogue.words_digest:
        lines.append(
            f"{folder} was taught with the words of prompt {about['prompt']}, not with these of "
            f"{dialogue.config.name}"
        )
    images = plain(dialogue.config.images)
    lines += [
        f"{folder} was taught with prompt.images.{key}={value}, not {images[key]}"
        for key, value in about["images"].items()
        if images.get(key) != value
    ]
    strange = [
        block.value
        for block in Block
        if about["blocks"].get(block.value) == Switch.OFF.value
        and dialogue.blocks.of(block) is not Switch.OFF
    ]
    if strange:
        words = " ".join(f"block.{name}=off" for name in strange)
        lines.append(f"{folder} never saw these blocks: as it was taught it is asked with {words}")
    return lines
