"""One prompt file: front matter, then the templates of the system's and of the user's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drivevlm.dialogue.sections import SectionName
from drivevlm.dialogue.words import PromptError, read_text

_KEYS = ("summary", "sections", "codec", "examples", "taught")
_USER, _PICTURES = "\n[[user]]\n", "\n[[pictures]]\n"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What one file of prompts/ says.

    Attributes:
        name: Of the file, without its ending.
        folder: Where it lies.
        summary: What it is for, in a line.
        sections: Order and presence of the answer's sections.
        codec: How the plan is written.
        examples: Number of few-shot examples.
        taught: It is for a model that learned the answer format: the sections are named, and the
            format is not described.
        templates: Of the system's words, and of the user's before and after the pictures: what
            the lines ``[[user]]`` and ``[[pictures]]`` part.
    """

    name: str
    folder: Path
    summary: str
    sections: tuple[SectionName, ...]
    codec: str
    examples: int
    taught: bool
    templates: tuple[str, str, str]

    @classmethod
    def read(cls, folder: Path, name: str) -> PromptFile:
        """A prompt of a folder by name, or any ``.jinja`` file by path. Raises PromptError."""
        own = name.endswith(".jinja")
        path = Path(name).expanduser() if own else folder / f"{name}.jinja"
        if not path.is_file():
            there = ", ".join(sorted(p.stem for p in folder.glob("*.jinja")))
            raise PromptError(
                f"prompt {name}: there is no file {path}; give the path of a .jinja file or one "
                f"of {there}"
            )
        head, mark, body = read_text(path).partition("\n---\n")
        if not (mark and head.startswith("---\n")):
            raise PromptError(f"{path} must begin with front matter between two lines of ---")
        front = _front(head[4:], path)
        system, user_mark, rest = body.partition(_USER)
        before, pictures_mark, after = rest.partition(_PICTURES)
        if not (user_mark and pictures_mark):
            raise PromptError(
                f"{path} needs a line [[user]] between the two messages, and after it a line "
                "[[pictures]] where the pictures go"
            )
        return cls(
            name=path.stem,
            folder=path.parent,
            summary=str(front.get("summary", "")),
            sections=_sections(front.get("sections"), path),
            codec=str(front.get("codec", "text")),
            examples=_count(front.get("examples", 0), path),
            taught=_yes(front.get("taught", False), path),
            templates=(system.strip(), before.strip(), after.strip()),
        )


def _front(text: str, path: Path) -> Mapping[str, Any]:
    try:
        front = yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise PromptError(f"{path}: the front matter is not YAML ({said})") from None
    if not isinstance(front, dict):
        raise PromptError(f"{path}: the front matter must be a mapping, got {front!r}")
    unknown = sorted(map(str, set(front) - set(_KEYS)))
    if unknown:
        raise PromptError(f"{path}: {unknown[0]!r} is no key of the front matter: {_KEYS}")
    return front


def _sections(names: object, path: Path) -> tuple[SectionName, ...]:
    try:
        return tuple(SectionName(name) for name in names)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise PromptError(
            f"{path}: the front matter must list sections out of "
            f"{[s.value for s in SectionName]}, got {names!r}"
        ) from None


def _count(examples: object, path: Path) -> int:
    if not isinstance(examples, int) or examples < 0:
        raise PromptError(f"{path}: examples must be a number from 0, got {examples!r}")
    return examples


def _yes(taught: object, path: Path) -> bool:
    if not isinstance(taught, bool):
        raise PromptError(f"{path}: taught must be true or false, got {taught!r}")
    return taught
